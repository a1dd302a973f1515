"""Names, labels, ports and selectors are Istio's. Source: the list of differences between revisions."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from linnet.install import documents
from linnet.install.pilot import recorded
from linnet.install.plane import Plane

pytestmark = pytest.mark.unit

Make = Callable[..., Plane]
Render = Callable[[Plane], dict[str, dict[str, Any]]]

EXPECTED = {
    "": [
        "ServiceAccount/istio-reader-service-account",
        "ServiceAccount/istiod",
        "ClusterRole/istiod-clusterrole-istio-system",
        "ClusterRoleBinding/istiod-clusterrole-istio-system",
        "ClusterRole/istiod-gateway-controller-istio-system",
        "ClusterRoleBinding/istiod-gateway-controller-istio-system",
        "ClusterRole/istio-reader-clusterrole-istio-system",
        "ClusterRoleBinding/istio-reader-clusterrole-istio-system",
        "Role/istiod",
        "RoleBinding/istiod",
        "ConfigMap/istio",
        "ConfigMap/istio-sidecar-injector",
        "ConfigMap/values",
        "Deployment/istiod",
        "HorizontalPodAutoscaler/istiod",
        "Service/istiod",
        "MutatingWebhookConfiguration/istio-sidecar-injector",
        "ValidatingWebhookConfiguration/istio-validator-istio-system",
    ],
    "canary": [
        "ServiceAccount/istio-reader-service-account",
        "ServiceAccount/istiod-canary",
        "ClusterRole/istiod-clusterrole-canary-istio-system",
        "ClusterRoleBinding/istiod-clusterrole-canary-istio-system",
        "ClusterRole/istiod-gateway-controller-canary-istio-system",
        "ClusterRoleBinding/istiod-gateway-controller-canary-istio-system",
        "ClusterRole/istio-reader-clusterrole-canary-istio-system",
        "ClusterRoleBinding/istio-reader-clusterrole-canary-istio-system",
        "Role/istiod-canary",
        "RoleBinding/istiod-canary",
        "ConfigMap/istio-canary",
        "ConfigMap/istio-sidecar-injector-canary",
        "ConfigMap/values-canary",
        "Deployment/istiod-canary",
        "HorizontalPodAutoscaler/istiod-canary",
        "Service/istiod-canary",
        "MutatingWebhookConfiguration/istio-sidecar-injector-canary",
        "ValidatingWebhookConfiguration/istio-validator-canary-istio-system",
    ],
}
SHARED = [
    "ServiceAccount/istio-ingressgateway-service-account",
    "Role/istio-ingressgateway-sds",
    "RoleBinding/istio-ingressgateway-sds",
    "Deployment/istio-ingressgateway",
    "HorizontalPodAutoscaler/istio-ingressgateway",
    "Service/istio-ingressgateway",
    "Service/istiod-revision-tag-default",
    "MutatingWebhookConfiguration/istio-revision-tag-default",
    "ValidatingWebhookConfiguration/istiod-default-validator",
]


@pytest.mark.parametrize("revision", ["", "canary"])
def test_names_in_order(plane: Make, rendered: Render, revision: str) -> None:
    """Every object of a plane, in the order of application."""
    assert list(rendered(plane(revision))) == EXPECTED[revision] + SHARED


@pytest.mark.parametrize("revision", ["", "canary"])
def test_every_object_is_labelled(plane: Make, rendered: Render, revision: str) -> None:
    """Owner labels are on everything; what outlives a revision is marked as shared."""
    for name, obj in rendered(plane(revision)).items():
        labels = obj["metadata"]["labels"]
        of_nobody = labels["operator.istio.io/component"] == "Base"  # else each installation would write it
        assert labels.get("istio.io/rev") == (None if of_nobody else revision or "default"), name
        assert labels["operator.istio.io/managed"] == "Reconcile"
        assert labels["install.operator.istio.io/owning-resource-namespace"] == "istio-system"
        assert labels["release"] == "istio"
        outlives = name in SHARED or name == "ServiceAccount/istio-reader-service-account"
        assert (labels.get("linnet.io/shared") == "true") is outlives, name


@pytest.mark.parametrize(
    ("revision", "pod", "match", "selector"),
    [
        ("", "pilot", {"istio": "pilot"}, {"app": "istiod", "istio": "pilot"}),
        (
            "canary",
            "istiod",
            {"app": "istiod", "istio.io/rev": "canary"},
            {"app": "istiod", "istio.io/rev": "canary"},
        ),
    ],
)
def test_istiod_selectors(
    plane: Make,
    rendered: Render,
    revision: str,
    pod: str,
    match: dict[str, str],
    selector: dict[str, str],
) -> None:
    """Selectors differ in shape, so that neither plane's Service ever matches the other's pods."""
    objects = rendered(plane(revision))
    name = "istiod-canary" if revision else "istiod"
    deployment, service = objects[f"Deployment/{name}"]["spec"], objects[f"Service/{name}"]
    labels = deployment["template"]["metadata"]["labels"]
    assert (labels["app"], labels["istio"], labels["istio.io/rev"]) == ("istiod", pod, revision or "default")
    assert deployment["selector"]["matchLabels"] == match
    assert match.items() <= labels.items()
    assert service["spec"]["selector"] == selector
    assert [(p["port"], p["targetPort"], p["name"]) for p in service["spec"]["ports"]] == [
        (15010, 15010, "grpc-xds"),
        (15012, 15012, "https-dns"),
        (443, 15017, "https-webhook"),
        (15014, 15014, "http-monitoring"),
    ]
    assert service["metadata"]["labels"]["app"] == "istiod"


def test_one_row_of_services_per_revision(plane: Make, rendered: Render) -> None:
    """`kubectl get svc -l app=istiod` shows the revision's Service and no other."""
    shown = [
        name
        for name, obj in rendered(plane("canary")).items()
        if obj["kind"] == "Service" and obj["metadata"]["labels"].get("app") == "istiod"
    ]
    assert shown == ["Service/istiod-canary"]


def test_istiod_container(plane: Make, rendered: Render) -> None:
    """Image, arguments, environment, ports and probe of the discovery container."""
    pod = rendered(plane("canary"))["Deployment/istiod-canary"]["spec"]["template"]
    (container,) = pod["spec"]["containers"]
    environment = {entry["name"]: entry.get("value") for entry in container["env"]}
    assert (container["name"], container["image"]) == ("discovery", "linnet/pilot:9.9.9")
    assert container["args"][:4] == [
        "discovery",
        "--monitoringAddr=:15014",
        "--log_output_level=default:info",
        "--domain",
    ]
    assert (environment["REVISION"], environment["CLUSTER_ID"]) == ("canary", "Kubernetes")
    assert [port["containerPort"] for port in container["ports"]] == [8080, 15010, 15012, 15017, 15014]
    assert container["readinessProbe"]["httpGet"] == {"path": "/ready", "port": 8080}
    assert pod["metadata"]["annotations"]["prometheus.io/port"] == "15014"
    assert pod["spec"]["serviceAccountName"] == "istiod-canary"


@pytest.mark.parametrize(
    ("revision", "address"),
    [("", "istiod.istio-system.svc:15012"), ("canary", "istiod-canary.istio-system.svc:15012")],
)
def test_what_binds_proxies_to_a_revision(plane: Make, rendered: Render, revision: str, address: str) -> None:
    """The mesh's discovery address, the injector's values, the gateway's CA and ConfigMap."""
    suffix = f"-{revision}" if revision else ""
    objects = rendered(plane(revision))
    (mesh,) = documents.load(objects[f"ConfigMap/istio{suffix}"]["data"]["mesh"], "mesh")
    assert mesh["defaultConfig"]["discoveryAddress"] == address
    values = json.loads(objects[f"ConfigMap/istio-sidecar-injector{suffix}"]["data"]["values"])
    assert values["revision"] == revision
    assert (values["global"]["hub"], values["global"]["tag"]) == ("linnet", "9.9.9")
    pod = objects["Deployment/istio-ingressgateway"]["spec"]["template"]
    environment = {e["name"]: e.get("value") for e in pod["spec"]["containers"][0]["env"]}
    volumes = {volume["name"]: volume for volume in pod["spec"]["volumes"]}
    assert environment["CA_ADDR"] == address
    assert volumes["config-volume"]["configMap"]["name"] == f"istio{suffix}"
    assert pod["metadata"]["labels"]["istio.io/rev"] == (revision or "default")


def test_gateway_moves_in_place(plane: Make, rendered: Render) -> None:
    """Two revisions render the same gateway objects with the same selectors; no pod is ever unavailable."""
    old, new = rendered(plane("1-0-0")), rendered(plane("canary"))
    for name in SHARED[:6]:
        assert name in old
        assert name in new
    before, after = (
        old["Deployment/istio-ingressgateway"]["spec"],
        new["Deployment/istio-ingressgateway"]["spec"],
    )
    assert (
        before["selector"]
        == after["selector"]
        == {"matchLabels": {"app": "istio-ingressgateway", "istio": "ingressgateway"}}
    )
    assert after["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
    assert old["Service/istio-ingressgateway"]["spec"] == new["Service/istio-ingressgateway"]["spec"]
    assert [(p["port"], p["targetPort"]) for p in new["Service/istio-ingressgateway"]["spec"]["ports"]] == [
        (15021, 15021),
        (80, 8080),
        (443, 8443),
    ]


def test_roles_are_never_shared_between_revisions(plane: Make, rendered: Render) -> None:
    """A revision that goes takes no permission away from another (law L3)."""
    kinds = ("Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding", "ServiceAccount")
    old, new = (
        {n for n in rendered(plane(r)) if n.partition("/")[0] in kinds and n not in SHARED}
        for r in ("1-0-0", "canary")
    )
    assert old & new == {"ServiceAccount/istio-reader-service-account"}


def test_rendering_is_deterministic_and_reads_back(plane: Make, rendered: Render) -> None:
    """The same values give the same bytes, and YAML gives back the same objects."""
    first, second = (documents.dump_all(rendered(plane("canary")).values()) for _ in range(2))
    assert first == second
    assert documents.load(first, "x") == list(rendered(plane("canary")).values())


def test_the_record_gives_back_the_plane(plane: Make, rendered: Render) -> None:
    """ConfigMap values-REV holds what rendering needs, for a later hand-over."""
    made = plane("canary", "meshConfig.accessLogFile=/dev/stdout", "values.global.proxy.logLevel=debug")
    found = recorded(rendered(made)["ConfigMap/values-canary"])
    assert found is not None
    assert rendered(found) == {
        **rendered(made),
        "ConfigMap/values-canary": rendered(found)["ConfigMap/values-canary"],
    }


def test_other_namespace(plane: Make, rendered: Render) -> None:
    """Cluster-wide webhook objects carry the namespace of a plane that is elsewhere."""
    names = rendered(plane("canary", "values.global.istioNamespace=mesh"))
    assert "MutatingWebhookConfiguration/istio-sidecar-injector-canary-mesh" in names
    assert "ValidatingWebhookConfiguration/istio-validator-canary-mesh" in names


def test_budget_only_with_replicas(plane: Make, rendered: Render) -> None:
    """A disruption budget appears with the second replica, and not before."""
    assert "PodDisruptionBudget/istiod" not in rendered(plane())
    assert "PodDisruptionBudget/istiod" in rendered(plane("", "values.pilot.autoscaleMin=2"))
