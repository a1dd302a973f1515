"""Who counts as a user of a revision, and who does not."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from linnet.install.operator import resolve
from linnet.install.webhooks import default_tag, default_validator, injector, validator
from linnet.upgrade.gateways import strangers
from linnet.upgrade.observe import body_of, connected
from linnet.upgrade.users import Observed, users

pytestmark = pytest.mark.unit

Object = dict[str, Any]
OLD, NEW = (resolve([], [f"revision={r}"], version="9").plane for r in ("1-0-0", "canary"))
HOOKS: Mapping[str, Any] = {
    "injectors": [injector(OLD), injector(NEW), default_tag(OLD)],
    "validators": [validator(OLD), validator(NEW), default_validator(OLD)],
}


def pod(name: str, revision: str = "", *, labels: dict[str, str] | None = None, **status: Any) -> Object:
    """An injected pod (or one that is not)."""
    annotations = {"sidecar.istio.io/status": json.dumps({"revision": revision})} if revision else {}
    metadata: Object = {"name": name, "namespace": "shop", "labels": labels or {}, "annotations": annotations}
    if status.pop("ending", False):
        metadata["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    return {"metadata": metadata, "spec": {"containers": []}, "status": {"phase": "Running"} | status}


def namespace(name: str, **labels: str) -> Object:
    """A namespace; `rev` and `injection` stand for the long keys."""
    keys = {"rev": "istio.io/rev", "injection": "istio-injection"}
    return {"metadata": {"name": name, "labels": {keys[k]: v for k, v in labels.items()}}}


def names(observed: Observed, revision: str, *, default_moves: bool = False) -> list[str]:
    """`kind name` of all users."""
    return [f"{user.kind} {user.name}" for user in users(observed, revision, default_moves=default_moves)]


def test_a_namespace_that_is_being_deleted() -> None:
    """No pod will be made in it, so it is no user; its pods count themselves."""
    going = namespace("going", rev="canary")
    going["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    spaces = [going, namespace("stays", rev="canary")]
    assert names(Observed("istio-system", namespaces=spaces, **HOOKS), "canary") == ["namespace stays"]


def test_pods_by_status_label_and_environment() -> None:
    """A proxy's revision is what injected it; a label alone counts for a pod without proxy."""
    proxy = {
        "name": "istio-proxy",
        "env": [{"name": "CA_ADDR", "value": "istiod-1-0-0.istio-system.svc:15012"}],
    }
    bare = pod("bare")
    bare["spec"]["containers"] = [proxy]
    pods = [
        pod("injected", "1-0-0"),
        pod("elsewhere", "canary"),
        pod("moved", "canary", labels={"istio.io/rev": "1-0-0"}),
        pod("asks", labels={"istio.io/rev": "1-0-0"}),
        pod("none"),
        bare,
    ]
    assert names(Observed("istio-system", pods=pods), "1-0-0") == [
        "pod asks.shop",
        "pod bare.shop",
        "pod injected.shop",
    ]


def test_pods_that_are_no_users() -> None:
    """Pods that end or have ended, gateways that are handed over, and istiod itself."""
    pods = [
        pod("ending", "1-0-0", ending=True),
        pod("done", "1-0-0", phase="Succeeded"),
        pod("gw", labels={"operator.istio.io/component": "IngressGateways", "istio.io/rev": "1-0-0"}),
        pod("istiod", labels={"app": "istiod", "istio.io/rev": "1-0-0"}),
    ]
    streams = {"1-0-0": frozenset({"ending.shop", "gw.shop"})}
    assert names(Observed("istio-system", pods=pods, streams=streams), "1-0-0") == []


def test_live_streams_count_once() -> None:
    """A proxy that is connected but not seen as a pod is a user; one that is both is named once."""
    streams = {"1-0-0": frozenset({"a.shop", "vm.shop"}), "canary": frozenset({"b.shop"})}
    observed = Observed("istio-system", pods=[pod("a", "1-0-0")], streams=streams)
    assert names(observed, "1-0-0") == ["pod a.shop", "proxy vm.shop"]


def test_namespaces() -> None:
    """Those that name the revision, unless istio-injection wins there."""
    spaces = [
        namespace("a", rev="1-0-0"),
        namespace("b", rev="1-0-0", injection="enabled"),
        namespace("c", rev="canary"),
        namespace("d", injection="enabled"),
    ]
    assert names(Observed("istio-system", namespaces=spaces), "1-0-0") == ["namespace a"]


def test_the_default_is_a_user_unless_it_moves() -> None:
    """The default tag and validator call the revision's Service."""
    observed = Observed("istio-system", **HOOKS)
    assert names(observed, "1-0-0") == [
        "webhook istio-revision-tag-default",
        "webhook istiod-default-validator",
    ]
    assert names(observed, "1-0-0", default_moves=True) == []
    assert names(observed, "canary") == []


def test_other_tags_and_their_namespaces() -> None:
    """A user's tag is a user, with the namespaces that follow it; the remedy moves the tag."""
    tag = default_tag(OLD)
    tag["metadata"]["name"] = "istio-revision-tag-prod"
    tag["metadata"]["labels"] |= {"istio.io/tag": "prod"}
    observed = Observed("istio-system", injectors=[tag], namespaces=[namespace("a", rev="prod")])
    assert names(observed, "1-0-0", default_moves=True) == ["namespace a", "tag prod"]
    remedy = users(observed, "1-0-0", default_moves=True)[1].remedy
    assert remedy == "istioctl tag set prod --revision OTHER --overwrite"


def test_namespaces_that_say_default_follow_the_tag() -> None:
    """Removing an un-revisioned plane whose default moves does not need them to change."""
    plain = resolve([], [], version="9").plane
    observed = Observed(
        "istio-system",
        namespaces=[namespace("a", rev="default")],
        injectors=[injector(plain, active=False), default_tag(plain)],
    )
    assert names(observed, "default", default_moves=True) == []
    assert names(observed, "default") == ["namespace a", "webhook istio-revision-tag-default"]


def test_strangers_among_gateway_pods() -> None:
    """Old pods, and any pod that ends, are still listed."""
    pods = [
        pod("new", labels={"istio.io/rev": "canary"}),
        pod("old", labels={"istio.io/rev": "1-0-0"}),
        pod("ending", labels={"istio.io/rev": "canary"}, ending=True),
    ]
    assert strangers(pods, "canary") == ["ending", "old"]


def test_streams_from_syncz() -> None:
    """The proxy IDs of an istiod's answer."""
    assert connected(b'[{"proxy": "a.shop"}, {"proxy": "b.shop"}, {}]') == {"a.shop", "b.shop"}
    assert connected(b"null") == frozenset()


@pytest.mark.parametrize(
    ("answer", "body"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]", b"[]"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n[\r\n1\r\n]\r\n0\r\n\r\n", b"[]"),
    ],
)
def test_http_bodies(answer: bytes, body: bytes) -> None:
    """Plain and chunked."""
    assert body_of(answer) == body


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 503 No\r\n\r\n", b"HTTP/1.1 200 OK\r\n"])
def test_http_failures(answer: bytes) -> None:
    """Anything but a complete 200 is a failure of the world."""
    with pytest.raises(OSError, match="unexpected answer"):
        body_of(answer)
