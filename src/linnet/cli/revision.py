"""`revision` (and `x revision`): which revisions there are, and who is on each."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import click

from linnet.cli import complete, notes, options, output
from linnet.cli.faults import UserError
from linnet.cli.revision_history import history
from linnet.cli.revision_status import status
from linnet.cli.tag import tag

if TYPE_CHECKING:
    from linnet.upgrade.revisions import Revision

HEADER = (
    "REVISION",
    "VERSION",
    "DEFAULT",
    "ISTIOD",
    "TAGS",
    "NAMESPACES",
    "PODS",
    "PROXIES",
    "GATEWAYS",
    "WEBHOOKS",
)
FORMS = click.Choice(["table", "json", "yaml"])
NONE = "<none>"
Unknown = Sequence[tuple[str, str]]


@click.group()
def revision() -> None:
    """See which revisions there are, who is on each, how they do, and what was done to them."""


@revision.command(
    "list",
    epilog="""\b
Examples:
  linnet revision list
  linnet revision list -o json

PODS were injected by the revision, PROXIES are connected to its istiods (gateways included).""",
)
@click.option("-o", "--output", "form", type=FORMS, default="table")
@click.option("-v", "--verbose", is_flag=True, hidden=True, help="Accepted: describe shows all.")
def list_revisions(form: str, verbose: bool) -> None:  # noqa: ARG001
    """Every revision: version, istiods, tags, and how many use it."""
    found, unknown = options.run(_seen())
    if form != "table":
        print(output.dump([document(row) for row in found], form))
        return
    if not found:
        print("No revisions found.")
    else:
        print(output.columns([HEADER, *map(_row, found)]))
    for line in _remarks(found, unknown):
        print(line)


@revision.command(
    epilog="""\b
Examples:
  linnet revision describe canary
  linnet revision describe canary -o yaml"""
)
@click.argument("name", metavar="REV", shell_complete=complete.revisions)
@click.option("-o", "--output", "form", type=FORMS, default="table")
@click.option("-v", "--verbose", is_flag=True, hidden=True, help="Accepted: everything is shown.")
def describe(name: str, form: str, verbose: bool) -> None:  # noqa: ARG001
    """One revision: its istiods, tags, webhooks, gateways, and everybody who is on it."""
    found, _ = options.run(_seen())
    by_name = {row.name: row for row in found}
    for row in found:
        by_name |= {alias: row for alias in row.tags if alias not in by_name}
    if name not in by_name:
        known = ", ".join(row.name for row in found) or "none"
        raise UserError(f"there is no revision {name}; there are: {known}")
    row = by_name[name]
    print(output.dump(document(row), form) if form != "table" else "\n".join(_lines(row)))


for _command in (history, status, tag):
    revision.add_command(_command)


async def _seen() -> "tuple[list[Revision], Unknown]":
    from linnet.upgrade.injection import unknown
    from linnet.upgrade.look import look
    from linnet.upgrade.revisions import revisions

    async with options.client() as client:
        seen = await look(client, options.current().istio_namespace)
    return revisions(seen), unknown(seen.observed.injectors, seen.observed.namespaces)


def _row(row: "Revision") -> tuple[str, ...]:
    return (
        row.name,
        row.version or NONE,
        "yes" if row.default else "",
        f"{row.ready}/{row.wanted}",
        ",".join(row.tags) or NONE,
        ",".join(row.namespaces) or NONE,
        str(len(row.pods)),
        "unknown" if row.proxies is None else str(len(row.proxies)),
        str(len(row.gateways)),
        "ok"
        if not row.problems
        else f"{len(row.problems)} problems"
        if len(row.problems) > 1
        else "1 problem",
    )


def _remarks(found: "Iterable[Revision]", unknown: Unknown) -> list[str]:
    """What is wrong, below the table."""
    lines = [f"Problem of revision {row.name}: {text}" for row in found for text in row.problems]
    return [*lines, *notes.unknown_namespaces(unknown)]


def document(row: "Revision") -> dict[str, Any]:
    """A revision as data."""
    return {
        "revision": row.name,
        "version": row.version,
        "default": row.default,
        "istiods": [
            {"name": istiod.name, "phase": istiod.phase, "ready": istiod.ready} for istiod in row.istiods
        ],
        "replicas": row.wanted,
        "tags": list(row.tags),
        "namespaces": list(row.namespaces),
        "pods": list(row.pods),
        "proxies": None if row.proxies is None else list(row.proxies),
        "gateways": list(row.gateways),
        "webhooks": list(row.webhooks),
        "problems": list(row.problems),
    }


def _lines(row: "Revision") -> list[str]:
    head = [
        ("Revision:", row.name),
        ("Version:", row.version or NONE),
        ("Default:", "yes" if row.default else "no"),
        ("Tags:", ", ".join(row.tags) or NONE),
        ("Namespaces:", ", ".join(row.namespaces) or NONE),
    ]
    istiods = [("NAME", "STATUS", "READY")]
    istiods += [(istiod.name, istiod.phase, "yes" if istiod.ready else "no") for istiod in row.istiods]
    lines = output.columns(head).splitlines()
    lines += ["", f"Istiods ({row.ready} of {row.wanted} ready):"]
    lines += [f"  {line}" for line in output.columns(istiods if row.istiods else [(NONE,)]).splitlines()]
    told = row.proxies or ()
    for title, names in (
        ("Webhooks", row.webhooks),
        ("Gateways", row.gateways),
        ("Pods that it injected", row.pods),
        ("Connected proxies", told),
    ):
        lines += ["", f"{title} ({len(names)}):", *(f"  {name}" for name in names or (NONE,))]
    if row.proxies is None:
        lines[-1] = "  unknown: no istiod of this revision answered"
    lines += ["", f"Problems ({len(row.problems)}):", *(f"  {text}" for text in row.problems or (NONE,))]
    return lines
