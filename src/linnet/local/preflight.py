"""What this machine must have for a local cluster, tried out before anything is made.

Each trial runs in a forked child in namespaces of its own, so nothing of it is left.
"""

import errno
import os
import shutil
import signal
from collections.abc import Callable

from linnet.local.paths import MAX_SOCKET, Paths
from linnet.netlink import expressions as exp
from linnet.netlink import linux
from linnet.netlink.nftables import ANONYMOUS, Batch, Firewall, Hook
from linnet.netlink.route import Routes, raise_loopback

_NO_RIGHT = (
    "this process may not make namespaces, mounts, links or rules: in a container, start it privileged"
    " (CAP_SYS_ADMIN and CAP_NET_ADMIN)"
)
_FREE_BYTES = 200 * 2**20
_FREE_INODES = 5_000


def problems(paths: Paths) -> list[str]:
    """What is missing, each with its remedy; empty when the cluster can start."""
    if os.uname().sysname != "Linux":
        return ["a local cluster needs Linux: run it in a virtual machine"]
    if os.geteuid() != 0:
        return [
            (
                "a local cluster needs the right to make namespaces and mounts, which this user lacks:"
                ' run it as root (sudo "$(command -v linnet)" local up)'
            )
        ]
    checks = (_disk(paths.state), _writable(paths.run, "XDG_RUNTIME_DIR"), _socket_path(paths))
    found = [text for text in checks if text]
    found += filter(None, (_tried(trial, remedy) for trial, remedy in _TRIALS))
    return list(dict.fromkeys(found))


def _writable(directory: str, variable: str) -> str:
    """What keeps us from making files below a directory that is there or shall be made."""
    there = _existing(directory)
    if not os.path.isdir(there):
        return f"{there} is not a directory: set {variable} to a directory of yours"
    if os.access(there, os.W_OK):
        return ""
    read_only = os.statvfs(there).f_flag & os.ST_RDONLY
    why = "is on a file system that is read-only" if read_only else "is not writable"
    return f"{there} {why}: set {variable} to a directory of yours"


def _existing(path: str) -> str:
    """The longest part of a path that is there."""
    while not os.path.lexists(path):
        path = os.path.dirname(path)
    return path


def _disk(state: str) -> str:
    if problem := _writable(state, "XDG_STATE_HOME"):
        return problem
    directory = _existing(state)
    free = shutil.disk_usage(directory).free
    if free < _FREE_BYTES:
        return (
            f"{directory} has {free >> 20} MB free, {_FREE_BYTES >> 20} MB are needed:"
            " make room, or set XDG_STATE_HOME to a directory on another disk"
        )
    inodes = os.statvfs(directory)
    if inodes.f_files and inodes.f_favail < _FREE_INODES:
        return f"{directory} has {inodes.f_favail} free inodes, {_FREE_INODES} are needed: remove files"
    return ""


def _socket_path(paths: Paths) -> str:
    longest = f"{paths.run}/" + "x" * 48
    if len(longest.encode()) <= MAX_SOCKET:
        return ""
    return f"{paths.run} is too long for the path of a socket: set XDG_RUNTIME_DIR to a shorter directory"


def _tried(trial: Callable[[], None], remedy: str) -> str:
    """Run a trial in a child; gives what went wrong, with the remedy, or nothing."""
    readable, writable = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(readable)
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        code = 1
        try:
            trial()
            code = 0
        except OSError as error:
            mark = "!" if error.errno in (errno.EPERM, errno.EACCES) else ""
            os.write(writable, (mark + (error.strerror or str(error))).encode())
        finally:
            os._exit(code)
    os.close(writable)
    with os.fdopen(readable, "rb") as answer:
        why = answer.read().decode(errors="replace")
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if code and not why:
        why = f"the trial ended with {f'signal {-code}' if code < 0 else f'code {code}'}"
    if why.startswith("!"):  # not what is missing, but who asks
        return f"{_NO_RIGHT} ({why[1:]})"
    return f"{remedy} ({why})" if why else ""


def _try_namespaces() -> None:
    flags = linux.CLONE_NEWNS | linux.CLONE_NEWUTS | linux.CLONE_NEWIPC | linux.CLONE_NEWNET
    linux.unshare(flags | linux.CLONE_NEWPID)


def _try_mounts() -> None:
    linux.unshare(linux.CLONE_NEWNS)
    linux.mount("", "/", flags=linux.MS_REC | linux.MS_PRIVATE)
    linux.mount("tmpfs", "/proc", "tmpfs")
    os.mkdir("/proc/a")
    tree = linux.open_tree("/dev")
    linux.mount_attributes("/dev", linux.MOUNT_ATTR_RDONLY, fd=tree)
    linux.move_mount(tree, "/proc/a")


def _try_links() -> None:
    linux.unshare(linux.CLONE_NEWNET)
    here = os.open("/proc/self/ns/net", os.O_RDONLY)
    raise_loopback(forwarding=True)
    with Routes() as routes:
        mac = b"\x0a\x58\0\0\0\1"
        routes.veth("a", 2, mac, peer="b", peer_index=3, peer_mac=mac, peer_namespace=here)
        routes.address(2, "10.0.0.1").up(2, forwarding=True).commit()


def _try_rules() -> None:
    linux.unshare(linux.CLONE_NEWNET)
    batch = Batch().table("trial").chain("trial", "c", Hook("prerouting", -100))
    batch.chain("trial", "o", Hook("output", -100)).chain("trial", "f", Hook("forward", 0, "filter"))
    batch.chain("trial", "p", Hook("postrouting", 100))
    number = batch.anonymous_map("trial", 4, 8, [(b"\0\0\0\0", b"\x7f\0\0\1\0\x50\0\0")])
    lookup = exp.lookup(ANONYMOUS, into=12, set_id=number)
    batch.rule("trial", "c", exp.random(1), lookup, exp.destination_nat(12, 13))
    batch.rule("trial", "o", exp.tcp(), exp.socket_uid(1337), exp.redirect(15001))
    batch.rule("trial", "o", exp.mark(1337), exp.out_interface("lo"), exp.verdict(exp.Verdict.RETURN))
    batch.rule("trial", "f", exp.tcp(), exp.reject_tcp())
    batch.rule("trial", "p", exp.masquerade())
    with Firewall() as firewall:
        firewall.commit(batch)


_TRIALS: tuple[tuple[Callable[[], None], str], ...] = (
    (
        _try_namespaces,
        (
            "this kernel gives no more namespaces: raise user.max_mnt_namespaces, max_net_namespaces,"
            " max_pid_namespaces, max_uts_namespaces, max_ipc_namespaces (sysctl), or set CONFIG_NAMESPACES"
        ),
    ),
    (
        _try_mounts,
        (
            "this kernel or container does not allow the mounts that pods need: Linux 5.12 or newer,"
            " in a container CAP_SYS_ADMIN"
        ),
    ),
    (_try_links, "no virtual Ethernet pairs: load the module veth (modprobe veth), or enable CONFIG_VETH"),
    (
        _try_rules,
        (
            "nf_tables with NAT is missing: modprobe nf_tables nft_chain_nat nft_redir nft_masq nft_numgen"
            " nft_reject_ipv4, or enable CONFIG_NF_TABLES, CONFIG_NFT_NAT, CONFIG_NFT_REDIR, CONFIG_NFT_MASQ,"
            " CONFIG_NFT_NUMGEN and CONFIG_NFT_REJECT"
        ),
    ),
)
