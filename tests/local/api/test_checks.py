"""Per-kind validation of built-in objects, with Kubernetes' texts and order."""

import copy
from typing import Any

import pytest

from linnet.local.api import checks
from linnet.local.api.causes import summary
from linnet.local.api.defaults import defaulted

pytestmark = pytest.mark.unit

Json = dict[str, Any]

_SUBDOMAIN = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, "
    "'-' or '.', and must start "
    "and end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    r"'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)


def _texts(group: str, obj: Json, old: Json | None = None, *, namespaced: bool = True) -> list[str]:
    kind = obj["kind"]
    full = defaulted(group, "v1", kind, obj)
    before = defaulted(group, "v1", kind, old) if old else None
    if namespaced:
        full["metadata"].setdefault("namespace", "d")
    found = checks.causes(group, kind, full, before, namespaced=namespaced)
    return [f"{cause.field}: {cause.message}" for cause in found]


def _deployment(**container: Any) -> Json:
    return {
        "kind": "Deployment",
        "metadata": {"name": "app"},
        "spec": {
            "selector": {"matchLabels": {"app": "app"}},
            "template": {
                "metadata": {"labels": {"app": "app"}},
                "spec": {"containers": [{"name": "main", "image": "app:1", **container}]},
            },
        },
    }


def test_a_valid_deployment() -> None:
    """Nothing to complain about."""
    assert _texts("apps", _deployment()) == []


def test_an_empty_deployment() -> None:
    """What is missing is reported in Kubernetes' order."""
    assert _texts("apps", {"kind": "Deployment", "metadata": {"name": "app"}, "spec": {}}) == [
        "spec.selector: Required value",
        "spec.template.metadata.labels: Invalid value: null: `selector` does not match template `labels`",
        "spec.template.spec.containers: Required value",
    ]


def test_a_container_with_everything_wrong() -> None:
    """The order of a container's violations is Kubernetes'."""
    obj = _deployment(
        resources={"requests": {"cpu": "2"}, "limits": {"cpu": "1"}},
        imagePullPolicy="Sometimes",
        volumeMounts=[{"name": "nosuch", "mountPath": "/x"}],
        livenessProbe={},
        securityContext={"runAsUser": -5},
        ports=[{"containerPort": 808080}],
    )
    path = "spec.template.spec.containers[0]"
    assert _texts("apps", obj) == [
        f"{path}.ports[0].containerPort: Invalid value: 808080: must be between 1 and 65535, inclusive",
        f'{path}.volumeMounts[0].name: Not found: "nosuch"',
        (
            f'{path}.imagePullPolicy: Unsupported value: "Sometimes": supported values: '
            f'"Always", "IfNotPresent", "Never"'
        ),
        f'{path}.resources.requests: Invalid value: "2": must be less than or equal to cpu limit of 1',
        f"{path}.securityContext.runAsUser: Invalid value: -5: must be between 0 and 2147483647, inclusive",
        f"{path}.livenessProbe: Required value: must specify a handler type",
    ]


def test_selectors_are_immutable() -> None:
    """A changed selector is refused, after what is wrong with it."""
    new = copy.deepcopy(_deployment())
    new["spec"]["selector"] = {"matchLabels": {"app": "other"}}
    assert _texts("apps", new, _deployment()) == [
        (
            'spec.template.metadata.labels: Invalid value: {"app":"app"}: `selector` does '
            "not match template `labels`"
        ),
        'spec.selector: Invalid value: {"matchLabels":{"app":"other"}}: field is immutable',
    ]


@pytest.mark.parametrize(
    ("group", "obj", "texts"),
    [
        (
            "",
            {"kind": "ConfigMap", "metadata": {"name": "L_2"}},
            [f'metadata.name: Invalid value: "L_2": {_SUBDOMAIN}'],
        ),
        (
            "",
            {"kind": "ConfigMap", "metadata": {}},
            ["metadata.name: Required value: name or generateName is required"],
        ),
        (
            "",
            {"kind": "ConfigMap", "metadata": {"name": "bad"}, "data": {"bad key": "1"}},
            [
                (
                    'data[bad key]: Invalid value: "bad key": a valid config key must '
                    "consist of alphanumeric "
                    "characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or "
                    "'key-name', regex used for "
                    "validation is '[-._a-zA-Z0-9]+')"
                )
            ],
        ),
        (
            "",
            {
                "kind": "Service",
                "metadata": {"name": "app"},
                "spec": {"ports": [{"port": 0}], "clusterIP": "10.96.0.9"},
            },
            ["spec.ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive"],
        ),
        (
            "autoscaling",
            {
                "kind": "HorizontalPodAutoscaler",
                "metadata": {"name": "h"},
                "spec": {
                    "minReplicas": 5,
                    "maxReplicas": 1,
                    "scaleTargetRef": {"kind": "Deployment", "name": "app"},
                },
            },
            [
                "spec.maxReplicas: Invalid value: 1: must be greater than or equal to `minReplicas`",
                'spec.scaleTargetRef.apiVersion: Invalid value: "": apiVersion must specify API group',
            ],
        ),
        (
            "policy",
            {
                "kind": "PodDisruptionBudget",
                "metadata": {"name": "b"},
                "spec": {"minAvailable": 1, "maxUnavailable": 1},
            },
            [
                (
                    'spec: Invalid value: {"MinAvailable":1,"Selector":null,"MaxUnavailable":1,'
                    '"UnhealthyPodEvictionPolicy":null}: minAvailable and maxUnavailable cannot be both set'
                )
            ],
        ),
        (
            "coordination.k8s.io",
            {"kind": "Lease", "metadata": {"name": "l"}, "spec": {"leaseDurationSeconds": 0}},
            ["spec.leaseDurationSeconds: Invalid value: 0: must be greater than 0"],
        ),
        (
            "discovery.k8s.io",
            {
                "kind": "EndpointSlice",
                "metadata": {"name": "e"},
                "addressType": "IPv4",
                "endpoints": [{"addresses": ["not-an-ip"]}],
            },
            [
                (
                    'endpoints[0].addresses[0]: Invalid value: "not-an-ip": must be a valid IP address, '
                    "(e.g. 10.9.8.7 or 2001:db8::ffff)"
                )
            ],
        ),
    ],
)
def test_small_kinds(group: str, obj: Json, texts: list[str]) -> None:
    """One mistake each."""
    assert _texts(group, obj) == texts


def _hook(**changes: Any) -> Json:
    hook = {
        "name": "x.example.com",
        "clientConfig": {"url": "https://h/x"},
        "rules": [
            {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}
        ],
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
        **changes,
    }
    hook = {name: value for name, value in hook.items() if value is not None}
    return {"kind": "MutatingWebhookConfiguration", "metadata": {"name": "x"}, "webhooks": [hook]}


@pytest.mark.parametrize(
    ("changes", "texts"),
    [
        ({}, []),
        (
            {"sideEffects": "Some", "timeoutSeconds": 99, "admissionReviewVersions": ["v9"]},
            [
                (
                    'webhooks[0].sideEffects: Unsupported value: "Some": supported values: '
                    '"None", "NoneOnDryRun"'
                ),
                (
                    "webhooks[0].timeoutSeconds: Invalid value: 99: the timeout value must "
                    "be between 1 and 30 seconds"
                ),
                (
                    'webhooks[0].admissionReviewVersions: Invalid value: ["v9"]: must '
                    "include at least one of v1, v1beta1"
                ),
            ],
        ),
        (
            {"sideEffects": None, "admissionReviewVersions": None},
            [
                "webhooks[0].sideEffects: Required value: must specify one of None, NoneOnDryRun",
                "webhooks[0].admissionReviewVersions: Required value: must specify one of v1, v1beta1",
            ],
        ),
        (
            {"clientConfig": {"url": "http://127.0.0.1/x"}},
            [
                (
                    "webhooks[0].clientConfig.url: Invalid value: \"http\": 'https' is "
                    "the only allowed URL scheme; "
                    "desired format: https://host[/path]"
                )
            ],
        ),
        (
            {"clientConfig": {"url": "https://h/x", "service": {"namespace": "a", "name": "b"}}},
            ["webhooks[0].clientConfig: Required value: exactly one of url or service is required"],
        ),
        ({"clientConfig": {"url": "https://h/x", "caBundle": "bm90IGEgcGVt"}}, []),
    ],
)
def test_webhook_configurations(changes: Json, texts: list[str]) -> None:
    """What is refused on write; a bad CA bundle is not."""
    assert _texts("admissionregistration.k8s.io", _hook(**changes), namespaced=False) == texts


def _pod(**spec: Any) -> Json:
    return {
        "kind": "Pod",
        "metadata": {"name": "p"},
        "spec": {"containers": [{"name": "main", "image": "x:1"}], **spec},
    }


def test_what_may_change_in_a_pod() -> None:
    """Images and additional tolerations; nothing else."""
    new = _pod(containers=[{"name": "main", "image": "x:2", "imagePullPolicy": "IfNotPresent"}])
    assert _texts("", new, _pod()) == []
    assert _texts("", _pod(tolerations=[{"operator": "Exists"}]), _pod()) == []
    (text,) = _texts("", _pod(nodeName="other"), _pod(nodeName="node-1"))
    assert text.startswith(
        "spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`"
    )
    (text,) = _texts("", _pod(containers=[{"name": "a", "image": "a"}, {"name": "b", "image": "b"}]), _pod())
    assert text == "spec.containers: Forbidden: pod updates may not add or remove containers"


def test_immutable_data() -> None:
    """Neither the data nor the mark can change."""
    old = {"kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"a": "1"}, "immutable": True}
    why = "Forbidden: field is immutable when `immutable` is set"
    assert _texts("", {**old, "data": {"a": "2"}}, old) == [f"data: {why}"]
    assert _texts("", {**old, "immutable": False}, old) == [f"immutable: {why}"]
    secret = {"kind": "Secret", "metadata": {"name": "s"}}
    assert _texts("", {**secret, "type": "other"}, secret) == [
        'type: Invalid value: "other": field is immutable'
    ]


def test_the_summary_of_causes() -> None:
    """One cause stands alone, several in brackets."""
    (one, two) = checks.causes("", "ConfigMap", {"metadata": {"name": "A"}}, namespaced=True)
    assert summary([one]) == f"{one.field}: {one.message}"
    assert summary([one, two, one]) == f"[{one.field}: {one.message}, {two.field}: {two.message}]"
