"""`revision history`: what was done to the revisions of this mesh, by whom, and how it ended."""

from typing import TYPE_CHECKING, Any

import click

from linnet.cli import complete, options, output

if TYPE_CHECKING:
    from collections.abc import Sequence

    from linnet.install.history import Entry

HEADER = ("BEGAN (UTC)", "TOOK", "BY", "VERSION", "COMMAND", "RESULT", "CHANGES")


@click.command(
    epilog="""\b
Examples:
  linnet revision history
  linnet revision history --revision canary
  linnet revision history -o json

Kept in ConfigMap linnet-history of the control plane's namespace: the last 100 commands that changed
something. A command that was killed is written down by the next one, as interrupted."""
)
@click.option("-o", "--output", "form", type=click.Choice(["table", "json", "yaml"]), default="table")
@click.option(
    "-r",
    "--revision",
    "revision",
    default="",
    metavar="REV",
    shell_complete=complete.revisions,
    help="Only what concerned this revision.",
)
def history(form: str, revision: str) -> None:
    """What was done: installed, removed, tags set, gateways and the default moved; the newest last."""
    found = [entry for entry in options.run(_read()) if not revision or entry.concerns(revision)]
    if form != "table":
        print(output.dump([document(entry) for entry in found], form))
    elif not found:
        print(f"Nothing is recorded{f' about revision {revision}' if revision else ''}.")
    else:
        print(output.columns([HEADER, *map(_row, found)]))


async def _read() -> "Sequence[Entry]":
    from linnet.install.recording import read

    async with options.client() as client:
        return await read(client, options.current().istio_namespace)


def document(entry: "Entry") -> dict[str, Any]:
    """An entry as data."""
    return {
        "id": entry.id,
        "began": entry.began,
        "ended": entry.ended,
        "by": entry.by,
        "version": entry.version,
        "command": entry.command,
        "result": entry.result,
        "error": entry.error,
        "writes": entry.writes,
        "changes": [
            {"what": change.what, "before": change.before, "after": change.after} for change in entry.changes
        ],
    }


def _row(entry: "Entry") -> tuple[str, ...]:
    told = "; ".join(map(str, entry.changes))
    if not told:
        told = f"{entry.writes} writes" if entry.writes else "-"
    if entry.error:
        told = f"{told} ({entry.error})"
    began = entry.began.replace("T", " ").removesuffix("Z")
    return (began, _took(entry), entry.by, entry.version or "-", entry.command, entry.result, told)


def _took(entry: "Entry") -> str:
    """`12s`, or `-` where a time is not known."""
    from datetime import datetime

    try:
        span = datetime.fromisoformat(entry.ended) - datetime.fromisoformat(entry.began)
    except ValueError:
        return "-"
    seconds = max(0, round(span.total_seconds()))
    return f"{seconds}s" if seconds < 120 else f"{seconds // 60}m{seconds % 60:02}s"
