"""Ask a running container whether it is well, and turn answers into verdicts.

Source: Kubernetes, "Configure Liveness, Readiness and Startup Probes".
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from enum import StrEnum

from msgspec import Struct

from linnet.local.node import fetch
from linnet.local.node.container_spec import Container, Probe, port_number
from linnet.local.node.runtime import Sandbox

_EAGER = 0.05  # seconds until the first early probe; doubles with each
_CODES = range(200, 400)


class ProbeKind(StrEnum):
    """What a verdict decides."""

    STARTUP = "Startup"
    LIVENESS = "Liveness"
    READINESS = "Readiness"


class Failure(Exception):
    """A probe that failed; the message is its output."""


class Verdict(Struct, frozen=True):
    """The state of a probe after one more answer."""

    healthy: bool
    settled: bool  # whether a threshold was reached, so that `healthy` counts
    output: str = ""  # of a failure


Check = Callable[[], Awaitable[None]]  # raises Failure
RunIn = Callable[[tuple[str, ...], float], Awaitable[tuple[int, bytes]]]  # exec in the container


def check(probe: Probe, container: Container, sandbox: Sandbox, run: RunIn) -> Check:
    """The question that a probe asks. `run` executes a command in the container within some seconds."""

    async def ask() -> None:
        try:
            await _ask(probe, container, sandbox, run)
        except Failure:
            raise
        except (OSError, ValueError) as error:  # TimeoutError is an OSError
            raise Failure(str(error)) from error

    return ask


async def _ask(probe: Probe, container: Container, sandbox: Sandbox, run: RunIn) -> None:
    timeout = float(probe.timeout_seconds)
    if probe.http_get:
        port = port_number(container, probe.http_get.port)
        answer = await fetch.get(sandbox, probe.http_get, port, timeout=timeout)
        if answer.code not in _CODES:
            raise Failure(f"HTTP probe failed with statuscode: {answer.code}")
    elif probe.tcp_socket:
        port = port_number(container, probe.tcp_socket.port)
        (await fetch.dial(sandbox, probe.tcp_socket.host or sandbox.ip, port, timeout)).close()
    elif probe.exec:
        code, output = await run(probe.exec.command, timeout)
        if code != 0:
            raise Failure(output.decode(errors="replace"))
    elif probe.grpc:
        from linnet.local.node import grpc_health

        await grpc_health.check(sandbox, probe.grpc.port, probe.grpc.service or "", timeout=timeout)


async def verdicts(probe: Probe, ask: Check, *, eager: bool) -> AsyncGenerator[Verdict, None]:
    """Ask for ever, as often as the probe says, and yield what each answer means.

    `eager`: until the first success ask also between the periods; such a failure counts for nothing and is
    not yielded. Source: Kubernetes, "Configure Probes": what is not Ready may be asked more often.
    """
    await asyncio.sleep(probe.initial_delay_seconds)
    if eager and probe.success_threshold == 1:
        if await _early(probe, ask):
            yield Verdict(True, True)
            await asyncio.sleep(probe.period_seconds)
    else:
        await asyncio.sleep(probe.period_seconds)
    healthy, run = True, 0
    while True:
        begun = asyncio.get_running_loop().time()
        try:
            await ask()
            answer, output = True, ""
        except Failure as failure:
            answer, output = False, str(failure)
        run = run + 1 if answer == healthy else 1
        healthy = answer
        threshold = probe.success_threshold if healthy else probe.failure_threshold
        yield Verdict(healthy, run >= threshold, output)
        spent = asyncio.get_running_loop().time() - begun
        await asyncio.sleep(max(0.0, probe.period_seconds - spent))


async def _early(probe: Probe, ask: Check) -> bool:
    """Whether it became healthy within the first period."""
    pause, left = _EAGER, float(probe.period_seconds)
    while left > 0:
        try:
            await ask()
        except Failure:
            await asyncio.sleep(min(pause, left))
            left, pause = left - pause, pause * 1.5
        else:
            return True
    return False
