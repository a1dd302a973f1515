"""`describe pod`: what is said about a pod, from the objects around it."""

from typing import Any

import pytest

from linnet.cli.described import Around, document, lines, mtls_mode, protocol
from linnet.install.operator import resolve
from linnet.install.webhooks import injector, tag

pytestmark = pytest.mark.unit
PLANES = {name: resolve([], [f"revision={name}"], version="9").plane for name in ("1-0-0", "canary")}
HOOKS = (injector(PLANES["1-0-0"]), injector(PLANES["canary"]), tag(PLANES["canary"], "prod"))


def pod(revision: str = "1-0-0", **labels: str) -> dict[str, Any]:
    """A pod of a Deployment; with a proxy, if a revision is given."""
    status = {"sidecar.istio.io/status": f'{{"revision":"{revision}"}}'} if revision else {}
    proxy = [{"name": "istio-proxy", "ports": [{"containerPort": 15090}]}] if revision else []
    return {
        "metadata": {
            "name": "web",
            "namespace": "shop",
            "labels": {"app": "web", **labels},
            "annotations": status,
        },
        "spec": {"containers": [{"name": "main", "ports": [{"containerPort": 8080}]}, *proxy]},
        "status": {"containerStatuses": [{"name": "istio-proxy", "ready": True}]},
    }


def around(label: str, **more: Any) -> Around:
    """A namespace with a revision label, and the webhooks of two revisions and a tag."""
    labels = {"istio.io/rev": label} if label else {}
    return Around({"metadata": {"name": "shop", "labels": labels}}, HOOKS, **more)


def policy(kind: str, namespace: str, mode: str = "", **labels: str) -> dict[str, Any]:
    """A policy, of a workload if labels are given."""
    spec: dict[str, Any] = {"selector": {"matchLabels": labels}} if labels else {}
    spec |= {"mtls": {"mode": mode}} if mode else {}
    return {"kind": kind, "metadata": {"name": "p", "namespace": namespace}, "spec": spec}


@pytest.mark.parametrize(
    ("label", "revision", "said"),
    [
        ("1-0-0", "1-0-0", "Next pod gets revision 1-0-0 (istio-sidecar-injector-1-0-0: Namespace label"),
        ("prod", "canary", "Next pod gets revision canary (istio-revision-tag-prod: Namespace label"),
        ("prod", "1-0-0", "WARNING: it changes its revision when it restarts"),
        ("", "1-0-0", "WARNING: it changes its revision when it restarts"),
        ("", "1-0-0", "Next pod gets no proxy"),
        ("canary", "", "Pod has no proxy"),
    ],
)
def test_revisions(label: str, revision: str, said: str) -> None:
    """Who injected it, and who would inject the next one."""
    told = "\n".join(lines(document(pod(revision), around(label))))
    assert said in told
    assert ("WARNING" in told) == (
        bool(revision) and (label, revision) not in (("1-0-0", "1-0-0"), ("prod", "canary"))
    )


def test_ports_services_and_istiods() -> None:
    """The pod's ports, the Services that select it, and who serves its proxy."""
    port = {"name": "http", "port": 80, "targetPort": 8080}
    services = [
        {"metadata": {"name": name, "namespace": "shop"}, "spec": {"selector": {"app": app}, "ports": [port]}}
        for name, app in (("web", "web"), ("other", "other"))
    ]
    told = lines(document(pod(), around("1-0-0", services=services, istiods=("istiod-1-0-0-x",))))
    assert told[:4] == [
        "Pod: web.shop",
        "   Pod Revision: 1-0-0",
        "   Pod Ports: 8080 (main), 15090 (istio-proxy)",
        "   Proxy: ready, connected to istiod-1-0-0-x",
    ]
    assert "Service: web.shop" in told
    assert "   Port: http 80/HTTP targets pod port 8080" in told
    assert "Service: other.shop" not in told


def test_policies() -> None:
    """The nearest PeerAuthentication decides: of the pod, the namespace, the mesh; other policies add up."""
    of_mesh = policy("PeerAuthentication", "istio-system", "STRICT")
    of_space = policy("PeerAuthentication", "shop", "DISABLE")
    of_pod = policy("PeerAuthentication", "shop", "PERMISSIVE", app="web")
    elsewhere = policy("PeerAuthentication", "other", "DISABLE")
    of_others = policy("PeerAuthentication", "shop", "DISABLE", app="other")
    for policies, mode in (
        ((), "PERMISSIVE"),
        ((of_mesh, elsewhere, of_others), "STRICT"),
        ((of_mesh, of_space), "DISABLE"),
        ((of_pod, of_mesh, of_space), "PERMISSIVE"),
    ):
        assert mtls_mode(pod(), around("1-0-0", policies=policies)) == mode
    deny = policy("AuthorizationPolicy", "shop", app="web")
    held = document(pod(), around("1-0-0", policies=(of_mesh, of_others, deny)))
    assert held["policies"] == ["PeerAuthentication p.istio-system", "AuthorizationPolicy p.shop"]


@pytest.mark.parametrize(
    ("port", "said"),
    [
        ({"name": "http-web"}, "HTTP"),
        ({"name": "grpc"}, "GRPC"),
        ({"name": "web"}, "auto"),
        ({"name": "web", "appProtocol": "http2"}, "HTTP2"),
        ({"name": "dns", "protocol": "UDP"}, "UDP"),
        ({}, "auto"),
    ],
)
def test_protocols(port: dict[str, str], said: str) -> None:
    """What a port's protocol is called."""
    assert protocol(port) == said
