"""`tag` (and `x revision tag`): movable aliases of revisions."""

import sys
from typing import TYPE_CHECKING, TypeVar

import click

from linnet.cli import complete, notes, options, output
from linnet.cli.faults import UserError
from linnet.cli.terminal import Progress, confirm, warn

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence
    from typing import Any

    from linnet.install.tags import Planned, Tag, Wish
    from linnet.upgrade.look import Seen

T = TypeVar("T")
F = TypeVar("F", bound="Callable[..., Any]")
ALIASES = {"show": "list", "delete": "remove"}


class Aliased(click.Group):
    """A group whose commands have second names."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of either name."""
        return super().get_command(ctx, ALIASES.get(cmd_name, cmd_name))


@click.group(cls=Aliased)
def tag() -> None:
    """Name revisions by aliases that can be moved: list, set, generate, remove.

    Namespaces say istio.io/rev=TAG; moving the tag and restarting them moves them all. The tag `default`
    serves what names no revision.
    """


@tag.command(
    "list",
    epilog="""\b
Examples:
  linnet tag list
  linnet tag list -o json""",
)
@click.option("-o", "--output", "form", type=click.Choice(["table", "json", "yaml"]), default="table")
def list_tags(form: str) -> None:
    """Tags, their revisions, and the namespaces that use them (`tag show` is the same)."""
    found, unknown = _run(_listed())
    shown = [{"tag": row.tag, "revision": row.revision, "namespaces": list(row.namespaces)} for row in found]
    if form != "table":
        print(output.dump(shown, form))
        return
    if not found:
        print("No Istio revision tags found.")
    else:
        table = [
            ("TAG", "REVISION", "NAMESPACES"),
            *((r.tag, r.revision, ",".join(r.namespaces)) for r in found),
        ]
        print(output.columns(table, gap=1))
    for line in notes.unknown_namespaces(unknown):
        print(line)


def described(command: F) -> F:
    """Add the flags of `set` and `generate`."""
    for option in (
        click.option("-d", "--manifests", "--charts", "manifests", hidden=True, expose_value=False),
        click.option(
            "--auto-inject-namespaces",
            "everywhere",
            is_flag=True,
            help="With `default`: also inject namespaces and pods that have no label.",
        ),
        click.option("--webhook-name", "webhook", default="", metavar="NAME", help="Another name for it."),
        click.option("-y", "--skip-confirmation", "yes", is_flag=True, help="Do not ask."),
        click.option("--overwrite", is_flag=True, help="Move a tag that exists."),
        click.option(
            "-r",
            "--revision",
            required=True,
            metavar="REV",
            shell_complete=complete.revisions,
            help="The revision that the tag names.",
        ),
    ):
        command = option(command)
    return command


@tag.command(
    "set",
    epilog="""\b
Examples:
  linnet tag set prod --revision 1-0-0
  kubectl label namespace shop istio.io/rev=prod
  linnet tag set prod --revision canary --overwrite
  linnet tag set default --revision canary --overwrite    injection and validation of what names nobody""",
)
@click.argument("name", metavar="TAG", shell_complete=complete.tags)
@described
def set_tag(name: str, revision: str, overwrite: bool, yes: bool, webhook: str, everywhere: bool) -> None:
    """Let a tag name a revision; workloads follow when they restart.

    The tag `default` moves as one step: when a part is refused, all is as it was.
    """
    wish = _wish(name, revision, overwrite=overwrite, webhook=webhook, everywhere=everywhere)
    if not _run(_set(wish, ask=not yes)):
        return
    print(
        f'Revision tag "{name}" created, referencing control plane revision "{revision}". '
        "To enable injection using this revision tag, use "
        f"'kubectl label namespace <NAMESPACE> istio.io/rev={name}'"
    )


@tag.command(
    epilog="""\b
Example:
  linnet tag generate prod --revision canary --overwrite | kubectl apply -f -"""
)
@click.argument("name", metavar="TAG", shell_complete=complete.tags)
@described
def generate(name: str, revision: str, overwrite: bool, yes: bool, webhook: str, everywhere: bool) -> None:
    """Print the objects that `tag set` would apply; change nothing."""
    from linnet.install.documents import dump_all

    del yes  # nothing is asked
    wish = _wish(name, revision, overwrite=overwrite, webhook=webhook, everywhere=everywhere)

    async def work() -> "Planned":
        from linnet.install.tags import planned

        async with options.client() as client:
            return await planned(client, wish)

    made = _run(work())
    for conflict in made.conflicts:
        print(f"Warning: {conflict}", file=sys.stderr)
    print(dump_all(made.objects), end="")


@tag.command(
    epilog="""\b
Example:
  linnet tag remove prod"""
)
@click.argument("name", metavar="TAG", shell_complete=complete.tags)
@click.option("-y", "--skip-confirmation", "yes", is_flag=True, help="Do not ask.")
def remove(name: str, yes: bool) -> None:
    """Delete a tag; asks when somebody still uses it (`tag delete` is the same)."""
    if _run(_remove(name, ask=not yes)):
        print(f"Revision tag {name} removed")


def _wish(name: str, revision: str, *, overwrite: bool, webhook: str, everywhere: bool) -> "Wish":
    from linnet.install.tags import Wish

    return Wish(
        name=name,
        revision=revision,
        namespace=options.current().istio_namespace,
        overwrite=overwrite,
        webhook=webhook,
        everywhere=everywhere,
    )


async def _set(wish: "Wish", *, ask: bool) -> bool:
    """Set it; False: declined."""
    from linnet.install.lock import exclusive
    from linnet.install.marks import MANAGER
    from linnet.install.recording import recorded
    from linnet.install.tags import planned, set_tag

    progress = Progress()
    async with options.client(manager=MANAGER) as client:
        ready = await planned(client, wish)
        if ready.conflicts:
            print("\n".join(ready.conflicts), file=sys.stderr)
            if ask and not confirm("Apply anyways? [y/N]"):
                return False
        purpose = f"tag set {wish.name} --revision {wish.revision}"
        async with exclusive(client, wish.namespace, purpose, waiting=progress.working) as waited:
            if waited:
                ready = await planned(client, wish)
            async with recorded(client, wish.namespace, purpose, warn=warn):
                await set_tag(client, wish, ready)
    return True


async def _remove(name: str, *, ask: bool) -> bool:
    """Remove it; False: declined."""
    from linnet.install.lock import exclusive
    from linnet.install.marks import MANAGER
    from linnet.install.recording import recorded
    from linnet.install.tags import remove_tag
    from linnet.upgrade.look import look

    progress, namespace = Progress(), options.current().istio_namespace
    async with options.client(manager=MANAGER) as client:
        if ask:
            seen = await look(client, namespace, streams=False)
            lines = _caution(seen, name)
            print("\n".join(lines), end="\n" if lines else "")
            if lines and not confirm("Proceed with operation? [y/N]"):
                print("Aborting operation.")
                return False
        purpose = f"tag remove {name}"
        async with (
            exclusive(client, namespace, purpose, waiting=progress.working),
            recorded(client, namespace, purpose, warn=warn),
        ):
            await remove_tag(client, name, namespace)
    return True


def _caution(seen: "Seen", name: str) -> list[str]:
    """Who would get no proxy at the next start without the tag."""
    from linnet.install.tags import rows
    from linnet.upgrade.tag_users import templates_of

    found = rows(seen.observed.injectors, seen.observed.namespaces)
    spaces = next((row.namespaces for row in found if row.tag == name), ())
    templates = templates_of(seen.observed, name)
    lines = []
    if spaces:
        lines.append(
            f'Caution, found {len(spaces)} namespace(s) still injected by tag "{name}": {", ".join(spaces)}'
        )
    if templates:
        lines.append(
            f'Caution, found {len(templates)} workload(s) still injected by tag "{name}": '
            f"{', '.join(templates)}"
        )
    return lines


async def _listed() -> "tuple[list[Tag], Sequence[tuple[str, str]]]":
    from linnet.install.tags import rows
    from linnet.kube.kinds import MUTATING_WEBHOOK, NAMESPACE
    from linnet.upgrade.injection import unknown

    async with options.client() as client:
        hooks = (await client.list(MUTATING_WEBHOOK)).items
        namespaces = (await client.list(NAMESPACE)).items
    return rows(hooks, namespaces), unknown(hooks, namespaces)


def _run(work: "Coroutine[Any, Any, T]") -> T:
    from linnet.install.apply import ApplyError
    from linnet.install.tags import TagError

    try:
        return options.run(work)
    except (TagError, ApplyError) as error:
        raise UserError(str(error)) from error
