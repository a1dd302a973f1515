"""Who calls, and whether what a proxy claims fits."""

import pytest

from linnet.control_plane import claims, identity
from linnet.control_plane.identity import Identity, Unauthenticated
from linnet.model.proxy import ProxyClaim, ProxyKind
from linnet.xds.messages import Node

pytestmark = pytest.mark.unit

US = frozenset({"cluster.local"})
SHOP = Identity("cluster.local", "shop", "web")


@pytest.mark.parametrize(
    "uri",
    [
        "https://cluster.local/ns/shop/sa/web",
        "spiffe://cluster.local/ns/shop/sa",
        "spiffe://cluster.local/ns//sa/web",
        "spiffe:///ns/shop/sa/web",
        "spiffe://cluster.local/ns/shop/sa/web/more",
        "",
    ],
)
def test_other_uris_are_no_identity(uri: str) -> None:
    """Only SPIFFE IDs of Istio's form count."""
    assert identity.from_spiffe(uri) is None


def test_identity_of_a_certificate() -> None:
    """The one SPIFFE ID of a certificate of this mesh."""
    assert identity.from_certificate((SHOP.spiffe,), US) == SHOP


@pytest.mark.parametrize(
    "names",
    [(), (SHOP.spiffe, "spiffe://cluster.local/ns/a/sa/b"), ("spiffe://other/ns/shop/sa/web",), ("x",)],
)
def test_certificates_that_prove_nothing(names: tuple[str, ...]) -> None:
    """None, several, of another trust domain, or no SPIFFE ID."""
    with pytest.raises(Unauthenticated):
        identity.from_certificate(names, US)


def claim(**more: str) -> ProxyClaim:
    """A claim of a pod of namespace shop."""
    usual = {"pod": "web-1", "namespace": "shop", "service_account": "web"}
    return ProxyClaim(kind=ProxyKind.SIDECAR, **(usual | more))


@pytest.mark.parametrize(
    ("theft", "word"),
    [
        ({"namespace": "bank"}, "namespace"),
        ({"service_account": "admin"}, "service account"),
    ],
)
def test_identity_theft_is_seen(theft: dict[str, str], word: str) -> None:
    """A namespace or account that is not the proven one."""
    assert word in claims.refusal(claim(**theft), SHOP, None)


def test_token_of_another_pod_is_refused() -> None:
    """A token says which pod it was made for."""
    proven = Identity("cluster.local", "shop", "web", pod="web-2")
    assert "pod" in claims.refusal(claim(), proven, None)


def test_pod_of_another_account_is_refused() -> None:
    """A certificate does not name the pod, but the cluster knows whose pod it is."""
    pod = {"spec": {"serviceAccountName": "payments"}}
    assert "payments" in claims.refusal(claim(), SHOP, pod)
    assert claims.refusal(claim(), SHOP, {"spec": {"serviceAccountName": "web"}}) == ""


def test_claim_of_a_node() -> None:
    """The parts of Istio's node id, and metadata."""
    node = Node(
        "sidecar~10.0.0.7~web-1.shop~shop.svc.cluster.local",
        metadata={"NAMESPACE": "shop", "SERVICE_ACCOUNT": "web", "LABELS": {"app": "web"}},
        version="1.38.3",
    )
    assert claims.claim_of(node) == ProxyClaim(
        kind=ProxyKind.SIDECAR,
        pod="web-1",
        namespace="shop",
        service_account="web",
        ip="10.0.0.7",
        labels=frozenset({("app", "web")}),
        envoy=(1, 38),
        domain="shop.svc.cluster.local",
    )


@pytest.mark.parametrize("version", ["", "dev", "1.x"])
def test_an_envoy_that_does_not_tell_its_version_counts_as_the_newest(version: str) -> None:
    """Its views equal those of the newest."""
    claim = claims.claim_of(Node("sidecar~1~web.shop~shop.svc", version=version))
    assert claim.envoy == (1, 40)


@pytest.mark.parametrize(
    ("name", "metadata"),
    [
        ("web", {}),
        ("ztunnel~1~a.b~c", {}),
        ("sidecar~1~web~shop.svc", {}),
        ("sidecar~1~web.shop~shop.svc", {"NAMESPACE": "bank"}),
    ],
)
def test_nodes_that_contradict_themselves(name: str, metadata: dict[str, str]) -> None:
    """An id of another form, or one that names another namespace than the metadata."""
    with pytest.raises(claims.BadNode):
        claims.claim_of(Node(name, metadata=metadata))
