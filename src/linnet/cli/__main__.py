"""The table of commands: each is imported only when it is called, so that `--help` stays quick."""

import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import click

from linnet.cli import groups, options
from linnet.cli.faults import INTERRUPTED, USAGE, UserError, explain, unread

COMMANDS: dict[str, tuple[str, str]] = {
    # name: (module:function, first line of its help)
    "admin": ("linnet.cli.admin:admin", "See and change how much istiods log."),
    "completion": ("linnet.cli.completion:completion", "Print the completion script of a shell."),
    "experimental": ("linnet.cli.__main__:experimental", "Commands under their earlier names: x uninstall."),
    "describe": ("linnet.cli.describe:describe", "Say what the mesh does with a pod."),
    "gateway": ("linnet.cli.gateway:gateway", "See which revision serves gateways, and move them."),
    "help": ("linnet.cli.helping:help_", "Explain a command, as COMMAND --help does."),
    "install": ("linnet.cli.install:install", "Install a control plane, or a further revision beside it."),
    "kube-inject": ("linnet.cli.kube_inject:kube_inject", "Write proxies into the templates of a file."),
    "kubectl": (
        "linnet.cli.kubectl.command:kubectl",
        "A thin client of the cluster where there is no kubectl.",
    ),
    "local": (
        "linnet.cli.local:local",
        "The embedded one-machine cluster: up, down, status, env, logs, images.",
    ),
    "manifest": ("linnet.cli.manifest:manifest", "Print the objects that install would apply."),
    "options": ("linnet.cli.helping:options_", "List the flags that every command takes."),
    "pilot-agent": ("linnet.cli.proxy:pilot_agent", "The commands of Istio's agent."),
    "precheck": ("linnet.cli.precheck:precheck", "Say what stands in the way of an installation."),
    "profile": ("linnet.cli.profile:profile", "List, show and compare profiles."),
    "proxy": ("linnet.cli.proxy:proxy", "Run Envoy as sidecar or router of this pod."),
    "istio-iptables": ("linnet.cli.proxy:istio_iptables", "Send this pod's traffic through Envoy."),
    "revision": ("linnet.cli.revision:revision", "See which revisions there are, and who is on each."),
    "tag": ("linnet.cli.tag:tag", "Name revisions by aliases that can be moved."),
    "uninstall": ("linnet.cli.uninstall:uninstall", "Remove one revision, or everything."),
    "discovery": ("linnet.cli.discovery:discovery", "Run istiod: watches, xDS, CA, webhooks."),
    "proxy-config": ("linnet.cli.proxy_config:proxy_config", "Show what the Envoy of a pod has."),
    "proxy-status": (
        "linnet.cli.proxy_status:proxy_status",
        "Show which proxies are connected, and to what.",
    ),
    "verify-install": (
        "linnet.cli.verify_install:verify_install",
        "Check an installation, object by object and by dry run.",
    ),
    "version": ("linnet.cli.version:version", "Show versions: this command, control planes, proxies."),
}
EXPERIMENTAL: dict[str, tuple[str, str]] = {
    "check-inject": ("linnet.cli.check_inject:check_inject", "Say which webhook injects a pod, and why."),
    "config": ("linnet.cli.helping:config", "See where defaults of flags come from: list."),
    "describe": ("linnet.cli.describe:describe", "Say what the mesh does with a pod."),
    "injector": ("linnet.cli.check_inject:injector", "See which revision injects each namespace."),
    "revision": ("linnet.cli.revision:revision", "See which revisions there are, and who is on each."),
    "tag": ("linnet.cli.tag:tag", "Name revisions by aliases that can be moved."),
    "precheck": ("linnet.cli.precheck:precheck", "Say what stands in the way of an installation."),
    "proxy-status": (
        "linnet.cli.proxy_status:proxy_status",
        "Show which proxies are connected, and to what.",
    ),
    "uninstall": ("linnet.cli.uninstall:uninstall", "Remove one revision, or everything."),
    "version": ("linnet.cli.version:version", "Show versions: this command, control planes, proxies."),
}
ALIASES = {
    "apply": "install",
    "upgrade": "install",
    "exp": "experimental",
    "x": "experimental",
    "ps": "proxy-status",
    "pc": "proxy-config",
    "des": "describe",
    "istiod": "admin",
}
HIDDEN = frozenset({"discovery", "proxy", "pilot-agent", "istio-iptables", "experimental", "help", "options"})
# commands that take none of the shared flags
PLAIN = frozenset({"help", "discovery", "proxy", "pilot-agent", "istio-iptables", "kubectl", "local"})
SECTIONS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("Try it on this machine", ("local", "kubectl")),
    (
        "Install and upgrade",
        (
            "precheck",
            "install",
            "verify-install",
            "uninstall",
            "gateway",
            "tag",
            "manifest",
            "profile",
        ),
    ),
    ("See what runs", ("proxy-status", "proxy-config", "describe", "revision", "version", "admin")),
)
LESSON = """\b
A canary upgrade, from first to last:
  linnet install --set revision=1-0-0 -y
  kubectl label namespace shop istio-injection=enabled
  linnet install --set revision=canary -y
  kubectl label namespace shop istio-injection- istio.io/rev=canary
  kubectl rollout restart deployment -n shop
  linnet proxy-status
  linnet uninstall --revision 1-0-0

Each command explains itself: linnet COMMAND --help. The same program answers to the name istioctl."""


class LazyGroup(groups.Group):
    """A group whose commands are rows of a table; nothing is imported to list them."""

    aliases = ALIASES

    def __init__(self, *args: object, table: dict[str, tuple[str, str]], **more: object) -> None:
        super().__init__(*args, **more)  # type: ignore[arg-type]
        self.table = table

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        """The context; help is printed here."""
        with unread():
            return super().make_context(info_name, args, parent, **extra)

    def invoke(self, ctx: click.Context) -> object:
        """Run the command; click itself would take a reader that has gone for an error."""
        with unread():
            return super().invoke(ctx)

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """The names that help and completion show."""
        return sorted(name for name in self.table if name not in HIDDEN)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """The command, imported now, with the shared flags."""
        name = ALIASES.get(cmd_name, cmd_name)
        if name not in self.table:
            return None
        module, _, function = self.table[name][0].partition(":")
        command = getattr(import_module(module), function)
        assert isinstance(command, click.Command)
        return command if name in PLAIN else options.attach(command)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The rows by purpose."""
        left = self.list_commands(ctx)
        for title, names in (*SECTIONS, ("More", tuple(left))):
            rows = [(name, self.table[name][1]) for name in names if name in left]
            left = [name for name in left if name not in names]
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)


HELP = {"help_option_names": ["-h", "--help"]}
linnet = LazyGroup(
    "linnet",
    table=COMMANDS,
    help="Install, run, observe and upgrade a service mesh, one revision beside another.",
    epilog=LESSON,
    params=list(options.shared()),
    context_settings=HELP,
)
experimental = LazyGroup(
    "experimental",
    table=EXPERIMENTAL,
    help="Commands that scripts still call by their experimental names.",
    context_settings=HELP,
)
options.attach(linnet)


def main() -> None:
    """Run the command line under the name by which it was called (`linnet` or `istioctl`)."""
    name = "istioctl" if Path(sys.argv[0]).name == "istioctl" else "linnet"
    with explain():
        try:
            code = linnet.main(prog_name=name, standalone_mode=False)
        except click.exceptions.NoArgsIsHelpError as error:
            with unread():
                print(error.format_message())  # a group by itself explains itself
            code = 0
        except click.UsageError as error:
            hint = f"\nRun '{error.ctx.command_path} --help' for usage." if error.ctx else ""
            raise UserError(error.format_message() + hint, code=USAGE) from error
        except click.ClickException as error:
            raise UserError(error.format_message()) from error
        except click.Abort:
            sys.exit(INTERRUPTED)
        sys.exit(code if isinstance(code, int) else 0)


if __name__ == "__main__":
    main()
