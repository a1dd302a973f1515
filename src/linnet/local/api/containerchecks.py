"""What Kubernetes refuses in the containers of a pod.

Source: Kubernetes, `pkg/apis/core/validation`; order and texts observed with 1.35.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from linnet.local.api import names, quantities
from linnet.local.api.causes import (
    Cause,
    duplicate,
    forbidden,
    invalid,
    not_found,
    not_supported,
    required,
    shown,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

Json = dict[str, Any]

_MOST_PORT = 65535
_MOST_ID = 2**31 - 1
_HANDLERS = ("exec", "httpGet", "tcpSocket", "grpc")
_PROTOCOLS = ("SCTP", "TCP", "UDP")
# The internal type, whose JSON stands in one message.
_SECURITY = (
    "Capabilities Privileged SELinuxOptions WindowsOptions RunAsUser RunAsGroup RunAsNonRoot "
    "ReadOnlyRootFilesystem AllowPrivilegeEscalation ProcMount SeccompProfile AppArmorProfile"
)


def port(value: Any) -> list[str]:
    """What is wrong with a port number."""
    if isinstance(value, int) and 1 <= value <= _MOST_PORT:
        return []
    return [f"must be between 1 and {_MOST_PORT}, inclusive"]


def port_or_name(value: Any, path: str) -> list[Cause]:
    """A number or a name of a port."""
    why = port(value) if isinstance(value, int) else names.port_name(value)
    return [invalid(path, value, text) for text in why]


def containers(given: Iterable[Json], path: str, volumes: set[str], taken: set[str]) -> list[Cause]:
    """Violations in a list of containers; `taken` are the names so far and gets theirs."""
    found: list[Cause] = []
    for at, container in enumerate(given):
        place = f"{path}[{at}]"
        found += _container(container, place, volumes)
        name = container.get("name") or ""
        if name in taken:
            found.append(duplicate(f"{place}.name", name))
        elif name:
            taken.add(name)
        found += _hooks(container, place)
    return found


def _container(container: Json, path: str, volumes: set[str]) -> list[Cause]:
    found: list[Cause] = []
    name = container.get("name") or ""
    if not name:
        found.append(required(f"{path}.name"))
    else:
        found += [invalid(f"{path}.name", name, why) for why in names.dns_label(name)]
    image = container.get("image") or ""
    if not image:
        found.append(required(f"{path}.image"))
    elif image != image.strip():
        found.append(invalid(f"{path}.image", image, "must not have leading or trailing whitespace"))
    if (policy := container.get("terminationMessagePolicy")) not in ("File", "FallbackToLogsOnError", None):
        choices = ("FallbackToLogsOnError", "File")
        found.append(not_supported(f"{path}.terminationMessagePolicy", policy, choices))
    found += _ports(container.get("ports") or (), f"{path}.ports")
    found += _environment(container, path)
    found += _mounts(container.get("volumeMounts") or (), f"{path}.volumeMounts", volumes)
    policy = container.get("imagePullPolicy")
    if policy not in ("Always", "IfNotPresent", "Never", None):
        kinds = ("Always", "IfNotPresent", "Never")
        found.append(not_supported(f"{path}.imagePullPolicy", policy, kinds))
    found += _resources(container.get("resources") or {}, f"{path}.resources")
    found += _security(container.get("securityContext") or {}, f"{path}.securityContext")
    return found


def _ports(ports: Iterable[Json], path: str) -> list[Cause]:
    found: list[Cause] = []
    seen: set[str] = set()
    for at, entry in enumerate(ports):
        place = f"{path}[{at}]"
        if name := entry.get("name"):
            found += [invalid(f"{place}.name", name, why) for why in names.port_name(name)]
            if name in seen:
                found.append(duplicate(f"{place}.name", name))
            seen.add(name)
        if not entry.get("containerPort"):
            found.append(required(f"{place}.containerPort"))
        else:
            number = entry["containerPort"]
            found += [invalid(f"{place}.containerPort", number, why) for why in port(number)]
        if number := entry.get("hostPort"):
            found += [invalid(f"{place}.hostPort", number, why) for why in port(number)]
        if entry.get("protocol", "TCP") not in _PROTOCOLS:
            found.append(not_supported(f"{place}.protocol", entry["protocol"], _PROTOCOLS))
    return found


def _environment(container: Json, path: str) -> list[Cause]:
    found: list[Cause] = []
    for at, entry in enumerate(container.get("env") or ()):
        place = f"{path}.env[{at}]"
        if not entry.get("name"):
            found.append(required(f"{place}.name"))
        source = entry.get("valueFrom")
        if source is None:
            continue
        if not source:
            kinds = "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef` or `secretKeyRef`"
            found.append(invalid(f"{place}.valueFrom", "", kinds))
        elif entry.get("value"):
            found.append(invalid(f"{place}.valueFrom", "", "may not be specified when `value` is not empty"))
        for kind in ("configMapKeyRef", "secretKeyRef"):
            ref = source.get(kind)
            if ref is not None and not ref.get("key"):
                found.append(required(f"{place}.valueFrom.{kind}.key"))
    return found


def _mounts(mounts: Iterable[Json], path: str, volumes: set[str]) -> list[Cause]:
    found: list[Cause] = []
    paths: set[str] = set()
    for at, mount in enumerate(mounts):
        place = f"{path}[{at}]"
        name = mount.get("name") or ""
        if not name:
            found.append(required(f"{place}.name"))
        elif name not in volumes:
            found.append(not_found(f"{place}.name", name))
        target = mount.get("mountPath") or ""
        if not target:
            found.append(required(f"{place}.mountPath"))
        elif target in paths:
            found.append(invalid(f"{place}.mountPath", target, "must be unique"))
        paths.add(target)
    return found


def _resources(resources: Json, path: str) -> list[Cause]:
    found: list[Cause] = []
    limits = resources.get("limits") or {}
    requests = resources.get("requests") or {}
    for kind, given in (("limits", limits), ("requests", requests)):
        for name, text in given.items():
            if quantities.value(text) < 0:
                why = "must be greater than or equal to 0"
                found.append(invalid(f"{path}.{kind}[{name}]", text, why))
    for name, text in requests.items():
        limit = limits.get(name)
        if limit is not None and quantities.value(text) > quantities.value(limit):
            why = f"must be less than or equal to {name} limit of {limit}"
            found.append(invalid(f"{path}.requests", text, why))
    return found


def user_ids(context: Json, path: str) -> list[Cause]:
    """Violations in the user and group numbers of a security context."""
    why = f"must be between 0 and {_MOST_ID}, inclusive"
    return [
        invalid(f"{path}.{field}", context[field], why)
        for field in ("fsGroup", "runAsUser", "runAsGroup")
        if context.get(field) is not None and not 0 <= context[field] <= _MOST_ID
    ]


def _security(context: Json, path: str) -> list[Cause]:
    found = user_ids(context, path)
    if context.get("allowPrivilegeEscalation") is False:
        why = "cannot set `allowPrivilegeEscalation` to false and `{}` to true"
        added = (context.get("capabilities") or {}).get("add") or ()
        if context.get("privileged"):
            found.append(_security_cause(context, path, why.format("privileged")))
        if "CAP_SYS_ADMIN" in added:
            message = "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN"
            found.append(_security_cause(context, path, message))
    return found


def _security_cause(context: Json, path: str, why: str) -> Cause:
    """The message shows Go's internal struct, in its order."""
    fields = {name: name[0].lower() + name[1:] for name in _SECURITY.split()}
    fields["SELinuxOptions"] = "seLinuxOptions"
    parts = ",".join(f'"{name}":{shown(context.get(field))}' for name, field in fields.items())
    return Cause(path, "FieldValueInvalid", f"Invalid value: {{{parts}}}: {why}")


def _hooks(container: Json, path: str) -> list[Cause]:
    """Lifecycle and probes."""
    found: list[Cause] = []
    for name, hook in (container.get("lifecycle") or {}).items():
        if isinstance(hook, dict):
            found += _handler(hook, f"{path}.lifecycle.{name}", extra=("sleep",))
    for name in ("livenessProbe", "readinessProbe", "startupProbe"):
        probe = container.get(name)
        if probe is None:
            continue
        found += _handler(probe, f"{path}.{name}")
        for field in ("initialDelaySeconds", "timeoutSeconds", "periodSeconds"):
            if (probe.get(field) or 0) < 0:
                why = "must be greater than or equal to 0"
                found.append(invalid(f"{path}.{name}.{field}", probe[field], why))
        if name != "readinessProbe" and probe.get("successThreshold", 1) != 1:
            found.append(invalid(f"{path}.{name}.successThreshold", probe["successThreshold"], "must be 1"))
    return found


def _handler(action: Json, path: str, extra: tuple[str, ...] = ()) -> list[Cause]:
    found: list[Cause] = []
    given = [name for name in (*_HANDLERS, *extra) if action.get(name) is not None]
    if not given:
        return [required(path, "must specify a handler type")]
    found += [forbidden(f"{path}.{name}", "may not specify more than 1 handler type") for name in given[1:]]
    name = given[0]
    if name == "exec" and not action["exec"].get("command"):
        found.append(required(f"{path}.exec.command"))
    if name == "httpGet":
        if not action["httpGet"].get("path"):
            found.append(required(f"{path}.httpGet.path"))
        found += port_or_name(action["httpGet"].get("port", 0), f"{path}.httpGet.port")
    if name == "tcpSocket":
        found += port_or_name(action["tcpSocket"].get("port", 0), f"{path}.tcpSocket.port")
    return found
