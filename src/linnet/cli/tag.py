"""`tag`: movable aliases of revisions."""

import json
from typing import TYPE_CHECKING, TypeVar

import click

from linnet.cli import options
from linnet.cli.faults import UserError
from linnet.cli.terminal import confirm

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from typing import Any

    from linnet.install.tags import Tag

T = TypeVar("T")


@click.group()
def tag() -> None:
    """Name revisions by aliases that can be moved: list, set, generate, remove."""


@tag.command("list")
@click.option("-o", "--output", type=click.Choice(["table", "json", "yaml"]), default="table")
def list_tags(output: str) -> None:
    """Tags, their revisions, and the namespaces that use them."""
    found = _run(_listed())
    shown = [{"tag": row.tag, "revision": row.revision, "namespaces": list(row.namespaces)} for row in found]
    if output == "json":
        print(json.dumps(shown, indent=2))
    elif output == "yaml":
        from linnet.install.documents import dump

        print(dump(shown), end="")
    elif not found:
        print("No Istio revision tags found.")
    else:
        table = [
            ("TAG", "REVISION", "NAMESPACES"),
            *((r.tag, r.revision, ",".join(r.namespaces)) for r in found),
        ]
        widths = [max(len(row[column]) for row in table) + 1 for column in range(2)]
        for row in table:
            print(f"{row[0]:{widths[0]}}{row[1]:{widths[1]}}{row[2]}".rstrip())


@tag.command("set")
@click.argument("name")
@click.option("-r", "--revision", required=True, help="The revision that the tag names.")
@click.option("--overwrite", is_flag=True, help="Move a tag that exists.")
@click.option("-y", "--skip-confirmation", is_flag=True, hidden=True, help="Accepted, of no effect.")
def set_tag(name: str, revision: str, overwrite: bool, skip_confirmation: bool) -> None:  # noqa: ARG001
    """Let a tag name a revision; workloads follow when they restart."""
    from linnet.install import tags

    async def work() -> None:
        async with options.client() as client:
            await tags.set_tag(client, name, revision, options.current().istio_namespace, overwrite=overwrite)

    _run(work())
    print(
        f'Revision tag "{name}" created, referencing control plane revision "{revision}". '
        "To enable injection using this revision tag, use "
        f"'kubectl label namespace <NAMESPACE> istio.io/rev={name}'"
    )


@tag.command()
@click.argument("name")
@click.option("-r", "--revision", required=True, help="The revision that the tag names.")
@click.option("--overwrite", is_flag=True, help="Although the tag exists.")
def generate(name: str, revision: str, overwrite: bool) -> None:
    """Print what `tag set` would apply."""
    from linnet.install import tags
    from linnet.install.documents import dump

    async def work() -> dict[str, object]:
        async with options.client() as client:
            namespace = options.current().istio_namespace
            return await tags.planned(client, name, revision, namespace, overwrite=overwrite)

    print(dump(_run(work())), end="")


@tag.command()
@click.argument("name")
@click.option("-y", "--skip-confirmation", "yes", is_flag=True, help="Do not ask.")
def remove(name: str, yes: bool) -> None:
    """Delete a tag; asks when namespaces still use it."""
    from linnet.install import tags

    used = next((row.namespaces for row in _run(_listed()) if row.tag == name), ())
    if used and not yes:
        print(f'Caution, found {len(used)} namespace(s) still injected by tag "{name}": {", ".join(used)}')
        if not confirm("Proceed with operation? [y/N]"):
            print("Aborting operation.")
            return

    async def work() -> None:
        async with options.client() as client:
            await tags.remove_tag(client, name, options.current().istio_namespace)

    _run(work())
    print(f"Revision tag {name} removed")


async def _listed() -> "list[Tag]":
    from linnet.install import tags

    async with options.client() as client:
        return await tags.listed(client)


def _run(work: "Coroutine[Any, Any, T]") -> T:
    from linnet.install.apply import ApplyError
    from linnet.install.tags import TagError

    try:
        return options.run(work)
    except (TagError, ApplyError) as error:
        raise UserError(str(error)) from error
