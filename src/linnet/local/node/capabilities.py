"""Linux capabilities by name, the set that container engines leave to a container, and what nobody gets.

Source: Linux, `include/uapi/linux/capability.h`; containerd, `defaultUnixCaps`.
"""

from collections.abc import Iterable

_NAMES = """
CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE
NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT
SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL
SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE
"""
_DEFAULT = """
CHOWN DAC_OVERRIDE FOWNER FSETID KILL SETGID SETUID SETPCAP NET_BIND_SERVICE NET_RAW SYS_CHROOT MKNOD
AUDIT_WRITE SETFCAP
"""
# Rights over the machine, not over the pod. Pods are processes in the machine's own user namespace: with
# one of these, root of a pod could take off what hides the keys of the cluster, or read the disk below it.
_WITHHELD = """
DAC_READ_SEARCH LINUX_IMMUTABLE SYS_MODULE SYS_RAWIO SYS_PACCT SYS_ADMIN SYS_BOOT SYS_TIME AUDIT_CONTROL
AUDIT_READ MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND PERFMON BPF CHECKPOINT_RESTORE
"""
NAMES = tuple(_NAMES.split())
WITHHELD = frozenset(_WITHHELD.split())
DEFAULT = tuple(_DEFAULT.split())
_NUMBERS = {name: number for number, name in enumerate(NAMES)}


def bits(names: Iterable[str] | None) -> int:
    """The bit mask of capabilities; None means the default set. Unknown and withheld names are left out."""
    mask = 0
    for name in DEFAULT if names is None else names:
        if name in _NUMBERS and name not in WITHHELD:
            mask |= 1 << _NUMBERS[name]
    return mask
