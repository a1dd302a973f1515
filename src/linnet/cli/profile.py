"""`profile list` and `profile dump`: the built-in profiles."""

import click

from linnet.cli.faults import UserError


@click.group()
def profile() -> None:
    """List and show the built-in profiles."""


@profile.command("list")
def list_profiles() -> None:
    """The names of the built-in profiles."""
    from linnet.install.operator import profile_names

    print("Istio configuration profiles:")
    for name in profile_names():
        print(f"    {name}")


@profile.command()
@click.argument("name", default="default")
def dump(name: str) -> None:
    """The YAML of a profile."""
    from linnet.install.operator import InputError, profile_text

    try:
        print(profile_text(name), end="")
    except InputError as error:
        raise UserError(str(error)) from error
