"""Which gateways a move is about, and whether the revision can take them (pure)."""

from collections.abc import Sequence

from msgspec import Struct

from linnet.install.plane import NAME, Plane
from linnet.kube.kinds import DEPLOYMENT
from linnet.upgrade.fleet import Gateway, Way
from linnet.upgrade.injection import revision_label
from linnet.upgrade.look import Seen
from linnet.upgrade.users import tagged


class MoveError(ValueError):
    """A move that cannot be made as asked; the message says what to do."""


class Moves(Struct, frozen=True):
    """Gateways that move, and those that only their labels move."""

    moved: tuple[Gateway, ...]
    left: tuple[Gateway, ...]


def taker(seen: Seen, wanted: str) -> Plane:
    """The plane of a revision, or of the one that a tag names, once its istiod is ready.

    Raises:
        MoveError: there is no such revision, it is not ready, or nobody noted how it was installed.
    """
    revision = wanted if wanted in seen.able else tagged(seen.observed, wanted) or wanted
    if revision not in seen.able:
        raise MoveError(
            f"there is no revision or tag {wanted}; there are: {', '.join(sorted(seen.able)) or 'none'}"
        )
    if not ready(seen, revision):
        raise MoveError(
            f"revision {revision} has no ready istiod, so it can serve nobody; "
            f"see: kubectl get pods -n {seen.observed.namespace} -l app=istiod,istio.io/rev={revision}"
        )
    if revision not in seen.records:
        option = "" if revision == NAME else f" --set revision={revision}"
        raise MoveError(f"revision {revision} was not installed by Linnet; first: install{option}")
    return seen.records[revision]


def ready(seen: Seen, revision: str) -> bool:
    """Whether an istiod of the revision is ready."""
    return any(
        (obj.get("status") or {}).get("readyReplicas", 0) > 0
        for obj in seen.objects.get(DEPLOYMENT, ())
        if revision_label(obj) == revision and (obj["metadata"].get("labels") or {}).get("app") == "istiod"
    )


def moves(gateways: Sequence[Gateway], names: Sequence[str], revision: str, namespace: str) -> Moves:
    """The gateways that a move to `revision` is about; `namespace` is that of names without one.

    Without names: all that an installation made, and injected ones that this command alone can move.

    Raises:
        MoveError: no such gateway, or one that only its labels move.
    """
    if not names:
        chosen = [gateway for gateway in gateways if gateway.installed or _follows(gateway, revision)]
        others = [gateway for gateway in gateways if gateway not in chosen and _elsewhere(gateway, revision)]
        return Moves(tuple(chosen), tuple(others))
    found = [_named(gateways, name, namespace) for name in names]
    for gateway in found:
        if gateway.way(revision) is None:
            raise MoveError(
                f"gateway {gateway} follows its labels; what moves it: {gateway.remedy(revision)}"
            )
    return Moves(tuple({str(gateway): gateway for gateway in found}.values()), ())


def _follows(gateway: Gateway, revision: str) -> bool:
    """Whether its own label alone decides, or its pods are only not restarted yet."""
    way = gateway.way(revision)
    return bool(gateway.own_label) or (way is Way.RESTART and _elsewhere(gateway, revision))


def _elsewhere(gateway: Gateway, revision: str) -> bool:
    return gateway.served_by not in ((revision,), ()) or gateway.next != revision


def _named(gateways: Sequence[Gateway], name: str, namespace: str) -> Gateway:
    for gateway in gateways:
        if str(gateway) == name or (gateway.name, gateway.namespace) == (name, namespace):
            return gateway
    same = [gateway for gateway in gateways if gateway.name == name]
    if len(same) == 1:
        return same[0]
    known = ", ".join(map(str, same or gateways)) or "none"
    raise MoveError(f"there is no gateway {name} in namespace {namespace}; there are: {known}")
