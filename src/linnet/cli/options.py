"""The flags that every command takes, before or after its name: which cluster, and which namespaces."""

import os
from collections.abc import Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from linnet.cli import defaults, pflags
from linnet.cli.faults import USAGE, UserError

if TYPE_CHECKING:
    from linnet.kube.client import Client
    from linnet.kube.config import Config

T = TypeVar("T")


@dataclass(slots=True)
class Globals:
    """The values of the shared flags; the command's own place wins over the place before it."""

    kubeconfig: str = ""
    context: str = ""
    namespace: str = ""
    istio_namespace: str = ""  # `current` fills it
    patience: float | None = None  # seconds for one request, if somebody said how many
    as_user: str = ""
    as_uid: str = ""
    as_groups: tuple[str, ...] = ()
    values: dict[str, defaults.Value] = field(default_factory=dict)

    @property
    def timeout(self) -> float:
        """Seconds in which an istiod or a proxy must answer."""
        return 15.0 if self.patience is None else self.patience


def current() -> Globals:
    """The shared flags of the command that is running, with the defaults of the environment and the file.

    Raises:
        UserError: a default is of no use.
    """
    found = click.get_current_context().find_root().ensure_object(Globals)
    assert isinstance(found, Globals)
    if not found.values:
        found.values = defaults.load(os.environ)
        found.istio_namespace = found.istio_namespace or found.values["istioNamespace"].text
    return found


def kubernetes(flags: Globals | None = None) -> "Config":
    """The API server that the flags, KUBECONFIG, `~/.kube/config` or the pod's own account name.

    Raises:
        ConfigError: none of them is usable.
        UserError: there is none, or a group is to be impersonated without a user.
    """
    return _impersonating(_found(flags or current()), flags or current())


def _impersonating(found: "Config", flags: Globals) -> "Config":
    from msgspec.structs import replace

    from linnet.kube.config import Impersonation

    if not (flags.as_user or flags.as_uid or flags.as_groups):
        return found
    held = None if flags.as_user else found.impersonate
    user = flags.as_user or (held.user if held else "")
    if not user:
        raise UserError("--as-group and --as-uid go with --as USER", code=USAGE)
    wanted = Impersonation(
        user,
        flags.as_uid or (held.uid if held else ""),
        flags.as_groups or (held.groups if held else ()),
    )
    return replace(found, impersonate=wanted)


def _found(flags: Globals) -> "Config":
    from linnet.kube import config  # heavy imports stay out of --help

    paths = flags.kubeconfig or os.environ.get("KUBECONFIG") or str(Path.home() / ".kube" / "config")
    named = flags.kubeconfig or os.environ.get("KUBECONFIG")
    if not named and not Path(paths).exists():
        try:
            return config.in_cluster(os.environ)
        except config.ConfigError as error:
            raise UserError(
                f"no cluster to talk to: {paths} does not exist, KUBECONFIG is not set and this is no pod; "
                "set KUBECONFIG, pass --kubeconfig, or start one here: linnet local up"
            ) from error
    return config.from_kubeconfig(paths, flags.context)


def client(flags: Globals | None = None, *, manager: str = "linnet") -> "Client":
    """A client (not yet entered) of the API server that the flags name."""
    from linnet.kube.client import PATIENCE, Client

    flags = flags or current()
    patience = PATIENCE if flags.patience is None else flags.patience
    return Client(kubernetes(flags), user_agent="linnet-cli", manager=manager, patience=patience)


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a command's coroutine to its end; an error inside a task group is raised as itself."""
    import asyncio

    try:
        return asyncio.run(work)
    except BaseExceptionGroup as group:
        raise _first(group) from group


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _seconds(value: str) -> float:
    """Seconds of a duration as Go writes it: `5m0s`, `1h`, `300ms`, or a bare number of seconds."""
    import re

    if re.fullmatch(r"\d+(\.\d+)?", value):
        return float(value)
    parts = re.findall(r"(\d+(?:\.\d+)?)(ms|h|m|s)", value)
    if not parts or "".join(a + b for a, b in parts) != value:
        raise click.BadParameter(f"{value!r} is no duration; write it like 5m0s or 30s")
    unit = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
    return sum(float(number) * unit[suffix] for number, suffix in parts)


class Duration(click.ParamType[float]):
    """Seconds, written as Go writes durations."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:  # noqa: ARG002
        """The seconds of `value`."""
        return value if isinstance(value, float) else _seconds(str(value))


def _keep(ctx: click.Context, param: click.Parameter, value: object) -> None:
    if value is None or not param.name:
        return
    held = ctx.find_root().ensure_object(Globals)
    if param.multiple:
        assert isinstance(value, tuple)
        value = (*getattr(held, param.name), *value)
    setattr(held, param.name, value)


def _namespaces(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    from linnet.cli import complete

    return complete.namespaces(ctx, param, incomplete)


def shared() -> list[click.Option]:
    """Fresh options for one command; their values go to `Globals`."""

    def option(flags: list[str], help_text: str, **more: Any) -> click.Option:
        return click.Option(flags, help=help_text, expose_value=False, callback=_keep, **more)

    return [
        option(["--kubeconfig", "-c", "kubeconfig"], "Path of the kubeconfig.", metavar="FILE"),
        option(["--context", "context"], "The context of the kubeconfig to use.", metavar="NAME"),
        option(
            ["--namespace", "-n", "namespace"],
            "The namespace that the command is about.",
            metavar="NS",
            shell_complete=_namespaces,
        ),
        option(
            ["--istioNamespace", "-i", "istio_namespace"],
            "The namespace of the control plane (istio-system).",
            metavar="NS",
            shell_complete=_namespaces,
        ),
        option(["--as", "as_user"], "Ask the API server as this user, if you may.", metavar="USER"),
        option(["--as-uid", "as_uid"], "With --as: the user's UID.", metavar="UID"),
        option(
            ["--as-group", "as_groups"],
            "With --as: a group of the user; may be repeated.",
            metavar="GROUP",
            multiple=True,
        ),
        option(
            ["--kubeclient-timeout", "patience"],
            "How long one request may take (15s).",
            metavar="DURATION",
            type=Duration(),
        ),
        *_without_effect(),
    ]


def _without_effect() -> list[click.Option]:
    """Flags that scripts give and that say nothing here: the log of istioctl itself."""
    valued = ("--vklog", "--log_output_level", "--log_stacktrace_level", "--log_caller", "--log_target")
    help_text = "Accepted, of no effect."
    return [
        *(click.Option([name], help=help_text, expose_value=False, hidden=True) for name in valued),
        click.Option(["--log_as_json"], help=help_text, expose_value=False, hidden=True, is_flag=True),
    ]


def attach(command: click.Command) -> click.Command:
    """Let a command (and those below it) take the shared flags, unless it has such a flag of its own.

    Flags may be written as Go programs take them: `--dry-run=true`, `-n=shop`.
    """
    taken = {flag for param in command.params for flag in (*param.opts, *param.secondary_opts)}
    for option in shared():
        if not taken.intersection(option.opts):
            command.params.append(option)
    _read_as_go(command)
    if isinstance(command, click.Group):
        for child in command.commands.values():
            attach(child)
    return command


def _read_as_go(command: click.Command) -> None:
    if "parse_args" in vars(command):
        return  # done before: a command may stand at two places
    parse = command.parse_args

    def parse_args(ctx: click.Context, args: list[str]) -> list[str]:
        return parse(ctx, pflags.rewritten(args, command.params))

    command.parse_args = parse_args  # type: ignore[method-assign]
