"""The table of commands: each is imported only when it is called, so that `--help` stays quick."""

import sys
from importlib import import_module
from pathlib import Path

import click

from linnet.cli.faults import explain

COMMANDS: dict[str, tuple[str, str]] = {
    # name: (module:function, first line of its help)
    "local": (
        "linnet.cli.local:local",
        "The embedded one-machine cluster: up, down, status, env, logs, images.",
    ),
}
HIDDEN = frozenset({"discovery", "proxy", "pilot-agent"})


class LazyGroup(click.Group):
    """A group whose commands are rows of `COMMANDS`; nothing is imported to list them."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            return None
        module, _, function = COMMANDS[cmd_name][0].partition(":")
        command = getattr(import_module(module), function)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name][1]) for name in sorted(COMMANDS) if name not in HIDDEN])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
def linnet() -> None:
    """Install, run, observe and upgrade a service mesh, one revision beside another."""


def main() -> None:
    """Run the command line under the name by which it was called (`linnet` or `istioctl`)."""
    name = Path(sys.argv[0]).name
    with explain():
        linnet(prog_name="istioctl" if name == "istioctl" else "linnet")


if __name__ == "__main__":
    main()
