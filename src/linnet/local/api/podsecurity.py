"""The pod security standards: what a level forbids in the spec of a pod.

Source: Kubernetes, Pod Security Standards and the admission plug-in PodSecurity; texts observed with 1.35.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from msgspec import Struct

from linnet.local.api.causes import Cause, invalid

Json = dict[str, Any]

LEVELS = ("privileged", "baseline", "restricted")
PREFIX = "pod-security.kubernetes.io/"

_CAPABILITIES = frozenset(
    {
        "AUDIT_WRITE",
        "CHOWN",
        "DAC_OVERRIDE",
        "FOWNER",
        "FSETID",
        "KILL",
        "MKNOD",
        "NET_BIND_SERVICE",
        "SETFCAP",
        "SETGID",
        "SETPCAP",
        "SETUID",
        "SYS_CHROOT",
    }
)
_SYSCTLS = frozenset(
    {
        "kernel.shm_rmid_forced",
        "net.ipv4.ip_local_port_range",
        "net.ipv4.ip_local_reserved_ports",
        "net.ipv4.ip_unprivileged_port_start",
        "net.ipv4.ping_group_range",
        "net.ipv4.tcp_fin_timeout",
        "net.ipv4.tcp_keepalive_intvl",
        "net.ipv4.tcp_keepalive_probes",
        "net.ipv4.tcp_keepalive_time",
        "net.ipv4.tcp_rmem",
        "net.ipv4.tcp_syncookies",
        "net.ipv4.tcp_wmem",
    }
)
_VOLUMES = frozenset(
    {
        "configMap",
        "csi",
        "downwardAPI",
        "emptyDir",
        "ephemeral",
        "image",
        "persistentVolumeClaim",
        "projected",
        "secret",
    }
)
_SELINUX_TYPES = ("", "container_t", "container_init_t", "container_kvm_t", "container_engine_t")
_SECCOMP = ("RuntimeDefault", "Localhost")


class Violation(Struct, frozen=True):
    """One rule that is broken."""

    reason: str
    detail: str

    def shown(self) -> str:
        return f"{self.reason} ({self.detail})"


def violations(spec: Json, level: str) -> list[Violation]:
    """What a pod's spec breaks at a level, in the order in which Kubernetes says it."""
    if level == "privileged":
        return []
    rules = _BASELINE if level == "baseline" else (*_BASELINE_OF_RESTRICTED, *_RESTRICTED)
    return [found for rule in rules if (found := rule(spec)) is not None]


def wrong(labels: Json | None) -> list[Cause]:
    """Labels with values that no level has."""
    modes = (PREFIX + mode for mode in ("enforce", "audit", "warn"))
    given = {name: value for name in modes if (value := (labels or {}).get(name)) is not None}
    why = f"must be one of {', '.join(LEVELS)}"
    return [
        invalid(f"metadata.labels[{name}]", value, why)
        for name, value in given.items()
        if value not in LEVELS
    ]


def _containers(spec: Json) -> Iterator[Json]:
    for name in ("initContainers", "containers", "ephemeralContainers"):
        yield from spec.get(name) or ()


def _context(of: Json) -> Json:
    found: Json = of.get("securityContext") or {}
    return found


def _named(spec: Json, bad: Callable[[Json], bool]) -> list[str]:
    """The names of the containers whose security context is bad."""
    return [one["name"] for one in _containers(spec) if bad(_context(one))]


def _quoted(names: Iterable[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)


def _plural(count: int, one: str) -> str:
    return one if count == 1 else one + "s"


def _those(names: Sequence[str], what: str = "container") -> str:
    """`container "a"`, `containers "a", "b"`."""
    return f"{_plural(len(names), what)} {_quoted(names)}"


def _capabilities(spec: Json) -> Violation | None:
    def added(context: Json) -> set[str]:
        return set((context.get("capabilities") or {}).get("add") or ()) - _CAPABILITIES

    names = _named(spec, lambda context: bool(added(context)))
    if not names:
        return None
    extra = sorted(set().union(*(added(_context(one)) for one in _containers(spec))))
    detail = f"{_those(names)} must not include {_quoted(extra)} in securityContext.capabilities.add"
    return Violation("non-default capabilities", detail)


def _host_namespaces(spec: Json) -> Violation | None:
    shared = [f"{name}=true" for name in ("hostNetwork", "hostPID", "hostIPC") if spec.get(name)]
    return Violation("host namespaces", ", ".join(shared)) if shared else None


def _host_paths(spec: Json) -> Violation | None:
    names = [one["name"] for one in spec.get("volumes") or () if one.get("hostPath")]
    return Violation("hostPath volumes", _those(names, "volume")) if names else None


def _host_ports(spec: Json) -> Violation | None:
    names: list[str] = []
    numbers: set[int] = set()
    for one in _containers(spec):
        used = {port["hostPort"] for port in one.get("ports") or () if port.get("hostPort")}
        if used:
            names.append(one["name"])
            numbers |= used
    if not names:
        return None
    uses = "uses" if len(names) == 1 else "use"
    shown = ", ".join(map(str, sorted(numbers)))
    return Violation("hostPort", f"{_those(names)} {uses} {_plural(len(numbers), 'hostPort')} {shown}")


def _privileged(spec: Json) -> Violation | None:
    names = _named(spec, lambda context: bool(context.get("privileged")))
    why = "must not set securityContext.privileged=true"
    return Violation("privileged", f"{_those(names)} {why}") if names else None


def _proc_mount(spec: Json) -> Violation | None:
    names = _named(spec, lambda context: context.get("procMount", "Default") != "Default")
    if not names:
        return None
    kinds = {_context(one)["procMount"] for one in _containers(spec) if _context(one).get("procMount")}
    shown = _quoted(sorted(kinds - {"Default"}))
    return Violation("procMount", f"{_those(names)} must not set securityContext.procMount to {shown}")


def _selinux(spec: Json) -> Violation | None:
    def problems(context: Json) -> list[str]:
        options = context.get("seLinuxOptions") or {}
        kind = options.get("type", "")
        found = [] if kind in _SELINUX_TYPES else [f'type "{kind}"']
        return found + [f"{name} may not be set" for name in ("user", "role") if options.get(name)]

    names = _named(spec, lambda context: bool(problems(context)))
    setters = (["pod"] if problems(_context(spec)) else []) + ([_those(names)] if names else [])
    if not setters:
        return None
    every = [problems(_context(spec)), *(problems(_context(one)) for one in _containers(spec))]
    texts = "; ".join(dict.fromkeys(text for found in every for text in found))
    count = len(names) + bool(problems(_context(spec)))
    sets = "sets" if count == 1 else "set"
    detail = f"{' and '.join(setters)} {sets} forbidden securityContext.seLinuxOptions: {texts}"
    return Violation("seLinuxOptions", detail)


def _sysctls(spec: Json) -> Violation | None:
    names = [one["name"] for one in _context(spec).get("sysctls") or () if one["name"] not in _SYSCTLS]
    return Violation("forbidden sysctls", ", ".join(names)) if names else None


def _host_process(spec: Json) -> Violation | None:
    def bad(context: Json) -> bool:
        return bool((context.get("windowsOptions") or {}).get("hostProcess"))

    return _set_by(spec, bad, "hostProcess", "must not set securityContext.windowsOptions.hostProcess=true")


def _set_by(spec: Json, bad: Callable[[Json], bool], reason: str, why: str) -> Violation | None:
    """A rule about the contexts of the pod and of its containers."""
    names = _named(spec, bad)
    setters = (["pod"] if bad(_context(spec)) else []) + ([_those(names)] if names else [])
    return Violation(reason, f"{' and '.join(setters)} {why}") if setters else None


def _seccomp(context: Json) -> str | None:
    kind: str | None = (context.get("seccompProfile") or {}).get("type")
    return kind


def _seccomp_baseline(spec: Json) -> Violation | None:
    why = 'must not set securityContext.seccompProfile.type to "Unconfined"'
    return _set_by(spec, lambda context: _seccomp(context) == "Unconfined", "seccompProfile", why)


def _escalation(spec: Json) -> Violation | None:
    names = _named(spec, lambda context: context.get("allowPrivilegeEscalation") is not False)
    why = "must set securityContext.allowPrivilegeEscalation=false"
    return Violation("allowPrivilegeEscalation != false", f"{_those(names)} {why}") if names else None


def _capabilities_restricted(spec: Json) -> Violation | None:
    def given(context: Json, field: str) -> set[str]:
        return set((context.get("capabilities") or {}).get(field) or ())

    keeping = _named(spec, lambda context: "ALL" not in given(context, "drop"))
    adding = _named(spec, lambda context: bool(given(context, "add") - {"NET_BIND_SERVICE"}))
    details = []
    if keeping:
        details.append(f'{_those(keeping)} must set securityContext.capabilities.drop=["ALL"]')
    if adding:
        extra = set().union(*(given(_context(one), "add") for one in _containers(spec)))
        shown = _quoted(sorted(extra - {"NET_BIND_SERVICE"}))
        details.append(f"{_those(adding)} must not include {shown} in securityContext.capabilities.add")
    return Violation("unrestricted capabilities", "; ".join(details)) if details else None


def _volumes(spec: Json) -> Violation | None:
    kinds: dict[str, str] = {}
    for one in spec.get("volumes") or ():
        found = next((name for name in one if name != "name"), "emptyDir")
        if found not in _VOLUMES:
            kinds[one["name"]] = found
    if not kinds:
        return None
    uses = "uses" if len(kinds) == 1 else "use"
    types = sorted(set(kinds.values()))
    shown = f"{_plural(len(types), 'restricted volume type')} {_quoted(types)}"
    return Violation("restricted volume types", f"{_those([*kinds], 'volume')} {uses} {shown}")


def _non_root(spec: Json) -> Violation | None:
    false = "must not set securityContext.runAsNonRoot=false"
    set_by = _set_by(
        spec, lambda context: context.get("runAsNonRoot") is False, "runAsNonRoot != true", false
    )
    if set_by is not None or _context(spec).get("runAsNonRoot"):
        return set_by
    names = _named(spec, lambda context: context.get("runAsNonRoot") is None)
    if not names:
        return None
    detail = f"pod or {_those(names)} must set securityContext.runAsNonRoot=true"
    return Violation("runAsNonRoot != true", detail)


def _root_user(spec: Json) -> Violation | None:
    return _set_by(
        spec, lambda context: context.get("runAsUser") == 0, "runAsUser=0", "must not set runAsUser=0"
    )


def _seccomp_restricted(spec: Json) -> Violation | None:
    explicit = _seccomp_baseline(spec)
    if explicit is not None or _seccomp(_context(spec)) in _SECCOMP:
        return explicit
    names = _named(spec, lambda context: _seccomp(context) is None)
    if not names:
        return None
    why = 'must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost"'
    return Violation("seccompProfile", f"pod or {_those(names)} {why}")


_Rule = Callable[[Json], Violation | None]
_BASELINE: tuple[_Rule, ...] = (
    _capabilities,
    _host_namespaces,
    _host_paths,
    _host_ports,
    _privileged,
    _proc_mount,
    _selinux,
    _seccomp_baseline,
    _sysctls,
    _host_process,
)
# the restricted level has stricter rules of its own for capabilities and seccomp
_BASELINE_OF_RESTRICTED = tuple(rule for rule in _BASELINE if rule not in (_capabilities, _seccomp_baseline))
_RESTRICTED: tuple[_Rule, ...] = (
    _escalation,
    _capabilities_restricted,
    _volumes,
    _non_root,
    _root_user,
    _seccomp_restricted,
)
