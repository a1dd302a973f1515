"""What Kubernetes refuses in pods and pod templates.

Source: Kubernetes, `pkg/apis/core/validation`; order and texts observed with 1.35.
"""

from __future__ import annotations

from typing import Any

from linnet.local.api import metachecks, names
from linnet.local.api.causes import Cause, duplicate, forbidden, invalid, not_supported, required
from linnet.local.api.containerchecks import containers, user_ids
from linnet.local.api.copies import copied

Json = dict[str, Any]

_DNS = ("ClusterFirstWithHostNet", "ClusterFirst", "Default", "None")
_RESTART = ("Always", "OnFailure", "Never")
_UPDATABLE = (
    "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,"
    "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),"
    "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
)


def pod(obj: Json, old: Json | None, subresource: str) -> list[Cause]:
    """Violations in a Pod."""
    if subresource:
        return []
    if old is not None:
        return _update(obj, old)
    return spec(obj.get("spec") or {}, "spec")


def template(given: Json, path: str) -> list[Cause]:
    """Violations in a pod template."""
    meta = given.get("metadata") or {}
    found = metachecks.labels(meta.get("labels"), f"{path}.metadata.labels")
    found += metachecks.annotation_map(meta.get("annotations"), f"{path}.metadata.annotations")
    return found + spec(given.get("spec") or {}, f"{path}.spec")


def spec(given: Json, path: str) -> list[Cause]:
    """Violations in a pod's spec."""
    found: list[Cause] = []
    grace = given.get("terminationGracePeriodSeconds")
    volumes, problems = _volumes(given.get("volumes") or [], f"{path}.volumes")
    found += problems
    taken: set[str] = set()
    if not given.get("containers"):
        found.append(required(f"{path}.containers"))
    else:
        found += containers(given["containers"], f"{path}.containers", volumes, taken)
    found += containers(given.get("initContainers") or (), f"{path}.initContainers", volumes, taken)
    found += user_ids(given.get("securityContext") or {}, f"{path}.securityContext")
    restart = given.get("restartPolicy")
    if restart not in _RESTART:
        found.append(
            not_supported(f"{path}.restartPolicy", restart, _RESTART)
            if restart
            else required(f"{path}.restartPolicy")
        )
    dns = given.get("dnsPolicy")
    if dns not in _DNS:
        found.append(not_supported(f"{path}.dnsPolicy", dns, _DNS) if dns else required(f"{path}.dnsPolicy"))
    found += metachecks.labels(given.get("nodeSelector"), f"{path}.nodeSelector")
    for field, rule in (("serviceAccountName", names.dns_subdomain), ("nodeName", names.dns_subdomain)):
        if value := given.get(field):
            found += [invalid(f"{path}.{field}", value, why) for why in rule(value)]
    for field in ("hostname", "subdomain"):
        if value := given.get(field):
            found += [invalid(f"{path}.{field}", value, why) for why in names.dns_label(value)]
    if (deadline := given.get("activeDeadlineSeconds")) is not None and deadline < 1:
        found.append(
            invalid(f"{path}.activeDeadlineSeconds", deadline, "must be between 1 and 2147483647, inclusive")
        )
    if grace is not None and grace < 0:
        why = "must be greater than or equal to 0"
        found.append(invalid(f"{path}.terminationGracePeriodSeconds", grace, why))
    return found


def _volumes(volumes: list[Json], path: str) -> tuple[set[str], list[Cause]]:
    found: list[Cause] = []
    taken: set[str] = set()
    for at, volume in enumerate(volumes):
        place = f"{path}[{at}]"
        name = volume.get("name") or ""
        sources = [key for key, value in volume.items() if key != "name" and value is not None]
        found += [
            forbidden(f"{place}.{source}", "may not specify more than 1 volume type")
            for source in sources[1:]
        ]
        if not sources:
            found.append(required(place, "must specify a volume type"))
        if not name:
            found.append(required(f"{place}.name"))
        else:
            found += [invalid(f"{place}.name", name, why) for why in names.dns_label(name)]
        if name in taken:
            found.append(duplicate(f"{place}.name", name))
        taken.add(name)
        if "secret" in volume and not volume["secret"].get("secretName"):
            found.append(required(f"{place}.secret.secretName"))
        if "configMap" in volume and not volume["configMap"].get("name"):
            found.append(required(f"{place}.configMap.name"))
        if "hostPath" in volume and not volume["hostPath"].get("path"):
            found.append(required(f"{place}.hostPath.path"))
    return taken, found


def _update(obj: Json, old: Json) -> list[Cause]:
    new_spec, old_spec = obj.get("spec") or {}, old.get("spec") or {}
    found: list[Cause] = []
    for field in ("containers", "initContainers"):
        mine, theirs = new_spec.get(field) or [], old_spec.get(field) or []
        if len(mine) != len(theirs):
            found.append(forbidden(f"spec.{field}", "pod updates may not add or remove containers"))
            return found
        for at, container in enumerate(mine):
            if not container.get("image"):
                found.append(required(f"spec.{field}[{at}].image"))
    tolerations = new_spec.get("tolerations") or []
    if any(entry not in tolerations for entry in old_spec.get("tolerations") or ()):
        why = "existing toleration can not be modified except its tolerationSeconds"
        found.append(forbidden("spec.tolerations", why))
    deadline = new_spec.get("activeDeadlineSeconds")
    if deadline is not None and deadline < 1:
        found.append(
            invalid("spec.activeDeadlineSeconds", deadline, "must be between 1 and 2147483647, inclusive")
        )
    if found:
        return found
    if _fixed(new_spec, old_spec) != _fixed(old_spec, old_spec):
        return [forbidden("spec", _UPDATABLE)]
    return []


def _fixed(new: Json, old: Json) -> Json:
    """The spec with what may change taken from the stored one."""
    out = copied(new)
    for field in ("containers", "initContainers"):
        for mine, theirs in zip(out.get(field) or (), old.get(field) or (), strict=False):
            mine["image"] = theirs.get("image")
    for field in ("activeDeadlineSeconds", "tolerations"):
        out.pop(field, None)
        if field in old:
            out[field] = old[field]
    if (old.get("terminationGracePeriodSeconds") or 0) < 0 and new.get("terminationGracePeriodSeconds") == 1:
        out["terminationGracePeriodSeconds"] = old["terminationGracePeriodSeconds"]
    return out
