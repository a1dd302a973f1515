"""`install`: a control plane, or a further revision beside it."""

from typing import TYPE_CHECKING

import click

from linnet.cli import options
from linnet.cli.faults import FAILED, UserError
from linnet.cli.request import described, request
from linnet.cli.terminal import Progress, confirm

if TYPE_CHECKING:
    from linnet.install.plane import Plane


@click.command(
    epilog="""\b
Examples:
  linnet install -y                            the default profile, without a revision
  linnet install --set revision=canary -y      a second plane; gateways move to it in place
  linnet install --set profile=minimal --set revision=canary --dry-run"""
)
@described
@click.option("-y", "--skip-confirmation", "yes", is_flag=True, help="Do not ask.")
@click.option("--dry-run", is_flag=True, help="Ask the API server what would change; write nothing.")
@click.option(
    "--readiness-timeout",
    "seconds",
    type=options.Duration(),
    default=300.0,
    metavar="DURATION",
    help="How long a component may take to become ready (5m0s).",
)
@click.option(
    "--gateways",
    type=click.Choice(["now", "later"]),
    default="now",
    help="Move gateways to this revision now (default) or not.",
)
@click.option("--force", is_flag=True, help="Install although injection webhooks would overlap.")
@click.option("--verify", is_flag=True, hidden=True, help="Accepted: installation is always verified.")
def install(
    filenames: tuple[str, ...],
    sets: tuple[str, ...],
    revision: str | None,
    manifests: str | None,  # noqa: ARG001
    yes: bool,
    dry_run: bool,
    seconds: float,
    gateways: str,
    force: bool,
    verify: bool,  # noqa: ARG001
) -> None:
    """Install a control plane, or a further revision beside it.

    The first revision becomes the default: it injects and validates what names no revision.
    Later ones change nothing for running workloads, but for the gateways, which move in place.
    """
    plane = request(filenames, sets, revision).plane
    if not yes and not dry_run:
        asked = f'This will install the Istio {plane.tag} profile "{plane.profile}" into the cluster.'
        if not confirm(f"{asked} Proceed? (y/N)"):
            print("Cancelled.")
            raise SystemExit(FAILED)
    options.run(
        _preview(plane)
        if dry_run
        else _install(plane, seconds=seconds, gateways=gateways == "now", force=force)
    )


async def _install(plane: "Plane", *, seconds: float, gateways: bool, force: bool) -> None:
    from linnet.install.apply import ApplyError
    from linnet.install.install import install_plane
    from linnet.install.marks import MANAGER
    from linnet.objects.crd import definitions
    from linnet.upgrade.gateways import hand_over

    report = Progress()
    async with options.client(manager=MANAGER) as client:
        try:
            done = await install_plane(
                client, plane, definitions(), seconds=seconds, report=report, force=force
            )
            if gateways:
                await hand_over(client, plane, plane.gateways, seconds=seconds, report=report)
        except ApplyError as error:
            raise UserError(f"failed to install manifests: {error}") from error
    for note in done.notes:
        report.done(f"  {note}")
    if not gateways and plane.gateways:
        report.done(f"  gateways stay as they are; move them: install --set revision={plane.revision_name}")
    report.done("✔ Installation complete")
    if done.became_default:
        print("Made this installation the default for injection and validation.")
    elif done.default and done.default != plane.revision_name:
        print(f"Revision {done.default} stays the default for injection and validation.")


async def _preview(plane: "Plane") -> None:
    from linnet.install.apply import ApplyError, summary
    from linnet.install.install import preview
    from linnet.install.marks import MANAGER
    from linnet.objects.crd import definitions

    async with options.client(manager=MANAGER) as client:
        try:
            changes = await preview(client, plane, definitions(), report=Progress())
        except ApplyError as error:
            raise UserError(f"failed to install manifests: {error}") from error
    for change in changes:
        note = f" ({change.note})" if change.note else ""
        print(f"{change.what} {change.outcome} (dry run){note}")
    print(f"Not applied because of dry run: {summary(changes)}.")
