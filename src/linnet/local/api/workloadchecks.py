"""What Kubernetes refuses in Deployments, ReplicaSets and the other kinds that make pods.

Source: Kubernetes, `pkg/apis/{apps,batch}/validation`; order and texts observed with 1.35.
"""

from __future__ import annotations

from typing import Any

from linnet.local.api import metachecks, names, podchecks, selectors
from linnet.local.api.causes import Cause, invalid, not_supported, required

Json = dict[str, Any]

_IMMUTABLE = "field is immutable"
_NEGATIVE = "must be greater than or equal to 0"


def deployment(obj: Json, old: Json | None, subresource: str) -> list[Cause]:
    """Violations in a Deployment."""
    if subresource:
        return []
    spec = obj.get("spec") or {}
    found = _not_negative(spec, "replicas")
    found += _selector(spec)
    found += _template(spec, always=True)
    found += _strategy(spec.get("strategy") or {}, "spec.strategy", ("Recreate", "RollingUpdate"))
    for field in ("minReadySeconds", "revisionHistoryLimit", "progressDeadlineSeconds"):
        found += _not_negative(spec, field)
    deadline = spec.get("progressDeadlineSeconds")
    if deadline is not None and deadline <= (spec.get("minReadySeconds") or 0):
        why = "must be greater than minReadySeconds"
        found.append(invalid("spec.progressDeadlineSeconds", deadline, why))
    return found + _same_selector(spec, old)


def replica_set(obj: Json, old: Json | None, subresource: str) -> list[Cause]:
    """Violations in a ReplicaSet."""
    if subresource:
        return []
    spec = obj.get("spec") or {}
    found = _not_negative(spec, "replicas") + _not_negative(spec, "minReadySeconds")
    found += _selector(spec)
    found += _template(spec, always=True)
    return found + _same_selector(spec, old)


def stateful_set(obj: Json, old: Json | None, subresource: str) -> list[Cause]:
    """Violations in a StatefulSet."""
    return replica_set(obj, old, subresource)


def daemon_set(obj: Json, old: Json | None, subresource: str) -> list[Cause]:
    """Violations in a DaemonSet."""
    return replica_set(obj, old, subresource)


def job(obj: Json, old: Json | None, subresource: str) -> list[Cause]:
    """Violations in a Job."""
    if subresource:
        return []
    spec = obj.get("spec") or {}
    found: list[Cause] = []
    for field in ("parallelism", "completions", "backoffLimit", "ttlSecondsAfterFinished"):
        found += _not_negative(spec, field)
    found += _job_template(spec, "spec.template")
    if old is not None and _without_suspension(spec) != _without_suspension(old["spec"]):
        found.append(invalid("spec.template", spec.get("template"), _IMMUTABLE))
    return found


def cron_job(obj: Json, _old: Json | None, subresource: str) -> list[Cause]:
    """Violations in a CronJob."""
    if subresource:
        return []
    spec = obj.get("spec") or {}
    found: list[Cause] = []
    schedule = spec.get("schedule") or ""
    parts = schedule.split()
    if not schedule:
        found.append(required("spec.schedule"))
    elif len(parts) != 5 and not schedule.startswith("@"):
        why = f"expected exactly 5 fields, found {len(parts)}: [{' '.join(parts)}]"
        found.append(invalid("spec.schedule", schedule, why))
    policies = ("Allow", "Forbid", "Replace")
    if spec.get("concurrencyPolicy") not in policies:
        found.append(not_supported("spec.concurrencyPolicy", spec.get("concurrencyPolicy") or "", policies))
    job_spec = (spec.get("jobTemplate") or {}).get("spec") or {}
    return found + _job_template(job_spec, "spec.jobTemplate.spec.template")


def _without_suspension(spec: Json) -> Json:
    """What cannot change in a Job."""
    return {field: spec.get(field) for field in ("selector", "template", "completionMode")}


def _job_template(spec: Json, path: str) -> list[Cause]:
    given = spec.get("template") or {}
    found = podchecks.template(given, path)
    policy = (given.get("spec") or {}).get("restartPolicy")
    if policy == "Always":
        found.append(required(f"{path}.spec.restartPolicy", 'valid values: "OnFailure", "Never"'))
    return found


def _not_negative(spec: Json, field: str) -> list[Cause]:
    value = spec.get(field)
    return [invalid(f"spec.{field}", value, _NEGATIVE)] if value is not None and value < 0 else []


def _selector(spec: Json) -> list[Cause]:
    given = spec.get("selector")
    if given is None:
        return [required("spec.selector")]
    found = metachecks.selector(given, "spec.selector")
    if not given.get("matchLabels") and not given.get("matchExpressions"):
        found.append(invalid("spec.selector", given, "empty selector is invalid for deployment"))
    return found


def _template(spec: Json, *, always: bool) -> list[Cause]:
    given = spec.get("template") or {}
    labels = (given.get("metadata") or {}).get("labels")
    found: list[Cause] = []
    if not selectors.selected(spec.get("selector"), labels or {}):
        why = "`selector` does not match template `labels`"
        found.append(invalid("spec.template.metadata.labels", labels or None, why))
    found += podchecks.template(given, "spec.template")
    policy = (given.get("spec") or {}).get("restartPolicy")
    if always and policy in ("Never", "OnFailure"):
        found.append(not_supported("spec.template.spec.restartPolicy", policy, ("Always",)))
    return found


def _strategy(strategy: Json, path: str, kinds: tuple[str, ...]) -> list[Cause]:
    kind = strategy.get("type")
    if kind not in kinds:
        return [not_supported(f"{path}.type", kind or "", kinds)]
    rolling = strategy.get("rollingUpdate")
    if kind == "Recreate":
        if rolling is None:
            return []
        why = f"may not be specified when strategy `type` is '{kind}'"
        return [Cause(f"{path}.rollingUpdate", "FieldValueForbidden", f"Forbidden: {why}")]
    rolling = rolling or {}
    found: list[Cause] = []
    for field in ("maxUnavailable", "maxSurge"):
        found += _share(rolling.get(field), f"{path}.rollingUpdate.{field}")
    if not found and _zero(rolling.get("maxUnavailable")) and _zero(rolling.get("maxSurge")):
        why = "may not be 0 when `maxSurge` is 0"
        found.append(invalid(f"{path}.rollingUpdate.maxUnavailable", rolling.get("maxUnavailable"), why))
    return found


def _zero(value: Any) -> bool:
    return value in (0, "0%", None)


def _share(value: Any, path: str) -> list[Cause]:
    """A count or a percentage."""
    if isinstance(value, str):
        return [invalid(path, value, why) for why in names.percent(value)]
    return [invalid(path, value, _NEGATIVE)] if isinstance(value, int) and value < 0 else []


def _same_selector(spec: Json, old: Json | None) -> list[Cause]:
    if old is None or spec.get("selector") == (old.get("spec") or {}).get("selector"):
        return []
    return [invalid("spec.selector", spec.get("selector"), _IMMUTABLE)]
