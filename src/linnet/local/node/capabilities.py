"""Linux capabilities by name, and the set that container engines leave to a container.

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
NAMES = tuple(_NAMES.split())
DEFAULT = tuple(_DEFAULT.split())
_NUMBERS = {name: number for number, name in enumerate(NAMES)}


def bits(names: Iterable[str] | None) -> int:
    """The bit mask of capabilities; None means the default set. Unknown names are ignored."""
    mask = 0
    for name in DEFAULT if names is None else names:
        if name in _NUMBERS:
            mask |= 1 << _NUMBERS[name]
    return mask
