"""What the load clients' reports come to (pure): counts by protocol, and which failures are excused, and why.

A long stream may break when a pod on its way was told to end and had its full drain time: then it was told
by everybody who could, and its client stayed. With faults, what was in flight to the killed may fail.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from msgspec import Struct

from linnet.local.workloads.aims import LONG
from linnet.proxy.drain import LEAST, RESERVE
from soak.faults import Fault
from soak.watching import Life

COLUMNS = ("requests", "failed", "opened", "told", "by_us", "reset")
GATEWAY = "through the gateway"
GATEWAYS = "istio-ingressgateway"  # their label `app`
_UPGRADED = 20.0  # seconds of a gateway's drain after which Envoy closes WebSockets, one by one
_SLACK = timedelta(seconds=1.5)  # moments of pods are whole seconds
Report = Mapping[str, Any]


class Judged(Struct, frozen=True):
    """A failure with its reason to be excused, or none."""

    client: str
    failure: Mapping[str, Any]
    excuse: str = ""

    @property
    def line(self) -> str:
        """For people."""
        held = self.failure
        reason = f"  [{self.excuse}]" if self.excuse else ""
        who = f" (pod {held['pod']})" if held["pod"] else ""
        what = f"{held['protocol']} {held['target']} {held['kind']}: {held['detail']}{who}"
        return f"{held['at']} {self.client} {what}{reason}"


def drain_limit(grace: float) -> float:
    """Seconds that a pod with such a grace period drains at most."""
    return max(LEAST, grace - RESERVE)


def judged(
    reports: Mapping[str, Report], lives: Mapping[str, Life], faults: Sequence[Fault] = ()
) -> list[Judged]:
    """All failures of all clients (by name), in the order of their moments."""
    found = [
        Judged(client, failure, _excuse(client, failure, lives, faults))
        for client, report in reports.items()
        for failure in report["failures"]
    ]
    return sorted(found, key=lambda one: str(one.failure["at"]))


def _excuse(
    client: str, failure: Mapping[str, Any], lives: Mapping[str, Life], faults: Sequence[Fault]
) -> str:
    began, ended = (datetime.fromisoformat(failure[name]) for name in ("began", "at"))
    lasts = failure["protocol"] in LONG and "while it opened" not in failure["detail"]
    through = {client, str(failure["pod"])}
    if client == GATEWAY:
        through |= {name for name, life in lives.items() if life.app == GATEWAYS}
    for fault in faults:
        if fault.touches(began, ended, client, frozenset(through)):
            return f"in flight: {fault.line}"
    for name in sorted(through & lives.keys()) if lasts else ():
        if had_its_drain(lives[name], ended):
            return f"{name} had its full drain time"
    return ""


def had_its_drain(life: Life, moment: datetime) -> bool:
    """Whether a pod was at the end of its drain time at a moment."""
    if life.told is None:
        return False
    drain = drain_limit(life.grace)
    if life.app == GATEWAYS:
        drain = min(drain, _UPGRADED)
    begin = life.told + timedelta(seconds=drain) - _SLACK
    end = life.gone or datetime.now(UTC)
    return begin <= moment <= end + _SLACK


def added(reports: Iterable[Report]) -> dict[str, dict[str, int]]:
    """Counts by protocol, of all reports together."""
    total: dict[str, dict[str, int]] = {}
    for report in reports:
        for protocol, counts in report["protocols"].items():
            held = total.setdefault(protocol, dict.fromkeys(COLUMNS, 0))
            for name in COLUMNS:
                held[name] += counts[name]
    return total


def table(counts: Mapping[str, Mapping[str, int]]) -> str:
    """The counts for people, with a line of sums."""
    rows: list[tuple[str, ...]] = [("protocol", *COLUMNS)]
    rows += [(protocol, *(str(held[name]) for name in COLUMNS)) for protocol, held in sorted(counts.items())]
    rows.append(("all", *(str(sum(held[name] for held in counts.values())) for name in COLUMNS)))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for row in rows:
        first, *rest = row
        cells = [
            first.ljust(widths[0]),
            *(cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True)),
        ]
        lines.append("  ".join(cells))
    return "\n".join(line.replace("by_us", "by us") for line in lines) + "\n"
