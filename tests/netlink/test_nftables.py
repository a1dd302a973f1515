"""nf_tables and rtnetlink on the real kernel, in a namespace of the test's own."""

import errno
import os
import socket
import struct
from collections.abc import Iterator

import pytest

from linnet.netlink import expressions as exp
from linnet.netlink.namespaces import inside, listener_in, new_namespace
from linnet.netlink.nftables import ANONYMOUS, Batch, Firewall, Hook
from linnet.netlink.route import Routes, raise_loopback
from linnet.netlink.wire import NetlinkError

pytestmark = pytest.mark.wired


@pytest.fixture
def namespace() -> Iterator[int]:
    try:
        made = new_namespace()
    except PermissionError:
        pytest.skip("no right to make network namespaces")
    raise_loopback(made)
    yield made
    os.close(made)


@pytest.fixture
def firewall(namespace: int) -> Iterator[Firewall]:
    with Firewall(namespace) as made:
        made.commit(Batch().table("t").chain("t", "c", Hook("output", -100)))
        yield made


def answers(namespace: int, ip: str, port: int) -> bool:
    """Whether something listens where a connection to an address ends."""
    with inside(namespace), socket.socket() as trying:
        trying.settimeout(2)
        try:
            trying.connect((ip, port))
        except ConnectionRefusedError:
            return False
        return True


def test_redirect_of_tcp(namespace: int, firewall: Firewall):
    """A redirected connection ends at the other port; without the rule it is refused."""
    with listener_in(namespace, "127.0.0.1", 15001):
        assert not answers(namespace, "127.0.0.1", 80)
        firewall.commit(Batch().rule("t", "c", exp.tcp(), exp.destination_port(80), exp.redirect(15001)))
        assert answers(namespace, "127.0.0.1", 80)
        assert not answers(namespace, "127.0.0.1", 81)


@pytest.mark.parametrize(
    ("match", "matches"),
    [
        (exp.destination("127.0.0.0/8"), True),
        (exp.destination("127.0.0.1"), True),
        (exp.destination("127.0.0.0/8", equal=False), False),
        (exp.destination("10.0.0.0/8"), False),
        (exp.source("127.0.0.1"), True),
        (exp.out_interface("lo"), True),
        (exp.out_interface("lo", equal=False), False),
        (exp.socket_uid(0), True),
        (exp.socket_uid(1337), False),
        (exp.socket_gid(0), True),
        (exp.mark(1337), False),
        (exp.mark(1337, equal=False), True),
        (exp.udp(), False),
        (exp.destination_port(80, equal=False), False),
    ],
)
def test_matches(namespace: int, firewall: Firewall, match: bytes, matches: bool):
    """Each match lets through what it names and nothing else."""
    batch = Batch().rule("t", "c", exp.tcp(), exp.destination_port(80), match, exp.redirect(15001))
    firewall.commit(batch)
    with listener_in(namespace, "127.0.0.1", 15001):
        assert answers(namespace, "127.0.0.1", 80) is matches


def test_balancing_by_map(namespace: int, firewall: Firewall):
    """An anonymous map sends connections to all of its endpoints, and to nothing else."""
    batch = Batch()
    elements = [
        (struct.pack("=I", n), socket.inet_aton("127.0.0.1") + struct.pack(">Hxx", 9000 + n))
        for n in range(3)
    ]
    number = batch.anonymous_map("t", 4, 8, elements)
    lookup = exp.lookup(ANONYMOUS, into=12, set_id=number)
    batch.rule(
        "t", "c", exp.tcp(), exp.destination_port(80), exp.random(3), lookup, exp.destination_nat(12, 13)
    )
    firewall.commit(batch)
    listeners = [listener_in(namespace, "127.0.0.1", 9000 + n) for n in range(3)]
    try:
        assert all(answers(namespace, "127.0.0.1", 80) for _ in range(40))
        for listener in listeners:
            listener.accept()[0].close()  # raises BlockingIOError when nobody came
    finally:
        for listener in listeners:
            listener.close()


def test_reject(namespace: int, firewall: Firewall):
    """A rejected connection is refused at once although something listens."""
    batch = Batch().chain("t", "f", Hook("output", 0, "filter"))
    firewall.commit(batch.rule("t", "f", exp.tcp(), exp.destination_port(80), exp.reject_tcp()))
    with listener_in(namespace, "127.0.0.1", 80):
        assert not answers(namespace, "127.0.0.1", 80)


def test_batch_is_all_or_nothing(namespace: int, firewall: Firewall):
    """One bad change undoes the batch; the error tells which change it was."""
    batch = Batch().rule("t", "c", exp.tcp(), exp.redirect(15001)).delete_chain("t", "missing").table("u")
    with pytest.raises(NetlinkError) as caught:
        firewall.commit(batch)
    assert (caught.value.errno, caught.value.index) == (errno.ENOENT, 1)
    with listener_in(namespace, "127.0.0.1", 15001):
        assert not answers(namespace, "127.0.0.1", 80)
    firewall.commit(Batch().rule("t", "c", exp.tcp(), exp.redirect(15001)))  # the connection still works


def test_empty_batch_is_nothing(firewall: Firewall):
    """No request is made for no change."""
    firewall.commit(Batch())


def test_large_set(firewall: Firewall):
    """Sets larger than an attribute are filled in pieces."""
    keys = [struct.pack(">I", number) for number in range(3000)]
    firewall.commit(Batch().set("t", "s", 4).add("t", "s", keys))
    firewall.commit(Batch().remove("t", "s", keys))
    with pytest.raises(NetlinkError):
        firewall.commit(Batch().remove("t", "s", keys[:1]))


def test_links_and_refusals(namespace: int):
    """A pair of links appears in both namespaces; a request that the kernel refuses says what it was."""
    other = new_namespace()
    mac = b"\x0a\x58\0\0\0\1"
    try:
        with Routes(namespace) as routes:
            routes.veth("a", 7, mac, peer="b", peer_index=8, peer_mac=mac, peer_namespace=other)
            routes.address(7, "10.1.0.1").up(7, forwarding=True).commit()
            assert routes.links() == {"lo": 1, "a": 7}
            with Routes(other) as there:
                assert there.links()["b"] == 8
            with pytest.raises(NetlinkError) as caught:
                routes.up(7).up(99).up(7).commit()
            assert (caught.value.errno, caught.value.index) == (errno.ENODEV, 1)
            routes.delete_link(7).commit()
            assert routes.links() == {"lo": 1}
    finally:
        os.close(other)


def test_thread_comes_back(namespace: int):
    """Being inside a namespace ends with the block, also by an exception."""
    before = os.readlink("/proc/thread-self/ns/net")
    with inside(namespace):
        assert os.readlink("/proc/thread-self/ns/net") != before
    with pytest.raises(ZeroDivisionError), inside(namespace):
        raise ZeroDivisionError
    assert os.readlink("/proc/thread-self/ns/net") == before
