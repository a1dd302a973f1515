"""`install`: a control plane, or a further revision beside it."""

import sys
from typing import TYPE_CHECKING, Any

import click

from linnet.cli import complete, options
from linnet.cli.faults import FAILED, UserError
from linnet.cli.request import described, described_by, read
from linnet.cli.terminal import Progress, confirm, warn

if TYPE_CHECKING:
    from linnet.cli.installation import Asked, Plan
    from linnet.install.install import Installed
    from linnet.install.plane import Plane
    from linnet.kube.client import Client


@click.command(
    epilog="""\b
Examples:
  linnet install -y                            the default profile, without a revision
  linnet install --set revision=canary -y      a second plane; gateways move to it in place
  linnet install --revision canary --from-revision 1-0-0 --set meshConfig.accessLogFile=/dev/stdout
                                               configured as 1-0-0 is now, but for the access log
  linnet install --set profile=minimal --set revision=canary --dry-run
                                               every object and what would happen to it

Before it asks, install says what the new revision does otherwise than the one that serves now: in the mesh
configuration, the values of injection, istiod, the gateways, and a pod that is injected.

Versions: in place the next minor release, as a canary also the one after it; one minor release back.
Anything else is refused; --allow-skew installs nevertheless."""
)
@described
@click.option("-y", "--skip-confirmation", "yes", is_flag=True, help="Do not ask.")
@click.option("--dry-run", is_flag=True, help="Ask the API server what would change; write nothing.")
@click.option(
    "-o",
    "--output",
    "form",
    type=click.Choice(["json", "yaml"]),
    default=None,
    help="With --dry-run: the plan as data.",
)
@click.option(
    "--from-revision",
    default="",
    metavar="REV",
    shell_complete=complete.revisions,
    help="Begin with the configuration of this revision, edits of its mesh ConfigMap included.",
)
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
@click.option(
    "--force", is_flag=True, help="Install although injection webhooks would overlap; implies --allow-skew."
)
@click.option("--allow-skew", is_flag=True, help="Install although the version policy says no.")
@click.option("--verify", is_flag=True, hidden=True, help="Accepted: installation is always verified.")
def install(
    filenames: tuple[str, ...],
    sets: tuple[str, ...],
    revision: str | None,
    manifests: str | None,  # noqa: ARG001
    yes: bool,
    dry_run: bool,
    form: str | None,
    from_revision: str,
    seconds: float,
    gateways: str,
    force: bool,
    allow_skew: bool,
    verify: bool,  # noqa: ARG001
) -> None:
    """Install a control plane, or a further revision beside it.

    The first revision becomes the default: it injects and validates what names no revision.
    Later ones change nothing for running workloads, but for the gateways, which move in place.
    What is there already and as it should be is not written: the same command again changes nothing,
    and completes one that was interrupted.
    """
    from linnet.cli.installation import Asked

    if form and not dry_run:
        raise UserError("--output is for --dry-run: what an installation did is not a document")
    asked = Asked(tuple(read(filenames)), sets, revision, from_revision)
    described_by(asked.sources, sets, revision)  # mistakes are said before any cluster is asked
    options.run(
        _run(
            asked,
            yes=yes,
            dry_run=dry_run,
            form=form,
            seconds=seconds,
            gateways=gateways == "now",
            force=force,
            allow_skew=allow_skew or force,
        )
    )


async def _run(
    asked: "Asked",
    *,
    yes: bool,
    dry_run: bool,
    form: str | None,
    seconds: float,
    gateways: bool,
    force: bool,
    allow_skew: bool,
) -> None:
    from linnet.cli import installation
    from linnet.install.apply import ApplyError
    from linnet.install.install import make_namespace
    from linnet.install.lock import exclusive, present
    from linnet.install.marks import MANAGER
    from linnet.install.recording import recorded

    async with options.client(manager=MANAGER) as client:
        wish = await installation.wished(client, asked)
        for warning in wish.warnings:
            print(f"❗ {warning}", file=sys.stderr)
        for note in wish.notes:
            print(f"From revision {asked.from_revision}: {note}.", file=sys.stderr)
        plane = wish.plane
        try:
            planned = await _planned(client, plane, asked.from_revision, gateways=gateways)
            if dry_run:
                _print_plan(planned, form, allow_skew=allow_skew)
                return
            _heed(planned, allow_skew=allow_skew)
            _ask(planned, yes=yes)
            if installation.unchanged(planned) and not await present(client, plane.namespace):
                done = await _install(client, plane, seconds=seconds, gateways=gateways, force=force)
            else:
                await make_namespace(client, plane)
                purpose = f"install of revision {plane.revision_name}"
                async with exclusive(client, plane.namespace, purpose, waiting=print) as waited:
                    if waited:
                        before = planned.told(everything=False)
                        planned = await _planned(client, plane, asked.from_revision, gateways=gateways)
                        _heed(planned, allow_skew=allow_skew)
                        if planned.told(everything=False) != before:
                            _ask(planned, yes=yes)
                    async with recorded(client, plane.namespace, purpose, warn=warn):
                        done = await _install(client, plane, seconds=seconds, gateways=gateways, force=force)
        except ApplyError as error:
            raise UserError(f"failed to install manifests: {error}") from error
    _report(done, plane, gateways=gateways)


async def _planned(client: "Client", plane: "Plane", from_revision: str, *, gateways: bool) -> "Plan":
    from linnet.cli.installation import plan
    from linnet.install.progress import Silent

    return await plan(client, plane, from_revision, gateways=gateways, report=Silent())


def _heed(planned: "Plan", *, allow_skew: bool) -> None:
    """Say what the version policy says; refuse what it refuses."""
    for text in planned.doubts:
        print(f"WARNING: {text}", file=sys.stderr)
    refusals = planned.refusals
    if refusals and not allow_skew:
        told = "\n".join(f"  {text}" for text in refusals)
        raise UserError(
            f"version {planned.plane.pilot_tag} does not fit to what runs\n{told}\n"
            "--allow-skew installs it nevertheless"
        )
    for text in refusals:
        print(f"WARNING: {text}", file=sys.stderr)


def _ask(planned: "Plan", *, yes: bool) -> None:
    """Say what will be different; then ask, unless the answer was given already."""
    for line in planned.told(everything=False):
        print(line)
    if yes:
        return
    plane = planned.plane
    asked = f'This will install the Istio {plane.tag} profile "{plane.profile}" into the cluster.'
    if not confirm(f"{asked} Proceed? (y/N)"):
        print("Cancelled.")
        raise SystemExit(FAILED)


async def _install(
    client: "Client", plane: "Plane", *, seconds: float, gateways: bool, force: bool
) -> "Installed":
    from linnet.install.install import install_plane
    from linnet.install.prune import prune
    from linnet.install.render import gateway_components
    from linnet.objects.crd import definitions
    from linnet.upgrade.gateways import hand_over

    report = Progress()
    done = await install_plane(client, plane, definitions(), seconds=seconds, report=report, force=force)
    if gateways:
        await hand_over(client, plane, plane.gateways, seconds=seconds, report=report)
        for component in gateway_components(plane, plane.gateways):
            await prune(client, plane, component.name, component.objects)
    report.done("✔ Installation complete")
    return done


def _report(done: "Installed", plane: "Plane", *, gateways: bool) -> None:
    for note in done.notes:
        print(f"  {note}")
    if not gateways and plane.gateways:
        print(
            "  gateways stay with the revision that serves them; move them: "
            f"linnet gateway move --to {plane.revision_name}"
        )
    if done.became_default:
        print("Made this installation the default for injection and validation.")
    elif done.default and done.default != plane.revision_name:
        print(f"Revision {done.default} stays the default for injection and validation.")


def _print_plan(planned: "Plan", form: str | None, *, allow_skew: bool) -> None:
    from linnet.cli import output
    from linnet.cli.consequences import document
    from linnet.install.apply import summary

    installed = planned.installed
    if form:
        plan: dict[str, Any] = {
            "revision": planned.plane.revision_name,
            "version": planned.plane.pilot_tag,
            "comparedWith": planned.against,
            "differences": document(planned.sections),
            "changes": [
                {
                    "object": change.what,
                    "outcome": str(change.outcome),
                    **({"note": change.note} if change.note else {}),
                }
                for change in installed.changes
            ],
            "becomesDefault": installed.became_default,
            "notes": list(installed.notes),
            "refused": planned.refusals,
            "warnings": planned.doubts,
        }
        print(output.dump(plan, form))
    else:
        for line in (*planned.told(everything=True), *planned.actions()):
            print(line)
        for note in installed.notes:
            print(f"  {note}")
        if installed.became_default:
            print("It would become the default for injection and validation.")
        print(f"Not applied because of dry run: {summary(installed.changes)}.")
    if not form:
        _heed(planned, allow_skew=allow_skew)
    elif planned.refusals and not allow_skew:
        raise SystemExit(FAILED)
