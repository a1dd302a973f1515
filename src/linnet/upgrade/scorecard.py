"""Which revision does worse: each compared with the default, by rules that noise does not trip (pure).

What follows from the application (latency) is compared for workloads that are on both revisions only; what
should not happen at all (5xx, resets) for all of them. Fewer than `ENOUGH` requests are not judged.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum

from msgspec import Struct

from linnet.upgrade.card import Card, Proxy, Standing, Traffic, together
from linnet.upgrade.signals import Signals

ENOUGH = 100  # requests, of either side, below which nothing is judged
ENOUGH_FOR_P99 = 500
MORE = 0.005  # by which a share of failures must be greater: half a percentage point
SIGMAS = 3.0  # and by how many standard errors
FEWEST = 5  # failures; fewer may be anything
ALONE = 0.05  # the share of 5xx that is a problem where there is nothing to compare with
SLOWER = 2.0  # a latency must be so many times the other,
SLOWER_P50, SLOWER_P99 = 10.0, 50.0  # and so many milliseconds longer
CHANGES = 20  # changes below which convergence is not judged
SLOWER_CONVERGENCE = 0.5  # seconds
REFUSED = 3  # streams between readings: fewer are pods that istiod had not seen yet
NAMED = 3  # proxies that are named


class Verdict(StrEnum):
    """From good to bad."""

    OK = "ok"
    WORSE = "worse"
    PROBLEM = "problem"


class Finding(Struct, frozen=True):
    """One line of judgement; `than` names the revision that does better."""

    about: str
    verdict: Verdict
    text: str
    remedy: str = ""
    than: str = ""

    def __str__(self) -> str:
        return f"worse than {self.than}" if self.than else str(self.verdict)


def judged(cards: Sequence[Card]) -> dict[str, list[Finding]]:
    """The findings about each revision: others are compared with the default, the default with all others."""
    default = next((card for card in cards if card.revision.default), None)
    found = {}
    for card in cards:
        others = [default] if default and card is not default else [c for c in cards if c is not card]
        found[card.revision.name] = [
            *_control_plane(card),
            *_proxies(card),
            _configuration(card),
            _convergence(card, others),
            *_requests(card, others),
            _latency(card, others),
        ]
    return found


def fails(cards: Sequence[Card], findings: Mapping[str, Sequence[Finding]]) -> bool:
    """Whether nobody should go on: a problem, or a revision that is worse than the default."""
    default = {card.revision.name for card in cards if card.revision.default}
    return any(
        finding.verdict is Verdict.PROBLEM or (finding.verdict is Verdict.WORSE and finding.than in default)
        for found in findings.values()
        for finding in found
    )


def _control_plane(card: Card) -> Iterable[Finding]:
    row, about = card.revision, "control plane"
    look = f"linnet revision describe {row.name}"
    texts = [(text, look) for text in row.problems]
    if row.ready and row.ready < row.wanted:
        pods = f"kubectl get pods {card.istiods}"
        texts.append((f"{row.ready} of {row.wanted} istiods are ready", pods))
    if row.ready and card.proxies is None:
        texts.append(("no istiod tells who is connected", "linnet proxy-status"))
    if card.counted and not card.counted.injects:
        texts.append(("its injection configuration cannot be used", "linnet verify-install"))
    if card.grown.refused:
        told = f"it refused {card.grown.refused:g} pods meanwhile"
        texts.append((told, "kubectl get events -A --field-selector reason=FailedCreate"))
    for text, remedy in texts:
        yield Finding(about, Verdict.PROBLEM, text, remedy)
    if not texts:
        yield Finding(about, Verdict.OK, f"{row.ready} of {row.wanted} istiods are ready, webhooks work")


def _proxies(card: Card) -> Iterable[Finding]:
    silent, stale, about = card.standing(Standing.SILENT), card.standing(Standing.STALE), "proxies"
    if silent:
        text = f"{_count(silent, 'proxy', 'proxies')} did not acknowledge what was sent: {_names(silent)}"
        yield Finding(about, Verdict.PROBLEM, text, f"linnet proxy-status {silent[0].name}")
    if card.lost:
        names = ", ".join(card.lost[:NAMED]) + (" …" if len(card.lost) > NAMED else "")
        pod, _, namespace = card.lost[0].rpartition(".")
        text = f"{_count(card.lost, 'proxy is', 'proxies are')} connected to no istiod: {names}"
        yield Finding(about, Verdict.PROBLEM, text, f"kubectl logs -n {namespace} {pod} -c istio-proxy")
    if not silent and not card.lost and card.proxies is not None:
        waiting = f", {len(stale)} about to answer" if stale else ""
        yield Finding(about, Verdict.OK, f"{len(card.proxies)} connected{waiting}")


def _configuration(card: Card) -> Finding:
    rejecting, about = card.standing(Standing.REJECTING), "configuration"
    if rejecting:
        first = rejecting[0]
        why = f" ({first.rejections[0]})" if first.rejections else ""
        text = f"{_count(rejecting, 'proxy rejects', 'proxies reject')} it: {_names(rejecting)}{why}"
        return Finding(about, Verdict.PROBLEM, text, f"linnet proxy-status {first.name}")
    logs = f"kubectl logs {card.istiods}"
    for number, least, text in (
        (card.grown.rejected, 1, "responses were rejected meanwhile"),
        (card.grown.errors, REFUSED, "streams of proxies were refused meanwhile"),
    ):
        if number >= least:
            return Finding(about, Verdict.PROBLEM, f"{number:g} {text}", logs)
    if card.counted is None:
        return Finding(about, Verdict.OK, "not known: no istiod told its metrics", "linnet proxy-status")
    before = card.counted.rejected
    return Finding(about, Verdict.OK, "accepted" + (f"; {before:g} were rejected earlier" if before else ""))


def _convergence(card: Card, others: Sequence[Card]) -> Finding:
    about = "convergence"
    mine = card.counted.convergence if card.counted else None
    if mine is None or mine.total < CHANGES:
        return Finding(about, Verdict.OK, f"not judged: fewer than {CHANGES} changes")
    slow, slowest = mine.percentile(0.5) or 0.0, mine.percentile(0.99) or 0.0
    for other in others:
        theirs = other.counted.convergence if other.counted else None
        if theirs is None or theirs.total < CHANGES:
            continue
        base = theirs.percentile(0.5) or 0.0
        if slow >= SLOWER * base and slow - base >= SLOWER_CONVERGENCE:
            text = f"p50 {slow:.1f} s, there {base:.1f} s"
            top = f"kubectl top pods {card.istiods}"
            return Finding(about, Verdict.WORSE, text, top, other.revision.name)
    return Finding(about, Verdict.OK, f"p50 {slow:.1f} s, p99 {slowest:.1f} s")


def _requests(card: Card, others: Sequence[Card]) -> Iterable[Finding]:
    mine = card.traffic.total
    if mine.requests < ENOUGH:
        text = (
            f"not judged: {mine.requests:.0f} requests in {card.traffic.seconds:.0f} s, {ENOUGH} are needed"
        )
        more = "" if not card.proxies else "linnet revision status --window 60s"
        yield Finding("requests", Verdict.OK, text, more)
        return
    for about, number in (("failures", mine.failed), ("resets", mine.reset)):
        yield _share(card, others, about, number / mine.requests)


def _share(card: Card, others: Sequence[Card], about: str, share: float) -> Finding:
    mine = card.traffic.total
    what = "with 5xx" if about == "failures" else "broken off"
    text = f"{share:.1%} of {mine.requests:.0f} requests {what}"
    name = card.traffic.worst[0]
    if name:
        pod, _, namespace = name.rpartition(".")
        failed, of = card.traffic.worst[1:]
        where, logs = (
            f"; most at {name}: {failed:.0f} of {of:.0f}",
            f"kubectl logs -n {namespace} {pod} -c istio-proxy",
        )
    else:
        where = logs = ""
    compared = 0
    for other in others:
        theirs = other.traffic.total
        if theirs.requests < ENOUGH:
            continue
        compared += 1
        base = (theirs.failed if about == "failures" else theirs.reset) / theirs.requests
        if clearly_more(share, mine.requests, base, theirs.requests):
            told = f"{text}, there {base:.1%} of {theirs.requests:.0f}{where}"
            return Finding(about, Verdict.WORSE, told, logs, other.revision.name)
    if not compared and about == "failures" and share >= ALONE:
        return Finding(about, Verdict.PROBLEM, f"{text}{where}", logs)
    return Finding(about, Verdict.OK, text)


def clearly_more(share: float, of: float, base: float, of_base: float) -> bool:
    """Whether a share of `of` is greater than one of `of_base`, and not by chance (two-proportion z)."""
    pooled = (share * of + base * of_base) / (of + of_base)
    error = math.sqrt(pooled * (1 - pooled) * (1 / of + 1 / of_base))
    return share * of >= FEWEST and share - base >= MORE and share - base >= SIGMAS * error


def _latency(card: Card, others: Sequence[Card]) -> Finding:
    about, told = "latency", "not compared: no workload is on two revisions with enough requests"
    for other in others:
        mine, theirs = common(card.traffic, other.traffic)
        if min(mine.times.total, theirs.times.total) < ENOUGH:
            continue
        told = "of workloads on both revisions:"
        for share, name, least in ((0.5, "p50", SLOWER_P50), (0.99, "p99", SLOWER_P99)):
            here, there = mine.times.percentile(share) or 0.0, theirs.times.percentile(share) or 0.0
            enough = min(mine.times.total, theirs.times.total) >= ENOUGH_FOR_P99 or name == "p50"
            if enough and here >= SLOWER * there and here - there >= least:
                text = f"{name} {here:.0f} ms, there {there:.0f} ms, of workloads on both"
                return Finding(about, Verdict.WORSE, text, "", other.revision.name)
            told += f" {name} {here:.0f} ms, there {there:.0f} ms;"
    return Finding(about, Verdict.OK, told.rstrip(";"))


def common(mine: Traffic, other: Traffic) -> tuple[Signals, Signals]:
    """The signals of the workloads that both have with enough requests: of the one, and of the other."""
    both = [
        name
        for name in mine.workloads
        if name in other.workloads
        and min(mine.workloads[name].requests, other.workloads[name].requests) >= ENOUGH
    ]
    return together(mine.workloads[n] for n in both), together(other.workloads[n] for n in both)


def _count(found: Sequence[object], one: str, more: str) -> str:
    return f"{len(found)} {one if len(found) == 1 else more}"


def _names(found: Sequence[Proxy]) -> str:
    return ", ".join(proxy.name for proxy in found[:NAMED]) + (" …" if len(found) > NAMED else "")
