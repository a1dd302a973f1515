"""The life of one container: image, start, probes, end, back-off, start again.

    ContainerCreating ─▶ Running ─▶ Terminated ─▶ CrashLoopBackOff ─▶ Running …

`run` goes on until the container shall not be started again; `stop` ends it for good.
Source: Kubernetes, "Pod Lifecycle", and the texts of a kubelet 1.35.
"""

import asyncio
import secrets
import signal
from contextlib import suppress

from msgspec.structs import replace

from linnet.local.node import images, logs
from linnet.local.node.backoff import INITIAL, Backoff, spoken
from linnet.local.node.care import Care, Turn
from linnet.local.node.commands import start_failure, withheld
from linnet.local.node.container_spec import Container, is_sidecar
from linnet.local.node.container_states import ContainerState, Running, Terminated, Waiting
from linnet.local.node.environment import Missing
from linnet.local.node.grace import Grace
from linnet.local.node.home import Home
from linnet.local.node.hosted import HostedProxy
from linnet.local.node.images import Image
from linnet.local.node.logs import Log
from linnet.local.node.pipes import Output, Pipes
from linnet.local.node.runtime import Command, Process, Stdio

_SHOWN = 2.0  # seconds for which an end, or a failed pull, is shown before the back-off that follows it
_OUTPUT = 10 * 2**10  # bytes of a probe's or hook's output that are kept
_MESSAGE = 4096  # bytes of a termination message
_FALLBACK_LINES, _FALLBACK = 80, 2048  # lines and bytes of the log that stand in for one


class Life:
    """One container of a pod on this node."""

    def __init__(self, state: ContainerState, home: Home) -> None:
        self.state = state
        self.log: Log | None = None
        self.pipes: Pipes | None = None
        self.process: Process | None = None
        self.listeners: set[Output] = set()  # those attached to its output
        self.started = asyncio.Event()  # once: it has started, in the sense of its startup probe
        self.attempted = asyncio.Event()  # once: it runs and its postStart hook is over, or it cannot run yet
        self._command: Command | None = None
        self._care: Care | None = None
        self._home = home
        self._backoff = Backoff()
        self._stopping = asyncio.Event()
        self._woken = asyncio.Event()
        self._starting = asyncio.Lock()
        self._recorded = asyncio.Event()  # the end of the last process is in the state
        self._recorded.set()

    @property
    def container(self) -> Container:
        """Its specification."""
        return self.state.spec

    @property
    def terminals(self) -> str:
        """The `ptmx` of the running container, by the node's view of its mounts; empty: none."""
        pid = self.process.pid if self.process else 0
        return f"/proc/{pid}/root/dev/pts/ptmx" if pid else ""

    def wake(self) -> None:
        """Try again what waits: something that it needs may have come."""
        self._woken.set()

    async def run(self) -> bool:
        """Run it until it shall not be started again; whether it ended well."""
        try:
            return await self._run()
        finally:
            self.attempted.set()

    async def _run(self) -> bool:
        if self.state.finished and not self._again():
            return self.state.succeeded
        while not self._stopping.is_set():
            image = await self._find_image()
            if image is None:
                break
            async with self._starting:
                process = None if self._stopping.is_set() else await self._start(image)
            if process is not None:
                await self._watch(process)
            self.attempted.set()
            if process is None and not self.state.finished:  # not even configured: no instance, no restart
                await self._pause(INITIAL)
                continue
            if not self._again():
                break
            await self._back_off()
        return self.state.succeeded

    # -- before it runs -----------------------------------------------------

    async def _find_image(self) -> Image | None:
        """The image, as soon as the catalogue has it; None: stop."""
        name, never = self.container.image, self.container.image_pull_policy == "Never"
        delay = INITIAL
        while not self._stopping.is_set():
            image = self._home.image(name)
            if image is not None:
                self._say(
                    "Pulled",
                    f'Container image "{name}" already present on machine and can be accessed by the pod',
                )
                return image
            self.attempted.set()
            await (self._never_pulled(delay) if never else self._not_pulled(delay))
            delay = min(2 * delay, 300.0)
        return None

    async def _never_pulled(self, delay: float) -> None:
        message = f'Container image "{self.container.image}" is not present with pull policy of Never'
        self._say("ErrImageNeverPull", message, warning=True)
        self._say("Failed", "Error: ErrImageNeverPull", warning=True)
        self._wait("ErrImageNeverPull", message)
        await self._pause(delay)

    async def _not_pulled(self, delay: float) -> None:
        name, words = self.container.image, images.unknown(self.container.image)
        self._say("Pulling", f'Pulling image "{name}"')
        self._say("Failed", f'Failed to pull image "{name}": {words}', warning=True)
        self._say("Failed", "Error: ErrImagePull", warning=True)
        self._wait("ErrImagePull", words)
        await self._pause(_SHOWN)
        self._say("BackOff", f'Back-off pulling image "{name}"')
        self._say("Failed", "Error: ImagePullBackOff", warning=True)
        self._wait("ImagePullBackOff", f'Back-off pulling image "{name}": ErrImagePull: {words}')
        await self._pause(delay)

    async def _start(self, image: Image) -> Process | None:
        """Start an instance. None: it could not be; the state says why."""
        state, home = self.state, self._home
        if isinstance(state.state, Terminated):
            state.last = state.state
        try:
            command = await home.command(self.container, image)
            self._open_log(state.restarts + (state.last is not None))
        except Missing as error:
            self._not_created("CreateContainerConfigError", str(error))
            return None
        except OSError as error:
            self._not_created("CreateContainerError", str(error))
            return None
        if state.last is not None:
            state.restarts += 1
        state.container_id, state.image_id = secrets.token_hex(32), image.digest
        self._command = command
        self._say("Created", "Container created")
        if lost := withheld(self.container):
            self._say("RightsWithheld", lost, warning=True)
        try:
            process = await self._launch(image, command)
        except OSError as error:
            self._could_not_start(error, command)
            return None
        self.process = process
        self._care = Care(process, state, home, self.run_in, self.started, self.attempted)
        self._recorded.clear()
        state.state = Running(home.now())
        state.ready = state.started = False
        self._say("Started", "Container started")
        return process

    def _not_created(self, reason: str, message: str) -> None:
        self._say("Failed", f"Error: {message}", warning=True)
        self._wait(reason, message)

    def _open_log(self, instance: int) -> None:
        self.log = Log(self._home.log_path(self.container, instance))
        self.pipes = Pipes(self._output, tty=self.container.tty, stdin=self.container.stdin)

    async def _launch(self, image: Image, command: Command) -> Process:
        assert self.pipes is not None
        try:
            process = await self._home.launch(self.container, image, command, self.pipes.child, self._output)
        except BaseException:  # also when the pod goes meanwhile
            self._close()
            raise
        self.pipes.started()
        return process

    def _could_not_start(self, error: OSError, command: Command) -> None:
        """An instance that never was: Kubernetes shows it as ended with code 128."""
        engine = "failed to create containerd task: failed to create shim task: OCI runtime create failed"
        words = f"{engine}: {start_failure(error, command.argv)}"
        now = self._home.now()
        self.state.state = Terminated(128, "StartError", now, now, self.state.container_id, words)
        self._say("Failed", f"Error: {words}", warning=True)
        self._home.changed()

    # -- while it runs ------------------------------------------------------

    async def _watch(self, process: Process) -> None:
        """Return when the process has ended and that is recorded."""
        assert self._care is not None
        async with asyncio.TaskGroup() as tasks:
            tending = tasks.create_task(self._care.tend())
            code = await process.wait()
            tending.cancel()
        self._record(code)

    async def run_in(self, argv: tuple[str, ...], timeout: float) -> tuple[int, bytes]:
        """Exit code and output of a command run in the container. Raises OSError, TimeoutError."""
        collected = bytearray()

        def collect(_stream: str, data: bytes) -> None:
            collected.extend(data[: _OUTPUT - len(collected)])

        pipes = Pipes(collect)
        try:
            process = await self.exec(argv, pipes.child)
            pipes.started()
            try:
                async with asyncio.timeout(timeout):
                    code = await process.wait()
            except TimeoutError as error:
                process.signal(signal.SIGKILL)
                raise TimeoutError(f"command timed out after {timeout:g}s: {' '.join(argv)}") from error
        finally:
            pipes.finish()
        return code, bytes(collected)

    async def exec(self, argv: tuple[str, ...], stdio: Stdio, *, tty: bool = False) -> Process:
        """Start a command in the running container. Raises OSError."""
        if self.process is None or self._command is None:
            raise ProcessLookupError(f'container not found ("{self.container.name}")')
        variables = {**dict(self._command.env), **({"TERM": "xterm"} if tty else {})}
        command = replace(self._command, argv=argv, python="", tty=tty, env=tuple(variables.items()))
        return await self._home.sandbox.start(command, stdio, like=await inside(self.process))

    # -- the end ------------------------------------------------------------

    async def stop(self, grace: Grace, turn: Turn | None = None) -> None:
        """End it for good: hook, then (in its turn) TERM, then KILL when `grace` is over."""
        self._stopping.set()
        self._woken.set()
        async with self._starting:
            care = self._care
        if care is not None:
            care.ending = True
            self._say("Killing", f"Stopping container {self.container.name}")
            await care.end(grace, turn)
        await self._recorded.wait()

    def conclude(self) -> None:
        """Its pod is over: what waited to be started again stays as it ended."""
        if isinstance(self.state.state, Waiting) and self.state.last is not None:
            self.state.state, self.state.last = self.state.last, None

    def _record(self, code: int) -> None:
        """The process has ended: say so in the state."""
        state, running = self.state, self.state.state
        assert isinstance(running, Running)
        self._close()
        message = self._home.termination_message(self.container)[:_MESSAGE].decode(errors="replace")
        if not message and code != 0 and self.container.termination_message_policy != "File":
            path = self._home.log_path(self.container, state.restarts)
            message = logs.last(path, lines=_FALLBACK_LINES, limit=_FALLBACK)
        state.state = Terminated(
            exit_code=code,
            reason="Completed" if code == 0 else "Error",
            finished_at=self._home.now(),
            started_at=running.started_at,
            container_id=state.container_id,
            message=message,
        )
        state.ready = state.started = False
        self.process = self._care = None
        self._recorded.set()
        self._home.changed()

    def _close(self) -> None:
        if self.pipes:
            self.pipes.finish()
        if self.log:
            self.log.close()

    def _output(self, stream: str, data: bytes) -> None:
        if self.log is not None and not self.log.closed:  # the last words of an agent may come too late
            self.log.write(stream, data)
        for listener in self.listeners:
            listener(stream, data)

    # -- again --------------------------------------------------------------

    def _again(self) -> bool:
        """Whether its restart policy wants another instance. Source: Kubernetes, restart policies."""
        if self._stopping.is_set():
            return False
        if is_sidecar(self.container):
            return True
        policy = self._home.pod.spec.restart_policy
        if self.state.init and policy == "Always":
            policy = "OnFailure"
        return policy == "Always" or (policy == "OnFailure" and not self.state.succeeded)

    async def _back_off(self) -> None:
        ended = self.state.state
        assert isinstance(ended, Terminated)
        ran = (ended.finished_at - ended.started_at).total_seconds() if ended.started_at else 0.0
        delay = self._backoff.failed(ran)
        if delay == 0:
            return
        name, pod = self.container.name, self._home.pod.label
        self._say("BackOff", f"Back-off restarting failed container {name} in pod {pod}", warning=True)
        await self._sleep(_SHOWN)
        if not self._stopping.is_set():
            self.state.last = ended
            message = f"back-off {spoken(delay)} restarting failed container={name} pod={pod}"
            self._wait("CrashLoopBackOff", message)
            await self._sleep(delay - _SHOWN)

    def _wait(self, reason: str, message: str) -> None:
        self.state.state = Waiting(reason, message)
        self._home.changed()

    async def _sleep(self, seconds: float) -> None:
        """Wait; the end of the pod cuts it short."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()

    async def _pause(self, seconds: float) -> None:
        """Wait; `wake` and the end of the pod cut it short."""
        if self._stopping.is_set():
            return
        self._woken.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._woken.wait()

    def _say(self, reason: str, message: str, *, warning: bool = False) -> None:
        self._home.say(reason, message, warning=warning, about=self.state)


async def inside(process: Process) -> Process:
    """The process in the container: for a hosted one, what it is hosted for, once that has started."""
    if not isinstance(process, HostedProxy):
        return process
    await process.launched.wait()
    if process.envoy is None:
        raise ProcessLookupError("the proxy has ended")
    return process.envoy
