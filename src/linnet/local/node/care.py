"""The care for one running container: its hooks, its probes, its gentle end.

Source: Kubernetes, "Pod Lifecycle", "Container Lifecycle Hooks", and the texts of a kubelet 1.35.
"""

import asyncio
import signal
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing, suppress

from linnet.local.node import hooks
from linnet.local.node.container_spec import Container, Hook, Probe
from linnet.local.node.container_states import ContainerState
from linnet.local.node.grace import MINIMUM, Grace
from linnet.local.node.home import Home
from linnet.local.node.probes import ProbeKind, RunIn, Verdict, check, verdicts
from linnet.local.node.runtime import Process

_HOOK_LIMIT = 3600.0  # seconds that a postStart hook may take

Turn = Callable[[], Awaitable[None]]  # returns when it is a container's turn to end


class Care:
    """Of one process: `tend` while it runs, `end` to end it."""

    def __init__(
        self,
        process: Process,
        state: ContainerState,
        home: Home,
        run_in: RunIn,
        started: asyncio.Event,
        attempted: asyncio.Event,
    ) -> None:
        self.process = process
        self.started = started  # in the sense of the startup probe
        self.attempted = attempted  # the containers after it may start
        self.ending = False  # its pod goes: only readiness still matters
        self._state, self._home, self._run_in = state, home, run_in

    @property
    def container(self) -> Container:
        """Its specification."""
        return self._state.spec

    async def tend(self) -> None:
        """Hook and probes of a running process, until cancelled."""
        container = self.container
        self._home.changed()
        if container.lifecycle.post_start and not await self._post_start():
            return
        self.attempted.set()
        if container.startup_probe and not await self._wait_for_startup(container.startup_probe):
            return
        self._state.started = True
        self._state.ready = container.readiness_probe is None
        self.started.set()
        self._home.changed()
        async with asyncio.TaskGroup() as tasks:
            if container.readiness_probe:
                tasks.create_task(self._follow_readiness(container.readiness_probe))
            if container.liveness_probe:
                tasks.create_task(self._follow_liveness(container.liveness_probe))

    async def _post_start(self) -> bool:
        hook = self.container.lifecycle.post_start
        assert hook is not None
        try:
            await self._run_hook(hook, _HOOK_LIMIT)
        except hooks.HookFailed as error:
            self._say("FailedPostStartHook", f"PostStartHook failed: {error}", warning=True)
            self._say("Killing", "FailedPostStartHook")
            await self.end(Grace(self._home.pod.grace))
            return False
        return True

    async def _wait_for_startup(self, probe: Probe) -> bool:
        """Whether the startup probe succeeded; if not, the process has been ended."""
        async with aclosing(self._verdicts(ProbeKind.STARTUP, probe)) as answers:
            async for verdict in answers:
                if verdict.healthy and verdict.settled:
                    return True
                if verdict.settled and not self.ending:
                    break
        await self._end_unhealthy(ProbeKind.STARTUP, probe)
        return False

    async def _follow_readiness(self, probe: Probe) -> None:
        async with aclosing(self._verdicts(ProbeKind.READINESS, probe)) as answers:
            async for verdict in answers:
                if verdict.settled and self._state.ready != verdict.healthy:
                    self._state.ready = verdict.healthy
                    self._home.changed()

    async def _follow_liveness(self, probe: Probe) -> None:
        async with aclosing(self._verdicts(ProbeKind.LIVENESS, probe)) as answers:
            async for verdict in answers:
                if verdict.settled and not verdict.healthy and not self.ending:
                    break
        await self._end_unhealthy(ProbeKind.LIVENESS, probe)

    async def _end_unhealthy(self, kind: ProbeKind, probe: Probe) -> None:
        self._say(
            "Killing", f"Container {self.container.name} failed {kind.lower()} probe, will be restarted"
        )
        seconds = probe.termination_grace_period_seconds
        await self.end(Grace(self._home.pod.grace if seconds is None else seconds))

    async def _verdicts(self, kind: ProbeKind, probe: Probe) -> AsyncGenerator[Verdict, None]:
        ask = check(probe, self.container, self._home.sandbox, self._run_in)
        async with aclosing(verdicts(probe, ask, eager=kind is not ProbeKind.LIVENESS)) as answers:
            async for verdict in answers:
                if not verdict.healthy and not self.ending:
                    self._say("Unhealthy", f"{kind} probe failed: {verdict.output}", warning=True)
                yield verdict

    async def end(self, grace: Grace, turn: Turn | None = None) -> None:
        """End the running process; return when it has ended."""
        async with asyncio.TaskGroup() as tasks:
            ended = tasks.create_task(self.process.wait())
            await self._before_end(ended, grace, turn)
            if ended.done():
                return
            self.process.signal(signal.SIGTERM)
            try:
                async with grace.limit(at_least=MINIMUM if self.container.lifecycle.pre_stop else 0):
                    await asyncio.shield(ended)
            except TimeoutError:
                self.process.signal(signal.SIGKILL)

    async def _before_end(self, ended: asyncio.Task[int], grace: Grace, turn: Turn | None) -> None:
        """The preStop hook and the wait for the turn, both cut short when the process ends by itself."""
        async with asyncio.TaskGroup() as tasks:
            before = tasks.create_task(self._pre_stop(grace, turn))
            ended.add_done_callback(lambda _: before.cancel())

    async def _pre_stop(self, grace: Grace, turn: Turn | None) -> None:
        hook = self.container.lifecycle.pre_stop
        if hook and grace.left > 0:
            try:
                async with grace.limit():
                    await hooks.run(
                        hook, self.container, self._home.sandbox, self._run_in, timeout=grace.left
                    )
            except (hooks.HookFailed, TimeoutError) as error:
                self._say("FailedPreStopHook", f"PreStopHook failed: {error}", warning=True)
        if turn is not None:
            with suppress(TimeoutError):
                async with grace.limit():
                    await turn()

    async def _run_hook(self, hook: Hook, seconds: float) -> None:
        """Raises HookFailed."""
        await hooks.run(hook, self.container, self._home.sandbox, self._run_in, timeout=seconds)

    def _say(self, reason: str, message: str, *, warning: bool = False) -> None:
        self._home.say(reason, message, warning=warning, about=self._state)
