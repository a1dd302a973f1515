"""One pod on this node, from its binding to its deletion.

    volumes ─▶ sandbox ─▶ init containers ─▶ containers ─▶ (completed) ─▶ asked to go ─▶ ended ─▶ deleted

`run` is the whole life; `update` and `gone` bring news from the API.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterable

import structlog

from linnet.kube.errors import Conflict, NotFound
from linnet.kube.kinds import POD
from linnet.local.node import commands
from linnet.local.node.adopting import adopt, reported
from linnet.local.node.clock import Now, parse
from linnet.local.node.container_spec import Container, is_sidecar
from linnet.local.node.container_states import ContainerState, Waiting
from linnet.local.node.environment import environment, hostname
from linnet.local.node.grace import Grace
from linnet.local.node.images import Image
from linnet.local.node.life import Life
from linnet.local.node.pipes import Output
from linnet.local.node.pod_folder import PodFolder
from linnet.local.node.reporting import Reporter
from linnet.local.node.resolving import resolv_conf
from linnet.local.node.runtime import Command, Mount, Process, Sandbox, SandboxSpec, Stdio
from linnet.local.node.spec import Object, Pod
from linnet.local.node.status import NO_EPHEMERAL, Around, pod_status
from linnet.local.node.supplies import Supplies
from linnet.local.node.surroundings import Launch, Options, Surroundings
from linnet.local.node.volumes import Directories, Volumes

_RETRY = 1.0  # seconds between tries of what the kernel or the API server refused

log = structlog.get_logger()


class PodWorker:
    """The machine behind one pod. Containers see it as their `life.Home`."""

    def __init__(self, pod: Pod, around: Surroundings) -> None:
        self.now: Now = around.now
        self._pod = pod
        self._around = around
        options = around.options
        self._folder = PodFolder(os.path.join(options.directory, pod.metadata.uid))
        memory = os.path.join(options.memory, pod.metadata.uid)
        self._volumes = Volumes(Directories(self._folder.path, memory))
        self.lives = {life.container.name: life for life in self._lives(pod)}
        self._sandbox: Sandbox | None = None
        self._ip = str((pod.raw.get("status") or {}).get("podIP") or "")
        started = (pod.raw.get("status") or {}).get("startTime")
        self._started_at = parse(started) if started else around.now()
        self._over = False
        self._gone = False
        self._stop = asyncio.Event()
        self._grace: Grace | None = None
        self._reporter = Reporter(around.client, pod, self._status)
        self._supplies = Supplies(around, self._volumes, lambda: self._pod, self._mount_failed, self._wake)
        if pod.terminating:
            self._stop.set()

    # -- news ---------------------------------------------------------------

    def update(self, pod: Pod) -> None:
        """Take a newer version of the object."""
        old, self._pod = self._pod, pod
        if pod.terminating:
            self._stop.set()
            if self._grace:
                self._grace.shorten(pod.grace)
        elif old.metadata != pod.metadata:
            self._supplies.changed.set()
        if old.spec.ephemeral_containers != pod.spec.ephemeral_containers:
            self.say("Failed", f"Error: {NO_EPHEMERAL}", warning=True)
        self._reporter.changed.set()

    def gone(self) -> None:
        """The object was deleted without waiting for us: end at once."""
        self._gone = True
        self._stop.set()
        if self._grace:
            self._grace.shorten(0)

    # -- the whole life -----------------------------------------------------

    async def run(self) -> None:
        """Return when nothing of the pod is left on this node, nor in the API."""
        self._adopt()
        self._folder.make()
        async with asyncio.TaskGroup() as tasks:
            keepers = [tasks.create_task(self._reporter.run())]
            if not self._over:
                keepers.append(tasks.create_task(self._supplies.run()))
                await self._run_until_stopped(tasks)
            self.changed()
            await self._stop.wait()
            for keeper in keepers:
                keeper.cancel()
        await self._leave()

    async def _run_until_stopped(self, tasks: asyncio.TaskGroup) -> None:
        """Run the containers until all are done or the pod is asked to go; then release what they used."""
        living = tasks.create_task(self._live())
        stop = tasks.create_task(self._stop.wait())
        await asyncio.wait({living, stop}, return_when=asyncio.FIRST_COMPLETED)
        if not living.done():
            await self._end_all(self.lives.values())
            living.cancel()
            await asyncio.wait({living})
        self._over = True
        for life in self.lives.values():
            life.conclude()
        await self._release()
        stop.cancel()

    async def _live(self) -> None:
        await self._supplies.ready.wait()
        if any(life.state.last or life.state.finished for life in self.lives.values()):
            self._say_sandbox_changed()  # it ran before this start of the node
        while True:
            await self._make_sandbox()
            if not await self._run_in_sandbox():
                return
            self._say_sandbox_changed()
            self._adopt()
            self.lives = {life.container.name: Life(life.state, self) for life in self.lives.values()}

    def _say_sandbox_changed(self) -> None:
        self.say("SandboxChanged", "Pod sandbox changed, it will be killed and re-created.")

    async def _run_in_sandbox(self) -> bool:
        """Run the containers; True when the sandbox was lost meanwhile."""
        async with asyncio.TaskGroup() as tasks:
            lost = tasks.create_task(self.sandbox.ended())
            work = tasks.create_task(self._run_containers())
            await asyncio.wait({lost, work}, return_when=asyncio.FIRST_COMPLETED)
            was_lost = not work.done()
            lost.cancel()
            work.cancel()
        return was_lost

    async def _run_containers(self) -> None:
        """Init containers one by one, then the others in order; sidecars until the others are done.

        As in a kubelet, a container starts when the one before it runs and its postStart hook is over, or
        when that one cannot start yet.
        """
        lives = list(self.lives.values())
        async with asyncio.TaskGroup() as sidecars:
            for life in lives:
                if not life.state.init:
                    continue
                if is_sidecar(life.container):
                    sidecars.create_task(life.run())
                    await life.started.wait()
                elif not await life.run():
                    break
            else:
                async with asyncio.TaskGroup() as tasks:
                    for life in lives:
                        if not life.state.init:
                            tasks.create_task(life.run())
                            await life.attempted.wait()
            await self._end_all(life for life in lives if is_sidecar(life.container))

    async def _end_all(self, lives: Iterable[Life]) -> None:
        """End containers together; sidecars get TERM after the others, the last one first.

        Source: Kubernetes, "Sidecar Containers", termination.
        """
        self._grace = Grace(0 if self._gone else self._pod.grace)
        chosen = list(lives)
        async with asyncio.TaskGroup() as tasks:
            before: list[asyncio.Task[None]] = [
                tasks.create_task(life.stop(self._grace)) for life in chosen if not is_sidecar(life.container)
            ]
            for life in reversed([life for life in chosen if is_sidecar(life.container)]):
                before.append(tasks.create_task(life.stop(self._grace, _after(tuple(before)))))

    async def _release(self) -> None:
        """Take down sandbox and volumes; logs stay until the object goes."""
        if self._sandbox:
            await self._sandbox.destroy()
            self._sandbox = None
        try:
            self._volumes.remove()
        except OSError as error:  # the next start of the node sweeps
            log.warning("volumes not removed", pod=self._pod.label, error=str(error))

    async def _leave(self) -> None:
        """Write the last status, let the API server drop the object, and forget everything."""
        meta = self._pod.metadata
        while not self._gone:
            try:
                await self._reporter.flush()
                await self._around.client.delete(
                    POD, meta.name, meta.namespace, grace_seconds=0, uid=meta.uid
                )
                break
            except (NotFound, Conflict):
                break
            except OSError as error:
                log.warning("pod not deleted", pod=self._pod.label, error=str(error))
                await asyncio.sleep(_RETRY)
        self._folder.remove()

    # -- steps --------------------------------------------------------------

    def _lives(self, pod: Pod) -> Iterable[Life]:
        waiting = Waiting("PodInitializing" if pod.spec.init_containers else "ContainerCreating")
        first = Waiting("PodInitializing")
        for container in pod.spec.init_containers:
            yield Life(ContainerState(container, init=True, state=first), self)
        for container in pod.spec.containers:
            yield Life(ContainerState(container, state=waiting), self)

    def _adopt(self) -> None:
        """Take over what an earlier run of this node, or an earlier sandbox, left in the states."""
        status: Object = self._pod.raw.get("status") or {}
        self._over = status.get("phase") in ("Succeeded", "Failed")
        known = reported(status)
        for life in self.lives.values():
            adopt(life.state, known.get(life.state.spec.name), self.now(), over=self._over)

    async def _make_sandbox(self) -> None:
        spec = sandbox_spec(self._pod, self._around.options, self._folder.path)
        while True:
            try:
                self._sandbox = await self._around.sandboxes.create(spec)
                break
            except OSError as error:
                self.say("FailedCreatePodSandBox", f"Failed to create pod sandbox: {error}", warning=True)
                await asyncio.sleep(_RETRY)
        self._ip = self._sandbox.ip
        self.changed()

    # -- what containers ask (life.Home) --------------------------------------

    @property
    def pod(self) -> Pod:
        """The pod as last seen."""
        return self._pod

    @property
    def sandbox(self) -> Sandbox:
        """Where it runs."""
        assert self._sandbox is not None, self._pod.label
        return self._sandbox

    @property
    def sandboxed(self) -> bool:
        """Whether its sandbox is up."""
        return self._sandbox is not None

    def image(self, reference: str) -> Image | None:
        """The entry of the catalogue."""
        return self._around.images.find(reference)

    async def command(self, container: Container, image: Image) -> Command:
        """What is started. Raises Missing."""
        env = environment(container, self._supplies.facts(self._ip), image.environment)
        shown = (Mount(path, path) for path in self._around.options.shown)
        brought = (Mount(path, path) for path in image.files)
        mounts = (*shown, *brought, *self._volumes.mounts(self._pod, container, dict(env)))
        if container.termination_message_path:
            mounts = (*mounts, self._folder.last_words(container))
        return commands.command(self._pod, container, image, env, mounts)

    async def launch(
        self, container: Container, image: Image, command: Command, stdio: Stdio, output: Output
    ) -> Process:
        """Start it. Raises OSError."""
        scratch = self._folder.scratch(container)
        return await self._around.launch(
            Launch(self._pod, container, image, command, stdio, self.sandbox, scratch, output)
        )

    def termination_message(self, container: Container) -> bytes:
        """What the container left as its last words."""
        return self._folder.termination_message(container)

    def log_path(self, container: Container, instance: int) -> str:
        """Where an instance writes its log; logs older than the previous instance's are deleted."""
        return self._folder.log_path(container, instance)

    def say(
        self, reason: str, message: str, *, warning: bool = False, about: ContainerState | None = None
    ) -> None:
        """Tell the user."""
        where = ""
        if about:
            where = f"spec.{'initContainers' if about.init else 'containers'}{{{about.spec.name}}}"
        self._around.events.pod(self._pod, reason, message, warning=warning, container=where)

    def changed(self) -> None:
        """The status is not what it was."""
        self._reporter.changed.set()

    def _mount_failed(self, message: str) -> None:
        self.say("FailedMount", message, warning=True)

    def _wake(self) -> None:
        for life in self.lives.values():
            life.wake()

    def _status(self, previous: Object) -> Object:
        around = Around(
            started_at=self._started_at,
            node_ip=self._around.options.ip,
            ip=self._ip,
            sandboxed=self._sandbox is not None,
            over=self._over,
        )
        states = [life.state for life in self.lives.values()]
        return pod_status(self._pod, states, around, previous, self.now())


def _after(tasks: tuple[asyncio.Task[None], ...]) -> Callable[[], Awaitable[None]]:
    """A wait for the end of tasks."""

    async def wait() -> None:
        if tasks:
            await asyncio.wait(tasks)

    return wait


def sandbox_spec(pod: Pod, options: Options, directory: str) -> SandboxSpec:
    """The sandbox that a pod wants (pure)."""
    return SandboxSpec(
        uid=pod.metadata.uid,
        namespace=pod.metadata.namespace,
        name=pod.metadata.name,
        hostname=options.name if pod.spec.host_network else hostname(pod),
        resolv_conf=resolv_conf(pod, dns=options.dns, cluster_domain=options.cluster_domain),
        hosts=tuple((alias.ip, " ".join(alias.hostnames)) for alias in pod.spec.host_aliases),
        directory=directory,
        host_network=pod.spec.host_network,
    )
