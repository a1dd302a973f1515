"""Replay recorded kubectl sessions and say where a cluster differs from the recorded one.

    python -m tools.transcripts DIR-OR-FILE…

With KUBECONFIG set the cluster that it names is used (and tidied up between scenarios). Without it, Linnet's
API server and controllers are started anew for every scenario, with a stand-in for the node of the
recordings. A local cluster needs images for the recordings' names, else their pods wait for them:

    linnet local up --images tools/transcripts/images.yaml

KUBECTL names the kubectl to use. Exit code 0 if every command agrees or its difference is accepted.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path

from tools.transcripts import accepting, clusters, hooks
from tools.transcripts.accepting import Accepted
from tools.transcripts.hooks import Served
from tools.transcripts.reading import Transcript, read
from tools.transcripts.replaying import Outcome, Settings, Verdict, replay

_ACCEPTED = Path(__file__).with_name("accepted.json")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tools.transcripts", description=__doc__)
    parser.add_argument("paths", nargs="+", type=Path, help="transcripts, or folders of them")
    parser.add_argument("--only", default="", help="replay files whose name contains this")
    parser.add_argument("--accepted", type=Path, default=_ACCEPTED, help="JSON list of accepted differences")
    parser.add_argument("--list-reasons", action="store_true", help="print the accepted differences and end")
    parser.add_argument(
        "--patience", type=float, default=3.0, help="seconds a reading command may take to agree"
    )
    parser.add_argument(
        "--settle", type=float, default=-1.0, help="seconds until a webhook configuration acts"
    )
    parser.add_argument(
        "--stand-in-node", action="store_true", help="play the node of the recordings (KUBECONFIG)"
    )
    parser.add_argument("--quiet", action="store_true", help="only the totals")
    return parser.parse_args()


def _transcripts(arguments: argparse.Namespace) -> list[Transcript]:
    files = [
        file
        for path in arguments.paths
        for file in (sorted(path.glob("[0-9]*.txt")) if path.is_dir() else [path])
    ]
    return [read(file) for file in files if arguments.only in file.name]


async def _replayed(
    transcript: Transcript, arguments: argparse.Namespace, served: Served, accepted: Accepted, given: str
) -> list[Outcome]:
    async with AsyncExitStack() as stack:
        kubectl = os.environ.get("KUBECTL", "") or "kubectl"
        if given:
            kubeconfig = Path(given)
            cluster = clusters.Given(kubectl, kubeconfig)
            await cluster.remember()
            stack.push_async_callback(cluster.tidy)
            await stack.enter_async_context(clusters.stand_in(kubeconfig, wanted=arguments.stand_in_node))
        else:
            kubeconfig = await stack.enter_async_context(clusters.own())
        settle = arguments.settle if arguments.settle >= 0 else (1.2 if given else 0.0)
        settings = Settings(kubectl, kubeconfig, served, accepted, arguments.patience, settle)
        return await replay(transcript, settings)


def _report(transcript: Transcript, outcomes: list[Outcome], *, quiet: bool) -> Counter[Verdict]:
    counts = Counter(outcome.verdict for outcome in outcomes)
    good = counts[Verdict.AGREED] + counts[Verdict.VERSION]
    extra = (
        f", {counts[Verdict.VERSION]} of them but for kubectl's version" if counts[Verdict.VERSION] else ""
    )
    extra += f", {counts[Verdict.ACCEPTED]} accepted differences" if counts[Verdict.ACCEPTED] else ""
    print(f"{transcript.path.name}: {good}/{len(outcomes)} agreed{extra}", flush=True)
    for outcome in () if quiet else outcomes:
        if outcome.verdict is Verdict.DIFFERS:
            print(f"  {transcript.path.name}:{outcome.command.line}: {outcome.command.text}\n{outcome.shown}")
        elif outcome.verdict is Verdict.ACCEPTED:
            print(f"  {transcript.path.name}:{outcome.command.line}: accepted: {outcome.reason}")
    return counts


async def _main() -> int:
    arguments = _arguments()
    accepted = accepting.load(arguments.accepted)
    if arguments.list_reasons:
        for file, expression, reason in accepted.entries:
            print(f"{file}: {expression.pattern}: {reason}")
        return 0
    given = os.environ.get("KUBECONFIG", "")
    total: Counter[Verdict] = Counter()
    async with hooks.serving() as served:
        for transcript in _transcripts(arguments):
            outcomes = await _replayed(transcript, arguments, served, accepted, given)
            total += _report(transcript, outcomes, quiet=arguments.quiet)
    good = total[Verdict.AGREED] + total[Verdict.VERSION]
    print(f"total: {good}/{total.total()} agreed, {total[Verdict.ACCEPTED]} accepted differences")
    return 1 if total[Verdict.DIFFERS] else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(_main()))
