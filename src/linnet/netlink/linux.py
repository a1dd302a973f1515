"""System calls that Python 3.11 does not wrap: namespaces, mounts, capabilities, prctl."""

import ctypes
import os

CLONE_NEWNS = 0x0002_0000
CLONE_NEWUTS = 0x0400_0000
CLONE_NEWIPC = 0x0800_0000
CLONE_NEWPID = 0x2000_0000
CLONE_NEWNET = 0x4000_0000

MS_RDONLY = 1
MS_NOSUID = 2
MS_NODEV = 4
MS_NOEXEC = 8
MS_BIND = 4096
MS_REC = 16384
MS_PRIVATE = 1 << 18

MNT_DETACH = 2

MOUNT_ATTR_RDONLY = 0x1
MOUNT_ATTR_NOSUID = 0x2
MOUNT_ATTR_NODEV = 0x4

PR_SET_PDEATHSIG = 1
PR_SET_KEEPCAPS = 8
PR_SET_NAME = 15
PR_CAPBSET_DROP = 24
PR_CAP_AMBIENT = 47

_SYS_MOUNT_SETATTR = 442  # the same number on every architecture, as all system calls since Linux 5.1
_SYS_MOVE_MOUNT = 429
_SYS_OPEN_TREE = 428
_AT_FDCWD = -100
_AT_EMPTY_PATH = 0x1000
_AT_RECURSIVE = 0x8000
_OPEN_TREE_CLONE = 1
_OPEN_TREE_CLOEXEC = os.O_CLOEXEC
_MOVE_MOUNT_F_EMPTY_PATH = 4
_CAPABILITY_VERSION_3 = 0x2008_0522
_PR_CAP_AMBIENT_RAISE = 2
_M_MMAP_THRESHOLD = -3

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mount.argtypes = (ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_ulong, ctypes.c_char_p)
_libc.prctl.argtypes = (ctypes.c_int,) + (ctypes.c_ulong,) * 4
_libc.syscall.restype = ctypes.c_long


class _MountAttributes(ctypes.Structure):
    _fields_ = (
        ("set", ctypes.c_uint64),
        ("clear", ctypes.c_uint64),
        ("propagation", ctypes.c_uint64),
        ("userns_fd", ctypes.c_uint64),
    )


def _check(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


def unshare(flags: int) -> None:
    """Leave the namespaces named by `flags` for new ones."""
    _check(_libc.unshare(flags), "unshare")


def setns(fd: int, flags: int) -> None:
    """Enter the namespace behind a file descriptor; `flags` says which kind it must be."""
    _check(_libc.setns(fd, flags), "setns")


def mount(source: str, target: str, kind: str = "", flags: int = 0, data: str = "") -> None:
    """Mount, bind or change a mount; see mount(2)."""
    result = _libc.mount(
        source.encode() or None, target.encode(), kind.encode() or None, flags, data.encode() or None
    )
    _check(result, f"mount {kind or source} on {target}")


def unmount(target: str) -> None:
    """Detach a mount and everything below it."""
    _check(_libc.umount2(target.encode(), MNT_DETACH), f"unmount {target}")


def pivot_root_here() -> None:
    """Make the working directory (a mount point) the root, and detach the old root."""
    _check(_libc.pivot_root(b".", b"."), "pivot_root")
    _check(_libc.umount2(b".", MNT_DETACH), "unmount the old root")
    os.chdir("/")


def open_tree(path: str) -> int:
    """A descriptor of a detached, recursive copy of the mount at `path`, for another mount namespace."""
    flags = _OPEN_TREE_CLONE | _OPEN_TREE_CLOEXEC | _AT_RECURSIVE
    result = _libc.syscall(_SYS_OPEN_TREE, _AT_FDCWD, ctypes.c_char_p(path.encode()), ctypes.c_uint(flags))
    return _check(result, f"open_tree {path}")


def move_mount(fd: int, target: str) -> None:
    """Attach what `open_tree` gave at `target`."""
    result = _libc.syscall(
        _SYS_MOVE_MOUNT,
        fd,
        ctypes.c_char_p(b""),
        _AT_FDCWD,
        ctypes.c_char_p(target.encode()),
        ctypes.c_uint(_MOVE_MOUNT_F_EMPTY_PATH),
    )
    _check(result, f"mount on {target}")


def mount_attributes(path: str, attributes: int, *, fd: int | None = None, recursive: bool = True) -> None:
    """Set flags (`MOUNT_ATTR_…`) of the mount at `path` or of the detached mount `fd`, and of those below."""
    wanted = _MountAttributes(set=attributes)
    flags = (_AT_RECURSIVE if recursive else 0) | (_AT_EMPTY_PATH if fd is not None else 0)
    result = _libc.syscall(
        _SYS_MOUNT_SETATTR,
        _AT_FDCWD if fd is None else fd,
        ctypes.c_char_p(b"" if fd is not None else path.encode()),
        ctypes.c_uint(flags),
        ctypes.byref(wanted),
        ctypes.c_size_t(ctypes.sizeof(wanted)),
    )
    _check(result, f"mount_setattr {path}")


def keep_large_blocks_apart(size: int = 1 << 16) -> None:
    """Have the C library take blocks from `size` bytes on directly from the kernel (glibc), for ever.

    It would raise the limit by itself, and then clear each buffer of a TLS connection (256 KB) by hand.
    """
    if hasattr(_libc, "mallopt"):
        _libc.mallopt(_M_MMAP_THRESHOLD, size)


def give_back_memory() -> None:
    """Have the C library return what it has freed to the kernel, where it can (glibc)."""
    if hasattr(_libc, "malloc_trim"):
        _libc.malloc_trim(ctypes.c_size_t(0))


def prctl(option: int, value: int = 0) -> None:
    """See prctl(2)."""
    _check(_libc.prctl(option, value, 0, 0, 0), f"prctl {option}")


def die_with_parent(signal_number: int) -> None:
    """Have the kernel send this process a signal when the thread that forked it ends."""
    prctl(PR_SET_PDEATHSIG, signal_number)


def name_process(name: str) -> None:
    """Set the name that `ps -o comm` and `top` show (15 bytes)."""
    buffer = ctypes.create_string_buffer(name.encode()[:15])
    _check(_libc.prctl(PR_SET_NAME, ctypes.addressof(buffer), 0, 0, 0), "prctl PR_SET_NAME")


def drop_bounding(keep: int) -> None:
    """Remove every capability that is not in the bit mask `keep` from the bounding set."""
    for number in range(64):
        if keep >> number & 1:
            continue
        if _libc.prctl(PR_CAPBSET_DROP, number, 0, 0, 0) != 0:
            break  # beyond the last capability that this kernel knows


def set_capabilities(mask: int) -> None:
    """Make `mask` the permitted, effective and inheritable capabilities of this thread."""
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    low, high = mask & 0xFFFF_FFFF, mask >> 32
    data = (ctypes.c_uint32 * 6)(low, low, low, high, high, high)
    _check(_libc.capset(header, data), "capset")


def permitted_capabilities() -> int:
    """The capabilities that this thread may have, as a bit mask."""
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    data = (ctypes.c_uint32 * 6)()
    _check(_libc.capget(header, data), "capget")
    return int(data[1] | data[4] << 32)


def raise_ambient(mask: int) -> None:
    """Keep the capabilities of `mask` across an exec by a user that is not root."""
    for number in range(64):
        if mask >> number & 1:
            result = _libc.prctl(PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, number, 0, 0)
            _check(result, f"raise ambient capability {number}")
