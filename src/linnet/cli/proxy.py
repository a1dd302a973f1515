"""`linnet proxy`: the agent beside Envoy in a container; also Istio's forms of it (`pilot-agent …`)."""

import asyncio
import os
import signal
import sys
from http.client import HTTPConnection, HTTPException
from importlib.metadata import version
from pathlib import Path
from time import monotonic, sleep
from typing import TYPE_CHECKING

import click

from linnet.cli.faults import UserError, explain

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

    from linnet.proxy.settings import Settings

ANY = {"ignore_unknown_options": True, "allow_extra_args": True, "allow_interspersed_args": False}
DEBUG_PORTS = (15000, 15004, 15020, 15021)


@click.command(context_settings=ANY)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def proxy(arguments: tuple[str, ...]) -> None:
    """Run Envoy as `sidecar` or `router` of this pod, with certificates, readiness and a graceful end.

    The environment is that of an injected container: POD_NAME, POD_NAMESPACE, INSTANCE_IP, PROXY_CONFIG, …
    """
    from linnet.proxy.settings import Unusable, read

    try:
        settings = read(arguments, os.environ, _content, version=version("linnet"))
    except Unusable as error:
        raise UserError(str(error)) from error
    as_json = any(word.startswith("--log_as_json") for word in arguments)
    sys.exit(asyncio.run(_run(settings, as_json=as_json)))


@click.command("istio-iptables", context_settings=ANY)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def istio_iptables(arguments: tuple[str, ...]) -> None:
    """Send this pod's traffic through Envoy (what istio-init does); the flags are istio-iptables'."""
    from linnet.proxy.redirect import main as redirect

    sys.exit(redirect(arguments))


@click.command()
@click.option("--url", default="", help="What to ask; by default the agent, on port 15020.")
@click.option("--timeoutSeconds", "timeout", type=float, default=60.0, help="Seconds to wait in all.")
@click.option("--requestTimeoutMillis", "patience", type=float, default=500.0, help="… for one answer.")
@click.option("--periodMillis", "period", type=float, default=500.0, help="… between two.")
def wait(url: str, timeout: float, patience: float, period: float) -> None:
    """Return when the proxy is ready; exit code 1 when it is not in time."""
    # by the loopback: what goes to the pod's own address is redirected to the Envoy that is waited for
    asked = url or "http://127.0.0.1:15020/healthz/ready"
    authority, _, path = asked.removeprefix("http://").partition("/")
    end = monotonic() + timeout
    said = ""
    while monotonic() < end:
        try:
            status, body = _ask("GET", authority, f"/{path}", patience / 1000)
        except (OSError, HTTPException) as error:
            said = str(error)
        else:
            if status == 200:
                return
            said = f"{status} {body.decode(errors='replace').strip()}"
        sleep(period / 1000)
    raise UserError(f"the proxy was not ready after {timeout:g} s: {said}")


@click.command()
@click.option("--debug-port", type=click.Choice([str(port) for port in DEBUG_PORTS]), default="15000")
@click.argument("method")
@click.argument("path")
def request(debug_port: str, method: str, path: str) -> None:
    """Send a request to a port of this pod's proxy, `request GET clusters`, and print the answer."""
    try:
        status, body = _ask(method.upper(), f"127.0.0.1:{debug_port}", f"/{path.lstrip('/')}", 60.0)
    except (OSError, HTTPException) as error:
        raise UserError(f"port {debug_port} of the proxy does not answer: {error}") from error
    sys.stdout.buffer.write(body)
    if status >= 400:
        raise UserError(f"{method.upper()} {path}: the proxy answered {status}")


@click.group("pilot-agent")
def pilot_agent() -> None:
    """The commands of Istio's agent: proxy, istio-iptables, wait, request, version."""


@click.command("version")
def agent_version() -> None:
    """Print the version of the agent."""
    click.echo(version("linnet"))


for _command in (proxy, istio_iptables, wait, request, agent_version):
    pilot_agent.add_command(_command)


def _content(path: str) -> str | None:
    """The content of a file, or None where there is none."""
    try:
        return Path(path).read_text(encoding="utf-8")
    except FileNotFoundError:
        return None


def _ask(method: str, authority: str, path: str, timeout: float) -> tuple[int, bytes]:
    connection = HTTPConnection(authority, timeout=timeout)
    try:
        connection.request(method, path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def _log(*, as_json: bool) -> "FilteringBoundLogger":
    """A logger of this container's output: one line for each event."""
    import logging

    import structlog

    form = structlog.processors.JSONRenderer() if as_json else structlog.processors.LogfmtRenderer()
    stamp = structlog.processors.TimeStamper(fmt="iso", utc=True, key="time")
    logger: FilteringBoundLogger = structlog.wrap_logger(
        structlog.PrintLogger(sys.stdout),
        processors=[structlog.processors.add_log_level, stamp, form],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
    )
    return logger


async def _run(settings: "Settings", *, as_json: bool) -> int:
    from linnet.proxy.agent import Agent
    from linnet.proxy.beside import Beside

    agent = Agent(settings, Beside(), _log(as_json=as_json))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, agent.terminate)
    return await agent.run()


def main() -> None:
    """The program `pilot-agent`, which containers call by that name."""
    with explain():
        pilot_agent.main(prog_name="pilot-agent")
