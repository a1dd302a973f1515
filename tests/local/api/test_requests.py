"""Whatever is asked: the answer is Kubernetes' own refusal, never a failure of the server."""

import asyncio
import http.client
import json
import threading
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, urlsplit

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from linnet.kube.config import Config, from_kubeconfig
from linnet.local.api.options import Options
from linnet.local.api.serve import running

pytestmark = pytest.mark.wired

Json = dict[str, Any]

_ADMISSION = "admissionregistration.k8s.io/v1"
_TEMPLATE: Json = {
    "metadata": {"labels": {"app": "kept"}},
    "spec": {
        "containers": [
            {
                "name": "main",
                "image": "x:1",
                "env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
                "ports": [{"containerPort": 80, "name": "http"}],
                "resources": {"limits": {"cpu": "100m"}},
                "readinessProbe": {"httpGet": {"path": "/", "port": 80}},
                "volumeMounts": [{"name": "v", "mountPath": "/v"}],
            }
        ],
        "volumes": [{"name": "v", "configMap": {"name": "kept", "items": [{"key": "a", "path": "a"}]}}],
        "tolerations": [{"key": "a", "operator": "Exists"}],
    },
}
_SELECTOR = {"matchLabels": {"app": "kept"}}
# path of the collection -> an object that may be created there
_OBJECTS: dict[str, Json] = {
    "/api/v1/namespaces": {},
    "/api/v1/namespaces/default/configmaps": {"data": {"a": "b"}, "binaryData": {"c": "AAA="}},
    "/api/v1/namespaces/default/secrets": {"stringData": {"a": "b"}, "type": "Opaque"},
    "/api/v1/namespaces/default/pods": {"spec": _TEMPLATE["spec"]},
    "/api/v1/namespaces/default/services": {
        "spec": {"ports": [{"name": "http", "port": 80, "targetPort": "http"}], "selector": {"app": "kept"}}
    },
    "/api/v1/namespaces/default/serviceaccounts": {},
    "/api/v1/namespaces/default/events": {
        "involvedObject": {"kind": "Pod", "name": "kept", "namespace": "default"},
        "reason": "Tested",
        "message": "m",
    },
    "/api/v1/nodes": {
        "spec": {"taints": [{"key": "a", "effect": "NoSchedule"}]},
        "status": {
            "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": 1}},  # where nobody listens
        },
    },
    "/api/v1/namespaces/default/resourcequotas": {"spec": {"hard": {"pods": "10"}}},
    "/api/v1/namespaces/default/limitranges": {
        "spec": {"limits": [{"type": "Container", "default": {"cpu": "1"}}]}
    },
    "/apis/apps/v1/namespaces/default/deployments": {"spec": {"selector": _SELECTOR, "template": _TEMPLATE}},
    "/apis/apps/v1/namespaces/default/replicasets": {"spec": {"selector": _SELECTOR, "template": _TEMPLATE}},
    "/apis/apps/v1/namespaces/default/statefulsets": {"spec": {"selector": _SELECTOR, "template": _TEMPLATE}},
    "/apis/apps/v1/namespaces/default/daemonsets": {"spec": {"selector": _SELECTOR, "template": _TEMPLATE}},
    "/apis/batch/v1/namespaces/default/jobs": {
        "spec": {"template": {"spec": {**_TEMPLATE["spec"], "restartPolicy": "Never"}}}
    },
    "/apis/batch/v1/namespaces/default/cronjobs": {
        "spec": {
            "schedule": "* * * * *",
            "jobTemplate": {"spec": {"template": {"spec": {**_TEMPLATE["spec"], "restartPolicy": "Never"}}}},
        }
    },
    "/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers": {
        "spec": {
            "maxReplicas": 3,
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "kept"},
        }
    },
    "/apis/autoscaling/v1/namespaces/default/horizontalpodautoscalers": {
        "spec": {
            "maxReplicas": 3,
            "targetCPUUtilizationPercentage": 50,
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "kept"},
        }
    },
    "/apis/policy/v1/namespaces/default/poddisruptionbudgets": {
        "spec": {"minAvailable": 1, "selector": _SELECTOR}
    },
    "/apis/networking.k8s.io/v1/namespaces/default/ingresses": {
        "spec": {"defaultBackend": {"service": {"name": "kept", "port": {"number": 80}}}}
    },
    "/apis/networking.k8s.io/v1/namespaces/default/networkpolicies": {
        "spec": {"podSelector": {}, "ingress": [{"from": [{"podSelector": {}}]}]}
    },
    "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices": {
        "addressType": "IPv4",
        "endpoints": [{"addresses": ["10.0.0.1"], "conditions": {"ready": True}}],
        "ports": [{"name": "http", "port": 80}],
    },
    "/apis/coordination.k8s.io/v1/namespaces/default/leases": {
        "spec": {"holderIdentity": "a", "leaseDurationSeconds": 5, "renewTime": "2026-01-01T00:00:00.000000Z"}
    },
    "/apis/rbac.authorization.k8s.io/v1/clusterroles": {
        "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}],
    },
    "/apis/rbac.authorization.k8s.io/v1/namespaces/default/rolebindings": {
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"},
        "subjects": [{"kind": "User", "name": "a", "apiGroup": "rbac.authorization.k8s.io"}],
    },
    f"/apis/{_ADMISSION}/validatingwebhookconfigurations": {
        "webhooks": [
            {
                "name": "a.example.com",
                "clientConfig": {"url": "https://127.0.0.1:1/"},
                "sideEffects": "None",
                "admissionReviewVersions": ["v1"],
                "failurePolicy": "Ignore",
                "rules": [
                    {
                        "apiGroups": ["none.example.com"],
                        "apiVersions": ["v1"],
                        "resources": ["nones"],
                        "operations": ["CREATE"],
                    }
                ],
                "objectSelector": {"matchLabels": {"none": "none"}},
            }
        ]
    },
    "/apis/apiextensions.k8s.io/v1/customresourcedefinitions": {
        "spec": {
            "group": "example.com",
            "names": {"plural": "kepts", "singular": "kept", "kind": "Kept", "listKind": "KeptList"},
            "scope": "Namespaced",
            "versions": [
                {
                    "name": "v1",
                    "served": True,
                    "storage": True,
                    "subresources": {
                        "status": {},
                        "scale": {
                            "specReplicasPath": ".spec.size",
                            "statusReplicasPath": ".status.size",
                        },
                    },
                    "additionalPrinterColumns": [
                        {"name": "Size", "type": "integer", "jsonPath": ".spec.size"}
                    ],
                    "schema": {
                        "openAPIV3Schema": {
                            "type": "object",
                            "properties": {
                                "spec": {
                                    "type": "object",
                                    "properties": {
                                        "size": {"type": "integer", "maximum": 5},
                                        "color": {"type": "string", "default": "red"},
                                        "list": {
                                            "type": "array",
                                            "items": {
                                                "type": "object",
                                                "properties": {"a": {"type": "string"}},
                                            },
                                        },
                                    },
                                    "x-kubernetes-validations": [
                                        {"rule": "self.size != 3", "message": "not 3"}
                                    ],
                                },
                                "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
                            },
                        }
                    },
                }
            ],
        }
    },
    "/apis/example.com/v1/namespaces/default/kepts": {"spec": {"size": 1, "list": [{"a": "b"}]}},
    "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews": {
        "spec": {"resourceAttributes": {"verb": "get", "resource": "pods"}}
    },
    "/apis/authorization.k8s.io/v1/subjectaccessreviews": {
        "spec": {"user": "a", "nonResourceAttributes": {"verb": "get", "path": "/"}}
    },
    "/apis/authentication.k8s.io/v1/tokenreviews": {"spec": {"token": "a", "audiences": ["b"]}},
    "/apis/certificates.k8s.io/v1/certificatesigningrequests": {
        "spec": {"request": "AAAA", "signerName": "example.com/a", "usages": ["client auth"]}
    },
    "/apis/scheduling.k8s.io/v1/priorityclasses": {"value": 5},
    "/apis/storage.k8s.io/v1/storageclasses": {"provisioner": "a"},
}
_CUSTOM = "customresourcedefinitions"
_NAMES = {_CUSTOM: "kepts.example.com"}


class Ask(NamedTuple):
    """One request."""

    method: str
    path: str
    content_type: str
    accept: str
    body: bytes


class Answer(NamedTuple):
    """What came back."""

    code: int
    content_type: str
    body: bytes


class Caller:
    """A connection to the server that is opened again when it was closed."""

    def __init__(self, config: Config) -> None:
        parts = urlsplit(config.server)
        assert parts.hostname
        self._connection = http.client.HTTPSConnection(
            parts.hostname, parts.port, context=config.tls, timeout=60
        )

    def close(self) -> None:
        self._connection.close()

    def ask(self, ask: Ask) -> Answer:
        headers = {"Accept": ask.accept} if ask.accept else {}
        if ask.content_type:
            headers["Content-Type"] = ask.content_type
        body = ask.body if ask.body or ask.method in ("POST", "PUT", "PATCH") else None
        try:
            self._connection.request(ask.method, ask.path, body=body, headers=headers)
            response = self._connection.getresponse()
            return Answer(response.status, response.getheader("Content-Type", ""), response.read())
        except (http.client.HTTPException, OSError):
            self._connection.close()
            raise


def _kept(path: str) -> str:
    """The name of the object that exists in a collection."""
    return _NAMES.get(path.rsplit("/", 1)[-1], "kept")


def _named(path: str, obj: Json) -> Json:
    return {"metadata": {"name": _kept(path), "labels": {"app": "kept"}}, **deepcopy(obj)}


@pytest.fixture(scope="module")
def caller(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Caller]:
    """A server on a loop of its own, with one object of every kind."""
    state: Path = tmp_path_factory.mktemp("state")
    loop = asyncio.new_event_loop()
    ready, stop = threading.Event(), asyncio.Event()

    async def serve() -> None:
        import socket

        with socket.create_server(("127.0.0.1", 0)) as listening:
            async with running(Options(state=state, sockets=(listening,), synchronous="OFF")):
                ready.set()
                await stop.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    assert ready.wait(60)
    made = Caller(from_kubeconfig(str(state / "admin.kubeconfig")))
    account = {"metadata": {"name": "default"}}
    for path, obj in [("/api/v1/namespaces/default/serviceaccounts", account), *_OBJECTS.items()]:
        body = json.dumps(obj if obj is account else _named(path, obj)).encode()
        answer = made.ask(Ask("POST", path, "application/json", "", body))
        assert answer.code in (200, 201) or "autoscaling/v1" in path, (path, answer)
    yield made
    made.close()
    loop.call_soon_threadsafe(stop.set)
    thread.join(60)
    loop.close()


# -- requests -----------------------------------------------------------------

_TEXTS = st.sampled_from(
    ["", "a", "kept", "default", "v1", "Pod", "-1", "10Gi", "é", "a/b", "\x00", "x" * 300]
)
_ANY = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**63), 2**64 - 1), st.floats(allow_nan=False), _TEXTS),
    lambda inner: st.one_of(
        st.lists(inner, max_size=2),
        st.dictionaries(st.sampled_from(["a", "name", "spec", "metadata", "items", ""]), inner, max_size=2),
    ),
    max_leaves=5,
)
_METHODS = st.sampled_from(["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD", "TRACE"])
_TYPES = st.sampled_from(
    [
        "application/json",
        "application/json",
        "application/yaml",
        "application/merge-patch+json",
        "application/strategic-merge-patch+json",
        "application/json-patch+json",
        "application/apply-patch+yaml",
        "application/vnd.kubernetes.protobuf",
        "application/cbor",
        "text/plain",
        "nonsense",
        "",
    ]
)
_ACCEPTS = st.sampled_from(
    [
        "",
        "application/json",
        "application/yaml",
        "application/json;as=Table;v=v1;g=meta.k8s.io,application/json",
        "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io",
        "application/vnd.kubernetes.protobuf",
        "text/html",
        "a;b=c;;,",
    ]
)
_SUBRESOURCES = st.sampled_from(
    ["", "", "", "status", "scale", "log", "exec", "eviction", "token", "proxy/a", "a"]
)
_QUERIES = st.sampled_from(
    [
        "",
        "",
        "?dryRun=All",
        "?dryRun=a",
        "?limit=1",
        "?limit=a",
        "?continue=a",
        "?resourceVersion=a",
        "?resourceVersion=1&resourceVersionMatch=Exact",
        "?labelSelector=a%3Db",
        "?labelSelector=%28",
        "?fieldSelector=a",
        "?fieldSelector=metadata.name%3Da",
        "?fieldManager=a&force=true",
        "?fieldManager=a",
        "?fieldValidation=Strict",
        "?fieldValidation=a",
        "?watch=1&timeoutSeconds=a",
        "?watch=1&resourceVersion=a",
        "?gracePeriodSeconds=a",
        "?propagationPolicy=a",
    ]
)
_ODD_PATHS = st.sampled_from(
    [
        "/",
        "/api",
        "/api/",
        "/apis",
        "/api/v1",
        "/api/v2",
        "/api/v1/nones",
        "/apis/apps",
        "/apis/apps/v9",
        "/apis/apps/v9/deployments",
        "/apis/none.example.com/v1/nones",
        "/apis/apps/v1/pods",
        "/api/v1/namespaces/default",
        "/api/v1/namespaces/default/nodes",
        "/api/v1/namespaces/default/pods/kept/log/a/b",
        "/api/v1/pods/kept",
        "/api/v1/nodes/kept/proxy/healthz",
        "/api/v1/namespaces/default/services/kept/proxy/",
        "/api/v1/watch/pods?timeoutSeconds=a",
        "/openapi/v2",
        "/openapi/v3",
        "/openapi/v3/apis/none",
        "/healthz/none",
        "/version/",
        "/metrics",
        "/none",
        "//",
        "/api/v1/namespaces/%2e%2e/pods",
        "/%ff",
    ]
)


_APPLY = "application/apply-patch+yaml"
_WRITES = st.sampled_from(
    [
        ("POST", "application/json"),
        ("POST", "application/yaml"),
        ("PUT", "application/json"),
        ("PATCH", "application/merge-patch+json"),
        ("PATCH", "application/strategic-merge-patch+json"),
        ("PATCH", "application/json-patch+json"),
        ("PATCH", _APPLY),
    ]
)
_BODIES = st.sampled_from(
    [b"", b"{", b"[]", b"null", b"{}", b"\xff\xfe", b"k8s\x00\x0a", b"a: [", b"a: b: c", b'"\\ud800"']
)


def _places(value: Any, place: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths of everything in a value."""
    found = [place]
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, below in items:
        found += _places(below, (*place, key))
    return found


def _replaced(value: Any, place: tuple[Any, ...], by: Any) -> Any:
    if not place:
        return by
    copy = value.copy()
    copy[place[0]] = _replaced(value[place[0]], place[1:], by)
    return copy


def _dumped(value: Any) -> bytes:
    return json.dumps(value).encode()


def _odd_one(of: st.SearchStrategy[Any], usual: Any) -> st.SearchStrategy[Any]:
    """Mostly what is usual."""
    return st.one_of(st.just(usual), st.just(usual), st.just(usual), of)


@st.composite
def _asks(draw: st.DrawFn) -> Ask:
    """A request for a kind that is served, with one place of its body (or several things) wrong."""
    path = draw(st.sampled_from(sorted(_OBJECTS)))
    obj = _named(path, _OBJECTS[path])
    method, usual = draw(_WRITES)
    method = draw(_odd_one(_METHODS, method))
    content_type = draw(_odd_one(_TYPES, usual))
    place = draw(st.sampled_from(_places(obj)))
    wrong = _replaced(obj, place, draw(_ANY))
    group, _, _ = path.removeprefix("/apis/").removeprefix("/api/").partition("/namespaces")
    if content_type == _APPLY and isinstance(wrong, dict):
        kind = draw(st.sampled_from(["Pod", "Deployment", "ConfigMap", "Service", "Kept"]))
        wrong = {"apiVersion": group, "kind": kind, **wrong}
    body = _dumped(wrong)
    if content_type == "application/json-patch+json":
        pointer = "/" + "/".join(str(part) for part in place)
        verb = draw(st.sampled_from(["add", "remove", "replace", "test", "copy", "move", "a"]))
        body = _dumped([{"op": verb, "path": pointer, "value": draw(_ANY), "from": "/metadata"}])
    body = draw(_odd_one(_BODIES, body))
    name = quote(_kept(path))
    if method == "DELETE":
        name = "gone"  # what exists stays, so that there is always something to change
    where = path if method == "POST" else draw(_odd_one(st.just(path), f"{path}/{name}"))
    if method == "DELETE" and where == path:
        where += "/gone"
    subresource = draw(_odd_one(_SUBRESOURCES, ""))
    if subresource:
        where += f"/{name}/{subresource}" if where == path else f"/{subresource}"
    query = draw(_odd_one(_QUERIES, "?fieldManager=a" if content_type == _APPLY else ""))
    return Ask(method, where + query, content_type, draw(_odd_one(_ACCEPTS, "")), body)


_ODD = st.builds(
    Ask, _METHODS.filter(lambda method: method != "DELETE"), _ODD_PATHS, _TYPES, _ACCEPTS, _ANY.map(_dumped)
)


@settings(max_examples=200, suppress_health_check=list(HealthCheck))
@given(ask=st.one_of(_asks(), _asks(), _asks(), _ODD))
def test_no_request_makes_the_server_fail(caller: Caller, ask: Ask) -> None:
    """Every answer is a success or a refusal as Kubernetes words it; a refusal is a Status with its code."""
    answer = caller.ask(ask)
    if answer.code == 503 and "/proxy" in ask.path:
        return  # whom the request would go to does not answer
    if answer.code < 400 or ask.method == "HEAD":
        assert answer.code < 500
        return
    if answer.content_type.startswith("text/plain"):
        known = (b"404 page not found\n", b"404: Page Not Found")
        assert answer.code == 404, answer
        assert answer.body in known, answer
        return
    if answer.content_type == "application/yaml":
        assert answer.code < 500, answer
        return
    status = json.loads(answer.body)
    assert (status["kind"], status["status"], status["code"]) == ("Status", "Failure", answer.code)
    # apply of a field that the schema does not know is a 500 on Kubernetes, too
    assert answer.code < 500 or status["message"].startswith("failed to create typed patch object"), answer
