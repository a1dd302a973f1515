"""Whether an installation is there, whole and working: object by object, then by dry run."""

from collections.abc import Iterable, Sequence
from typing import Any

from msgspec import Struct

from linnet.install import pilot
from linnet.install.apply import ApplyError, Outcome, apply_object, find
from linnet.install.default import current_default
from linnet.install.install import resting
from linnet.install.legacy import blocking
from linnet.install.marks import REV, SHARED, Object
from linnet.install.plane import NAME, GatewaySpec, Plane
from linnet.install.progress import Report, Silent
from linnet.install.ready import NotReady, definition_verdict, deployment_verdict, kind_of
from linnet.install.render import base, default_objects, gateway_components
from linnet.install.selftest import prove_injection, prove_validation
from linnet.install.webhooks import injector
from linnet.kube.client import Client
from linnet.kube.kinds import (
    CUSTOM_RESOURCE_DEFINITION,
    DEPLOYMENT,
    MUTATING_WEBHOOK,
    VALIDATING_WEBHOOK,
)

SELF_TEST = 20.0  # seconds for each proof by dry run
_VERDICTS = {DEPLOYMENT.name: deployment_verdict, CUSTOM_RESOURCE_DEFINITION.name: definition_verdict}
_HOOKS = frozenset({MUTATING_WEBHOOK.name, VALIDATING_WEBHOOK.name})


class Check(Struct, frozen=True):
    """One thing that was looked at. `why` is empty if it is as it should be; a `note` is no fault."""

    kind: str
    name: str
    namespace: str = ""
    why: str = ""
    note: str = ""

    @property
    def good(self) -> bool:
        """Whether it is as it should be."""
        return not self.why

    def __str__(self) -> str:
        """`Kind: name.namespace`."""
        return f"{self.kind}: {self.name}" + (f".{self.namespace}" if self.namespace else "")


class Verification(Struct, frozen=True):
    """What was found about one revision (as labels write it)."""

    revision: str
    checks: tuple[Check, ...]

    @property
    def good(self) -> bool:
        """Whether everything is as it should be."""
        return all(check.good for check in self.checks)

    def count(self, kind: str) -> int:
        """How many objects of a kind were looked at."""
        return sum(check.kind == kind for check in self.checks)


async def verify(
    client: Client, plane: Plane, crds: Sequence[Object], *, compare: bool, report: Report | None = None
) -> Verification:
    """Look at all objects of a plane, and try its webhooks by dry run.

    `compare`: also say what is not as it was installed; only where the same version rendered it.
    """
    report = report or Silent()
    held = await current_default(client, plane.namespace)
    default = held is not None and held.revision == plane.revision_name
    own = await find(client, injector(plane))
    active = bool(plane.revision) or (own is not None and not resting(own))
    objects: list[Object] = base(plane, crds) if plane.enabled("base") else []
    if plane.enabled("pilot"):
        objects += pilot.objects(plane, active=active)
        objects += default_objects(plane) if default else []
    checks = [await _checked(client, obj, compare=compare) for obj in objects]
    checks += await _gateways(client, plane, compare=compare)
    if plane.enabled("pilot") and all(check.good for check in checks):
        checks += await _proofs(client, plane, injects=active or default, report=report)
    return Verification(plane.revision_name, tuple(checks))


async def _checked(client: Client, obj: Object, *, compare: bool) -> Check:
    meta = obj["metadata"]
    kind, name, namespace = obj["kind"], meta["name"], meta.get("namespace", "")
    live = await find(client, obj)
    if live is None:
        return Check(kind, name, namespace, why="it does not exist")
    why = _VERDICTS[kind](live) if kind in _VERDICTS else ""
    if kind in _HOOKS and not why:
        why = await _calls_somebody(client, live)
    note = (
        await _differs(client, obj)
        if compare and not why and kind_of(obj) != CUSTOM_RESOURCE_DEFINITION and not _shared(obj)
        else ""
    )
    return Check(kind, name, namespace, why, note)


def _shared(obj: Object) -> bool:
    """Whether it belongs to all revisions: what it says depends on which one is the default."""
    return SHARED in (obj["metadata"].get("labels") or {})


async def _differs(client: Client, obj: Object) -> str:
    try:
        changed = (await apply_object(client, obj, dry_run=True)).outcome is not Outcome.SAME
    except ApplyError:
        return ""  # who may only read cannot ask this
    return "it is not as it was installed" if changed else ""


async def _calls_somebody(client: Client, live: Object) -> str:
    if reason := await blocking(client, live):
        return reason
    entries: Iterable[dict[str, Any]] = live.get("webhooks") or ()
    if any(not (entry.get("clientConfig") or {}).get("caBundle") for entry in entries):
        return "istiod has not put its CA bundle into it"
    validating = live["kind"] == VALIDATING_WEBHOOK.name
    if validating and any(entry.get("failurePolicy") != "Fail" for entry in entries):
        return "it lets everything pass: istiod has not found it working yet"
    return ""


async def _gateways(client: Client, plane: Plane, *, compare: bool) -> list[Check]:
    """The gateways that the plane describes; of those that another revision serves only who that is."""
    checks = []
    for gateway in plane.gateways:
        rev = await _served_by(client, plane, gateway)
        for component in gateway_components(plane, [gateway]):
            if rev in ("", plane.revision_name):
                checks += [await _checked(client, obj, compare=compare) for obj in component.objects]
            else:
                note = f"served by revision {rev}"
                checks.append(Check(DEPLOYMENT.name, gateway.name, gateway.namespace, note=note))
    return checks


async def _served_by(client: Client, plane: Plane, gateway: GatewaySpec) -> str:
    (component,) = gateway_components(plane, [gateway])
    wanted = next(obj for obj in component.objects if obj["kind"] == DEPLOYMENT.name)
    live = await find(client, wanted)
    return "" if live is None else str((live["metadata"].get("labels") or {}).get(REV, NAME))


async def _proofs(client: Client, plane: Plane, *, injects: bool, report: Report) -> list[Check]:
    found = []
    for what, proof in (("Injection", prove_injection), ("Validation", prove_validation)):
        if what == "Injection" and not injects:
            found.append(
                Check(what, plane.revision_name, note="it serves nobody: another revision is the default")
            )
            continue
        try:
            notes = await proof(client, plane, seconds=SELF_TEST, report=report)
        except NotReady as error:
            found.append(Check(what, plane.revision_name, why=str(error)))
        else:
            found.append(Check(what, plane.revision_name, note="; ".join(notes or ())))
    return found
