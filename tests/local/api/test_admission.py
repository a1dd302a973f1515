"""Admission webhooks against a real TLS server, and policies."""

import asyncio
import base64
import socket
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
from tools.transcripts import hooks
from tools.transcripts.hooks import Served

from linnet.local.api.admission import Admission, Denied, Review

pytestmark = pytest.mark.wired

Json = dict[str, Any]

_POD: Json = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "p3", "namespace": "d7", "labels": {"app": "x"}},
    "spec": {"containers": [{"name": "main"}]},
}
_REVIEW = Review(
    operation="CREATE",
    group="",
    version="v1",
    kind="Pod",
    plural="pods",
    namespaced=True,
    namespace="d7",
    name="p3",
    subresource="",
    user={"username": "admin", "groups": []},
    obj=_POD,
    old=None,
    options={"kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1"},
    dry_run=False,
)


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    """The hook server of the transcripts."""
    async with hooks.serving() as found:
        yield found


class _World:
    """A cluster with namespace d7 and some configurations."""

    def __init__(self, dial: Any = None, **configurations: list[Json]) -> None:
        self.configurations = configurations
        self.objects: dict[tuple[str, str, str], Json] = {
            ("namespaces", "", "d7"): {"metadata": {"name": "d7", "labels": {"hooks": "on"}}}
        }
        self.warnings: list[str] = []
        self.admission = Admission(
            configurations=lambda plural: self.configurations.get(plural, []),
            lookup=lambda plural, namespace, name: self.objects.get((plural, namespace, name)),
            dial=dial,
        )

    async def mutated(self, review: Review = _REVIEW) -> Json | None:
        try:
            return await self.admission.mutated(review, self.warnings.append)
        finally:
            await self.admission.close()

    async def validated(self, review: Review = _REVIEW) -> str:
        """The refusal, "" if the request is allowed."""
        try:
            await self.admission.validated(review, self.warnings.append)
        except Denied as denied:
            return f"{denied.code} {denied.reason}: {denied.message}"
        finally:
            await self.admission.close()
        return ""


def _config(served: Served, path: str, **changes: Any) -> Json:
    hook = {
        "name": f"{path}.example.com",
        "clientConfig": {"url": f"{served.url}/{path}", "caBundle": served.ca_bundle},
        "rules": [
            {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}
        ],
        "namespaceSelector": {"matchLabels": {"hooks": "on"}},
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
        "failurePolicy": "Fail",
        "timeoutSeconds": 2,
        **changes,
    }
    return {"metadata": {"name": path}, "webhooks": [hook]}


async def test_a_mutating_webhook_changes_the_object(served: Served) -> None:
    """The patch is applied, warnings are passed on, and the given object stays as it is."""
    world = _World(mutatingwebhookconfigurations=[_config(served, "inject")])
    changed = await world.mutated()
    assert changed is not None
    assert [container["name"] for container in changed["spec"]["containers"]] == ["main", "proxy"]
    assert world.warnings == ["injected"]
    assert len(_POD["spec"]["containers"]) == 1


async def test_reinvocation(served: Served) -> None:
    """A webhook that asks for it runs again when a later one changed the object."""
    first = _config(served, "inject", reinvocationPolicy="IfNeeded")
    first["metadata"]["name"] = "a"
    second = _config(served, "inject")
    second["metadata"]["name"] = "b"
    changed = await _World(mutatingwebhookconfigurations=[second, first]).mutated()
    assert changed is not None
    assert len(changed["spec"]["containers"]) == 4


@pytest.mark.parametrize(
    ("path", "refusal"),
    [
        ("deny", '400 : admission webhook "deny.example.com" denied the request: no way'),
        ("deny403", '403 Forbidden: admission webhook "deny403.example.com" denied the request: Forbidden'),
        (
            "500",
            (
                "500 InternalError: Internal error occurred: failed calling webhook "
                '"500.example.com": failed to call '
                'webhook: an error on the server ("unknown") has prevented the request from succeeding'
            ),
        ),
        (
            "bad",
            (
                "500 InternalError: Internal error occurred: failed calling webhook "
                '"bad.example.com": failed to call '
                "webhook: couldn't get version/kind; json parse error: json: cannot "
                "unmarshal string into Go value of "
                'type struct { APIVersion string "json:\\"apiVersion,omitempty\\""; '
                'Kind string "json:\\"kind,omitempty\\"" }'
            ),
        ),
        ("allow", ""),
    ],
)
async def test_answers(served: Served, path: str, refusal: str) -> None:
    """Denials and nonsense have Kubernetes' texts."""
    assert await _World(validatingwebhookconfigurations=[_config(served, path)]).validated() == refusal


async def test_a_wrong_uid(served: Served) -> None:
    """An answer to another request is no answer."""
    refusal = await _World(validatingwebhookconfigurations=[_config(served, "uid")]).validated()
    assert 'received invalid webhook response: expected response.uid="' in refusal
    assert refusal.endswith('got "wrong"')


async def test_a_patch_that_does_not_fit(served: Served) -> None:
    """The error does not name the webhook."""
    with pytest.raises(Denied) as raised:
        await _World(mutatingwebhookconfigurations=[_config(served, "badpatch")]).mutated()
    assert raised.value.message == (
        "Internal error occurred: replace operation does not apply: doc is missing path: "
        "/spec/nosuch/deep: missing value"
    )


async def test_failures_of_the_connection(served: Served) -> None:
    """Refused, untrusted, unreadable CA, and no such Service; `Ignore` lets the request through."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        client = {"url": f"https://127.0.0.1:{port}/x", "caBundle": served.ca_bundle}
        refusal = await _World(
            validatingwebhookconfigurations=[_config(served, "gone", clientConfig=client)]
        ).validated()
        assert refusal.endswith(
            f'Post "https://127.0.0.1:{port}/x?timeout=2s": dial tcp 127.0.0.1:{port}: '
            f"connect: connection refused"
        )
        ignored = _config(served, "gone", clientConfig=client, failurePolicy="Ignore")
        assert await _World(validatingwebhookconfigurations=[ignored]).validated() == ""
    for client, text in (
        (
            {"url": f"{served.url}/deny"},
            (
                f'Post "{served.url}/deny?timeout=2s": tls: failed to verify certificate: '
                f"x509: certificate signed by "
                "unknown authority"
            ),
        ),
        (
            {"url": f"{served.url}/deny", "caBundle": base64.b64encode(b"not a pem").decode()},
            "could not get REST client: unable to load root certificates: unable to parse bytes as PEM block",
        ),
        (
            {
                "service": {"namespace": "d7", "name": "istiod", "path": "/inject"},
                "caBundle": served.ca_bundle,
            },
            'Post "https://istiod.d7.svc:443/inject?timeout=2s": service "istiod" not found',
        ),
    ):
        refusal = await _World(
            validatingwebhookconfigurations=[_config(served, "x", clientConfig=client)]
        ).validated()
        assert refusal.endswith(text)


async def test_a_slow_webhook_is_given_up(served: Served) -> None:
    """The time limit is the webhook's own."""
    refusal = await _World(
        validatingwebhookconfigurations=[_config(served, "slow", timeoutSeconds=1)]
    ).validated()
    assert refusal.endswith(f'Post "{served.url}/slow?timeout=1s": context deadline exceeded')


async def test_services_are_dialled_by_cluster_ip(served: Served) -> None:
    """The caller's dial gets the ClusterIP and port; the name is verified as `<svc>.<ns>.svc`."""
    asked: list[tuple[str, int]] = []
    port = int(served.url.rsplit(":", 1)[1])

    async def dial(host: str, number: int) -> socket.socket:
        asked.append((host, number))
        connection = socket.socket()
        connection.setblocking(False)
        await asyncio.get_running_loop().sock_connect(connection, ("127.0.0.1", port))
        return connection

    client = {
        "service": {"namespace": "d7", "name": "istiod", "port": 15017, "path": "/deny"},
        "caBundle": served.ca_bundle,
    }
    world = _World(dial, validatingwebhookconfigurations=[_config(served, "svc", clientConfig=client)])
    world.objects["services", "d7", "istiod"] = {
        "spec": {"clusterIP": "10.96.0.7", "ports": [{"port": 15017}]}
    }
    refusal = await world.validated()
    assert asked == [("10.96.0.7", 15017)]
    # the certificate of the hook server is for 127.0.0.1 only
    assert "x509: certificate is not valid for any names, but wanted to match istiod.d7.svc" in refusal


@pytest.mark.parametrize(
    ("changes", "review", "called"),
    [
        ({}, {}, True),
        ({"namespaceSelector": {"matchLabels": {"hooks": "off"}}}, {}, False),
        ({"objectSelector": {"matchLabels": {"app": "x"}}}, {}, True),
        ({"objectSelector": {"matchLabels": {"app": "y"}}}, {}, False),
        ({}, {"operation": "UPDATE"}, False),
        ({}, {"subresource": "status"}, False),
        ({}, {"plural": "services"}, False),
        ({"matchConditions": [{"name": "n", "expression": "object.metadata.name == 'p3'"}]}, {}, True),
        ({"matchConditions": [{"name": "n", "expression": "object.metadata.name == 'p4'"}]}, {}, False),
        (
            {"matchConditions": [{"name": "n", "expression": "request.userInfo.username == 'admin'"}]},
            {},
            True,
        ),
    ],
)
async def test_who_is_asked(served: Served, changes: Json, review: Json, called: bool) -> None:
    """Rules, selectors and conditions decide."""
    world = _World(validatingwebhookconfigurations=[_config(served, "deny", **changes)])
    refusal = await world.validated(msgspec.structs.replace(_REVIEW, **review))
    assert bool(refusal) is called


async def test_webhooks_do_not_judge_their_own_configurations(served: Served) -> None:
    """Otherwise a broken webhook could not be removed."""
    everything = [{"apiGroups": ["*"], "apiVersions": ["*"], "operations": ["*"], "resources": ["*/*"]}]
    world = _World(
        validatingwebhookconfigurations=[_config(served, "deny", rules=everything, namespaceSelector={})]
    )
    config = msgspec.structs.replace(
        _REVIEW,
        group="admissionregistration.k8s.io",
        plural="validatingwebhookconfigurations",
        namespaced=False,
        namespace="",
    )
    assert await world.validated(config) == ""


async def test_policies() -> None:
    """A bound policy denies with its message; without a binding it does nothing."""
    rules = [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}]
    policy: Json = {
        "metadata": {"name": "names"},
        "spec": {
            "failurePolicy": "Fail",
            "matchConstraints": {"resourceRules": rules},
            "validations": [
                {"expression": "object.metadata.name.startsWith('ok-')", "message": "start with ok-"}
            ],
        },
    }
    binding: Json = {
        "metadata": {"name": "here"},
        "spec": {"policyName": "names", "validationActions": ["Deny", "Warn"]},
    }
    assert await _World(validatingadmissionpolicies=[policy]).validated() == ""
    world = _World(validatingadmissionpolicies=[policy], validatingadmissionpolicybindings=[binding])
    assert await world.validated() == (
        "422 Invalid: pods \"p3\" is forbidden: ValidatingAdmissionPolicy 'names' with binding 'here' denied "
        "request: start with ok-"
    )
    assert world.warnings == [
        "Validation failed for ValidatingAdmissionPolicy 'names' with binding 'here': start with ok-"
    ]
