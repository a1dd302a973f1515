"""`uninstall` (and `x uninstall`): remove one revision, or everything."""

from typing import TYPE_CHECKING

import click

from linnet.cli import options
from linnet.cli.faults import FAILED, UserError
from linnet.cli.request import described, request
from linnet.cli.terminal import Progress, confirm

if TYPE_CHECKING:
    from linnet.upgrade.retire import Retirement

LISTED = 30  # names of users that are shown


@click.command(
    epilog="""\b
Examples:
  linnet uninstall --revision 1-0-0
  linnet uninstall -f manifests/profiles/default.yaml    the plane without a revision
  linnet uninstall --purge                               everything, CRDs included"""
)
@described
@click.option(
    "--purge", is_flag=True, help="Remove every revision, all CRDs and with them all Istio objects."
)
@click.option("-y", "--skip-confirmation", "yes", is_flag=True, help="Do not ask.")
@click.option("--force", is_flag=True, help="Remove it although it is in use.")
@click.option("--dry-run", is_flag=True, help="Say what would happen; change nothing.")
@click.option("-v", "--verbose", is_flag=True, help="List the objects before they are removed.")
@click.option(
    "--new-default", default="", metavar="REV", help="Who becomes the default, when it is not clear."
)
@click.option(
    "--gateways-to", default="", metavar="REV", help="Who takes the gateways, when it is not clear."
)
@click.option(
    "--readiness-timeout",
    "seconds",
    type=options.Duration(),
    default=300.0,
    metavar="DURATION",
    help="How long each step may take (5m0s).",
)
def uninstall(
    filenames: tuple[str, ...],
    sets: tuple[str, ...],
    revision: str | None,
    manifests: str | None,  # noqa: ARG001
    purge: bool,
    yes: bool,
    force: bool,
    dry_run: bool,
    verbose: bool,
    new_default: str,
    gateways_to: str,
    seconds: float,
) -> None:
    """Remove one revision and nothing that others need.

    Gateways are handed to the revision that stays, the default moves, then webhooks and Deployments go.
    A revision that pods, namespaces, tags or webhooks still use is refused. The same command completes one
    that was interrupted.
    """
    named = revision is not None or bool(filenames) or any(_names_revision(text) for text in sets)
    if not purge and not named:
        raise UserError("say what to remove: --revision REV, --filename FILE, or --purge for everything")
    if purge and named:
        print("⚠ --purge removes everything: --revision, --filename and --set are ignored")
    plane = request((), (), None).plane if purge else request(filenames, sets, revision).plane
    ask = not yes and not dry_run
    if purge:
        options.run(_purge(plane.namespace, ask=ask, dry_run=dry_run, seconds=seconds))
        return
    options.run(
        _remove(
            plane.namespace,
            plane.revision_name,
            ask=ask,
            force=force,
            dry_run=dry_run,
            verbose=verbose,
            new_default=new_default,
            gateways_to=gateways_to,
            seconds=seconds,
        )
    )


def _names_revision(text: str) -> bool:
    return text.partition("=")[0].strip() in ("revision", "values.revision")


async def _remove(
    namespace: str,
    revision: str,
    *,
    ask: bool,
    force: bool,
    dry_run: bool,
    verbose: bool,
    new_default: str,
    gateways_to: str,
    seconds: float,
) -> None:
    from linnet.install.apply import ApplyError
    from linnet.install.marks import MANAGER
    from linnet.upgrade.retire import carry_out, look, prepare
    from linnet.upgrade.retirement import RetireError

    async with options.client(manager=MANAGER) as client:
        try:
            seen = await look(client, namespace)
            made = prepare(seen, revision, new_default=new_default, gateways_to=gateways_to)
            _refuse_users(made, force=force)
            for line in _announcement(made, verbose=verbose or dry_run):
                print(line)
            if dry_run:
                print("Nothing was removed because of dry run.")
                return
            if ask and (reason := _doubt(made)) and not confirm(f"{reason} Proceed? (y/N)"):
                print("Cancelled.")
                raise SystemExit(FAILED)
            await carry_out(client, seen, made.plan, seconds=seconds, report=Progress())
        except (RetireError, ApplyError) as error:
            raise UserError(str(error)) from error
    print("✔ Uninstall complete")


def _refuse_users(made: "Retirement", *, force: bool) -> None:
    """Say who still uses the revision; refuse unless forced."""
    found = made.users
    if not found:
        return
    revision = made.plan.revision
    proxies = [user for user in found if user.kind in ("pod", "proxy")]
    lines = []
    if proxies:
        lines.append(
            f"There are still {len(proxies)} proxies pointing to the control plane revision {revision}"
        )
    lines += [f"  {user.kind} {user.name}: {user.why}" for user in found[:LISTED]]
    if len(found) > LISTED:
        lines.append(f"  … and {len(found) - LISTED} more")
    remedies = list(dict.fromkeys(user.remedy for user in found if user.remedy))[:3]
    if force:
        print("\n".join(lines))
        return
    lines.append("Move them first (" + "; ".join(remedies) + "), or remove the revision anyway with --force")
    raise UserError(f"revision {revision} is still in use\n" + "\n".join(lines))


def _announcement(made: "Retirement", *, verbose: bool) -> list[str]:
    plan = made.plan
    lines = []
    if plan.gateways_to:
        lines.append(f"Gateways {', '.join(plan.gateways)} move to revision {plan.gateways_to}.")
    if plan.heir:
        lines.append(f"Revision {plan.heir} becomes the default for injection and validation.")
    if plan.drops_default:
        lines.append(
            "No other revision is left: the default tag and the default validator are removed first."
        )
    if not plan.removed:
        lines.append("No resources will be pruned: nothing of this revision is left.")
    if verbose:
        lines += [f"  {item}" for item in plan.removed]
    return lines


def _doubt(made: "Retirement") -> str:
    """What needs a confirmation; empty: nothing does."""
    plan = made.plan
    if made.users:
        return "Proxies without their control plane keep their last configuration and malfunction in time."
    if not made.reached:
        return (
            f"Unable to find out which proxies are connected to revision {plan.revision}: "
            "its control plane cannot be reached."
        )
    if plan.removes_gateways:
        return (
            f"You are about to remove the following gateways: {', '.join(plan.gateways)}. "
            "To keep them, quit and install another revision first."
        )
    return ""


async def _purge(namespace: str, *, ask: bool, dry_run: bool, seconds: float) -> None:
    from linnet.install.marks import MANAGER
    from linnet.upgrade.retire import look, remove
    from linnet.upgrade.retirement import everything

    async with options.client(manager=MANAGER) as client:
        seen = await look(client, namespace)
        items = everything(seen.objects)
        print("All Istio resources will be pruned from the cluster")
        if dry_run:
            for item in items:
                print(f"  Not pruning object {item} because of dry run.")
            return
        if ask and not confirm("Proceed? (y/N)"):
            print("Cancelled.")
            raise SystemExit(FAILED)
        await remove(client, items, "", seconds=seconds, report=Progress())
    print("✔ Uninstall complete")
