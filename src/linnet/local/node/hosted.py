"""Proxy agents that the node process hosts: Envoy runs in the container, its agent here.

container of linnet/proxyv2:  proxy sidecar|router …  ─▶ Agent (here) ─▶ Envoy (in the pod)
                              istio-iptables …        ─▶ redirect, run in a fork in the pod
                              anything else           ─▶ as any other container
"""

import asyncio
import json
import os
import signal
import socket
import traceback
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import structlog
from msgspec.structs import replace

from linnet.kube.mirror import Mirror
from linnet.local.node.environment import expand_all
from linnet.local.node.images import Hosted
from linnet.local.node.runtime import Mount, Process, Stdio
from linnet.local.node.surroundings import Launch
from linnet.proxy.agent import Agent
from linnet.proxy.settings import Unusable, read

Dial = Callable[[str, int], Awaitable[socket.socket]]  # from the node's own network

_REDIRECT = "linnet.proxy.redirect:main"
_FAILED = 1  # exit code of an agent that cannot go on

log = structlog.get_logger()


class Hosting:
    """Starts containers; agents live in `run`."""

    def __init__(self, services: Mirror, dial: Dial, version: str) -> None:
        self._services, self._dial, self._version = services, dial, version
        self._begun: asyncio.Queue[HostedProxy] = asyncio.Queue()

    async def run(self) -> None:
        """Be the place where agents run, for ever."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                proxy = await self._begun.get()
                tasks.create_task(proxy.run())

    async def launch(self, launch: Launch) -> Process:
        """Start a container in its sandbox, or its agent here. Raises OSError."""
        args = expand_all(launch.container.args, dict(launch.command.env))
        if launch.image.hosted is Hosted.PROXY and not launch.container.command and args:
            if args[0] == "proxy":
                proxy = HostedProxy(launch, args[1:], self._services, self._dial, self._version)
                self._begun.put_nowait(proxy)
                return proxy
            if args[0] == "istio-iptables":
                redirect = replace(launch.command, python=_REDIRECT, argv=tuple(args[1:]))
                return await launch.sandbox.start(redirect, launch.stdio)
        return await launch.sandbox.start(launch.command, launch.stdio)


class HostedProxy:
    """An agent and its Envoy as one process of a container, as `runtime.Process`; the agent's `Host`."""

    def __init__(
        self, launch: Launch, args: Sequence[str], services: Mirror, dial: Dial, version: str
    ) -> None:
        self.envoy: Process | None = None  # what an exec shares the mounts of
        self.launched = asyncio.Event()  # there is an Envoy, or there will be none
        self._launch, self._args = launch, args
        self._services, self._dial, self._version = services, dial, version
        self._code: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._agent: Agent | None = None
        self._ended_early = 0  # a signal that came before the agent
        # the container's ends of its pipes are closed once it counts as started, which is before Envoy is
        self._stdio = Stdio(
            None, *(None if fd is None else os.dup(fd) for fd in (launch.stdio.stdout, launch.stdio.stderr))
        )

    # -- as a process -------------------------------------------------------

    @property
    def pid(self) -> int:
        """Envoy's, 0 before it runs."""
        return self.envoy.pid if self.envoy else 0

    async def wait(self) -> int:
        """Envoy's exit code, or the agent's when it could not begin."""
        return await asyncio.shield(self._code)

    def signal(self, number: int) -> None:
        """TERM drains, KILL does not; anything else goes to Envoy."""
        if self._agent is None or self.envoy is None:
            self._ended_early = self._ended_early or number
        if self._agent is None:
            return
        if number == signal.SIGTERM:
            self._agent.terminate()
        elif number == signal.SIGKILL:
            self._agent.kill()
        elif self.envoy:
            self.envoy.signal(number)

    async def run(self) -> None:
        """Run the agent until Envoy has ended; what goes wrong with it ends this container alone."""
        try:
            settings = read(self._args, dict(self._launch.command.env), self._file, version=self._version)
        except Unusable as error:
            self._say("error", "unusable", error=str(error))
            self._finish(_FAILED)
            return
        self._agent = Agent(settings, self, self._logger())
        if self._ended_early:
            self._finish(128 + self._ended_early)
            return
        running = asyncio.get_running_loop().create_task(self._agent.run())  # its failure is an exit code
        try:
            await asyncio.wait({running})
        finally:
            running.cancel()
            if not running.done():
                self._finish(_FAILED)
        problem = running.exception()
        if problem is not None:
            words = "".join(traceback.format_exception(problem))
            self._say("error", "agent-failed", error=str(problem), exception=words)
        self._finish(_FAILED if problem else running.result())

    def _finish(self, code: int) -> None:
        self._close_stdio()
        self.launched.set()
        if not self._code.done():
            self._code.set_result(code)

    def _close_stdio(self) -> None:
        for fd in (self._stdio.stdout, self._stdio.stderr):
            if fd is not None:
                os.close(fd)
        self._stdio = Stdio()

    # -- as the agent's host ------------------------------------------------

    def here(self, path: str) -> str:
        """The file of this machine behind a path of the container; volumes only, the rest is nowhere."""
        mounts = sorted(self._launch.command.mounts, key=lambda mount: len(mount.target), reverse=True)
        for mount in mounts:
            rest = _below(path, mount)
            if rest is not None:
                return os.path.join(mount.source, rest) if rest else mount.source
        return os.path.join(self._launch.scratch, path.lstrip("/"))

    async def resolve(self, name: str) -> tuple[str, ...]:
        """The cluster address of a Service given as `name.namespace.svc…`. Raises OSError."""
        parts = name.removesuffix(".").split(".")
        if len(parts) >= 3 and parts[2] == "svc":
            service = self._services.get((parts[1], parts[0]))
            address = service["spec"].get("clusterIP") if service else None
            if address and address != "None":
                return (str(address),)
        raise OSError(f"no such service: {name}")

    async def dial(self, address: str, port: int) -> socket.socket:
        """A connection from the node's own network: the redirect of the pod does not see it."""
        return await self._dial(address, port)

    async def connect(self, port: int, *, host: str = "127.0.0.1", timeout: float = 1.0) -> socket.socket:
        """A connection inside the pod."""
        return await self._launch.sandbox.connect(port, host=host, timeout=timeout)

    def listen(self, port: int, *, host: str = "0.0.0.0") -> socket.socket:
        """A listening socket of the pod."""
        return self._launch.sandbox.listen(port, host=host)

    async def launch(self, argv: tuple[str, ...]) -> Process:
        """Start Envoy in the container."""
        if self._ended_early:
            raise ProcessLookupError("ended before Envoy was started")
        command = replace(self._launch.command, argv=(self._launch.image.envoy, *argv[1:]))
        self.envoy = await self._launch.sandbox.start(command, self._stdio)
        self.launched.set()
        self._close_stdio()
        return self.envoy

    # -- what the agent reads and says --------------------------------------

    def _file(self, path: str) -> str | None:
        try:
            with open(self.here(path), encoding="utf-8") as file:
                return file.read()
        except FileNotFoundError:
            return None

    def _say(self, level: str, event: str, **facts: object) -> None:
        line: dict[str, Any] = {"level": level, "event": event, **facts}
        line["timestamp"] = datetime.now(UTC).isoformat(timespec="milliseconds")
        self._launch.output("stderr", json.dumps(line, default=str).encode() + b"\n")

    def _logger(self) -> structlog.typing.FilteringBoundLogger:
        """A logger whose lines are part of the container's log."""
        logger: structlog.typing.FilteringBoundLogger = structlog.wrap_logger(
            _Lines(self._launch.output),
            processors=[
                structlog.processors.add_log_level,
                structlog.processors.TimeStamper(fmt="iso"),
                structlog.processors.format_exc_info,
                structlog.processors.JSONRenderer(default=str),
            ],
            wrapper_class=structlog.make_filtering_bound_logger("info"),
        )
        return logger


class _Lines:
    """What structlog calls to print a line."""

    def __init__(self, output: Callable[[str, bytes], None]) -> None:
        self._output = output

    def msg(self, message: str) -> None:
        """Write a line."""
        self._output("stderr", message.encode() + b"\n")

    log = debug = info = warn = warning = msg
    fatal = failure = err = error = critical = exception = msg


def _below(path: str, mount: Mount) -> str | None:
    """What is left of a path below a mount's target; None: it is not below it."""
    if path == mount.target:
        return ""
    prefix = mount.target.rstrip("/") + "/"
    return path.removeprefix(prefix) if path.startswith(prefix) else None
