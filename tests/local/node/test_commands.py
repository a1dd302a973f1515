"""The process of a container, its resolv.conf, quantities, the Node object."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from tests.local.node.pods import pod

from linnet.local.node import quantity
from linnet.local.node.capabilities import DEFAULT, NAMES, WITHHELD, bits
from linnet.local.node.commands import capabilities, command, start_failure, withheld
from linnet.local.node.environment import Missing
from linnet.local.node.images import Image
from linnet.local.node.machine import Machine, node_status
from linnet.local.node.resolving import resolv_conf
from linnet.local.node.surroundings import Options

pytestmark = pytest.mark.unit

SEARCH = "ns.svc.cluster.local svc.cluster.local cluster.local"


@pytest.mark.parametrize(
    ("security", "expected"),
    [
        ({}, None),
        ({"privileged": True}, NAMES),
        ({"capabilities": {"drop": ["ALL"]}}, ()),
        ({"capabilities": {"drop": ["ALL"], "add": ["NET_ADMIN", "NET_RAW"]}}, ("NET_ADMIN", "NET_RAW")),
        ({"capabilities": {"add": ["ALL"]}}, NAMES),
        ({"capabilities": {"drop": ["CAP_MKNOD"]}}, tuple(name for name in DEFAULT if name != "MKNOD")),
        ({"capabilities": {"add": ["SYS_TIME"]}}, (*DEFAULT, "SYS_TIME")),
    ],
)
def test_capabilities_are_dropped_then_added(security: dict[str, Any], expected: Any) -> None:
    """As container engines do; None leaves the usual set."""
    [container] = pod({"containers": [{"name": "m", "securityContext": security}]}).spec.containers
    assert capabilities(container) == expected


@pytest.mark.parametrize(
    ("security", "asked"),
    [
        ({}, ""),
        ({"capabilities": {"drop": ["ALL"], "add": ["NET_ADMIN"]}}, ""),
        ({"capabilities": {"add": ["SYS_ADMIN"]}}, "capabilities.add"),
        ({"privileged": True}, "privileged: true"),
    ],
)
def test_rights_over_the_machine_are_withheld_and_that_is_said(security: dict[str, Any], asked: str) -> None:
    """No container gets them; one that asks for them is told so, with their names."""
    [container] = pod({"containers": [{"name": "m", "securityContext": security}]}).spec.containers
    assert not bits(capabilities(container)) & sum(1 << NAMES.index(name) for name in WITHHELD)
    said = withheld(container)
    assert said.startswith(asked)
    assert bool(said) == bool(asked)
    assert ("SYS_ADMIN" in said) == bool(asked)


def test_user_and_groups_come_from_container_then_pod() -> None:
    """fsGroup and further groups are the user's too."""
    shared = {"runAsUser": 1, "runAsGroup": 2, "fsGroup": 3, "supplementalGroups": [4]}
    container = {"name": "m", "command": ["x"], "workingDir": "/w", "securityContext": {"runAsUser": 9}}
    of = pod({"containers": [container], "securityContext": shared})
    made = command(of, of.spec.containers[0], Image("i"), (), ())
    assert (made.uid, made.gid, made.groups, made.cwd) == (9, 2, (3, 4), "/w")


def test_nothing_to_run_and_a_forbidden_user_are_said() -> None:
    """Both keep the container waiting, with these words in its status."""
    nothing = pod({"containers": [{"name": "m", "image": "linnet/host"}]})
    with pytest.raises(Missing, match="no command specified"):
        command(nothing, nothing.spec.containers[0], Image("i"), (), ())
    root = {"name": "m", "command": ["x"], "securityContext": {"runAsNonRoot": True, "runAsUser": 0}}
    of = pod({"containers": [root]})
    with pytest.raises(Missing, match="runAsUser breaks non-root policy"):
        command(of, of.spec.containers[0], Image("i"), (), ())


@pytest.mark.parametrize(
    ("error", "program", "words"),
    [
        (FileNotFoundError(2, "x"), "prog", 'exec: "prog": executable file not found in $PATH'),
        (FileNotFoundError(2, "x"), "/bin/no", 'exec: "/bin/no": stat /bin/no: no such file or directory'),
        (PermissionError(13, "x"), "/etc/hosts", 'exec: "/etc/hosts": permission denied'),
    ],
)
def test_a_failed_start_is_said_as_engines_do(error: OSError, program: str, words: str) -> None:
    """The words that users search for."""
    assert start_failure(error, (program,)) == f"unable to start container process: {words}: unknown"


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (
            {},
            f"search {SEARCH}\nnameserver 10.96.0.10\noptions ndots:5\n",
        ),
        ({"dnsPolicy": "Default"}, "nameserver 10.96.0.10\n"),
        (
            {
                "dnsPolicy": "None",
                "dnsConfig": {
                    "nameservers": ["1.1.1.1"],
                    "searches": ["a.test"],
                    "options": [{"name": "ndots", "value": "2"}, {"name": "edns0"}],
                },
            },
            "search a.test\nnameserver 1.1.1.1\noptions ndots:2 edns0\n",
        ),
        (
            {"dnsConfig": {"searches": ["a.test"], "options": [{"name": "ndots", "value": "1"}]}},
            f"search {SEARCH} a.test\nnameserver 10.96.0.10\noptions ndots:1\n",
        ),
    ],
)
def test_resolv_conf_follows_the_policy(spec: dict[str, Any], expected: str) -> None:
    """Every policy ends at the cluster DNS, except None."""
    assert resolv_conf(pod(spec), dns="10.96.0.10", cluster_domain="cluster.local") == expected


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("1", "1"),
        ("250m", "0.25"),
        ("1Gi", "1073741824"),
        ("2k", "2000"),
        ("1e3", "1000"),
        ("1E", "1e18"),
        (0.5, "0.5"),
    ],
)
def test_quantities(text: str | float, number: str) -> None:
    """All suffixes of Kubernetes."""
    assert quantity.parse(text) == Decimal(number)


def test_quantities_round_up_to_the_divisor() -> None:
    """A container is never told less than it has; divisor 0 is 1."""
    assert quantity.in_units(quantity.parse("1.5Gi"), "1Gi") == 2
    assert quantity.in_units(quantity.parse("250m"), "0") == 1
    with pytest.raises(ValueError, match="not a quantity"):
        quantity.parse("1X")


def test_the_node_as_a_kubelet_reports_it() -> None:
    """Addresses, resources and conditions; a condition that did not change keeps its time."""
    machine = Machine("amd64", "6.1", "Debian", "m", "b", 2, 8 * 2**30, 2**40)
    options = Options("/d", "/m")
    old = {"Ready": {"status": "True", "lastTransitionTime": "then"}, "DiskPressure": {"status": "Unknown"}}
    moment = datetime(2026, 11, 25, tzinfo=UTC).isoformat()
    status = node_status(machine, options, ("a:1",), old, moment, "0.1.0")
    times = {entry["type"]: entry["lastTransitionTime"] for entry in status["conditions"]}
    assert times == {"MemoryPressure": moment, "DiskPressure": moment, "PIDPressure": moment, "Ready": "then"}
    assert status["capacity"] == {
        "cpu": "2",
        "ephemeral-storage": "1073741824Ki",
        "hugepages-1Gi": "0",
        "hugepages-2Mi": "0",
        "memory": "8388608Ki",
        "pods": "110",
    }
    assert status["images"] == [{"names": ["a:1"], "sizeBytes": 0}]
