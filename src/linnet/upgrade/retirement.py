"""What removing a revision takes: the next default, who serves the gateways, what goes when (pure)."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from msgspec import Struct

from linnet.install.marks import COMPONENT, REV, SHARED, TAG_LABEL
from linnet.install.plane import NAME, suffixed
from linnet.install.webhooks import DEFAULT_SERVICE, DEFAULT_TAG, DEFAULT_VALIDATOR
from linnet.kube.kinds import (
    CLUSTER_ROLE,
    CLUSTER_ROLE_BINDING,
    CONFIG_MAP,
    CUSTOM_RESOURCE_DEFINITION,
    DEPLOYMENT,
    HORIZONTAL_POD_AUTOSCALER,
    LEASE,
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
from linnet.upgrade.fleet import INSTALLED, Gateway
from linnet.upgrade.users import HandedOver, calls, is_legacy

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
    LEASE,
)
LOCKS = "istio-status-leader-"  # and a revision: the Lease that its istiods make for themselves
PURGED: tuple[Kind, ...] = (*ORDER, CUSTOM_RESOURCE_DEFINITION)


class RetireError(ValueError):
    """A revision that cannot be removed as asked; the message says what to do."""


class NoSuchRevision(RetireError):
    """Nothing of the revision is there."""


class SeveralTakers(RetireError):
    """Nobody said which of several revisions takes the gateways."""

    def __init__(self, gateways: Sequence[Gateway], candidates: Sequence[str]) -> None:
        self.gateways, self.candidates = tuple(gateways), tuple(candidates)
        super().__init__(
            f"gateways {', '.join(map(str, gateways))} are served by this revision and several others are "
            f"left; say which takes them: --gateways-to {'|'.join(candidates)}"
        )


class Item(Struct, frozen=True):
    """An object to delete."""

    kind: Kind
    name: str
    namespace: str
    uid: str

    def __str__(self) -> str:
        """`apps/v1, Kind=Deployment/NAME.NAMESPACE`, as istioctl prints it; without a namespace no dot."""
        where = f".{self.namespace}" if self.namespace else ""
        return f"{self.kind.api_version}, Kind={self.kind.name}/{self.name}{where}"


class Plan(Struct, frozen=True):
    """What will happen, in this order: gateways, default, restarts, what calls the revision, removal."""

    revision: str  # as labels write it
    heir: str  # who becomes the default; empty: it does not change
    drops_default: bool  # nobody is left to have it
    gateways_to: str  # who serves the gateways; empty: they stay as they are, or go
    gateways: tuple[Gateway, ...]  # those that the revision serves now and that the command moves, or removes
    restarts: tuple[Gateway, ...]  # injected ones that go elsewhere when they restart, once the default moved
    default: tuple[Item, ...]  # the default tag and validator, if they go
    callers: tuple[Item, ...]  # webhooks of others that would call nobody: legacy ones, and tags by force
    removed: tuple[Item, ...]

    @property
    def removes_gateways(self) -> bool:
        """Whether gateways go with the revision."""
        return bool(self.gateways) and not self.gateways_to

    @property
    def items(self) -> tuple[Item, ...]:
        """All that is deleted, in this order."""
        return (*self.default, *self.callers, *self.removed)

    @property
    def handed(self) -> HandedOver:
        """The injected gateways that it moves: nobody counts them as users."""
        moved = [gateway for gateway in (*self.gateways, *self.restarts) if not gateway.installed]
        return HandedOver(
            pods=frozenset(name for gateway in moved for name in gateway.pods),
            workloads=frozenset((gateway.namespace, gateway.name) for gateway in moved),
        )


def plan(
    revision: str,
    *,
    present: Iterable[str],
    default: str,
    objects: Mapping[Kind, Sequence[Object]],
    gateways: Iterable[Gateway] = (),
    hooks: Sequence[Object] = (),
    namespace: str = "istio-system",
    new_default: str = "",
    gateways_to: str = "",
    force: bool = False,
) -> Plan:
    """The plan for removing a revision. `present`: all installed revisions; `default`: who has the tag.

    `objects` are those of `ORDER` that carry a component label; `hooks` are all webhook objects.
    `force`: it goes although tags and webhooks of users still call it; then they go too.

    Raises:
        RetireError: there is no such revision, or it is not clear who takes over.
    """
    others = sorted(set(present) - {revision})
    served = [gateway for gateway in gateways if revision in gateway.touched]
    if revision not in set(present) and not _owned(objects, revision, gateways=False):
        raise NoSuchRevision(
            f"could not find target revision {revision}; there are: {', '.join(others) or 'none'}"
        )
    heir = _heir(revision, others, default, new_default)
    ours = [gateway for gateway in served if gateway.installed]
    own = [gateway for gateway in served if gateway.own_label == revision]
    taker = _taker([*ours, *own], others, heir or default, gateways_to)
    removed = _owned(objects, revision, gateways=bool(ours) and not taker)
    dropped = _default_items(objects, namespace) if revision == default and not others else ()
    settled = {DEFAULT_TAG, f"{DEFAULT_TAG}-{namespace}", DEFAULT_VALIDATOR} if heir or dropped else set()
    settled |= {found.name for found in removed if found.kind in (MUTATING_WEBHOOK, VALIDATING_WEBHOOK)}
    services = {(found.namespace, found.name) for found in removed if found.kind == SERVICE}
    services.add((namespace, suffixed("istiod", "" if revision == NAME else revision)))  # also if it is gone
    return Plan(
        revision=revision,
        heir=heir if heir != default or revision == default else "",
        drops_default=revision == default and not others,
        gateways_to=taker,
        gateways=tuple(ours if not taker else [*ours, *own]),
        restarts=tuple(g for g in served if others and g not in own and _goes(g, revision, heir)),
        default=tuple(dropped),
        callers=tuple(
            item(hook_kind(hook), hook)
            for hook in hooks
            if hook["metadata"]["name"] not in settled
            and (force or is_legacy(hook, namespace))
            and _calls_only(hook, services)
        ),
        removed=tuple(removed),
    )


def hook_kind(hook: Object) -> Kind:
    """The kind of a webhook object."""
    return MUTATING_WEBHOOK if hook["kind"] == MUTATING_WEBHOOK.name else VALIDATING_WEBHOOK


def _calls_only(hook: Object, services: set[tuple[str, str]]) -> bool:
    entries = hook.get("webhooks") or ()
    return bool(entries) and all(calls(entry) in services for entry in entries)


def _goes(gateway: Gateway, revision: str, heir: str) -> bool:
    """An injected gateway whose next pod belongs to another revision, or will when the default has moved."""
    if not gateway.restartable:
        return False
    elsewhere = bool(gateway.next) and gateway.next != revision
    return elsewhere or (bool(heir) and gateway.asks == NAME)


def _default_items(objects: Mapping[Kind, Sequence[Object]], namespace: str) -> list[Item]:
    """The default validator, its Service and the tag, in the order of removal."""
    names = (
        (VALIDATING_WEBHOOK, (DEFAULT_VALIDATOR,)),
        (SERVICE, (DEFAULT_SERVICE,)),
        (MUTATING_WEBHOOK, (DEFAULT_TAG, f"{DEFAULT_TAG}-{namespace}")),
    )
    return [
        item(kind, obj)
        for kind, wanted in names
        for obj in objects.get(kind, ())
        if obj["metadata"]["name"] in wanted
    ]


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


def _taker(served: Sequence[Gateway], others: Sequence[str], default: str, asked: str) -> str:
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
    raise SeveralTakers(served, others)


def _list(names: Sequence[str]) -> str:
    return ", ".join(names) or "none"


def _labels(obj: Object) -> Mapping[str, str]:
    return obj["metadata"].get("labels") or {}


def _owned(objects: Mapping[Kind, Sequence[Object]], revision: str, *, gateways: bool) -> list[Item]:
    """What goes with a revision: never what is shared; gateways only when nobody can serve them."""

    def goes(obj: Object) -> bool:
        labels = _labels(obj)
        if labels.get(REV, NAME) != revision or TAG_LABEL in labels:
            return False
        if labels.get(COMPONENT) in INSTALLED:
            return gateways
        return labels.get(COMPONENT) == "Pilot" and SHARED not in labels

    def owned(kind: Kind, obj: Object) -> bool:
        return obj["metadata"]["name"] == LOCKS + revision if kind == LEASE else goes(obj)

    return [item(kind, obj) for kind in ORDER for obj in objects.get(kind, ()) if owned(kind, obj)]


def item(kind: Kind, obj: Object) -> Item:
    """An object as something to delete."""
    meta = obj["metadata"]
    return Item(kind, meta["name"], meta.get("namespace", ""), meta.get("uid", ""))


def everything(objects: Mapping[Kind, Sequence[Object]], hooks: Sequence[Object] = ()) -> tuple[Item, ...]:
    """All that any revision installed, shared objects and CRDs included, and all tags, in order."""
    owned = {kind: list(objects.get(kind, ())) for kind in PURGED}
    for hook in hooks:
        if TAG_LABEL in _labels(hook) and COMPONENT not in _labels(hook):
            owned[hook_kind(hook)].append(hook)
    return tuple(item(kind, obj) for kind in PURGED for obj in owned[kind])
