"""Subresources that are more than a part of their object: scale, binding, eviction, token."""

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from linnet.local.api import refusals, selectors
from linnet.local.api.causes import invalid
from linnet.local.api.cluster import Cluster, timestamp
from linnet.local.api.deleting import Deleter, Deletion
from linnet.local.api.registry import Resource
from linnet.local.api.tokens import ISSUER, Signer
from linnet.local.api.writeoptions import Options
from linnet.local.api.writing import Edit, Writer

Json = dict[str, Any]

_SHORTEST_TOKEN = 600  # seconds
_LONGEST_TOKEN = 1 << 32
_HOUR = 3_600
# A pod asks for 3607 seconds and gets a year: its token outlives a kubelet that is away.
# Source: Kubernetes, `WarnOnlyBoundTokenExpiration`.
_POD_TOKEN = 3_607
_YEAR = 365 * 24 * 3_600


def scale(resource: Resource, obj: Json) -> Json:
    """The Scale of an object.

    Raises: Refused if the object's schema has none.
    """
    wanted, have, selector = _scale_values(resource, obj)
    status: Json = {"replicas": have}
    if selector:
        status["selector"] = selector
    kept = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
    metadata = {key: obj["metadata"][key] for key in kept if key in obj["metadata"]}
    spec = {"replicas": wanted} if wanted else {}
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": metadata,
        "spec": spec,
        "status": status,
    }


def _scale_values(resource: Resource, obj: Json) -> tuple[int, int, str]:
    if resource.custom is None:
        spec, status = obj.get("spec") or {}, obj.get("status") or {}
        chosen = spec.get("selector")
        if resource.name == "replicationcontrollers":
            chosen = {"matchLabels": chosen or {}}
        return spec.get("replicas", 0), status.get("replicas", 0), selectors.query(chosen)
    paths = resource.custom.scale
    assert paths is not None, "the subresource is served only where paths are declared"
    wanted = _at(obj, paths.spec_replicas)
    if wanted is not None and not isinstance(wanted, int):
        path = "." + ".".join(paths.spec_replicas)
        raise refusals.Refused(
            500, "InternalError", f"Internal error occurred: {path} accessor error: {wanted}"
        )
    return wanted or 0, _at(obj, paths.status_replicas) or 0, _at(obj, paths.label_selector) or ""


def _at(obj: Json, path: Sequence[str]) -> Any:
    found: Any = obj if path else None
    for name in path:
        found = found.get(name) if isinstance(found, dict) else None
    return found


class Subresources:
    """Writes through subresources."""

    def __init__(self, cluster: Cluster, writer: Writer, deleter: Deleter, signer: Signer) -> None:
        self._cluster = cluster
        self._writer = writer
        self._deleter = deleter
        self._signer = signer

    async def rescale(
        self, resource: Resource, namespace: str, name: str, edit: Edit, options: Options
    ) -> Json:
        """Change an object through its Scale; the new Scale.

        Raises: Refused.
        """
        path = resource.custom.scale.spec_replicas if resource.custom and resource.custom.scale else None

        def replicas(obj: Json) -> Json:
            edited = edit(scale(resource, obj))
            count = (edited.get("spec") or {}).get("replicas", 0)
            if not isinstance(count, int) or count < 0:
                kind = "Scale.autoscaling"
                cause = invalid("spec.replicas", count, "must be greater than or equal to 0")
                message = f'{kind} "{name}" is invalid: {cause.field}: {cause.message}'
                details = {"name": name, "group": "autoscaling", "kind": "Scale"}
                raise refusals.Refused(422, "Invalid", message, details)
            version = (edited.get("metadata") or {}).get("resourceVersion")
            if version and version != obj["metadata"]["resourceVersion"]:
                raise refusals.conflict(resource, name)
            _set(obj, path or ("spec", "replicas"), count)
            return obj

        changed = await self._writer.change(
            resource, namespace, name, replicas, options, shown_subresource="scale"
        )
        return scale(resource, changed)

    async def bind(self, namespace: str, name: str, binding: Json, options: Options) -> Json:
        """Give a pod its node.

        Raises: Refused, 409 if it has one.
        """
        pods = self._cluster.resource("", "pods")
        node = (binding.get("target") or {}).get("name", "")
        if not node:
            cause = invalid("target.name", node, "a node is required")
            raise refusals.invalid(pods, name, [cause])

        def bound(pod: Json) -> Json:
            held = pod["spec"].get("nodeName")
            if held:
                raise refusals.conflict(pods, name, f"pod {name} is already assigned to node {held!r}")
            if pod["metadata"].get("deletionTimestamp"):
                raise refusals.conflict(
                    pods, name, f"pod {name} is being deleted, cannot be assigned to a host"
                )
            pod["spec"]["nodeName"] = node
            status = pod.setdefault("status", {})
            kept = [one for one in status.get("conditions") or () if one["type"] != "PodScheduled"]
            scheduled = {
                "type": "PodScheduled",
                "status": "True",
                "lastProbeTime": None,
                "lastTransitionTime": timestamp(),
                "observedGeneration": pod["metadata"].get("generation", 1),
            }
            status["conditions"] = [*kept, scheduled]
            return pod

        await self._writer.change(pods, namespace, name, bound, options, subresource="binding")
        return _success()

    async def evict(self, namespace: str, name: str, eviction: Json, options: Options) -> Json:
        """Delete a pod, unless a disruption budget does not allow it.

        Raises: Refused, 429 if the budget is used up.
        """
        pods = self._cluster.resource("", "pods")
        given = eviction.get("deleteOptions") or {}
        pod = self._cluster.find("pods", namespace, name)
        if pod is None:
            raise refusals.not_found(pods, name)
        finished = (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed", "Pending")
        if not finished and not pod["metadata"].get("deletionTimestamp"):
            await self._take_disruption(namespace, pod, options)
        preconditions = given.get("preconditions") or {}
        deletion = Deletion(
            given.get("gracePeriodSeconds"),
            given.get("propagationPolicy") or "",
            preconditions.get("uid", ""),
            preconditions.get("resourceVersion", ""),
        )
        await self._deleter.delete(pods, namespace, name, deletion, options)
        return _success()

    async def _take_disruption(self, namespace: str, pod: Json, options: Options) -> None:
        """Count the eviction in the budgets of the pod. Raises: Refused 429."""
        resource = self._cluster.resource("policy", "poddisruptionbudgets")
        labels = pod["metadata"].get("labels") or {}
        budgets = [
            budget
            for budget in self._cluster.objects(resource.bucket, namespace)
            if selectors.selected((budget.get("spec") or {}).get("selector"), labels)
        ]
        for budget in budgets:
            name = budget["metadata"]["name"]

            def taken(now: Json, name: str = name) -> Json:
                status = now.setdefault("status", {})
                allowed = status.get("disruptionsAllowed", 0)
                if allowed <= 0:
                    raise _too_many(name, status)
                status["disruptionsAllowed"] = allowed - 1
                status.setdefault("disruptedPods", {})[pod["metadata"]["name"]] = timestamp()
                return now

            await self._writer.change(resource, namespace, name, taken, options, subresource="status")

    def token(self, namespace: str, name: str, request: Json) -> Json:
        """A token for a service account.

        Raises: Refused, for an unknown account, a bad lifetime, or a bound object that does not exist.
        """
        accounts = self._cluster.resource("", "serviceaccounts")
        account = self._cluster.find("serviceaccounts", namespace, name)
        if account is None:
            raise refusals.not_found(accounts, name)
        spec = request.get("spec") or {}
        asked = spec.get("expirationSeconds") or _HOUR
        self._check_lifetime(asked)
        bound = self._bound(namespace, name, spec.get("boundObjectRef"))
        audiences = spec.get("audiences") or [ISSUER]
        seconds = _YEAR if bound is not None and asked == _POD_TOKEN and ISSUER in audiences else asked
        now = int(time.time())
        token = self._signer.issue(
            namespace=namespace,
            account=account,
            audiences=audiences,
            now=now,
            seconds=seconds,
            bound=bound,
            jti=str(uuid4()),
        )
        shown = {"audiences": audiences, "expirationSeconds": asked}
        return {
            "kind": "TokenRequest",
            "apiVersion": "authentication.k8s.io/v1",
            "metadata": {"name": name, "namespace": namespace, "creationTimestamp": timestamp()},
            "spec": {**shown, "boundObjectRef": spec.get("boundObjectRef")},
            "status": {
                "token": token,
                "expirationTimestamp": timestamp(datetime.fromtimestamp(now + asked, UTC)),
            },
        }

    @staticmethod
    def _check_lifetime(asked: int) -> None:
        if _SHORTEST_TOKEN <= asked <= _LONGEST_TOKEN:
            return
        limit = "less than 10 minutes" if asked < _SHORTEST_TOKEN else "larger than 2^32 seconds"
        cause = invalid("spec.expirationSeconds", asked, f"may not specify a duration {limit}")
        message = f'TokenRequest.authentication.k8s.io "" is invalid: {cause.field}: {cause.message}'
        details = {
            "group": "authentication.k8s.io",
            "kind": "TokenRequest",
            "causes": [{"reason": cause.reason, "message": cause.message, "field": cause.field}],
        }
        raise refusals.Refused(422, "Invalid", message, details)

    def _bound(self, namespace: str, account: str, ref: Json | None) -> Json | None:
        """What the token dies with, checked."""
        if not ref:
            return None
        kind, name = ref.get("kind", ""), ref.get("name", "")
        plural = {"Pod": "pods", "Secret": "secrets", "Node": "nodes"}.get(kind)
        if plural is None:
            raise refusals.bad_request(
                f"cannot bind token for serviceaccount {account} to object type {kind}"
            )
        found = self._cluster.find(plural, "" if kind == "Node" else namespace, name)
        resource = self._cluster.resource("", plural)
        if found is None:
            raise refusals.not_found(resource, name)
        uid = found["metadata"]["uid"]
        if ref.get("uid") not in (None, "", uid):
            why = f"the UID in the bound object reference ({ref['uid']}) does not match the UID in record. "
            why += "The object might have been deleted and then recreated"
            raise refusals.conflict(resource, name, why)
        bound: Json = {"kind": kind, "name": name, "uid": uid}
        if kind == "Pod":
            self._check_account(account, found, bound)
        return bound

    def _check_account(self, account: str, pod: Json, bound: Json) -> None:
        used = pod["spec"].get("serviceAccountName", "")
        if used != account:
            raise refusals.bad_request(
                f"cannot bind token for serviceaccount {account!r} to pod running with different "
                "serviceaccount name."
            )
        node = self._cluster.find("nodes", "", pod["spec"].get("nodeName") or "-")
        if node is not None:
            bound["node"] = {"name": node["metadata"]["name"], "uid": node["metadata"]["uid"]}


def _set(obj: Json, path: Sequence[str], value: Any) -> None:
    for name in path[:-1]:
        obj = obj.setdefault(name, {})
    obj[path[-1]] = value


def _success() -> Json:
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}


def _too_many(budget: str, status: Json) -> refusals.Refused:
    needs, have = status.get("desiredHealthy", 0), status.get("currentHealthy", 0)
    cause = {
        "reason": "DisruptionBudget",
        "message": f"The disruption budget {budget} needs {needs} healthy pods and has {have} currently",
    }
    message = "Cannot evict pod as it would violate the pod's disruption budget."
    return refusals.Refused(429, "TooManyRequests", message, {"causes": [cause]})
