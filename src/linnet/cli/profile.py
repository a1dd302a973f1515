"""`profile list`, `profile dump`, `profile diff`: the built-in profiles."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from linnet.cli import output
from linnet.cli.faults import FAILED, UserError
from linnet.cli.request import read


@click.group(
    epilog="""\b
Examples:
  linnet profile list
  linnet profile dump demo > mesh.yaml         begin a file of your own with it
  linnet profile diff default demo
  linnet profile diff default mesh.yaml        also against a file"""
)
def profile() -> None:
    """List, show and compare profiles: what an installation begins with."""


@profile.command(
    "list",
    epilog="""\b
Examples:
  linnet profile list
  linnet profile list -o json""",
)
@click.option("-o", "--output", "form", type=click.Choice(["json", "yaml"]), default=None)
def list_profiles(form: str | None) -> None:
    """The names of the built-in profiles."""
    from linnet.install.operator import profile_names

    if form:
        click.echo(output.dump(profile_names(), form))
        return
    click.echo("Istio configuration profiles:")
    for name in profile_names():
        click.echo(f"    {name}")


@profile.command(
    epilog="""\b
Examples:
  linnet profile dump                          the default profile
  linnet profile dump demo -p components.pilot
  linnet profile dump demo -o flags            as --set takes them
  linnet profile dump -f mesh.yaml             a file's profile with the file on top"""
)
@click.argument("name", required=False)
@click.option("-f", "--filename", "filenames", multiple=True, metavar="FILE", help="An IstioOperator file.")
@click.option("-p", "--config-path", "path", default="", metavar="PATH", help="Only what is below this path.")
@click.option("-o", "--output", "form", type=click.Choice(["yaml", "json", "flags"]), default="yaml")
def dump(name: str | None, filenames: tuple[str, ...], path: str, form: str) -> None:
    """What a profile says."""
    from linnet.install import documents
    from linnet.install.operator import InputError, profile_text
    from linnet.install.tree import lookup

    if name and filenames:
        raise UserError("give either the name of a profile or --filename, not both")
    try:
        text = profile_text(name or "default")
        document = _with_files(filenames) if filenames else documents.load(text, "profile")[0]
    except InputError as error:
        raise UserError(str(error)) from error
    if not filenames and not path and form == "yaml":
        click.echo(text, nl=False)  # comments included
        return
    held = lookup(document["spec"], path.removeprefix("spec.")) if path else document
    if held is None:
        raise UserError(f"--config-path {path}: the profile says nothing there")
    if form == "flags":
        prefix = path.removeprefix("spec.") if path else ""
        for line in _flags(held if path else document["spec"], prefix):
            click.echo(line)
    elif form == "json":
        click.echo(output.dump(held, "json"))
    else:
        click.echo(documents.dump(held), nl=False)


def _with_files(filenames: tuple[str, ...]) -> dict[str, Any]:
    """The IstioOperator that files describe, their profile below them."""
    from linnet.cli.request import described_by
    from linnet.install.operator import API_VERSION, KIND

    spec = described_by(read(filenames), (), None).plane.spec
    return {"apiVersion": API_VERSION, "kind": KIND, "spec": dict(spec)}


def _flags(value: Any, path: str) -> Iterator[str]:
    """`path=value` for each leaf."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            key = str(key).replace(".", r"\.")
            yield from _flags(inner, f"{path}.{key}" if path else key)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _flags(inner, f"{path}[{index}]")
    else:
        text = {True: "true", False: "false"}.get(value, value) if isinstance(value, bool) else value
        yield f"{path}={text}"


@profile.command(
    epilog="""\b
Examples:
  linnet profile diff default demo
  linnet profile diff default mesh.yaml
Exit code 0: they are the same; 1: they differ."""
)
@click.argument("first")
@click.argument("second")
@click.option("-o", "--output", "form", type=click.Choice(["json", "yaml"]), default=None)
def diff(first: str, second: str, form: str | None) -> None:
    """What differs between two profiles, by name or by file."""
    from linnet.install.difference import differences

    found = differences(_spec(first), _spec(second))
    if form:
        click.echo(output.dump([{"path": d.path, "old": d.old, "new": d.new} for d in found], form))
    elif found:
        click.echo("The difference between profiles:")
        for difference in found:
            click.echo(f"  {difference}")
    else:
        click.echo("Profiles are identical")
    if found:
        raise SystemExit(FAILED)


def _spec(name: str) -> dict[str, Any]:
    """What a profile, or the file of that name, says."""
    from linnet.install import documents
    from linnet.install.operator import InputError, profile_names, profile_text

    try:
        if name in profile_names() or not Path(name).exists():
            text = profile_text(name)
        else:
            text = read([name])[0][1]
        found = documents.load(text, name)
    except (InputError, documents.DocumentError) as error:
        raise UserError(str(error)) from error
    spec = found[0].get("spec") if len(found) == 1 else None
    if not isinstance(spec, dict):
        raise UserError(f"{name}: expected one IstioOperator document with a spec")
    return spec
