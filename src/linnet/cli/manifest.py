"""`manifest generate`: the objects that install would apply, as YAML."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from linnet.cli import groups, options
from linnet.cli.install import install
from linnet.cli.request import described, request

if TYPE_CHECKING:
    from linnet.install.plane import Plane


class _Manifest(groups.Group):
    aliases = groups.names(apply="install")


@click.group(
    cls=_Manifest,
    epilog="""\b
Example:
  linnet manifest generate --set revision=canary | kubectl apply --server-side -f -""",
)
@click.option("--dry-run", is_flag=True, hidden=True, expose_value=False)
def manifest() -> None:
    """Print the objects that install would apply."""


manifest.add_command(install)


@manifest.command(
    epilog="""\b
Examples:
  linnet manifest generate > mesh.yaml                     the default profile, first on its cluster
  linnet manifest generate --set revision=canary           a further revision: without the default
  linnet manifest generate --set revision=1-0-0 --with-default
                                                           a revision that is the first on its cluster
  linnet manifest generate --set revision=canary --cluster-specific
                                                           the cluster says who is the default
  linnet manifest generate --component IngressGateways -o out/

Applied with kubectl, the objects are those of install, with the same labels. What kubectl does not do: wait,
prove injection and validation by dry run, compare with what runs, check versions, hand gateways over one
pod at a time. linnet verify-install does the proof afterwards."""
)
@described
@click.option("-o", "--output", metavar="DIR", help="Write one file per component instead of printing.")
@click.option(
    "--component",
    "wanted",
    multiple=True,
    metavar="NAME",
    help="Only Base, Pilot, IngressGateways, EgressGateways, Default.",
)
@click.option(
    "--with-default/--without-default",
    "with_default",
    default=None,
    help="With what makes the plane the default, or without (default: with it, unless it has a name).",
)
@click.option("--cluster-specific", is_flag=True, help="Ask the cluster whether the plane is its default.")
@click.option("--force", is_flag=True, hidden=True, help="Accepted, of no effect.")
@click.option("--dry-run", is_flag=True, hidden=True, expose_value=False)
def generate(
    filenames: tuple[str, ...],
    sets: tuple[str, ...],
    revision: str | None,
    manifests: str | None,  # noqa: ARG001
    output: str | None,
    wanted: tuple[str, ...],
    with_default: bool | None,
    cluster_specific: bool,
    force: bool,  # noqa: ARG001
) -> None:
    """Print the objects that install would apply, in order."""
    from linnet.install.documents import dump_all
    from linnet.install.render import Component, components, default_objects, namespace
    from linnet.objects.crd import definitions

    plane = request(filenames, sets, revision).plane
    default = with_default
    if default is None:
        default = options.run(_is_default(plane)) if cluster_specific else not plane.revision
    found = list(components(plane, definitions(), active=bool(plane.revision) or not default))
    if default and plane.enabled("pilot"):
        found.append(Component("Default", tuple(default_objects(plane))))
    elif with_default is None and not cluster_specific and plane.enabled("pilot"):
        print(
            f"Note: this does not make {plane.revision_name} the default revision: --with-default does, "
            "for the first one on a cluster",
            file=sys.stderr,
        )
    found = [component for component in found if not wanted or component.name in wanted]
    if output:
        Path(output).mkdir(parents=True, exist_ok=True)
        for index, component in enumerate(found):
            (Path(output) / f"{index}-{component.name}.yaml").write_text(dump_all(component.objects))
        return
    first = [] if wanted else [namespace(plane)]
    click.echo(dump_all([*first, *(obj for component in found for obj in component.objects)]), nl=False)


async def _is_default(plane: "Plane") -> bool:
    """Whether the plane is the default of the cluster, or nobody is."""
    from linnet.install.default import current_default

    async with options.client() as client:
        held = await current_default(client, plane.namespace)
    return held is None or held.dangling or held.revision == plane.revision_name
