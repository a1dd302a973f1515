"""`revision status`: the revisions side by side, and which does worse."""

import sys
from typing import TYPE_CHECKING, Any

import click

from linnet.cli import complete, options, output
from linnet.cli.faults import FAILED, UserError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from linnet.upgrade.card import Card
    from linnet.upgrade.exposition import Histogram
    from linnet.upgrade.look import Seen
    from linnet.upgrade.revisions import Revision
    from linnet.upgrade.scorecard import Finding

UNKNOWN = "unknown"


@click.command(
    epilog="""\b
Examples:
  linnet revision status                       all revisions, side by side
  linnet revision status canary --window 60s   the canary, compared with the default; a longer look
  linnet revision status --check && linnet tag set default -r canary --overwrite

What is read: each istiod's metrics and proxies, and the statistics that the Envoy of each proxy keeps of the
requests that it answers, twice. Failures and resets are compared with those of the default, if each has at
least 100 requests meanwhile; latency only for workloads that are on both revisions. Convergence is since the
start of the istiods.

Exit code 1 with --check: a revision has a problem, or is worse than the default."""
)
@click.argument("names", nargs=-1, metavar="[REV]...", shell_complete=complete.revisions)
@click.option("-o", "--output", "form", type=click.Choice(["table", "json", "yaml"]), default="table")
@click.option(
    "--window",
    type=options.Duration(),
    default=6.0,
    metavar="DURATION",
    help="Time between the two readings (6s); Envoy sums up latencies every 5 s.",
)
@click.option(
    "--sample",
    type=click.IntRange(min=0),
    default=100,
    metavar="N",
    help="Proxies of each revision that are read (100); 0: all.",
)
@click.option("--check", is_flag=True, help="Exit with 1 unless all is well.")
def status(names: tuple[str, ...], form: str, window: float, sample: int, check: bool) -> None:
    """Compare revisions before going on: istiods, proxies, configuration, requests, latency."""
    from linnet.upgrade.scorecard import fails, judged

    found = options.run(_cards(names, window=window, sample=sample))
    findings = judged(found)
    shown = [card for card in found if not names or _names(card.revision, names)]
    said = {card.revision.name: findings[card.revision.name] for card in shown}
    failed = fails(found, said)
    if form != "table":
        print(output.dump([document(card, said[card.revision.name]) for card in shown], form))
    elif not shown:
        print("No revisions found.")
    else:
        print("\n".join(_table(shown, said)))
    if check and (failed or not shown):
        raise SystemExit(FAILED)


async def _cards(names: "Sequence[str]", *, window: float, sample: int) -> "list[Card]":
    from linnet.cli.revision_readings import cards
    from linnet.upgrade.look import look
    from linnet.upgrade.revisions import revisions

    flags = options.current()
    async with options.client(flags) as client:
        seen = await look(client, flags.istio_namespace, streams=False)
        found = _chosen(seen, revisions(seen), names)
        if found and sys.stderr.isatty():
            print(f"Reading twice, {window:g} s apart …", file=sys.stderr)
        return await cards(client, seen, found, window=window, sample=sample, seconds=flags.timeout)


def _chosen(seen: "Seen", found: "Sequence[Revision]", names: "Sequence[str]") -> "Sequence[Revision]":
    """The named revisions (or tags), and the default, with which they are compared."""
    if not names:
        return found
    known = {row.name for row in found} | {tag for row in found for tag in row.tags}
    for name in names:
        if name not in known:
            there = ", ".join(row.name for row in found) or "none"
            raise UserError(f"there is no revision {name}; there are: {there}")
    return [row for row in found if row.name == seen.default or _names(row, names)]


def _names(row: "Revision", names: "Sequence[str]") -> bool:
    return row.name in names or bool({*row.tags}.intersection(names))


def document(card: "Card", findings: "Sequence[Finding]") -> dict[str, Any]:
    """A revision's card and judgement as data; seconds, milliseconds where the key says so."""
    row, total = card.revision, card.traffic.total
    return {
        "revision": row.name,
        "version": row.version,
        "default": row.default,
        "istiods": {"ready": row.ready, "wanted": row.wanted},
        "proxies": None if card.proxies is None else _proxies(card),
        "counted": None
        if card.counted is None
        else {
            "rejects": dict(card.counted.rejects),
            "errors": card.counted.errors,
            "refusedPods": card.counted.refused,
            "convergence": _quantiles(card.counted.convergence),
        },
        "traffic": {
            "seconds": round(card.traffic.seconds, 1),
            "proxiesAsked": card.traffic.asked,
            "proxiesCounting": card.traffic.counting,
            "faults": list(card.traffic.faults),
            "requests": total.requests,
            "failed": total.failed,
            "reset": total.reset,
            "milliseconds": _quantiles(total.times),
        },
        "verdict": str(max(findings, key=_badness).verdict),
        "judgement": [
            {
                "about": finding.about,
                "verdict": str(finding.verdict),
                "than": finding.than,
                "text": finding.text,
                "remedy": finding.remedy,
            }
            for finding in findings
        ],
    }


def _proxies(card: "Card") -> dict[str, Any]:
    from linnet.upgrade.card import Standing

    assert card.proxies is not None
    return {
        "connected": len(card.proxies),
        "gateways": sum(proxy.gateway for proxy in card.proxies),
        "inSync": len(card.standing(Standing.SYNCED)),
        "stale": len(card.standing(Standing.STALE)),
        "notAcknowledged": [proxy.name for proxy in card.standing(Standing.SILENT)],
        "rejecting": [
            {
                "proxy": proxy.name,
                "type": rejection.kind,
                "resource": rejection.resource,
                "reason": rejection.reason,
            }
            for proxy in card.standing(Standing.REJECTING)
            for rejection in proxy.rejections
        ],
        "notConnected": list(card.lost),
    }


def _quantiles(held: "Histogram") -> dict[str, float | None]:
    found = {name: held.percentile(share) for name, share in (("p50", 0.5), ("p99", 0.99))}
    return {"count": held.total} | {k: None if v is None else round(v, 3) for k, v in found.items()}


def _badness(finding: "Finding") -> int:
    return [*type(finding.verdict)].index(finding.verdict)


def _table(shown: "Sequence[Card]", findings: "Mapping[str, Sequence[Finding]]") -> list[str]:
    names = [card.revision.name + (" (default)" if card.revision.default else "") for card in shown]
    rows = [("", *names), *((label, *map(cell, shown)) for label, cell in LINES)]
    lines = output.columns(rows).splitlines()
    lines += ["", *_covered(shown), ""]
    table = [("REVISION", "ABOUT", "VERDICT", "WHY")]
    for card in shown:
        name = card.revision.name
        for finding in findings[name]:
            more = f"; see: {finding.remedy}" if finding.remedy else ""
            table.append((name, finding.about, str(finding), finding.text + more))
    return [*lines, *output.columns(table).splitlines()]


def _covered(shown: "Sequence[Card]") -> list[str]:
    """What the numbers cover, and what not."""
    said = []
    for card in shown:
        traffic, name = card.traffic, card.revision.name
        if card.proxies is None:
            said.append(f"{name}: no istiod answered, so its proxies are not known")
            continue
        of = (
            f"{traffic.asked} of {len(card.proxies)}"
            if traffic.asked < len(card.proxies)
            else f"{traffic.asked}"
        )
        sample = " (a sample; all: --sample 0)" if traffic.asked < len(card.proxies) else ""
        said.append(
            f"{name}: requests of {traffic.seconds:.0f} s, from {of} proxies{sample}, "
            f"of which {traffic.counting} answer any"
        )
        said += [f"  not read: {fault}" for fault in traffic.faults[:5]]
        if len(traffic.faults) > 5:
            said.append(f"  not read: {len(traffic.faults) - 5} more")
    return said


def _known(cell: "Callable[[Card], str]") -> "Callable[[Card], str]":
    return lambda card: UNKNOWN if card.proxies is None else cell(card)


def _standing(name: str) -> "Callable[[Card], str]":
    def cell(card: "Card") -> str:
        from linnet.upgrade.card import Standing

        return str(len(card.standing(Standing[name])))

    return _known(cell)


def _connected(card: "Card") -> str:
    gateways = sum(proxy.gateway for proxy in card.proxies or ())
    whole = len(card.proxies or ())
    return f"{whole} ({gateways} gateway{'' if gateways == 1 else 's'})" if gateways else str(whole)


def _rejects(card: "Card") -> str:
    if card.counted is None:
        return UNKNOWN
    by_type = ", ".join(f"{kind} {number:g}" for kind, number in card.counted.rejects.items() if number)
    return f"{card.counted.rejected:g}" + (f" ({by_type})" if by_type else "")


def _spread(held: "Histogram", unit: str, digits: int = 0) -> str:
    if not held.total:
        return "-"
    told = (held.percentile(share) or 0.0 for share in (0.5, 0.99))
    return " / ".join(f"{value:.{digits}f} {unit}" for value in told)


def _requests(card: "Card") -> str:
    number, seconds = card.traffic.total.requests, card.traffic.seconds
    return f"{number:.0f} ({number / seconds:.0f}/s)" if seconds else "-"


def _share(of: "Callable[[Card], float]") -> "Callable[[Card], str]":
    def cell(card: "Card") -> str:
        number, whole = of(card), card.traffic.total.requests
        return f"{number:.0f} ({number / whole:.1%})" if whole else "-"

    return cell


LINES: "tuple[tuple[str, Callable[[Card], str]], ...]" = (
    ("version", lambda card: card.revision.version or UNKNOWN),
    ("istiods ready", lambda card: f"{card.revision.ready}/{card.revision.wanted}"),
    ("proxies connected", _known(_connected)),
    ("  in sync", _standing("SYNCED")),
    ("  stale", _standing("STALE")),
    ("  not acknowledged", _standing("SILENT")),
    ("  rejecting", _standing("REJECTING")),
    ("responses rejected", _rejects),
    ("streams refused", lambda card: UNKNOWN if card.counted is None else f"{card.counted.errors:g}"),
    (
        "convergence p50/p99",
        lambda card: _spread(card.counted.convergence, "s", 2) if card.counted else UNKNOWN,
    ),
    ("requests", _requests),
    ("  with 5xx", _share(lambda card: card.traffic.total.failed)),
    ("  broken off", _share(lambda card: card.traffic.total.reset)),
    ("  latency p50/p99", lambda card: _spread(card.traffic.total.times, "ms")),
)
