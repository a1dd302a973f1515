"""What removing a revision takes: the next default, who serves the gateways, what goes when (pure)."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from msgspec import Struct

from linnet.install.marks import COMPONENT, REV, SHARED, TAG_LABEL
from linnet.install.plane import EGRESS, INGRESS, NAME
from linnet.kube.kinds import (
    CLUSTER_ROLE,
    CLUSTER_ROLE_BINDING,
    CONFIG_MAP,
    CUSTOM_RESOURCE_DEFINITION,
    DEPLOYMENT,
    HORIZONTAL_POD_AUTOSCALER,
    MUTATING_WEBHOOK,
    POD_DISRUPTION_BUDGET,
    ROLE,
    ROLE_BINDING,
    SECRET,
    SERVICE,
    SERVICE_ACCOUNT,
    VALIDATING_WEBHOOK,
    Kind,
)

Object = Mapping[str, Any]

# webhooks first: from then on nothing calls the revision; permissions last: it needs them until it has ended
ORDER: tuple[Kind, ...] = (
    MUTATING_WEBHOOK,
    VALIDATING_WEBHOOK,
    SERVICE,
    HORIZONTAL_POD_AUTOSCALER,
    POD_DISRUPTION_BUDGET,
    DEPLOYMENT,
    CONFIG_MAP,
    SECRET,
    ROLE_BINDING,
    ROLE,
    CLUSTER_ROLE_BINDING,
    CLUSTER_ROLE,
    SERVICE_ACCOUNT,
)
PURGED: tuple[Kind, ...] = (*ORDER, CUSTOM_RESOURCE_DEFINITION)
GATEWAYS = frozenset({INGRESS, EGRESS})
CANONICAL_NAME = "service.istio.io/canonical-name"  # of a gateway's pods: the name of the gateway


class RetireError(ValueError):
    """A revision that cannot be removed as asked; the message says what to do."""


class Item(Struct, frozen=True):
    """An object to delete."""

    kind: Kind
    name: str
    namespace: str
    uid: str

    def __str__(self) -> str:
        """`apps/v1, Kind=Deployment/NAME.NAMESPACE`, as istioctl prints it."""
        where = f".{self.namespace}" if self.namespace else "."
        return f"{self.kind.api_version}, Kind={self.kind.name}/{self.name}{where}"


class Plan(Struct, frozen=True):
    """What will happen, in this order: gateways, default, removal."""

    revision: str  # as labels write it
    heir: str  # who becomes the default; empty: it does not change
    drops_default: bool  # nobody is left to have it
    gateways_to: str  # who serves the gateways; empty: they stay as they are, or go
    gateways: tuple[str, ...]  # the gateways that the revision serves now
    removed: tuple[Item, ...]

    @property
    def removes_gateways(self) -> bool:
        """Whether gateways go with the revision."""
        return bool(self.gateways) and not self.gateways_to


def plan(
    revision: str,
    *,
    present: Iterable[str],
    default: str,
    objects: Mapping[Kind, Sequence[Object]],
    pods: Iterable[Object] = (),
    new_default: str = "",
    gateways_to: str = "",
) -> Plan:
    """The plan for removing a revision. `present`: all installed revisions; `default`: who has the tag.

    `objects` are those of `ORDER` that carry a component label; `pods` are those of gateways.

    Raises:
        RetireError: there is no such revision, or it is not clear who takes over.
    """
    others = sorted(set(present) - {revision})
    served = _gateways_of(objects, pods, revision)
    if revision not in set(present) and not _owned(objects, revision, gateways=False):
        raise RetireError(
            f"could not find target revision {revision}; there are: {', '.join(others) or 'none'}"
        )
    heir = _heir(revision, others, default, new_default)
    taker = _taker(served, others, heir or default, gateways_to)
    return Plan(
        revision=revision,
        heir=heir if heir != default or revision == default else "",
        drops_default=revision == default and not others,
        gateways_to=taker,
        gateways=tuple(served),
        removed=tuple(_owned(objects, revision, gateways=bool(served) and not taker)),
    )


def _heir(revision: str, others: Sequence[str], default: str, asked: str) -> str:
    if asked and asked not in others:
        raise RetireError(
            f"--new-default {asked}: there is no such other revision; there are: {_list(others)}"
        )
    if asked:
        return asked
    if revision != default or not others:
        return ""
    if len(others) == 1:
        return others[0]
    raise RetireError(
        f"revision {revision} is the default and several others are left; say which becomes the default: "
        f"--new-default {'|'.join(others)}"
    )


def _taker(served: Sequence[str], others: Sequence[str], default: str, asked: str) -> str:
    if asked and asked not in others:
        raise RetireError(
            f"--gateways-to {asked}: there is no such other revision; there are: {_list(others)}"
        )
    if not served or not others:
        return ""
    if asked:
        return asked
    if len(others) == 1:
        return others[0]
    if default in others:
        return default
    raise RetireError(
        f"gateways {', '.join(served)} are served by this revision and several others are left; "
        f"say which takes them: --gateways-to {'|'.join(others)}"
    )


def _list(names: Sequence[str]) -> str:
    return ", ".join(names) or "none"


def _labels(obj: Object) -> Mapping[str, str]:
    return obj["metadata"].get("labels") or {}


def _gateways_of(
    objects: Mapping[Kind, Sequence[Object]], pods: Iterable[Object], revision: str
) -> list[str]:
    """The gateways of which anything still says this revision: hand-overs get interrupted."""

    def serves(obj: Object) -> bool:
        return _labels(obj).get(COMPONENT) in GATEWAYS and _labels(obj).get(REV, NAME) == revision

    kinds = (DEPLOYMENT, SERVICE, HORIZONTAL_POD_AUTOSCALER, POD_DISRUPTION_BUDGET)
    names = {obj["metadata"]["name"] for kind in kinds for obj in objects.get(kind, ()) if serves(obj)}
    names |= {_labels(pod).get(CANONICAL_NAME, "") for pod in pods if serves(pod)}
    return sorted(names - {""})


def _owned(objects: Mapping[Kind, Sequence[Object]], revision: str, *, gateways: bool) -> list[Item]:
    """What goes with a revision: never what is shared; gateways only when nobody can serve them."""

    def goes(obj: Object) -> bool:
        labels = _labels(obj)
        if labels.get(REV, NAME) != revision or TAG_LABEL in labels:
            return False
        if labels.get(COMPONENT) in GATEWAYS:
            return gateways
        return labels.get(COMPONENT) == "Pilot" and SHARED not in labels

    return [item(kind, obj) for kind in ORDER for obj in objects.get(kind, ()) if goes(obj)]


def item(kind: Kind, obj: Object) -> Item:
    """An object as something to delete."""
    meta = obj["metadata"]
    return Item(kind, meta["name"], meta.get("namespace", ""), meta.get("uid", ""))


def everything(objects: Mapping[Kind, Sequence[Object]]) -> tuple[Item, ...]:
    """All that any revision installed, shared objects and CRDs included, in order."""
    return tuple(item(kind, obj) for kind in PURGED for obj in objects.get(kind, ()))
