"""`admin log`: how much istiods log, shown and changed while they run.

Source: Istio, `istioctl admin log`: flags, columns and keys; ControlZ: `/scopej/`.
"""

import json
from typing import Any

import click
from msgspec import Struct

from linnet.cli import complete, groups, istiods, options, output
from linnet.cli.faults import USAGE, UserError

SCOPES = "/scopej/"
LEVELS = ("none", "error", "warn", "info", "debug")
HEADER = ("ACTIVE SCOPE", "DESCRIPTION", "LOG LEVEL", "STACK TRACE LEVEL")
USUAL = "info"


class _Admin(groups.Group):
    aliases = groups.names(l="log")


@click.group(cls=_Admin)
@click.option("-l", "--selector", hidden=True, expose_value=False)
def admin() -> None:
    """Look after running istiods: log."""


class Wish(Struct, frozen=True):
    """A level for a scope."""

    scope: str
    level: str


@admin.command(
    epilog="""\b
Examples:
  linnet admin log                                what every istiod logs
  linnet admin log --revision canary --level debug
  linnet admin log istiod-1-0-0-5c868d8bdd-pmvgg --level default:warn
  linnet admin log --reset                        back to info"""
)
@click.argument("pod", required=False)
@click.option(
    "-r", "--revision", default="", metavar="REV", shell_complete=complete.revisions, help="Only its istiods."
)
@click.option("--level", "levels", default="", metavar="[SCOPE:]LEVEL,…", help=f"One of {', '.join(LEVELS)}.")
@click.option("--reset", is_flag=True, help="Set the level to info.")
@click.option("--log-reset", is_flag=True, hidden=True)
@click.option("--stack-trace-level", hidden=True, expose_value=False, help="Accepted: there are none.")
@click.option("--stack-trace-reset", is_flag=True, hidden=True, expose_value=False)
@click.option("--ctrlz_port", "port", type=int, default=9876, help="The port inside the pod.")
@click.option("-o", "--output", "form", type=click.Choice(["short", "json", "yaml"]), default="short")
def log(
    pod: str | None, revision: str, levels: str, reset: bool, log_reset: bool, port: int, form: str
) -> None:
    """Show how much istiods log, or change it. Without POD and --revision: all of them.

    What is changed holds until the istiod starts again.
    """
    if pod and revision:
        raise UserError("give either POD or --revision", code=USAGE)
    wishes = [Wish("default", USUAL)] if reset or log_reset else parsed(levels)
    chosen = istiods.Chosen(options.current().istio_namespace, revision)
    found = options.run(_log(chosen, pod or "", wishes, port))
    if wishes and form == "short":
        return
    if form != "short":
        click.echo(
            output.dump([{"istiod": name, **_data(row)} for name, rows in found for row in rows], form)
        )
        return
    for name, rows in found:
        if len(found) > 1:
            click.echo(f"{name}:")
        click.echo(output.columns([HEADER, *map(_row, rows)]))


def parsed(text: str) -> list[Wish]:
    """The levels of `scope:level,scope:level`; a level alone is that of everything (pure).

    Raises:
        UserError: a level that there is not.
    """
    wishes = []
    for part in filter(None, text.split(",")):
        scope, _, level = part.rpartition(":")
        if level not in LEVELS:
            raise UserError(f"--level {part}: {level!r} is not one of {', '.join(LEVELS)}", code=USAGE)
        wishes.append(Wish(scope or "default", level))
    return wishes


def _data(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "scope_name": row.get("name", ""),
        "log_level": row.get("output_level", ""),
        "stack_trace_level": row.get("stack_trace_level", ""),
        "description": row.get("description", ""),
    }


def _row(row: dict[str, Any]) -> tuple[str, ...]:
    held = _data(row)
    return held["scope_name"], held["description"], held["log_level"], held["stack_trace_level"]


async def _log(
    chosen: istiods.Chosen, pod: str, wishes: list[Wish], port: int
) -> list[tuple[str, list[dict[str, Any]]]]:
    """The scopes of each istiod, after the wishes were carried out."""
    from linnet.upgrade.observe import fetch

    async with options.client() as client:
        running = istiods.required(await istiods.running(client, chosen), chosen)
        asked = [
            istiod for istiod in running if pod in ("", istiod.name, f"{istiod.name}.{istiod.namespace}")
        ]
        if not asked:
            names = ", ".join(istiod.name for istiod in running)
            raise UserError(f"no istiod {pod} runs in namespace {chosen.namespace}; there are: {names}")
        found = []
        for istiod in asked:
            where = (client, istiod.namespace, istiod.name, port)
            try:
                for wish in wishes:
                    body = json.dumps({"name": wish.scope, "output_level": wish.level}).encode()
                    await fetch(*where, SCOPES + wish.scope, method="PUT", body=body)
                found.append((istiod.name, json.loads(await fetch(*where, SCOPES))))
            except (OSError, ValueError) as error:
                raise UserError(f"{istiod.name}: port {port}{SCOPES}: {error}") from error
    return found
