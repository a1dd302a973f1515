"""`uninstall` (and `x uninstall`): remove one revision, or everything."""

from typing import TYPE_CHECKING

import click
from msgspec import Struct
from msgspec.structs import replace

from linnet.cli import complete, notes, options
from linnet.cli.faults import FAILED, UserError
from linnet.cli.request import described, request
from linnet.cli.terminal import Progress, choose, confirm, warn

if TYPE_CHECKING:
    from collections.abc import Sequence

    from linnet.kube.client import Client
    from linnet.upgrade.health import Dangling
    from linnet.upgrade.look import Seen
    from linnet.upgrade.retire import Retirement
    from linnet.upgrade.users import User

LISTED = 30  # names that are shown


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
    "--new-default",
    default="",
    metavar="REV",
    shell_complete=complete.revisions,
    help="Who becomes the default, when it is not clear.",
)
@click.option(
    "--gateways-to",
    default="",
    metavar="REV",
    shell_complete=complete.revisions,
    help="Who takes the gateways, when it is not clear.",
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
        from linnet.cli.purge import purge as purged

        left = options.run(purged(plane.namespace, ask=ask, dry_run=dry_run, seconds=seconds))
        if left is not None:
            _complete(left)
        return
    options.run(
        _remove(
            Asked(
                namespace=plane.namespace,
                revision=plane.revision_name,
                ask=ask,
                force=force,
                dry_run=dry_run,
                verbose=verbose,
                new_default=new_default,
                gateways_to=gateways_to,
                seconds=seconds,
            )
        )
    )


def _names_revision(text: str) -> bool:
    return text.partition("=")[0].strip() in ("revision", "values.revision")


class Asked(Struct, frozen=True):
    """What the command line says about removing one revision."""

    namespace: str
    revision: str
    ask: bool
    force: bool
    dry_run: bool
    verbose: bool
    new_default: str
    gateways_to: str
    seconds: float


async def _remove(asked: Asked) -> None:
    from linnet.install.apply import ApplyError
    from linnet.install.lock import exclusive
    from linnet.install.marks import MANAGER
    from linnet.install.recording import recorded
    from linnet.upgrade.interrupted import completed
    from linnet.upgrade.look import look
    from linnet.upgrade.retire import carry_out
    from linnet.upgrade.retirement import NoSuchRevision, RetireError

    async with options.client(manager=MANAGER) as client:
        try:
            seen = await look(client, asked.namespace)
            purpose = f"uninstall revision {asked.revision}"
            try:
                made, asked = _planned(seen, asked)
            except NoSuchRevision:
                if not await completed(client, asked.namespace, purpose):
                    raise
                await _acknowledge(client, asked, purpose)
                return
            _refuse_users(made, asked)
            for line in _announcement(made, asked):
                print(line)
            await _notes(client, seen, asked)
            if asked.dry_run:
                print("Nothing was removed because of dry run.")
                return
            if asked.ask and (reason := _doubt(made)) and not confirm(f"{reason} Proceed? (y/N)"):
                print("Cancelled.")
                raise SystemExit(FAILED)
            progress = Progress()
            async with exclusive(client, asked.namespace, purpose, waiting=progress.working):
                seen = await look(client, asked.namespace)  # nobody changes it from now on
                anew, _ = _planned(seen, asked)
                _refuse_users(anew, asked, told=made.users)
                _refuse_change(made, anew)
                async with recorded(client, asked.namespace, purpose, warn=warn):
                    left = await carry_out(client, seen, anew.plan, seconds=asked.seconds, report=progress)
        except (RetireError, ApplyError) as error:
            raise UserError(str(error)) from error
    _complete(left)


async def _acknowledge(client: "Client", asked: Asked, purpose: str) -> None:
    """The same command died after its last write: write that down, unless nothing may be written."""
    from linnet.install.lock import exclusive
    from linnet.install.recording import recorded

    if not asked.dry_run:
        async with (
            exclusive(client, asked.namespace, purpose, waiting=print),
            recorded(client, asked.namespace, purpose, warn=warn),
        ):
            pass
    print(f"Nothing of revision {asked.revision} is left: an interrupted uninstall had removed all of it.")
    print("✔ Uninstall complete")


def _planned(seen: "Seen", asked: Asked) -> "tuple[Retirement, Asked]":
    """The plan; asks who takes the gateways where that is open, and keeps the answer."""
    from linnet.upgrade.retire import prepare
    from linnet.upgrade.retirement import SeveralTakers

    def made(gateways_to: str) -> "Retirement":
        return prepare(
            seen,
            asked.revision,
            new_default=asked.new_default,
            gateways_to=gateways_to,
            force=asked.force,
        )

    try:
        return made(asked.gateways_to), asked
    except SeveralTakers as open_question:
        if not asked.ask:
            raise
        names = ", ".join(map(str, open_question.gateways))
        taker = choose(
            f"Revision {asked.revision} serves the gateways {names}. Who takes them?",
            open_question.candidates,
        )
        if not taker:
            print("Cancelled.")
            raise SystemExit(FAILED) from None
        return made(taker), replace(asked, gateways_to=taker)


def _refuse_users(made: "Retirement", asked: Asked, *, told: "Sequence[User] | None" = None) -> None:
    """Say who still uses the revision; refuse unless forced. `told`: those that were said already."""
    from linnet.cli import in_use

    found = made.users
    if not found or (asked.force and told is not None):
        return
    revision = made.plan.revision
    lines = in_use.lines(revision, found)
    if asked.force:
        print("\n".join(lines))
        return
    remedies = list(dict.fromkeys(user.remedy for user in found if user.remedy))[:3]
    lines.append("Move them first (" + "; ".join(remedies) + "), or remove the revision anyway with --force")
    raise UserError(f"revision {revision} is still in use\n" + "\n".join(lines))


def _refuse_change(before: "Retirement", now: "Retirement") -> None:
    """What was announced is the most that is done: something may have come to its end meanwhile, no more."""
    was, is_ = before.plan, now.plan
    gateways = {str(gateway) for gateway in (*was.gateways, *was.restarts)}
    more = {str(gateway) for gateway in (*is_.gateways, *is_.restarts)} - gateways
    elsewhere = bool(is_.gateways) and is_.gateways_to != was.gateways_to
    if more or elsewhere or (is_.heir, is_.drops_default) != (was.heir, was.drops_default):
        raise UserError("the cluster changed meanwhile, so that something else would happen; run it again")


def _announcement(made: "Retirement", asked: Asked) -> list[str]:
    from linnet.upgrade.retire import shown

    plan = made.plan
    lines = []
    if plan.gateways_to:
        names = ", ".join(shown(gateway, asked.namespace) for gateway in plan.gateways)
        lines.append(f"Gateways {names} move to revision {plan.gateways_to}.")
    if plan.heir:
        lines.append(f"Revision {plan.heir} becomes the default for injection and validation.")
    if plan.drops_default:
        lines.append(
            "No other revision is left: the default tag and the default validator are removed first."
        )
    if plan.restarts:
        lines.append(f"Gateways {', '.join(map(str, plan.restarts))} are restarted.")
    lines += [f"{item.kind.name} {item.name} goes too: it would call nobody." for item in plan.callers]
    if not plan.items:
        lines.append("No resources will be pruned: nothing of this revision is left.")
    if asked.dry_run:
        lines += [f"  Not pruning object {item} because of dry run." for item in plan.items]
    elif asked.verbose:
        lines += [f"  {item}" for item in plan.items]
    return lines


async def _notes(client: "Client", seen: "Seen", asked: Asked) -> None:
    """What is not in the way and still worth a word."""
    from linnet.upgrade.injection import unknown
    from linnet.upgrade.orphans import naming

    if found := await naming(client, [asked.revision]):
        more = f" and {len(found) - LISTED} more" if len(found) > LISTED else ""
        names = ", ".join(found[:LISTED]) + more
        print(f"Note: no other revision reads what is labelled istio.io/rev={asked.revision}: {names}")
    for line in notes.unknown_namespaces(unknown(seen.observed.injectors, seen.observed.namespaces)):
        print(line)


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
            f"You are about to remove the following gateways: {', '.join(map(str, plan.gateways))}. "
            "To keep them, quit and install another revision first."
        )
    return ""


def _complete(left: "Sequence[Dangling]") -> None:
    """The last line, and what the check afterwards found."""
    print("✔ Uninstall complete")
    if left:
        told = "\n".join(f"  {entry}" for entry in left)
        raise UserError(
            f"webhooks are left that call nobody\n{told}\n"
            "Delete them (kubectl delete mutatingwebhookconfiguration|validatingwebhookconfiguration NAME), "
            "or install what they call"
        )
