"""Sandboxes: pods as processes in namespaces, made by the forker on routed links.

Implements `linnet.local.node.runtime`.
"""

import asyncio
import os
import signal
import socket
import stat
from collections.abc import Callable, Coroutine
from typing import Any

from linnet.local.node.forker import Forker
from linnet.local.node.forking import Forking
from linnet.local.node.messages import Birth, Place, Start
from linnet.local.node.network import NODE_IP, Network
from linnet.local.node.runtime import Command, Mount, Process, SandboxSpec, Stdio
from linnet.netlink import linux
from linnet.netlink.dial import connected
from linnet.netlink.namespaces import listener_in

_BIRTH_TIMEOUT = 20.0  # seconds; a loaded machine
_KILLED = 128 + signal.SIGKILL


class LocalSandboxes:
    """Makes sandboxes with the help of the forker and the pod network."""

    def __init__(self, forker: Forker, network: Network) -> None:
        self._control = forker.control
        self._network = network
        self._forking: Forking | None = None

    async def create(self, spec: SandboxSpec) -> "LocalSandbox":
        """A new sandbox with its network up. Raises OSError with the step that failed in its message."""
        if self._forking is None:
            self._forking = Forking(self._control)
        forking, network = self._forking, self._network
        ip = NODE_IP if spec.host_network else network.addresses.take()
        namespace = -1
        try:
            namespace = network.share() if spec.host_network else network.attach(ip)
            birth = Birth(forking.number(), spec.hostname, _etc_files(spec, ip))
            pidfd = await _named(
                "make the root of the pod", forking.bear(birth, namespace, timeout=_BIRTH_TIMEOUT)
            )
        except BaseException:
            if namespace >= 0:
                os.close(namespace)
            self._release(ip)
            raise
        return LocalSandbox(birth.pod, ip, pidfd, namespace, self._release, forking)

    def _release(self, ip: str) -> None:
        """A sandbox has no use for its address any more."""
        if ip != NODE_IP:
            self._network.detach(ip)
            self._network.addresses.give_back(ip)


class LocalSandbox:
    """One pod's namespaces, as `runtime.Sandbox`."""

    def __init__(
        self,
        pod: int,
        ip: str,
        pidfd: int,
        namespace: int,
        release: Callable[[str], None],
        forking: Forking,
    ) -> None:
        self._pod = pod
        self._ip = ip
        self._pidfd = pidfd
        self._namespace = namespace
        self._release = release
        self._forking = forking
        self._processes: dict[int, LocalProcess] = {}
        self._ended = asyncio.Event()
        asyncio.get_running_loop().add_reader(pidfd, self._on_end)

    @property
    def ip(self) -> str:
        """The pod IP."""
        return self._ip

    async def start(self, command: Command, stdio: Stdio, *, like: Process | None = None) -> "LocalProcess":
        """Run a command; see `runtime.Sandbox.start`."""
        if self._ended.is_set():
            raise ProcessLookupError(3, "the sandbox has ended")
        number = self._forking.number()
        process = LocalProcess(number, self._forking.kill)
        self._processes[number] = process
        shared = like.number if isinstance(like, LocalProcess) else 0
        opened = [os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)]
        try:
            places = () if shared else _open_mounts(command.mounts, opened)
            standard = [opened[0] if fd is None else fd for fd in (stdio.stdin, stdio.stdout, stdio.stderr)]
            start = Start(self._pod, number, command, places, shared)
            starting = self._forking.start(start, [*standard, *opened[1:]], self._end_of(process))
            process.pid = await _named(f"start {command.argv[0]}", starting)
        except BaseException:
            self._processes.pop(number, None)
            raise
        finally:
            for descriptor in opened:
                os.close(descriptor)
        return process

    async def connect(self, port: int, *, host: str = "127.0.0.1", timeout: float = 1.0) -> socket.socket:
        """A non-blocking TCP socket of the pod's network, connected. Raises OSError."""
        return await connected(self._alive(), host, port, timeout=timeout)

    def listen(self, port: int, *, host: str = "0.0.0.0") -> socket.socket:
        """A non-blocking TCP socket of the pod's network, listening. Raises OSError."""
        return listener_in(self._alive(), host, port)

    async def destroy(self) -> None:
        """Kill everything in it and free its address. Idempotent."""
        if not self._ended.is_set():
            signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
        await self._ended.wait()

    async def ended(self) -> None:
        """Return when the sandbox is gone, for whatever reason."""
        await self._ended.wait()

    def _alive(self) -> int:
        if self._ended.is_set():
            raise ConnectionRefusedError(111, "the sandbox has ended")
        return self._namespace

    def _end_of(self, process: "LocalProcess") -> Callable[[int], None]:
        def ended(code: int) -> None:
            self._processes.pop(process.number, None)
            process.finish(code)

        return ended

    def _on_end(self) -> None:
        """The init is dead, and so is everything in its pid namespace."""
        asyncio.get_running_loop().remove_reader(self._pidfd)
        os.close(self._pidfd)
        os.close(self._namespace)
        self._release(self._ip)
        self._ended.set()
        for number, process in self._processes.items():
            self._forking.forget(number)
            process.finish(_KILLED)
        self._processes.clear()


class LocalProcess:
    """A running process of a sandbox, as `runtime.Process`."""

    def __init__(self, number: int, send: Callable[[int, int], None]) -> None:
        self.number = number
        self.pid = 0
        self._send = send
        self._code: int | None = None
        self._done = asyncio.Event()

    async def wait(self) -> int:
        """Its exit code; 128 + signal number when a signal ended it."""
        await self._done.wait()
        assert self._code is not None
        return self._code

    def signal(self, number: int) -> None:
        """Send a signal; nothing happens if it has ended."""
        self._send(self.number, number)

    def finish(self, code: int) -> None:
        """It has ended."""
        self._code = code
        self._done.set()


async def _named(step: str, doing: Coroutine[Any, Any, int]) -> int:
    """What is awaited; a failure names the step."""
    try:
        return await doing
    except TimeoutError as error:
        raise TimeoutError(f"{step}: no answer") from error
    except OSError as error:
        raise OSError(error.errno or 0, f"{step}: {error.strerror or error}") from error


def _etc_files(spec: SandboxSpec, ip: str) -> tuple[tuple[str, str], ...]:
    lines = ["127.0.0.1 localhost", "::1 localhost ip6-localhost ip6-loopback", f"{ip} {spec.hostname}"]
    lines += [f"{address} {names}" for address, names in spec.hosts]
    hosts = "".join(line + "\n" for line in lines)
    return ("resolv.conf", spec.resolv_conf), ("hosts", hosts), ("hostname", spec.hostname + "\n")


def _open_mounts(mounts: tuple[Mount, ...], opened: list[int]) -> tuple[Place, ...]:
    """Detached copies of what shall be mounted, outer targets first; `opened` gets their descriptors."""
    places = []
    for mount in sorted(mounts, key=lambda mount: mount.target.rstrip("/").count("/")):
        tree = linux.open_tree(mount.source)
        opened.append(tree)
        restrictions = linux.MOUNT_ATTR_NOSUID | linux.MOUNT_ATTR_NODEV
        if mount.read_only:
            restrictions |= linux.MOUNT_ATTR_RDONLY
        linux.mount_attributes(mount.source, restrictions, fd=tree)
        places.append(Place(mount.target, stat.S_ISDIR(os.fstat(tree).st_mode)))
    return tuple(places)
