"""What cluster DNS answers."""

import struct

import pytest

from linnet.local.node.dns import resolv_conf
from linnet.local.node.dns_wire import Answer, Code, Malformed, Type, address_data, encode, parse
from linnet.local.node.service_table import Member, Port, Service, service_of
from linnet.local.node.zone import Zone

pytestmark = pytest.mark.unit


def service(name: str, ip: str, *members: Member, kind: str = "ClusterIP", external: str = "") -> Service:
    ports = (Port("http", "TCP", 80, 0, ()),)
    return Service("shop", name, kind, ip, external, ports, members)


@pytest.fixture
def zone() -> Zone:
    made = Zone()
    pods = (
        Member("10.244.0.5", "", (("http", "TCP", 8080),)),
        Member("10.244.0.6", "db-1", (("http", "TCP", 8080),)),
    )
    services = [
        service("web", "10.96.5.5", *pods),
        service("db", "", *pods),
        service("empty", ""),
        service("out", "", kind="ExternalName", external="example.org"),
    ]
    made.update({entry.key: entry for entry in services})
    return made


def shown(answer: Answer | None) -> tuple[str, list[bytes]]:
    assert answer is not None
    return answer.code.name, [record.data for record in answer.records]


A5, A6 = address_data("10.244.0.5"), address_data("10.244.0.6")


@pytest.mark.parametrize(
    ("name", "kind", "expected"),
    [
        ("web.shop.svc.cluster.local", Type.A, ("OK", [address_data("10.96.5.5")])),
        ("web.shop.svc.cluster.local", Type.AAAA, ("OK", [])),
        ("db.shop.svc.cluster.local", Type.A, ("OK", [A5, A6])),
        ("db-1.db.shop.svc.cluster.local", Type.A, ("OK", [A6])),
        ("10-244-0-5.db.shop.svc.cluster.local", Type.A, ("OK", [A5])),
        ("db-2.db.shop.svc.cluster.local", Type.A, ("NO_NAME", [])),
        ("db-1.web.shop.svc.cluster.local", Type.A, ("NO_NAME", [])),
        ("empty.shop.svc.cluster.local", Type.A, ("NO_NAME", [])),
        ("nothing.shop.svc.cluster.local", Type.A, ("NO_NAME", [])),
        ("shop.svc.cluster.local", Type.A, ("OK", [])),
        ("other.svc.cluster.local", Type.A, ("NO_NAME", [])),
        ("svc.cluster.local", Type.A, ("OK", [])),
        ("cluster.local", Type.A, ("OK", [])),
        ("web.cluster.local", Type.A, ("NO_NAME", [])),
        ("example.com.shop.svc.cluster.local", Type.A, ("NO_NAME", [])),
        ("out.shop.svc.cluster.local", Type.A, ("OK", [b"\x07example\x03org\0"])),
        ("10-244-0-9.shop.pod.cluster.local", Type.A, ("OK", [address_data("10.244.0.9")])),
        ("10-244-0-999.shop.pod.cluster.local", Type.A, ("NO_NAME", [])),
        ("5.5.96.10.in-addr.arpa", Type.PTR, ("OK", [b"\x03web\x04shop\x03svc\x07cluster\x05local\0"])),
        ("6.5.96.10.in-addr.arpa", Type.PTR, ("NO_NAME", [])),
        ("_http._udp.web.shop.svc.cluster.local", Type.SRV, ("NO_NAME", [])),
        ("_tcp.web.shop.svc.cluster.local", Type.SRV, ("OK", [])),
    ],
)
def test_names(zone: Zone, name: str, kind: int, expected: tuple[str, list[bytes]]):
    """Names that exist have an answer, be it empty; names that do not exist are denied."""
    assert shown(zone.answer(name, kind)) == expected


def test_srv(zone: Zone):
    """SRV gives the service's port, or for a headless service each endpoint's, with its address beside."""
    head = struct.pack(">HHH", 0, 100, 80)
    found = zone.answer("_http._tcp.web.shop.svc.cluster.local", Type.SRV)
    assert shown(found) == ("OK", [head + b"\x03web\x04shop\x03svc\x07cluster\x05local\0"])
    headless = zone.answer("_http._tcp.db.shop.svc.cluster.local", Type.SRV)
    assert headless is not None
    assert [record.data for record in headless.additional] == [A5, A6]
    assert [struct.unpack_from(">H", record.data, 4)[0] for record in headless.records] == [8080, 8080]


def test_foreign_names_are_not_ours(zone: Zone):
    """Others are asked for names beyond the cluster's domain."""
    assert zone.answer("example.org", Type.A) is None
    assert zone.answer("1.0.0.127.in-addr.arpa", Type.PTR) is None


def test_deleted_service_is_gone(zone: Zone):
    """Names and reverse names go with their service, the namespace with its last one."""
    for name in ("web", "db", "empty", "out"):
        zone.update({("shop", name): None})
    for name in ("web.shop.svc.cluster.local", "shop.svc.cluster.local", "5.5.96.10.in-addr.arpa"):
        assert shown(zone.answer(name, Type.A)) == ("NO_NAME", [])


def test_wire():
    """A query is parsed without regard to case; an answer repeats the question, or is marked as truncated."""
    packet = struct.pack(">HHHHHH", 7, 0x0100, 1, 0, 0, 0) + b"\3Web\4shop\0" + struct.pack(">HH", 1, 1)
    query = parse(packet)
    assert (query.number, query.name, query.type, query.size) == (7, "web.shop", 1, 512)
    whole = encode(query, Answer(Code.NO_NAME), zone="cluster.local", limit=512)
    assert whole[:12] == struct.pack(">HHHHHH", 7, 0x8583, 1, 0, 1, 0)
    assert whole[12:].startswith(packet[12:])
    short = encode(query, Answer(Code.NO_NAME), zone="cluster.local", limit=30)
    assert struct.unpack_from(">H", short, 2)[0] & 0x0200
    for bad in (b"", packet[:20], b"\0" * 12, packet[:12] + b"\xc0\x0c\0\1\0\1"):
        with pytest.raises(Malformed):
            parse(bad)


def test_edns_size():
    """The size that the client takes is honoured, up to 4096 bytes."""
    head = struct.pack(">HHHHHH", 7, 0x0100, 1, 0, 0, 1) + b"\3web\0" + struct.pack(">HH", 1, 1)
    assert parse(head + b"\0" + struct.pack(">HHIH", 41, 1232, 0, 0)).size == 1232
    assert parse(head + b"\0" + struct.pack(">HHIH", 41, 65000, 0, 0)).size == 4096


def test_resolv_conf():
    """Short names are looked for in the pod's namespace first."""
    assert resolv_conf("shop").startswith("search shop.svc.cluster.local svc.cluster.local cluster.local\n")


SERVICE = {
    "metadata": {"namespace": "shop", "name": "web"},
    "spec": {
        "clusterIP": "10.96.5.5",
        "ports": [{"name": "http", "port": 80}, {"name": "admin", "port": 81}],
    },
}


def endpoint_slice(*endpoints: tuple[str, dict[str, bool]]) -> dict[str, object]:
    ports = [{"name": "http", "port": 8080}, {"name": "admin", "port": 9000}]
    return {
        "ports": ports,
        "endpoints": [{"addresses": [ip], "conditions": state} for ip, state in endpoints],
    }


@pytest.mark.parametrize(
    ("endpoints", "backends"),
    [
        ([("10.244.0.2", {"ready": True}), ("10.244.0.1", {})], ["10.244.0.1", "10.244.0.2"]),
        ([("10.244.0.2", {"ready": False, "serving": False})], []),
        ([("nonsense", {"ready": True}), ("10.244.0.1", {"ready": True})], ["10.244.0.1"]),
        (
            [
                ("10.244.0.1", {"ready": True}),
                ("10.244.0.2", {"ready": False, "serving": True, "terminating": True}),
            ],
            ["10.244.0.1"],
        ),
        ([("10.244.0.2", {"ready": False, "serving": True, "terminating": True})], ["10.244.0.2"]),
        ([("10.244.0.2", {"ready": False, "serving": False, "terminating": True})], []),
    ],
)
def test_backends(endpoints: list[tuple[str, dict[str, bool]]], backends: list[str]):
    """Ready endpoints are used; without any, those that end but still serve."""
    found = service_of(SERVICE, [endpoint_slice(*endpoints)])
    assert [port.backends for port in found.ports] == [
        tuple((ip, 8080) for ip in backends),
        tuple((ip, 9000) for ip in backends),
    ]
