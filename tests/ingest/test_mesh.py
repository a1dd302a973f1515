"""The mesh as a fold: work for what changed, everything else shared, problems beside the result."""

import base64
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from linnet.ingest.mesh import Mesh, Options, advance, empty
from linnet.install.operator import resolve
from linnet.install.pilot import mesh_config
from linnet.model.problem import Ref

pytestmark = pytest.mark.unit
Object = dict[str, Any]


def service(name: str, **spec: Any) -> Object:
    """A Service with one HTTP port."""
    usual: Object = {"clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1"], "selector": {"app": name}}
    ports = [{"name": "http", "port": 80, "targetPort": 8080}]
    return {"metadata": {"name": name, "namespace": "a"}, "spec": {**usual, "ports": ports, **spec}}


def pod(name: str, ip: str, **labels: str) -> Object:
    """A pod with a sidecar."""
    tls = {"security.istio.io/tlsMode": "istio"}
    meta = {"name": name, "namespace": "a", "labels": {**tls, **labels}}
    return {"metadata": meta, "spec": {"serviceAccountName": "sa"}, "status": {"podIP": ip}}


def endpoint_slice(service: str, *pods: tuple[str, str], ready: bool = True) -> Object:
    """An EndpointSlice of a Service, with (pod, address) pairs."""
    labels = {"kubernetes.io/service-name": service}
    endpoints = [
        {"addresses": [ip], "conditions": {"ready": ready}, "targetRef": {"kind": "Pod", "name": name}}
        for name, ip in pods
    ]
    meta = {"name": f"{service}-x", "namespace": "a", "labels": labels}
    ports = [{"name": "http", "port": 8080}]
    return {"metadata": meta, "addressType": "IPv4", "endpoints": endpoints, "ports": ports}


def two_services() -> Mesh:
    """Services s and t, each with a pod."""
    return advance(
        empty(),
        {
            ("Service", "a", "s"): service("s"),
            ("Service", "a", "t"): service("t"),
            ("Pod", "a", "s-1"): pod("s-1", "10.1.0.1", app="s"),
            ("Pod", "a", "t-1"): pod("t-1", "10.1.0.2", app="t"),
            ("EndpointSlice", "a", "s-x"): endpoint_slice("s", ("s-1", "10.1.0.1")),
            ("EndpointSlice", "a", "t-x"): endpoint_slice("t", ("t-1", "10.1.0.2")),
        },
    )


S, T = ("a", "s.a.svc.cluster.local"), ("a", "t.a.svc.cluster.local")


def test_unchanged_parts_are_shared() -> None:
    """A change of endpoints leaves services, and the endpoints of others, the same objects."""
    before = two_services()
    changed = endpoint_slice("s", ("s-1", "10.1.0.9"))
    after = advance(before, {("EndpointSlice", "a", "s-x"): changed})
    assert after.snapshot.services is before.snapshot.services
    assert after.snapshot.backends is before.snapshot.backends
    assert after.snapshot.endpoints[T] is before.snapshot.endpoints[T]
    assert [e.address for e in after.snapshot.endpoints[S]] == ["10.1.0.9"]


def test_no_change_gives_the_same_snapshot() -> None:
    """An object that arrives again as it was, or with only its status changed, is no change."""
    before = two_services()
    again = pod("s-1", "10.1.0.1", app="s") | {"status": {"podIP": "10.1.0.1", "phase": "Running"}}
    assert advance(before, {("Pod", "a", "s-1"): again}).snapshot is before.snapshot
    assert advance(before, {("Lease", "a", "x"): {}}).snapshot is before.snapshot


def test_endpoint_waits_for_its_pod() -> None:
    """An endpoint whose pod is not known yet is not used: its identity is not known either."""
    early = endpoint_slice("s", ("s-1", "10.1.0.1"))
    mesh = advance(empty(), {("Service", "a", "s"): service("s"), ("EndpointSlice", "a", "s-x"): early})
    assert mesh.snapshot.endpoints[S] == ()
    mesh = advance(mesh, {("Pod", "a", "s-1"): pod("s-1", "10.1.0.1")})
    (endpoint,) = mesh.snapshot.endpoints[S]
    assert endpoint.principal == "spiffe://cluster.local/ns/a/sa/sa"
    assert endpoint.meshed
    assert mesh.snapshot.backends[S].principals == (endpoint.principal,)


def test_endpoint_that_is_not_ready_is_left_out() -> None:
    """Only what may be called is offered."""
    changed = endpoint_slice("s", ("s-1", "10.1.0.1"), ready=False)
    mesh = advance(two_services(), {("EndpointSlice", "a", "s-x"): changed})
    assert mesh.snapshot.endpoints[S] == ()


def test_endpoints_that_end_are_the_last_resort() -> None:
    """A port without a ready endpoint is served by those that end and still serve, and by no others."""
    ends = {"ready": False, "serving": True, "terminating": True}
    dead = {"ready": False, "serving": False, "terminating": True}
    held = endpoint_slice("s", ("s-1", "10.1.0.1"), ("s-2", "10.1.0.3"))
    held["endpoints"][0]["conditions"], held["endpoints"][1]["conditions"] = ends, dead
    changes = {
        ("EndpointSlice", "a", "s-x"): held,
        ("Pod", "a", "s-2"): pod("s-2", "10.1.0.3", app="s"),
        ("Pod", "a", "s-3"): pod("s-3", "10.1.0.4", app="s"),
    }
    mesh = advance(two_services(), changes)
    assert [e.address for e in mesh.snapshot.endpoints[S]] == ["10.1.0.1"]
    fresh = endpoint_slice("s", ("s-3", "10.1.0.4"))
    fresh["metadata"]["name"] = "s-y"
    mesh = advance(mesh, {("EndpointSlice", "a", "s-y"): fresh})
    assert [e.address for e in mesh.snapshot.endpoints[S]] == ["10.1.0.4"]


def test_what_is_deleted_is_gone() -> None:
    """Deleting everything leads back to an empty mesh."""
    before = two_services()
    gone = {(kind, *key): None for kind, held in before.objects.items() for key in held}
    mesh = advance(before, gone)
    assert dict(mesh.snapshot.services) == {}
    assert dict(mesh.snapshot.endpoints) == {}
    assert dict(mesh.snapshot.backends) == {}
    assert dict(mesh.registry.by_namespace) == {}
    assert dict(mesh.registry.used_by) == {}
    assert dict(mesh.problems) == {}


def test_change_of_the_trust_domain_renames_everybody() -> None:
    """The mesh's configuration is read from its ConfigMap; identities follow."""
    config = {
        "metadata": {"name": "istio", "namespace": "istio-system"},
        "data": {"mesh": "trustDomain: x.org"},
    }
    mesh = advance(two_services(), {("ConfigMap", "istio-system", "istio"): config})
    assert mesh.snapshot.config.trust_domain == "x.org"
    assert mesh.snapshot.endpoints[S][0].principal == "spiffe://x.org/ns/a/sa/sa"
    back = advance(mesh, {("ConfigMap", "istio-system", "istio"): None})
    assert back.snapshot.endpoints[S] == two_services().snapshot.endpoints[S]


def test_configuration_that_is_wrong_stays_as_it_was() -> None:
    """A text that is no YAML is reported, and what is usual holds."""
    config = {"metadata": {"name": "istio", "namespace": "istio-system"}, "data": {"mesh": "a: [b"}}
    mesh = advance(empty(), {("ConfigMap", "istio-system", "istio"): config})
    (problem,) = mesh.problems[Ref("ConfigMap", "istio-system", "istio")]
    assert (problem.reason, problem.path) == ("Invalid", "data.mesh")
    assert mesh.snapshot.config == empty().snapshot.config


def test_objects_of_another_revision_are_not_ours() -> None:
    """The label `istio.io/rev` of an Istio object says whose it is."""
    mine = Options(revision="canary")
    spec = {"mtls": {"mode": "STRICT"}}
    labels = {"istio.io/rev": "other"}
    policy = {"metadata": {"name": "p", "namespace": "a", "labels": labels}, "spec": spec}
    mesh = advance(empty(mine), {("PeerAuthentication", "a", "p"): policy})
    assert dict(mesh.snapshot.namespace_modes) == {}
    labels["istio.io/rev"] = "canary"
    mesh = advance(empty(mine), {("PeerAuthentication", "a", "p"): policy})
    assert mesh.snapshot.namespace_modes["a"] == "STRICT"


def test_the_mesh_config_of_an_installation_has_its_effect() -> None:
    """Nothing that `install` writes by itself is reported as without effect."""
    plane = resolve([], ["revision=canary"], version="9.9.9").plane
    rendered = mesh_config(plane)
    key = ("ConfigMap", "istio-system", rendered["metadata"]["name"])
    mesh = advance(empty(Options(revision="canary", config_map=key[2])), {key: rendered})
    assert mesh.problems[Ref(*key)] == ()


def webhook(name: str, revision: str, tag: str = "") -> tuple[tuple[str, str, str], Object]:
    """The injection webhook of a revision or of a tag, as a change."""
    labels = {"istio.io/rev": revision, **({"istio.io/tag": tag} if tag else {})}
    return ("MutatingWebhookConfiguration", "", name), {"metadata": {"name": name, "labels": labels}}


def test_objects_may_name_a_tag() -> None:
    """Hazard H10: a tag is resolved, also when it moves; a name that there is not is reported."""
    labels = {"istio.io/rev": "prod"}
    policy = {"metadata": {"labels": labels}, "spec": {"mtls": {"mode": "STRICT"}}}
    entry = {
        "metadata": {"labels": labels},
        "spec": {"hosts": ["out.example"], "ports": [{"number": 80, "name": "http", "protocol": "HTTP"}]},
    }
    objects = {("PeerAuthentication", "a", "p"): policy, ("ServiceEntry", "a", "e"): entry}
    p, e = Ref("PeerAuthentication", "a", "p"), Ref("ServiceEntry", "a", "e")
    mesh = advance(empty(Options(revision="canary")), objects)
    assert p not in mesh.problems  # as long as no webhook is to be seen, nothing is known of names
    mesh = advance(mesh, dict([webhook("i-canary", "canary"), webhook("i-old", "1-0-0")]))
    assert "neither a revision nor a tag" in mesh.problems[p][0].message
    assert "1-0-0, canary" in mesh.problems[e][0].message
    mesh = advance(mesh, dict([webhook("t-prod", "canary", "prod"), webhook("t-d", "1-0-0", "default")]))
    assert mesh.problems[p] == ()
    assert mesh.problems[e] == ()
    assert mesh.snapshot.namespace_modes["a"] == "STRICT"
    assert ("a", "out.example") in mesh.snapshot.services
    assert mesh.revisions.default == "1-0-0"
    moved = advance(mesh, dict([webhook("t-prod", "1-0-0", "prod")]))
    assert p not in moved.problems
    assert dict(moved.snapshot.namespace_modes) == {}
    assert dict(moved.snapshot.services) == {}
    gone = advance(mesh, {("MutatingWebhookConfiguration", "", "t-prod"): None})
    assert gone.problems[p][0].reason == "NotFound"
    assert p not in advance(gone, {("PeerAuthentication", "a", "p"): None}).problems


def test_a_tag_with_the_name_of_a_revision_has_it_alone() -> None:
    """`default` after the default has moved away from the plane without a revision."""
    spec = {"mtls": {"mode": "STRICT"}}
    policy = {"metadata": {"labels": {"istio.io/rev": "default"}}, "spec": spec}
    hooks = [webhook("i", "default"), webhook("i-x", "x"), webhook("t", "x", "default")]
    changes = {("PeerAuthentication", "a", "p"): policy, **dict(hooks)}
    assert advance(empty(Options(revision="x")), changes).snapshot.namespace_modes["a"] == "STRICT"
    assert not advance(empty(Options(revision="default")), changes).snapshot.namespace_modes


def test_alias_of_a_service_comes_and_goes() -> None:
    """An ExternalName Service adds a name to its target, whichever of both is seen first."""
    old = service("old", type="ExternalName", externalName=S[1], clusterIP=None, clusterIPs=None)
    mesh = advance(two_services(), {("Service", "a", "old"): old})
    assert mesh.snapshot.services[S].aliases == ("old.a.svc.cluster.local",)
    mesh = advance(mesh, {("Service", "a", "old"): None})
    assert mesh.snapshot.services[S].aliases == ()


def entry(name: str, created: str, address: str) -> Object:
    """A ServiceEntry for a host."""
    meta = {"name": name, "namespace": "a", "creationTimestamp": created}
    ports = [{"number": 80, "name": "http", "protocol": "HTTP"}]
    spec = {"hosts": ["x.org"], "ports": ports, "resolution": "STATIC", "endpoints": [{"address": address}]}
    return {"metadata": meta, "spec": spec}


def test_oldest_claim_of_a_host_counts_and_the_next_one_inherits() -> None:
    """Of two ServiceEntries for a host the older one holds it; when it goes the other one has it."""
    young, old = entry("a", "2026-01-02T00:00:00Z", "1.1.1.1"), entry("b", "2026-01-01T00:00:00Z", "2.2.2.2")
    mesh = advance(empty(), {("ServiceEntry", "a", "a"): young, ("ServiceEntry", "a", "b"): old})
    host = ("a", "x.org")
    assert [e.address for e in mesh.snapshot.endpoints[host]] == ["2.2.2.2"]
    mesh = advance(mesh, {("ServiceEntry", "a", "b"): None})
    assert [e.address for e in mesh.snapshot.endpoints[host]] == ["1.1.1.1"]


def test_conflict_is_gone_with_its_winner() -> None:
    """The loser's problem is taken back when there is nobody to lose against."""

    def routes(name: str, created: str) -> Object:
        meta = {"name": name, "namespace": "a", "creationTimestamp": created}
        return {
            "metadata": meta,
            "spec": {"hosts": ["s"], "http": [{"route": [{"destination": {"host": "s"}}]}]},
        }

    old, young = routes("old", "2026-01-01T00:00:00Z"), routes("young", "2026-01-02T00:00:00Z")
    mesh = advance(empty(), {("VirtualService", "a", "old"): old, ("VirtualService", "a", "young"): young})
    assert [p.reason for p in mesh.problems[Ref("VirtualService", "a", "young")]] == ["Conflict"]
    assert mesh.problems[Ref("VirtualService", "a", "old")] == ()
    mesh = advance(mesh, {("VirtualService", "a", "old"): None})
    assert dict(mesh.problems) == {Ref("VirtualService", "a", "young"): ()}


def pair(host: str) -> dict[str, str]:
    """The data of a Secret with a certificate and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
    since = datetime(2026, 1, 1, tzinfo=UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, since, since + timedelta(days=9))
    certificate = builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    plain = serialization.NoEncryption()
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    return {k: base64.b64encode(v).decode() for k, v in (("tls.crt", certificate), ("tls.key", private))}


def test_a_gateway_says_which_secret_it_lacks() -> None:
    """In the namespace of its pods; it stops when the Secret appears, and begins when that is broken."""
    servers = [
        {"port": {"number": 80, "name": "http", "protocol": "HTTP"}, "hosts": ["*"]},
        {
            "port": {"number": 443, "name": "https", "protocol": "HTTPS"},
            "hosts": ["a.example"],
            "tls": {"mode": "SIMPLE", "credentialName": "door"},
        },
    ]
    gateway = {"metadata": {}, "spec": {"selector": {"istio": "door"}, "servers": servers}}
    about = Ref("Gateway", "a", "g")
    mesh = advance(two_services(), {("Gateway", "a", "g"): gateway})
    assert mesh.problems[about] == ()  # nobody serves it yet
    door = pod("door-1", "10.1.0.7", istio="door")
    door["metadata"]["namespace"] = "doors"
    mesh = advance(mesh, {("Pod", "doors", "door-1"): door})
    (problem,) = mesh.problems[about]
    assert (problem.reason, problem.path) == ("NotFound", "spec.servers[1].tls")
    assert "there is no certificate in Secret doors/door" in problem.message
    there = {("Secret", "doors", "door"): {"metadata": {}, "type": "kubernetes.io/tls", "data": pair("a")}}
    assert advance(mesh, there).problems[about] == ()
    elsewhere = {("Secret", "a", "door"): there["Secret", "doors", "door"]}
    assert advance(mesh, elsewhere).problems[about] == (problem,)
    mixed = {**pair("a"), "tls.key": pair("b")["tls.key"]}
    broken = advance(mesh, {("Secret", "doors", "door"): {"metadata": {}, "data": mixed}})
    assert "does not belong to the certificate" in broken.problems[about][0].message
    assert advance(mesh, {("Pod", "doors", "door-1"): None}).problems[about] == ()
    assert about not in advance(mesh, {("Gateway", "a", "g"): None}).problems
