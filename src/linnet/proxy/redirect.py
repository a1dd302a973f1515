"""istio-init: the pod's traffic goes through Envoy, by nf_tables rules in the pod's network namespace.

    arriving    ─▶ 15006, but for excluded ports
    leaving     ─▶ 15001, but for loopback, Envoy's own traffic, excluded ports and networks
    Envoy to its own pod by its address (the application called its own service) ─▶ 15006

Envoy is known by its user (Kubernetes), its group, or the mark of its sockets (local cluster).
All rules are one table, replaced in one step, so running this again changes nothing.

Source: Istio, `istio-iptables`: flags and meaning of the rules.
"""

import ipaddress
import sys
from collections.abc import Iterator, Sequence

from msgspec import Struct

from linnet.netlink import expressions as exp
from linnet.netlink.nftables import Batch, Firewall, Hook
from linnet.netlink.wire import NetlinkError

TABLE = "istio"
INBOUND, OUTBOUND = "mesh_inbound", "mesh_outbound"
TUNNEL_PORT = 15008
MARK = 1337
DESTINATION_NAT = -100  # priority of the hooks

_SHORT = {
    "p": "envoy-port",
    "z": "inbound-capture-port",
    "u": "proxy-uid",
    "g": "proxy-gid",
    "m": "istio-inbound-interception-mode",
    "b": "istio-inbound-ports",
    "d": "istio-local-exclude-ports",
    "i": "istio-service-cidr",
    "x": "istio-service-exclude-cidr",
    "q": "istio-outbound-ports",
    "o": "istio-local-outbound-ports-exclude",
    "c": "istio-exclude-interfaces",
}


class WrongOption(ValueError):
    """An option that cannot be; the message names it."""


class Options(Struct, frozen=True):
    """What is captured. `everything` lists are None: all ports, all networks."""

    outbound_port: int = 15001
    inbound_port: int = 15006
    user: int = 1337
    group: int = 1337
    mark: int = MARK
    inbound: tuple[int, ...] | None = None
    inbound_excluded: tuple[int, ...] = ()
    networks: tuple[str, ...] | None = None
    networks_excluded: tuple[str, ...] = ()
    outbound: tuple[int, ...] = ()
    outbound_excluded: tuple[int, ...] = ()
    interfaces_excluded: tuple[str, ...] = ()


class Match(Struct, frozen=True):
    """A condition or an action: how the `nft` tool writes it, and the kernel's form."""

    text: str
    code: bytes


class Rule(Struct, frozen=True):
    """One rule of a chain."""

    chain: str
    parts: tuple[Match, ...]

    def __str__(self) -> str:
        return " ".join((self.chain, *(part.text for part in self.parts)))


def parse(argv: Sequence[str]) -> Options | None:
    """The options in `istio-iptables` arguments; None when the mode is NONE. Raises WrongOption."""
    flags = _flags(argv)
    mode = flags.get("istio-inbound-interception-mode") or "REDIRECT"
    if mode == "NONE":
        return None
    if mode != "REDIRECT":
        raise WrongOption(f"interception mode {mode} is not supported; use REDIRECT or NONE")
    user = _number(flags.get("proxy-uid") or "1337", "proxy-uid")
    inbound, networks = flags.get("istio-inbound-ports", "*"), flags.get("istio-service-cidr", "*")
    return Options(
        outbound_port=_number(flags.get("envoy-port") or "15001", "envoy-port"),
        inbound_port=_number(flags.get("inbound-capture-port") or "15006", "inbound-capture-port"),
        user=user,
        group=_number(flags.get("proxy-gid") or str(user), "proxy-gid"),
        inbound=None if inbound == "*" else _ports(inbound, "istio-inbound-ports"),
        inbound_excluded=_ports(flags.get("istio-local-exclude-ports", ""), "istio-local-exclude-ports"),
        networks=None if networks == "*" else _networks(networks, "istio-service-cidr"),
        networks_excluded=_networks(
            flags.get("istio-service-exclude-cidr", ""), "istio-service-exclude-cidr"
        ),
        outbound=_ports(flags.get("istio-outbound-ports", ""), "istio-outbound-ports"),
        outbound_excluded=_ports(
            flags.get("istio-local-outbound-ports-exclude", ""), "istio-local-outbound-ports-exclude"
        ),
        interfaces_excluded=tuple(_words(flags.get("istio-exclude-interfaces", ""))),
    )


def rules(options: Options) -> tuple[Rule, ...]:
    """The rules in order (pure)."""
    return (*_inbound(options), *_outbound(options))


def batch(options: Options) -> Batch:
    """One change that replaces whatever this program set before."""
    changes = Batch().table(TABLE).delete_table(TABLE).table(TABLE)
    changes.chain(TABLE, INBOUND, Hook("prerouting", DESTINATION_NAT))
    changes.chain(TABLE, OUTBOUND, Hook("output", DESTINATION_NAT))
    for rule in rules(options):
        changes.rule(TABLE, rule.chain, *(part.code for part in rule.parts))
    return changes


def apply(options: Options, namespace: int | None = None) -> None:
    """Put the rules in force in a network namespace (its descriptor; None: the caller's). Raises OSError."""
    with Firewall(namespace) as firewall:
        firewall.commit(batch(options))


def main(argv: Sequence[str]) -> int:
    """Do what `istio-iptables` does with these arguments; the exit code."""
    try:
        options = parse(argv)
        if options is None:
            return 0
        for rule in rules(options):
            sys.stdout.write(f"{rule}\n")
        if "dry-run" not in _flags(argv):
            apply(options)
    except (WrongOption, NetlinkError, PermissionError) as error:
        sys.stderr.write(f"Error: the redirect was not set: {error}\n")
        return 1
    return 0


def _inbound(options: Options) -> Iterator[Rule]:
    tcp, to_envoy = _tcp(), _redirect(options.inbound_port)
    for name in options.interfaces_excluded:
        yield Rule(INBOUND, (Match(f"iifname {name}", exp.in_interface(name)), _return()))
    for port in dict.fromkeys((TUNNEL_PORT, *options.inbound_excluded)):
        yield Rule(INBOUND, (tcp, _port(port), _return()))
    if options.inbound is None:
        yield Rule(INBOUND, (tcp, to_envoy))
    for port in options.inbound or ():
        yield Rule(INBOUND, (tcp, _port(port), to_envoy))


def _outbound(options: Options) -> Iterator[Rule]:
    tcp, to_envoy = _tcp(), _redirect(options.outbound_port)
    loopback = Match("oifname lo", exp.out_interface("lo"))
    for name in options.interfaces_excluded:
        yield Rule(OUTBOUND, (Match(f"oifname {name}", exp.out_interface(name)), _return()))
    for port in options.outbound_excluded:
        yield Rule(OUTBOUND, (tcp, _port(port), _return()))
        yield Rule(OUTBOUND, (Match("udp", exp.udp()), _port(port), _return()))
    # Envoy passes inbound traffic on from this address
    yield Rule(OUTBOUND, (loopback, Match("saddr 127.0.0.6", exp.source("127.0.0.6")), _return()))
    envoy = (
        Match(f"skuid {options.user}", exp.socket_uid(options.user)),
        Match(f"skgid {options.group}", exp.socket_gid(options.group)),
        Match(f"mark {options.mark}", exp.mark(options.mark)),
    )
    elsewhere = Match("daddr != 127.0.0.1", exp.destination("127.0.0.1", equal=False))
    for who in envoy:
        yield Rule(
            OUTBOUND,
            (loopback, elsewhere, tcp, _port(TUNNEL_PORT, equal=False), who, _redirect(options.inbound_port)),
        )
    for who in envoy:
        yield Rule(OUTBOUND, (who, _return()))
    yield Rule(OUTBOUND, (loopback, _return()))
    yield Rule(OUTBOUND, (Match("daddr 127.0.0.1", exp.destination("127.0.0.1")), _return()))
    for network in options.networks_excluded:
        yield Rule(OUTBOUND, (Match(f"daddr {network}", exp.destination(network)), _return()))
    for port in options.outbound:
        yield Rule(OUTBOUND, (tcp, _port(port), to_envoy))
    if options.networks is None:
        yield Rule(OUTBOUND, (tcp, to_envoy))
    for network in options.networks or ():
        yield Rule(OUTBOUND, (tcp, Match(f"daddr {network}", exp.destination(network)), to_envoy))


def _tcp() -> Match:
    return Match("tcp", exp.tcp())


def _port(port: int, *, equal: bool = True) -> Match:
    return Match(f"dport {'' if equal else '!= '}{port}", exp.destination_port(port, equal=equal))


def _redirect(port: int) -> Match:
    return Match(f"redirect to :{port}", exp.redirect(port))


def _return() -> Match:
    return Match("return", exp.verdict(exp.Verdict.RETURN))


def _flags(argv: Sequence[str]) -> dict[str, str]:
    """Long name -> value; an argument that is not ours is kept and does nothing, as with Istio's."""
    flags: dict[str, str] = {}
    rest = list(argv)
    while rest:
        word = rest.pop(0)
        if not word.startswith("-"):
            raise WrongOption(f"{word!r} is not an option")
        name, equals, value = word.lstrip("-").partition("=")
        if not equals and rest and not rest[0].startswith("-"):
            value = rest.pop(0)
        flags[_SHORT.get(name, "dry-run" if name == "n" else name)] = value
    return flags


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _number(text: str, name: str) -> int:
    if not text.isdecimal():
        raise WrongOption(f"--{name}: {text!r} is not a number")
    return int(text)


def _ports(text: str, name: str) -> tuple[int, ...]:
    ports = tuple(_number(word, name) for word in _words(text))
    for port in ports:
        if not 0 < port < 65536:
            raise WrongOption(f"--{name}: {port} is not a port")
    return ports


def _networks(text: str, name: str) -> tuple[str, ...]:
    try:
        return tuple(str(ipaddress.IPv4Network(word, strict=False)) for word in _words(text))
    except ValueError as error:
        raise WrongOption(f"--{name}: {error}") from error
