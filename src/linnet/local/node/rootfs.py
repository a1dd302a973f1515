"""The root file system of a pod: this machine's programs read-only; /tmp /run /var /dev /etc of its own.

Everything hangs on one tmpfs, so that it is writable, needs no overlay, and goes with the last process.
"""

import contextlib
import errno
import os
import stat
from collections.abc import Iterable

from linnet.local.node.messages import Layout, Place
from linnet.netlink import linux

# what programs need of the machine; nobody's data is there
_SYSTEM = frozenset({"bin", "sbin", "lib", "lib32", "lib64", "libx32", "usr", "nix", "gnu"})
_DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
_BEHIND = "/.host"  # where the read-only originals of linked directories are
_READ_ONLY_PROC = ("sys", "sysrq-trigger", "irq", "bus")
_RESTRICTED = linux.MOUNT_ATTR_RDONLY | linux.MOUNT_ATTR_NOSUID | linux.MOUNT_ATTR_NODEV
_NSSWITCH = (
    "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\nservices: files\nprotocols: files\n"
)
_TMPFS = linux.MS_NOSUID | linux.MS_NODEV


def enter_new_root(layout: Layout, files: tuple[tuple[str, str], ...]) -> None:
    """Build the root of a pod and make it the root of this process, which has a mount namespace of its own.

    Raises:
        OSError: a mount failed; the message says which.
    """
    linux.mount("", "/", flags=linux.MS_REC | linux.MS_PRIVATE)
    root = layout.scratch
    # no devices: who may make them (CAP_MKNOD is usual) could read the machine's disk
    linux.mount("tmpfs", root, "tmpfs", _TMPFS, "mode=755,size=25%")
    _show_machine(root)
    _hide(root, layout)
    _make_devices(root)
    _make_proc(root)
    _make_etc(root, files, layout.private)
    make_private(root)
    os.chdir(root)
    linux.pivot_root_here()


def make_private(root: str = "") -> None:
    """Fresh /tmp, /run and /var (the first two on file systems of their own, for each container)."""
    for path, mode in (("/tmp", "1777"), ("/run", "755"), ("/var", "755")):  # noqa: S108
        _directory(root + path)
        linux.mount("tmpfs", root + path, "tmpfs", _TMPFS, f"mode={mode},size=10%")
    for path in ("/run/lock", "/var/cache", "/var/lib", "/var/log", "/var/spool", "/var/tmp"):  # noqa: S108
        os.mkdir(root + path)
    os.chmod(root + "/var/tmp", 0o1777)  # noqa: S103, S108
    os.symlink("/run", root + "/var/run")
    os.symlink("/run/lock", root + "/var/lock")


def make_read_only(volumes: Iterable[str]) -> None:
    """Make the whole root read-only, except volumes and /dev."""
    mounted = {os.path.normpath(target) for target in volumes}
    for path in ("/", "/tmp", "/run", "/var"):  # noqa: S108
        if path not in mounted:
            linux.mount_attributes(path, linux.MOUNT_ATTR_RDONLY, recursive=False)


def attach(tree: int, place: Place) -> None:
    """Mount a detached tree at a place of the root, whose mount point is made."""
    target = _make_place(place.target, directory=place.directory)
    linux.move_mount(tree, target)


def _show_machine(root: str) -> None:
    with os.scandir("/") as entries:
        for entry in entries:
            if entry.name not in _SYSTEM:
                continue
            here = f"{root}/{entry.name}"
            if entry.is_symlink():
                os.symlink(os.readlink(entry.path), here)
            elif entry.is_dir():
                os.mkdir(here)
                linux.mount(entry.path, here, flags=linux.MS_BIND | linux.MS_REC)
                linux.mount_attributes(here, _RESTRICTED)
    for name in ("home", "root"):
        os.mkdir(f"{root}/{name}")


def _hide(root: str, layout: Layout) -> None:
    """Empty the hidden directories, then bring back what is exposed, outer directories first."""
    system = [f"/{name}" for name in _SYSTEM]
    covered: list[str] = []
    for path in sorted(layout.hidden):
        if _below(path, system) and os.path.isdir(root + path):
            linux.mount("tmpfs", root + path, "tmpfs", _TMPFS, "mode=755,size=1%")
            covered.append(path)
    for path in sorted(layout.exposed):
        if (_below(path, covered) or not _below(path, system)) and os.path.isdir(path):
            os.makedirs(root + path, exist_ok=True)
            linux.mount(path, root + path, flags=linux.MS_BIND | linux.MS_REC)
            linux.mount_attributes(root + path, _RESTRICTED)


def _below(path: str, parents: list[str]) -> bool:
    return any(path == parent or path.startswith(parent + "/") for parent in parents)


def _make_devices(root: str) -> None:
    os.mkdir(root + "/dev")
    for name in _DEVICES:
        _file(f"{root}/dev/{name}")
        linux.mount(f"/dev/{name}", f"{root}/dev/{name}", flags=linux.MS_BIND)
    for name in ("pts", "shm"):
        os.mkdir(f"{root}/dev/{name}")
    flags = linux.MS_NOSUID | linux.MS_NOEXEC
    linux.mount("devpts", root + "/dev/pts", "devpts", flags, "newinstance,ptmxmode=0666,mode=620")
    linux.mount("tmpfs", root + "/dev/shm", "tmpfs", _TMPFS, "mode=1777,size=10%")  # noqa: S108
    links = {"ptmx": "pts/ptmx", "fd": "/proc/self/fd"}
    links |= {name: f"/proc/self/fd/{number}" for number, name in enumerate(("stdin", "stdout", "stderr"))}
    for name, target in links.items():
        os.symlink(target, f"{root}/dev/{name}")


def _make_proc(root: str) -> None:
    os.mkdir(root + "/proc")
    flags = linux.MS_NOSUID | linux.MS_NODEV | linux.MS_NOEXEC
    linux.mount("proc", root + "/proc", "proc", flags)
    for name in _READ_ONLY_PROC:
        path = f"{root}/proc/{name}"
        if os.path.lexists(path):
            linux.mount(path, path, flags=linux.MS_BIND)
            linux.mount_attributes(path, linux.MOUNT_ATTR_RDONLY)
    for name in ("kcore", "keys"):
        if os.path.lexists(f"{root}/proc/{name}"):
            linux.mount("/dev/null", f"{root}/proc/{name}", flags=linux.MS_BIND)
    os.mkdir(root + "/sys")
    linux.mount("sysfs", root + "/sys", "sysfs", flags | linux.MS_RDONLY)


def private_files(directory: str = "/etc") -> tuple[str, ...]:
    """What in a directory not everybody may read (shadow, keys): pods have a root that could."""
    found: list[str] = []
    for here, directories, files in os.walk(directory):
        closed = [name for name in directories if not _is_open(f"{here}/{name}", stat.S_IROTH | stat.S_IXOTH)]
        found += [f"{here}/{name}" for name in closed]
        found += [f"{here}/{name}" for name in files if not _is_open(f"{here}/{name}", stat.S_IROTH)]
        directories[:] = [name for name in directories if name not in closed]
    return tuple(found)


def _is_open(path: str, bits: int) -> bool:
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return True
    return stat.S_ISLNK(mode) or mode & bits == bits


def _make_etc(root: str, files: tuple[tuple[str, str], ...], private: Iterable[str]) -> None:
    """A writable directory of links to the machine's own /etc, with the pod's files in it."""
    behind = f"{_BEHIND}/etc"
    os.makedirs(root + behind)
    linux.mount("/etc", root + behind, flags=linux.MS_BIND | linux.MS_REC)
    linux.mount_attributes(root + behind, _RESTRICTED)
    for path in private:
        _empty(f"{root}{_BEHIND}{path}")
    os.mkdir(root + "/etc")
    own = {"nsswitch.conf": _NSSWITCH, **dict(files)}
    for name in os.listdir("/etc"):
        if name not in own:
            os.symlink(f"{behind}/{name}", f"{root}/etc/{name}")
    for name, content in own.items():
        with open(f"{root}/etc/{name}", "w", encoding="utf-8") as file:
            file.write(content)


def _empty(path: str) -> None:
    """Put nothing over a file or directory."""
    try:
        if os.path.isdir(path):
            linux.mount("tmpfs", path, "tmpfs", _TMPFS | linux.MS_RDONLY, "mode=755,size=1%")
        else:
            linux.mount("/dev/null", path, flags=linux.MS_BIND)
    except FileNotFoundError:
        pass  # gone meanwhile


def _make_place(target: str, *, directory: bool) -> str:
    """The path of a mount point for `target`, made if need be: read-only directories above become links."""
    parts = [part for part in target.split("/") if part not in ("", ".")]
    if not parts or ".." in parts:
        raise OSError(errno.EINVAL, f"cannot mount on {target}: not the path of a file or directory")
    here = "/"
    for part in parts[:-1]:
        here = _step(here, part)
    return _last(here, parts[-1], directory=directory)


def _step(parent: str, name: str) -> str:
    """The directory `name` in `parent`, made writable or made."""
    path = os.path.join(parent, name)
    if os.path.islink(path):
        origin = os.readlink(path)
        if not origin.startswith(_BEHIND + "/"):
            return os.path.realpath(path)
        os.unlink(path)
        os.mkdir(path)
        _link_entries(origin, path)
    elif not os.path.isdir(path):
        _create(parent, path, directory=True)
    return path


def _last(parent: str, name: str, *, directory: bool) -> str:
    path = os.path.join(parent, name)
    if os.path.islink(path):
        if not os.readlink(path).startswith(_BEHIND + "/"):
            path = os.path.realpath(path)
        else:
            os.unlink(path)
    if not os.path.exists(path):
        _create(os.path.dirname(path), path, directory=directory)
    elif os.path.isdir(path) != directory:
        number = errno.ENOTDIR if directory else errno.EISDIR
        raise OSError(number, f"cannot mount on {path}: {os.strerror(number)}")
    return path


def _create(parent: str, path: str, *, directory: bool) -> None:
    make = _directory if directory else _file
    try:
        make(path)
    except OSError as error:
        if error.errno != errno.EROFS:
            raise
        _cover(parent)
        make(path)


def _cover(path: str) -> None:
    """Put a writable directory of links over a read-only one."""
    behind = f"{_BEHIND}/{len(os.listdir(_BEHIND))}-{os.path.basename(path)}"
    os.mkdir(behind)
    linux.mount(path, behind, flags=linux.MS_BIND | linux.MS_REC)
    linux.mount("tmpfs", path, "tmpfs", _TMPFS, "mode=755,size=1%")
    _link_entries(behind, path)


def _link_entries(origin: str, path: str) -> None:
    for name in os.listdir(origin):
        os.symlink(f"{origin}/{name}", f"{path}/{name}")
    os.chmod(path, stat.S_IMODE(os.stat(origin).st_mode) | stat.S_IRWXU)


def _directory(path: str) -> None:
    with contextlib.suppress(FileExistsError):
        os.mkdir(path)


def _file(path: str) -> None:
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644))
