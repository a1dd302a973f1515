"""Naming a process so that another process on the same machine can tell whether it still runs."""

import os


def this_process() -> str:
    """`BOOT/NAMESPACE/PID/START`: unique for ever; empty where there is no /proc."""
    try:
        return f"{_place()}/{os.getpid()}/{_start(os.getpid())}"
    except OSError:
        return ""


def gone(name: str) -> bool:
    """Whether the process surely ended: it ran here (same boot, same pid namespace) and is no more."""
    place, _, process = name.rpartition("/")[0].rpartition("/")
    try:
        if not place or place != _place():
            return False
        try:
            return _start(int(process)) != name.rpartition("/")[2]
        except (FileNotFoundError, ProcessLookupError, ValueError):
            return True
    except OSError:
        return False


def _place() -> str:
    with open("/proc/sys/kernel/random/boot_id") as file:
        boot = file.read().strip()
    return f"{boot}/{os.readlink('/proc/self/ns/pid').strip('pid:[]')}"


def _start(pid: int) -> str:
    """When it started, in clock ticks since boot. Raises FileNotFoundError, also for a zombie."""
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    if fields[0] in ("Z", "X"):
        raise FileNotFoundError(pid)
    return fields[19]
