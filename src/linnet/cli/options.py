"""The flags that every command takes, before or after its name: which cluster, and which namespaces."""

import os
from collections.abc import Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from linnet.cli.faults import UserError

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
    istio_namespace: str = "istio-system"
    timeout: float = 15.0  # seconds for one request of a short command


def current() -> Globals:
    """The shared flags of the command that is running."""
    found = click.get_current_context().find_root().ensure_object(Globals)
    assert isinstance(found, Globals)
    return found


def kubernetes(flags: Globals | None = None) -> "Config":
    """The API server that the flags, KUBECONFIG, `~/.kube/config` or the pod's own account name.

    Raises:
        ConfigError: none of them is usable.
    """
    from linnet.kube import config  # heavy imports stay out of --help

    flags = flags or current()
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
    from linnet.kube.client import Client

    return Client(kubernetes(flags), user_agent="linnet-cli", manager=manager)


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
    source = ctx.get_parameter_source(param.name)
    # the environment is a default: it does not win over a flag before the command's name
    if source is not click.core.ParameterSource.ENVIRONMENT or ctx.parent is None:
        setattr(ctx.find_root().ensure_object(Globals), param.name, value)


def shared() -> list[click.Option]:
    """Fresh options for one command; their values go to `Globals`."""

    def option(flags: list[str], help_text: str, **more: Any) -> click.Option:
        return click.Option(flags, help=help_text, expose_value=False, callback=_keep, **more)

    return [
        option(["--kubeconfig", "-c", "kubeconfig"], "Path of the kubeconfig.", metavar="FILE"),
        option(["--context", "context"], "The context of the kubeconfig to use.", metavar="NAME"),
        option(["--namespace", "-n", "namespace"], "The namespace that the command is about.", metavar="NS"),
        option(
            ["--istioNamespace", "-i", "istio_namespace"],
            "The namespace of the control plane (istio-system).",
            metavar="NS",
            envvar="ISTIOCTL_ISTIONAMESPACE",
        ),
        option(
            ["--kubeclient-timeout", "timeout"],
            "How long one request may take (15s).",
            metavar="DURATION",
            type=Duration(),
        ),
        click.Option(["--vklog"], help="Accepted, of no effect.", expose_value=False, hidden=True),
    ]


def attach(command: click.Command) -> click.Command:
    """Let a command (and those below it) take the shared flags, unless it has such a flag of its own."""
    taken = {flag for param in command.params for flag in (*param.opts, *param.secondary_opts)}
    for option in shared():
        if not taken.intersection(option.opts):
            command.params.append(option)
    if isinstance(command, click.Group):
        for child in command.commands.values():
            attach(child)
    return command
