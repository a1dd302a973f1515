"""`manifest generate`: the objects that install would apply, as YAML."""

from pathlib import Path

import click

from linnet.cli.request import described, request


@click.group()
def manifest() -> None:
    """Print the objects that install would apply."""


@manifest.command()
@described
@click.option("-o", "--output", metavar="DIR", help="Write one file per component instead of printing.")
@click.option(
    "--component",
    "wanted",
    multiple=True,
    metavar="NAME",
    help="Only Base, Pilot, IngressGateways, EgressGateways.",
)
@click.option("--without-default", is_flag=True, help="Leave out what makes the plane the default revision.")
@click.option("--force", is_flag=True, hidden=True, help="Accepted, of no effect.")
def generate(
    filenames: tuple[str, ...],
    sets: tuple[str, ...],
    revision: str | None,
    manifests: str | None,  # noqa: ARG001
    output: str | None,
    wanted: tuple[str, ...],
    without_default: bool,
    force: bool,  # noqa: ARG001
) -> None:
    """Print the objects that install would apply to an empty cluster, in order."""
    from linnet.install.documents import dump_all
    from linnet.install.render import Component, components, default_objects, namespace
    from linnet.objects.crd import definitions

    plane = request(filenames, sets, revision).plane
    found = list(components(plane, definitions()))
    if not without_default and plane.enabled("pilot"):
        found.append(Component("Default", tuple(default_objects(plane))))
    found = [component for component in found if not wanted or component.name in wanted]
    if output:
        Path(output).mkdir(parents=True, exist_ok=True)
        for index, component in enumerate(found):
            (Path(output) / f"{index}-{component.name}.yaml").write_text(dump_all(component.objects))
        return
    first = [] if wanted else [namespace(plane)]
    click.echo(dump_all([*first, *(obj for component in found for obj in component.objects)]), nl=False)
