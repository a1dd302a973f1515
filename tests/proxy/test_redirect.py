"""The redirect: which rules for which flags, and what the kernel then does."""

import os
import select
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from linnet.netlink.namespaces import inside, listener_in, new_namespace, socket_in
from linnet.netlink.route import Routes, raise_loopback
from linnet.proxy.redirect import WrongOption, apply, main, parse, rules

INJECTED = [
    *("-p", "15001", "-z", "15006", "-u", "1337", "-m", "REDIRECT", "-i", "*", "-x", "", "-b", "*"),
    *("-d", "15090,15021,15020", "--log_output_level=default:info"),
]
POD, OUTSIDE = "10.9.0.2", "10.9.0.1"
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root")


def shown(*argv: str) -> list[str]:
    options = parse(argv)
    assert options is not None
    return [str(rule) for rule in rules(options)]


@pytest.mark.unit
def test_the_injected_flags_capture_all_but_our_own_ports():
    """What injection writes: everything in but the agent's ports, everything out but loopback and Envoy."""
    lines = shown(*INJECTED)
    assert [line for line in lines if "inbound" in line] == [
        "mesh_inbound tcp dport 15008 return",
        "mesh_inbound tcp dport 15090 return",
        "mesh_inbound tcp dport 15021 return",
        "mesh_inbound tcp dport 15020 return",
        "mesh_inbound tcp redirect to :15006",
    ]
    assert lines[-1] == "mesh_outbound tcp redirect to :15001"
    assert "mesh_outbound skuid 1337 return" in lines
    assert "mesh_outbound mark 1337 return" in lines


@pytest.mark.unit
@pytest.mark.parametrize(
    ("flags", "present", "absent"),
    [
        (
            ("-b", "80,81"),
            "mesh_inbound tcp dport 81 redirect to :15006",
            "mesh_inbound tcp redirect to :15006",
        ),
        (("-b", ""), "mesh_outbound tcp redirect to :15001", "mesh_inbound tcp redirect to :15006"),
        (
            ("-i", "10.0.0.0/8"),
            "mesh_outbound tcp daddr 10.0.0.0/8 redirect to :15001",
            "mesh_outbound tcp redirect to :15001",
        ),
        (("-i", "*", "-x", "1.2.3.4/32"), "mesh_outbound daddr 1.2.3.4/32 return", ""),
        (("-o", "53"), "mesh_outbound udp dport 53 return", ""),
        (
            ("-i", "", "-q", "443"),
            "mesh_outbound tcp dport 443 redirect to :15001",
            "mesh_outbound tcp redirect to :15001",
        ),
        (("-c", "net1"), "mesh_inbound iifname net1 return", ""),
        (("--proxy-uid=42",), "mesh_outbound skuid 42 return", "mesh_outbound skuid 1337 return"),
    ],
)
def test_each_flag_changes_its_rule(flags, present, absent):
    """Lists instead of everything, and what is excluded."""
    lines = shown(*flags)
    assert present in lines
    assert absent not in lines


@pytest.mark.unit
def test_mode_none_captures_nothing_and_nonsense_is_named():
    """NONE sets no rules; an option that cannot be is named and nothing is set."""
    assert parse(["-m", "NONE"]) is None
    for argv, said in (
        (["-p", "abc"], "envoy-port"),
        (["-d", "99999"], "99999 is not a port"),
        (["-i", "10.0.0.0/99"], "istio-service-cidr"),
        (["-m", "TPROXY"], "TPROXY"),
    ):
        with pytest.raises(WrongOption, match=said):
            parse(argv)


@pytest.mark.unit
def test_the_program_says_what_is_wrong(capsys):
    """Exit code 1 and a line on stderr."""
    assert main(["-d", "none"]) == 1
    assert "istio-local-exclude-ports: 'none' is not a number" in capsys.readouterr().err


class Wire:
    """A pod with the redirect, and a machine outside; their listeners say where a connection ends."""

    def __init__(self) -> None:
        self.pod, self.outside = new_namespace(), new_namespace()
        for namespace in (self.pod, self.outside):
            raise_loopback(namespace)
        with Routes(self.pod) as routes:
            routes.veth(
                "eth0",
                7,
                b"\2\0\0\0\0\2",
                peer="pod0",
                peer_index=8,
                peer_mac=b"\2\0\0\0\0\1",
                peer_namespace=self.outside,
            )
            routes.up(7).address(7, POD, 24)
            routes.commit()
        with Routes(self.outside) as routes:
            routes.up(8).address(8, OUTSIDE, 24)
            routes.commit()
        self.listeners = {
            sock: (who, port)
            for who, namespace in (("pod", self.pod), ("outside", self.outside))
            for port in (15001, 15006, 15021, 8080)
            for sock in (listener_in(namespace, "0.0.0.0", port),)
        }

    def lands(self, start: int, host: str, port: int, *, mark: int = 0, uid: int = 0, source: str = ""):
        """Who accepts a connection from namespace `start`."""
        with inside(start):
            os.seteuid(uid)
            try:
                sock = socket_in(None)
            finally:
                os.seteuid(0)
        with sock:
            if mark:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, mark)
            if source:
                sock.bind((source, 0))
            sock.connect_ex((host, port))
            ready, _, _ = select.select(list(self.listeners), [], [], 2.0)
            assert ready, "nobody accepted"
            ready[0].accept()[0].close()
            return self.listeners[ready[0]]

    def close(self) -> None:
        for sock in self.listeners:
            sock.close()
        os.close(self.pod)
        os.close(self.outside)


@contextmanager
def wire(*argv: str) -> Iterator[Wire]:
    made = Wire()
    try:
        for _ in range(2):  # a second time changes nothing
            options = parse(argv)
            assert options
            apply(options, made.pod)
        yield made
    finally:
        made.close()


@needs_root
@pytest.mark.wired
def test_the_kernel_does_what_the_rules_say():
    """Each kind of connection, with the injected flags."""
    with wire(*INJECTED) as w:
        assert w.lands(w.outside, POD, 8080) == ("pod", 15006), "inbound"
        assert w.lands(w.outside, POD, 15021) == ("pod", 15021), "readiness is not captured"
        assert w.lands(w.pod, OUTSIDE, 8080) == ("pod", 15001), "outbound"
        assert w.lands(w.pod, OUTSIDE, 8080, mark=1337) == ("outside", 8080), "Envoy by its mark"
        assert w.lands(w.pod, OUTSIDE, 8080, uid=1337) == ("outside", 8080), "Envoy by its user"
        assert w.lands(w.pod, "127.0.0.1", 8080) == ("pod", 8080), "the application to itself"
        assert w.lands(w.pod, POD, 8080) == ("pod", 8080), "a probe from inside the pod"
        assert w.lands(w.pod, POD, 8080, uid=1337) == ("pod", 15006), "Envoy to its own pod comes in again"
        assert w.lands(w.pod, POD, 8080, mark=1337) == ("pod", 15006)
        assert w.lands(w.pod, POD, 8080, uid=1337, source="127.0.0.6") == ("pod", 8080), "passed on inbound"


@needs_root
@pytest.mark.wired
def test_exclusions_hold():
    """Excluded ports and networks go straight."""
    with wire("-b", "8080", "-i", "*", "-x", f"{OUTSIDE}/32") as w:
        assert w.lands(w.pod, OUTSIDE, 8080) == ("outside", 8080)
        assert w.lands(w.outside, POD, 15021) == ("pod", 15021)
        assert w.lands(w.outside, POD, 8080) == ("pod", 15006)
    with wire("-i", "*", "-o", "8080", "-d", "8080") as w:
        assert w.lands(w.pod, OUTSIDE, 8080) == ("outside", 8080)
        assert w.lands(w.outside, POD, 8080) == ("pod", 8080)


@needs_root
@pytest.mark.wired
def test_istio_init_needs_rights(capfd):
    """Without CAP_NET_ADMIN: an error that says so, and exit code 1."""
    pid = os.fork()
    if pid == 0:
        namespace = new_namespace()
        with inside(namespace):
            os.setuid(65534)
            os._exit(main(INJECTED))
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 1
    assert "the redirect was not set" in capfd.readouterr().err
