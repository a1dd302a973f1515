"""What root of a pod can see of this machine: programs, and nobody's secrets."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from linnet.local.node import rootfs
from linnet.local.node.capabilities import NAMES
from linnet.local.node.runtime import SandboxSpec
from linnet.local.node.sandboxes import LocalSandboxes

pytestmark = pytest.mark.wired

ESCAPE = r"""
import ctypes, glob, os, stat, sys
secret, path = sys.argv[1], sys.argv[2]
libc = ctypes.CDLL(None, use_errno=True)
found = []

def look(where, way):
    try:
        if not stat.S_ISREG(os.stat(where).st_mode):
            return
        with open(where, "rb") as file:
            if secret.encode() in file.read(65536):
                found.append(way)
    except OSError:
        pass

def attempt(way, *steps):
    # each in a child, so that a step that works does not help the next one
    pid = os.fork()
    if pid == 0:
        found.clear()
        for step in steps:
            try:
                step()
            except OSError:
                pass
            look(path, way)
            look("." + path, way)
        os._exit(len(found) > 0)
    if os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]):
        found.append(way)

def call(name, *arguments):
    if getattr(libc, name)(*arguments):
        raise OSError(ctypes.get_errno(), name)

look(path, "its path")
for root in glob.glob("/proc/[0-9]*/root") + glob.glob("/proc/[0-9]*/cwd") + glob.glob("/proc/[0-9]*/fd/*"):
    look(root + path, root)
    look(root, root)
if len(sys.argv) > 3:  # the rest would do harm where it works
    sys.exit(print(" ".join(found)))

def leave_chroot():
    os.makedirs("/tmp/jail", exist_ok=True)
    here = os.open("/", os.O_RDONLY)
    os.chroot("/tmp/jail")
    os.fchdir(here)
    for _ in range(64):
        os.chdir("..")
    os.chroot(".")

attempt("chroot", leave_chroot)
covers = ("/", "/usr", "/root", "/home", os.path.dirname(path))
uncover = [lambda at=at: call("umount2", at.encode(), 2) for at in covers]
attempt("unmount", *uncover)
attempt("unshare and unmount", lambda: call("unshare", 0x20000), *uncover)
attempt("user namespace", lambda: call("unshare", 0x10000000 | 0x20000), *uncover)
attempt("bind mount", lambda: call("mount", b"/proc/1/root", b"/mnt", None, 4096, None))
attempt("namespace of init", lambda: call("setns", os.open("/proc/1/ns/mnt", os.O_RDONLY), 0x20000))

def disk(number):
    major, minor = os.major(number), os.minor(number)
    for at in ("/dev/disk", "/tmp/disk", "/disk"):
        try:
            os.mknod(at, 0o60600, os.makedev(major, minor))
            with open(at, "rb") as file:
                file.read(1)
            found.append("a device")
        except OSError:
            pass

for line in open("/proc/self/mountinfo"):
    major, _, minor = line.split()[2].partition(":")
    if int(major):
        disk(os.makedev(int(major), int(minor)))

class Handle(ctypes.Structure):
    _fields_ = [("size", ctypes.c_uint), ("type", ctypes.c_int), ("data", ctypes.c_ubyte * 128)]

handle, mount = Handle(size=128), ctypes.c_int()
if not libc.name_to_handle_at(-100, b"/usr", ctypes.byref(handle), ctypes.byref(mount), 0):
    if libc.open_by_handle_at(os.open("/usr", os.O_RDONLY), ctypes.byref(handle), 0) >= 0:
        found.append("a file handle")
print(" ".join(found) or "nothing")
"""


@pytest.fixture
def places(hidden: Path) -> Iterator[tuple[Path, ...]]:
    """Files with a secret in a hidden directory, and on the machine's disk outside of all homes."""
    folder = Path(tempfile.mkdtemp(prefix="secret-", dir="/var"))
    (folder / "ca.key").write_text("secret")
    yield hidden / "ca.key", folder / "ca.key"
    shutil.rmtree(folder)


@pytest.mark.parametrize("rights", [None, NAMES], ids=["usual", "privileged"])
async def test_no_trick_gives_root_of_a_pod_a_key(
    sandboxes: LocalSandboxes,
    spec: SandboxSpec,
    run,
    places: tuple[Path, ...],
    rights: tuple[str, ...] | None,
) -> None:
    """Paths, other processes' roots, namespaces, mounts, devices and file handles lead nowhere."""
    sandbox = await sandboxes.create(spec)
    for path in places:
        argv = (sys.executable, "-c", ESCAPE, "secret", str(path))
        assert await run(sandbox, *argv, capabilities=rights) == (0, "nothing\n")
    await sandbox.destroy()


def test_a_key_that_is_not_hidden_is_found(places: tuple[Path, ...]) -> None:
    """The same program finds it outside of a pod, or it would prove nothing."""
    argv = [sys.executable, "-c", ESCAPE, "secret", str(places[1]), "look only"]
    found = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    assert "its path" in found
    assert "root" in found


async def test_a_pod_sees_programs_and_no_other_directory(
    sandboxes: LocalSandboxes, spec: SandboxSpec, run
) -> None:
    """Of the machine's top level only what programs need, read-only; the rest is the pod's own, and empty."""
    sandbox = await sandboxes.create(spec)
    code, text = await run(sandbox, "ls", "-A", "/")
    assert code == 0
    own = {"dev", "etc", "proc", "sys", "tmp", "run", "var", "home", "root", ".host"}
    exposed = {path.split("/")[1] for path in (sys.prefix, sys.base_prefix, str(Path(rootfs.__file__)))}
    system = {name for name in os.listdir("/") if name.startswith(("bin", "sbin", "lib", "usr"))}
    assert set(text.split()) <= own | exposed | (system - {"lost+found"})
    for path in ("/home", "/var/lib", "/var/log"):
        assert (await run(sandbox, "ls", "-A", path))[1] == ""
    await sandbox.destroy()


async def test_what_only_root_may_read_of_etc_is_empty(
    sandboxes: LocalSandboxes, spec: SandboxSpec, run
) -> None:
    """The machine's passwords and private keys are not there, its certificates and users are."""
    sandbox = await sandboxes.create(spec)
    for path in rootfs.private_files():
        _, text = await run(sandbox, "sh", "-c", f"cat {path} {path}/* /.host{path} 2>/dev/null")
        assert text == "", path
    assert "root:" in (await run(sandbox, "cat", "/etc/passwd"))[1]
    await sandbox.destroy()


def test_private_files_are_found(tmp_path: Path) -> None:
    """Files and directories that not everybody may read; links are judged by what they point to."""
    for name, mode in (("open", 0o644), ("shadow", 0o640)):
        (tmp_path / name).touch()
        (tmp_path / name).chmod(mode)
    (tmp_path / "keys").mkdir(mode=0o710)
    (tmp_path / "keys" / "a").touch()
    (tmp_path / "link").symlink_to("shadow")
    assert set(rootfs.private_files(str(tmp_path))) == {f"{tmp_path}/shadow", f"{tmp_path}/keys"}
