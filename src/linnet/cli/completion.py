"""`completion SHELL`: the script that teaches a shell this program's commands and flags."""

import click
from click.shell_completion import get_completion_class


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.option("--no-descriptions", is_flag=True, hidden=True, expose_value=False)
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the completion script of a shell; for example: source <(linnet completion bash)."""
    name = ctx.find_root().info_name or "linnet"
    maker = get_completion_class(shell)
    assert maker is not None
    click.echo(maker(ctx.find_root().command, {}, name, f"_{name.upper()}_COMPLETE").source())
