"""`gateway`: which revision serves each gateway of the mesh, and moving them in place."""

from typing import TYPE_CHECKING

import click

from linnet.cli import complete, options, output
from linnet.cli.faults import UserError
from linnet.cli.terminal import Progress, warn

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from linnet.upgrade.fleet import Gateway
    from linnet.upgrade.look import Seen

HEADER = ("NAMESPACE", "NAME", "KIND", "SERVED BY", "NEXT POD", "READY", "MOVED BY")


@click.group()
def gateway() -> None:
    """See which revision serves each gateway, and move gateways in place: list, move.

    Gateways that an installation made are rendered for the revision that takes them; their Service and its
    address stay. Injected gateways (inject.istio.io/templates: gateway) go where labels send their next pod.
    """


@gateway.command(
    "list",
    epilog="""\b
Examples:
  linnet gateway list
  linnet gateway list -n shop -o json""",
)
@click.option("-o", "--output", "form", type=click.Choice(["table", "json", "yaml"]), default="table")
def list_gateways(form: str) -> None:
    """Every gateway: who serves it, who would serve its next pod, and what moves it."""
    flags = options.current()
    seen = options.run(_seen(flags.istio_namespace))
    found = [row for row in seen.gateways if flags.namespace in ("", row.namespace)]
    if form != "table":
        print(output.dump([document(row) for row in found], form))
    elif not found:
        print("No gateways found.")
    else:
        print(output.columns([HEADER, *map(_row, found)]))


def document(row: "Gateway") -> "dict[str, Any]":
    """A gateway as data."""
    return {
        "namespace": row.namespace,
        "name": row.name,
        "kind": _kind(row),
        "workload": row.kind,
        "servedBy": list(row.served_by),
        "nextPod": row.next,
        "ready": row.ready,
        "wanted": row.wanted,
        "movedBy": row.remedy("REV"),
    }


def _kind(row: "Gateway") -> str:
    return {"IngressGateways": "ingress", "EgressGateways": "egress"}.get(row.component, "injected")


def _row(row: "Gateway") -> tuple[str, ...]:
    served = ",".join(row.served_by) or "<none>"
    ready = f"{row.ready}/{row.wanted}"
    return (row.namespace, row.name, _kind(row), served, row.next or "<none>", ready, row.remedy("REV"))


@gateway.command(
    epilog="""\b
Examples:
  linnet install --set revision=canary --gateways=later -y
  linnet gateway move --to canary                     all that move by themselves
  linnet gateway move istio-ingressgateway --to 1-0-0
  linnet gateway move entrance.shop --to canary       NAME.NAMESPACE"""
)
@click.argument("names", nargs=-1, metavar="[NAME[.NAMESPACE]]...", shell_complete=complete.gateways)
@click.option(
    "--to",
    "revision",
    required=True,
    metavar="REV",
    shell_complete=complete.revisions,
    help="The revision (or tag) that takes them.",
)
@click.option("--dry-run", is_flag=True, help="Say what would move; change nothing.")
@click.option(
    "--readiness-timeout",
    "seconds",
    type=options.Duration(),
    default=300.0,
    metavar="DURATION",
    help="How long a gateway may take until no old pod is left (5m0s).",
)
@click.option("-y", "--skip-confirmation", is_flag=True, hidden=True, help="Accepted: nothing is asked.")
def move(
    names: tuple[str, ...],
    revision: str,
    dry_run: bool,
    seconds: float,
    skip_confirmation: bool,  # noqa: ARG001
) -> None:
    """Let a revision serve gateways: new pods beside the old ones, then the old ones drain.

    Returns when no pod of another revision is left. The same command completes one that was interrupted.
    Without names: all gateways of installations, and injected ones whose own label decides.
    """
    options.run(_move(names, revision, dry_run=dry_run, seconds=seconds))


async def _seen(namespace: str) -> "Seen":
    from linnet.upgrade.look import look

    async with options.client() as client:
        return await look(client, namespace, streams=False)


async def _move(names: "Sequence[str]", wanted: str, *, dry_run: bool, seconds: float) -> None:
    from linnet.install.apply import ApplyError
    from linnet.install.lock import exclusive
    from linnet.install.marks import MANAGER
    from linnet.install.recording import recorded
    from linnet.upgrade.look import look
    from linnet.upgrade.moving import MoveError, moves, taker
    from linnet.upgrade.retire import move_gateways, shown
    from linnet.upgrade.retirement import RetireError

    flags = options.current()
    namespace, progress = flags.istio_namespace, Progress()
    async with options.client(manager=MANAGER) as client:
        try:
            seen = await look(client, namespace, streams=False)
            plane = taker(seen, wanted)
            chosen = moves(seen.gateways, names, plane.revision_name, flags.namespace or namespace)
            for row in chosen.left:
                print(f"Gateway {row} stays; what moves it: {row.remedy(plane.revision_name)}")
            if not chosen.moved:
                print("No gateways to move.")
                return
            if dry_run:
                told = ", ".join(shown(row, namespace) for row in chosen.moved)
                print(f"Gateways {told} would move to revision {plane.revision_name} (dry run).")
                return
            purpose = f"gateway move --to {wanted}"
            async with exclusive(client, namespace, purpose, waiting=progress.working) as waited:
                if waited:
                    seen = await look(client, namespace, streams=False)
                    plane = taker(seen, wanted)
                    chosen = moves(seen.gateways, names, plane.revision_name, flags.namespace or namespace)
                async with recorded(client, namespace, purpose, warn=warn) as record:
                    await move_gateways(client, seen, plane, chosen.moved, seconds=seconds, report=progress)
                    for row in (row for row in chosen.moved if not row.installed):
                        record.note(f"gateway {row}", ",".join(row.served_by), plane.revision_name)
        except (ApplyError, MoveError, RetireError) as error:
            raise UserError(str(error)) from error
