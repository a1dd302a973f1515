"""Sandboxes: pods as processes in namespaces, made by the forker, spoken to by one socket each.

Implements `linnet.local.node.runtime`.
"""

import asyncio
import os
import signal
import socket
import stat
import struct
from collections.abc import Callable

from linnet.local.node import messages
from linnet.local.node.forker import Forker
from linnet.local.node.messages import Birth, Born, Exited, Failed, Kill, Place, Ready, Start
from linnet.local.node.network import Network
from linnet.local.node.runtime import Command, Mount, Process, SandboxSpec, Stdio
from linnet.netlink import linux
from linnet.netlink.dial import connected
from linnet.netlink.namespaces import listener_in

_BIRTH_TIMEOUT = 20.0  # seconds; a loaded machine
_CREDENTIALS = struct.Struct("=iII")
_SO_PASSCRED, _SCM_CREDENTIALS, _SO_SNDBUFFORCE = 16, 2, 32


class LocalSandboxes:
    """Makes sandboxes with the help of the forker and the pod network."""

    def __init__(self, forker: Forker, network: Network) -> None:
        forker.control.setblocking(False)
        self._forker = forker.control
        self._network = network
        self._one_birth = asyncio.Lock()

    async def create(self, spec: SandboxSpec) -> "LocalSandbox":
        """A new sandbox with its network up. Raises OSError with the step that failed in its message."""
        ip = self._network.addresses.take()
        try:
            return await self._create(spec, ip)
        except BaseException:
            self._network.detach(ip)
            self._network.addresses.give_back(ip)
            raise

    async def _create(self, spec: SandboxSpec, ip: str) -> "LocalSandbox":
        namespace = self._network.attach(ip)
        control, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            control.setblocking(False)
            _enlarge(control)
            birth = Birth(spec.hostname, _etc_files(spec, ip))
            pidfd = await self._fork(birth, [its.fileno(), namespace])
        except BaseException:
            control.close()
            os.close(namespace)
            raise
        finally:
            its.close()
        sandbox = LocalSandbox(ip, control, pidfd, namespace, self._network)
        try:
            await sandbox.born()
        except BaseException:
            await sandbox.destroy()
            raise
        return sandbox

    async def _fork(self, birth: Birth, descriptors: list[int]) -> int:
        async with self._one_birth:
            await _send(self._forker, messages.encode(birth), descriptors)
            data, given = await _receive(self._forker, 1)
        if not data:
            raise ConnectionResetError("fork the init of the pod: the forker has ended")
        match messages.decode_from_forker.decode(data):
            case Born():
                return given[0]
            case Failed(number=number, text=text):
                raise OSError(number, text)


class LocalSandbox:
    """One pod's namespaces, as `runtime.Sandbox`."""

    def __init__(self, ip: str, control: socket.socket, pidfd: int, namespace: int, network: Network) -> None:
        self._ip = ip
        self._control = control
        self._pidfd = pidfd
        self._namespace = namespace
        self._network = network
        self._processes: dict[int, LocalProcess] = {}
        self._last = 0
        self._ended = asyncio.Event()
        self._settled = asyncio.Event()  # born, or not
        self._failure: OSError | None = None
        loop = asyncio.get_running_loop()
        loop.add_reader(pidfd, self._on_end)
        loop.add_reader(control, self._on_message)

    @property
    def ip(self) -> str:
        """The pod IP."""
        return self._ip

    async def born(self) -> None:
        """Return when the init has made the pod's root. Raises OSError."""
        async with asyncio.timeout(_BIRTH_TIMEOUT):
            await self._settled.wait()
        if self._failure:
            raise self._failure

    async def start(self, command: Command, stdio: Stdio, *, like: Process | None = None) -> "LocalProcess":
        """Run a command; see `runtime.Sandbox.start`."""
        if self._ended.is_set():
            raise ProcessLookupError(3, "the sandbox has ended")
        self._last += 1
        number = self._last
        shared = like.number if isinstance(like, LocalProcess) else 0
        report, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        opened = [os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)]
        process = LocalProcess(number, self._signal)
        self._processes[number] = process
        try:
            report.setblocking(False)
            report.setsockopt(socket.SOL_SOCKET, _SO_PASSCRED, 1)
            places = () if shared else _open_mounts(command.mounts, opened)
            standard = [opened[0] if fd is None else fd for fd in (stdio.stdin, stdio.stdout, stdio.stderr)]
            start = Start(number, command, places, shared)
            await _send(self._control, messages.encode(start), [*standard, its.fileno(), *opened[1:]])
            its.close()
            process.pid = await _started(report, command)
        except BaseException:
            self._processes.pop(number, None)
            raise
        finally:
            report.close()
            its.close()
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

    def _signal(self, number: int, signal_number: int) -> None:
        if self._ended.is_set() or number not in self._processes:
            return
        self._control.send(messages.encode(Kill(number, signal_number)))

    def _on_message(self) -> None:
        """Take what the init said."""
        while data := _packet(self._control):
            match messages.decode_from_init.decode(data):
                case Ready():
                    self._settled.set()
                case Failed(number=number, text=text):
                    self._failure = OSError(number, f"make the root of the pod: {text}")
                    self._settled.set()
                case Exited(number=number, code=code):
                    if process := self._processes.pop(number, None):
                        process.finish(code)
        if data is not None:  # end of file: the end of the init follows
            asyncio.get_running_loop().remove_reader(self._control)

    def _on_end(self) -> None:
        """The init is dead, and so is everything in its pid namespace."""
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._pidfd)
        self._on_message()
        loop.remove_reader(self._control)
        self._control.close()
        os.close(self._pidfd)
        os.close(self._namespace)
        self._network.detach(self._ip)
        self._network.addresses.give_back(self._ip)
        self._ended.set()
        if not self._settled.is_set():
            self._failure = ChildProcessError(10, "make the root of the pod: its init has ended")
            self._settled.set()
        for process in self._processes.values():
            process.finish(128 + signal.SIGKILL)
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


async def _started(report: socket.socket, command: Command) -> int:
    """The pid of a process that runs its program now. Raises OSError with the reason why it does not."""
    pid = 0
    while True:
        await _until_readable(report)
        data, ancillary, _, _ = report.recvmsg(messages.MAX_MESSAGE, socket.CMSG_SPACE(_CREDENTIALS.size))
        if not data:
            if not pid:
                raise ProcessLookupError(3, f"start {command.argv[0]}: the sandbox has ended")
            return pid
        if data != b"\0":
            failed = messages.decode_from_init.decode(data)
            assert isinstance(failed, Failed)
            raise OSError(failed.number, f"start {command.argv[0]}: {failed.text}")
        for level, kind, content in ancillary:
            if level == socket.SOL_SOCKET and kind == _SCM_CREDENTIALS:
                pid = _CREDENTIALS.unpack(content[: _CREDENTIALS.size])[0]


def _packet(control: socket.socket) -> bytes | None:
    """The next packet; empty at the end, None when there is none yet."""
    try:
        return control.recv(messages.MAX_MESSAGE)
    except BlockingIOError:
        return None
    except ConnectionResetError:
        return b""


def _enlarge(control: socket.socket) -> None:
    """Let a message with a large environment fit."""
    try:
        control.setsockopt(socket.SOL_SOCKET, _SO_SNDBUFFORCE, 4 * messages.MAX_MESSAGE)
    except PermissionError:
        control.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 * messages.MAX_MESSAGE)


async def _send(control: socket.socket, data: bytes, descriptors: list[int]) -> None:
    while True:
        try:
            socket.send_fds(control, [data], descriptors)
            return
        except BlockingIOError:
            await _until_writable(control)


async def _receive(control: socket.socket, descriptors: int) -> tuple[bytes, list[int]]:
    await _until_readable(control)
    return messages.receive(control, descriptors)


async def _until_readable(control: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_reader(control, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(control)


async def _until_writable(control: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_writer(control, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_writer(control)
