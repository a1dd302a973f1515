"""Sandboxes on the real kernel."""

import asyncio
import signal
import socket
import sys
from pathlib import Path

import pytest
from tests.local.node.own import OWN

from linnet.local.node.forker import Forker
from linnet.local.node.network import Network
from linnet.local.node.runtime import Command, Mount, SandboxSpec, Stdio
from linnet.local.node.sandboxes import LocalSandboxes

pytestmark = pytest.mark.wired
PATH = (("PATH", "/usr/bin:/bin"),)
SERVER = """
import socket
connection, peer = socket.create_server(("", 80)).accept()
connection.sendall(peer[0].encode())
"""


def name_of(pid: int) -> str:
    """The name of a process of this machine; empty when there is none."""
    path = Path(f"/proc/{pid}/comm")
    return path.read_text().strip() if path.exists() else ""


async def connect(sandbox, port: int) -> socket.socket:
    """Try until something listens."""
    async with asyncio.timeout(10):
        while True:
            try:
                return await sandbox.connect(port)
            except ConnectionRefusedError:
                await asyncio.sleep(0.02)


async def test_pod_has_its_own_name_files_and_processes(sandboxes: LocalSandboxes, spec: SandboxSpec, run):
    """A process sees the pod's host name, address, resolver and no process of the machine."""
    sandbox = await sandboxes.create(spec)
    code, text = await run(
        sandbox, "sh", "-c", "hostname; cat /etc/resolv.conf /etc/hosts; ls /proc | grep -c '^[0-9]'"
    )
    lines = text.splitlines()
    assert code == 0
    assert lines[0] == "pod-1"
    assert lines[1] == "nameserver 10.96.0.10"
    assert f"{sandbox.ip} pod-1" in lines
    assert int(lines[-1]) < 8
    await sandbox.destroy()


async def test_machine_is_read_only_and_secrets_are_hidden(
    sandboxes: LocalSandboxes, spec: SandboxSpec, run, hidden: Path
):
    """A pod cannot write to the machine's directories, nor read hidden ones, nor escape."""
    sandbox = await sandboxes.create(spec)
    assert (await run(sandbox, "touch", "/usr/x"))[0] != 0
    assert (await run(sandbox, "cat", f"{hidden}/ca.key"))[0] != 0
    for path in ("root", "fd/0", "cwd"):
        assert (await run(sandbox, "readlink", f"/proc/1/{path}"))[0] != 0
    assert (await run(sandbox, "cat", "/proc/1/environ"))[0] != 0
    device = "mknod /d b 8 0 && head -c1 /d; mknod /tmp/c c 1 5 && head -c1 /tmp/c"
    assert (await run(sandbox, "sh", "-c", device))[0] != 0
    assert (await run(sandbox, "head", "-c1", "/dev/zero"))[0] == 0
    assert (await run(sandbox, "sh", "-c", "echo 1 > /proc/sys/kernel/panic"))[0] != 0
    assert (await run(sandbox, "touch", "/tmp/a", "/run/b", "/var/log/c", "/d", "/root/e"))[0] == 0
    await sandbox.destroy()


async def test_own_python_works_in_a_pod(sandboxes: LocalSandboxes, spec: SandboxSpec, run):
    """Linnet's interpreter and packages are there although homes are hidden."""
    sandbox = await sandboxes.create(spec)
    assert await run(sandbox, sys.executable, "-c", "import linnet, msgspec; print('yes')") == (0, "yes\n")
    await sandbox.destroy()


async def test_volumes_are_mounted_anywhere(
    sandboxes: LocalSandboxes, spec: SandboxSpec, run, tmp_path: Path
):
    """Volumes appear below read-only, private, linked and new directories, writable only if asked."""
    volume = tmp_path / "volume"
    volume.mkdir()
    (volume / "file").write_text("content\n")
    targets = ("/var/lib/istio/data", "/etc/istio/pod", "/usr/share/x/y", "/data", "/var/run/secrets/a")
    mounts = [Mount(str(volume), target) for target in targets]
    mounts += [Mount(str(volume / "file"), "/etc/ssl/one"), Mount(str(volume), "/writable", read_only=False)]
    sandbox = await sandboxes.create(spec)
    command = Command(("sleep", "100"), env=PATH, mounts=tuple(mounts))
    process = await sandbox.start(command, Stdio())
    files = [f"{target}/file" for target in targets] + ["/etc/ssl/one"]
    assert await run(sandbox, "cat", *files, like=process) == (0, "content\n" * 6)
    assert (await run(sandbox, "touch", "/data/new", like=process))[0] != 0
    assert (await run(sandbox, "touch", "/writable/new", like=process))[0] == 0
    assert (volume / "new").exists()
    assert int((await run(sandbox, "sh", "-c", "ls /usr/share | wc -l", like=process))[1]) > 3
    await sandbox.destroy()


async def test_containers_do_not_share_private_directories(sandboxes: LocalSandboxes, spec: SandboxSpec, run):
    """/tmp of one container is not that of another; exec joins the container that it is for."""
    sandbox = await sandboxes.create(spec)
    script = "touch /tmp/mine; exec sleep 100"
    first = await sandbox.start(Command(("sh", "-c", script), env=PATH), Stdio())
    async with asyncio.timeout(5):
        while (await run(sandbox, "test", "-e", "/tmp/mine", like=first))[0]:
            pass
    assert (await run(sandbox, "test", "-e", "/tmp/mine"))[0] == 1
    await sandbox.destroy()


async def test_rights_are_those_of_a_container(sandboxes: LocalSandboxes, spec: SandboxSpec, run):
    """Root has the default capabilities, a user none, or exactly those that were asked for."""
    script = "id -u; grep -E 'CapEff' /proc/self/status | cut -f2"
    sandbox = await sandboxes.create(spec)
    assert (await run(sandbox, "sh", "-c", script))[1] == "0\n00000000a80425fb\n"
    assert (await run(sandbox, "sh", "-c", script, uid=1337, gid=1337))[1] == "1337\n0000000000000000\n"
    asked = {"uid": 1337, "gid": 1337, "capabilities": ("NET_ADMIN",)}
    assert (await run(sandbox, "sh", "-c", script, **asked))[1] == "1337\n0000000000001000\n"
    assert (await run(sandbox, "mount", "-t", "tmpfs", "x", "/tmp"))[0] != 0
    await sandbox.destroy()


async def test_read_only_root(sandboxes: LocalSandboxes, spec: SandboxSpec, run, tmp_path: Path):
    """A read-only root leaves only volumes writable."""
    sandbox = await sandboxes.create(spec)
    mounts = (Mount(str(tmp_path), "/tmp", read_only=False),)
    kept = {"read_only_root": True, "mounts": mounts}
    assert (await run(sandbox, "touch", "/tmp/volume", **kept))[0] == 0
    for path in ("/a", "/run/a", "/var/a", "/etc/a"):
        assert (await run(sandbox, "touch", path, **kept))[0] != 0
    await sandbox.destroy()


async def test_programs_that_cannot_be_executed(sandboxes: LocalSandboxes, spec: SandboxSpec, run):
    """The caller learns why: missing, or not executable."""
    sandbox = await sandboxes.create(spec)
    with pytest.raises(FileNotFoundError, match="no-such-program"):
        await run(sandbox, "no-such-program")
    with pytest.raises(PermissionError, match="/etc/hosts"):
        await run(sandbox, "/etc/hosts")
    with pytest.raises(FileNotFoundError, match="/gone"):
        await run(sandbox, "true", cwd="/gone")
    await sandbox.destroy()


async def test_exit_codes_and_signals(sandboxes: LocalSandboxes, spec: SandboxSpec, run):
    """A code is passed on; a signal gives 128 and its number; orphans are reaped by the init."""
    sandbox = await sandboxes.create(spec)
    assert (await run(sandbox, "sh", "-c", "exit 7"))[0] == 7
    assert (await run(sandbox, "sh", "-c", "kill -KILL $$"))[0] == 137
    process = await sandbox.start(Command(("sleep", "100"), env=PATH), Stdio())
    assert name_of(process.pid) == "sleep"
    process.signal(signal.SIGTERM)
    assert await process.wait() == 143
    process.signal(signal.SIGTERM)  # nothing happens
    assert (await run(sandbox, "sh", "-c", "(sleep 0.01 &) ; true"))[0] == 0
    await sandbox.destroy()


async def test_python_function_without_exec(sandboxes: LocalSandboxes, spec: SandboxSpec, run):
    """A function runs in the fork with the command's arguments; its result is the exit code."""
    sandbox = await sandboxes.create(spec)
    code, text = await run(sandbox, "-c", "3", python="operator:length_hint")
    assert (code, text) == (2, "")
    code, text = await run(sandbox, "a", python="os:no_such_function")
    assert code == 1
    assert "no_such_function" in text
    await sandbox.destroy()


async def test_sockets_of_the_pod(sandboxes: LocalSandboxes, network: Network, spec: SandboxSpec):
    """The node connects inside the pod, listens inside it, and reaches it by its address."""
    sandbox = await sandboxes.create(spec)
    loop = asyncio.get_running_loop()
    server = await sandbox.start(Command((sys.executable, "-c", SERVER), env=PATH, mounts=OWN), Stdio())
    with await connect(sandbox, 80) as inside:
        assert await loop.sock_recv(inside, 100) == b"127.0.0.1"
    assert await server.wait() == 0
    with sandbox.listen(81) as listener, await network.dial(sandbox.ip, 81):
        accepted, peer = await loop.sock_accept(listener)
        accepted.close()
    assert peer[0] == "10.244.0.1"
    await sandbox.destroy()


async def test_pods_reach_each_other_and_gone_ones_at_once_not(
    sandboxes: LocalSandboxes, spec: SandboxSpec, run
):
    """Pod to pod by address; an address whose pod is gone is unreachable without a wait."""
    one, two = await sandboxes.create(spec), await sandboxes.create(spec)
    with two.listen(80) as listener:
        code, _ = await run(one, "bash", "-c", f"exec 3<>/dev/tcp/{two.ip}/80")
        assert code == 0
        listener.close()
    await two.destroy()
    async with asyncio.timeout(1):
        code, text = await run(one, "bash", "-c", f"exec 3<>/dev/tcp/{two.ip}/80")
    assert code != 0
    assert "refused" in text
    await one.destroy()


async def test_destroy_frees_everything(sandboxes: LocalSandboxes, network: Network, spec: SandboxSpec):
    """After destroy no process of the pod lives, waiters are told, and a second destroy is nothing."""
    sandbox = await sandboxes.create(spec)
    process = await sandbox.start(Command(("sleep", "100"), env=PATH), Stdio())
    await sandbox.destroy()
    assert await process.wait() == 137
    assert not name_of(process.pid)
    await sandbox.ended()
    await sandbox.destroy()
    with pytest.raises(ProcessLookupError):
        await sandbox.start(Command(("true",), env=PATH), Stdio())


async def test_addresses_are_used_again_late(sandboxes: LocalSandboxes, spec: SandboxSpec):
    """The next pod does not get the address that has just been freed."""
    first = await sandboxes.create(spec)
    await first.destroy()
    second = await sandboxes.create(spec)
    assert second.ip != first.ip
    await second.destroy()


async def test_pods_die_with_the_forker(sandboxes: LocalSandboxes, forker: Forker, spec: SandboxSpec):
    """Nothing of a pod outlives the forker; the node is told."""
    sandbox = await sandboxes.create(spec)
    process = await sandbox.start(Command(("sleep", "100"), env=PATH), Stdio())
    signal.pidfd_send_signal(forker.pidfd, signal.SIGKILL)
    async with asyncio.timeout(5):
        await sandbox.ended()
    assert not name_of(process.pid)
    with pytest.raises(OSError, match="make the root of the pod"):
        await sandboxes.create(spec)


async def test_failed_birth_leaves_nothing(
    sandboxes: LocalSandboxes, forker: Forker, spec: SandboxSpec, tmp_path
):
    """When the root cannot be built, the step is named and the address is free again."""
    (tmp_path / "root").rmdir()
    with pytest.raises(OSError, match="make the root of the pod: mount tmpfs on"):
        await sandboxes.create(spec)
    (tmp_path / "root").mkdir()
    sandbox = await sandboxes.create(spec)
    await sandbox.destroy()
