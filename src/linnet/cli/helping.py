"""`help COMMAND`, `options`, `experimental config list`: what the command line says about itself."""

import os

import click

from linnet.cli import defaults, options, output


@click.command("help", add_help_option=False)
@click.argument("words", nargs=-1, metavar="[COMMAND]...")
@click.pass_context
def help_(ctx: click.Context, words: tuple[str, ...]) -> None:
    """Explain a command, as COMMAND --help does."""
    root = ctx.find_root()
    root.command.main([*words, "--help"], prog_name=root.info_name, standalone_mode=False)


@click.command(
    "options",
    epilog="""\b
Example:
  linnet options""",
)
@click.pass_context
def options_(ctx: click.Context) -> None:
    """List the flags that every command takes."""
    click.echo("Every command takes these, before or after its name:")
    formatter = ctx.make_formatter()
    formatter.write_dl([record for option in options.shared() if (record := option.get_help_record(ctx))])
    click.echo(formatter.getvalue(), nl=False)


@click.group(
    epilog="""\b
Example:
  linnet x config list"""
)
def config() -> None:
    """See where defaults of flags come from: list."""


@config.command(
    "list",
    epilog="""\b
Examples:
  linnet x config list
  ISTIOCTL_ISTIONAMESPACE=mesh linnet x config list
  ISTIOCONFIG=mine.yaml linnet x config list -o json

A flag wins over the environment (ISTIOCTL_KEY), that over the file ($HOME/.istioctl/config.yaml, or the file
that ISTIOCONFIG names). Only istioNamespace has an effect here; the others are accepted.""",
)
@click.option("-o", "--output", "form", type=click.Choice(["table", "json", "yaml"]), default="table")
def list_(form: str) -> None:
    """Every key of the file with what holds for it, where from, and what it does."""
    found = defaults.load(os.environ).values()
    if form != "table":
        document = [
            {"flag": v.key.name, "value": v.text, "from": v.source, "effect": v.key.effect} for v in found
        ]
        print(output.dump(document, form))
        return
    rows = [(value.key.name, value.text, value.source, value.key.effect) for value in found]
    print(output.columns([("FLAG", "VALUE", "FROM", "EFFECT"), *rows]))
