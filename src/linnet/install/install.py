"""Install a plane: namespace, Base, Pilot, proof, default, gateways; each step can be repeated.

namespace ─▶ CRDs ─▶ istiod ready ─▶ its webhooks ─▶ dry-run proof ─▶ default (first install) ─▶ gateways

Until the proof nothing calls the new plane but what names its revision. What is as it should be is not
written.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct

from linnet.install import legacy, pilot
from linnet.install.apply import ApplyError, Change, Outcome, apply_component, find
from linnet.install.default import Default, current_default, drop_default, make_default, set_active
from linnet.install.marks import DEACTIVATED, Object
from linnet.install.overlap import overlaps
from linnet.install.plane import Plane
from linnet.install.progress import Report
from linnet.install.prune import prune
from linnet.install.ready import NotReady, identity
from linnet.install.render import Component, base, gateway_components, namespace
from linnet.install.selftest import prove_injection, prove_validation
from linnet.install.versions import parse
from linnet.install.webhooks import default_tag, injector
from linnet.kube.client import Client
from linnet.kube.errors import AlreadyExists, NotFound
from linnet.kube.kinds import CUSTOM_RESOURCE_DEFINITION, DEPLOYMENT, MUTATING_WEBHOOK, NAMESPACE


class Installed(Struct, frozen=True):
    """What an installation did, or would do."""

    changes: tuple[Change, ...]
    became_default: bool
    default: str  # the default revision afterwards; empty: none
    notes: tuple[str, ...] = ()

    @property
    def changed(self) -> tuple[Change, ...]:
        """The objects that are not as they were."""
        return tuple(change for change in self.changes if change.outcome is not Outcome.SAME)


class Start(Struct, frozen=True):
    """What an installation finds: who is the default, and whether its own injector works without the tag."""

    held: Default | None
    active: bool

    def mine(self, plane: Plane) -> bool:
        """Whether the default is, or becomes, the plane's."""
        return self.first or (self.held is not None and self.held.revision == plane.revision_name)

    @property
    def first(self) -> bool:
        """Whether nobody can be the default but the plane that is installed."""
        return self.held is None or self.held.dangling


async def install_plane(
    client: Client,
    plane: Plane,
    crds: Sequence[Object],
    *,
    seconds: float,
    report: Report,
    force: bool = False,
) -> Installed:
    """Install everything but the gateways. `force`: although two injectors would serve one pod.

    Raises:
        ApplyError: a component failed. What was applied stays; the same call completes it.
    """
    await make_namespace(client, plane)
    start = await _start(client, plane)
    if not force:
        await refuse_overlaps(client, plane, first=start.first)
    changes: list[Change] = []
    notes = [note] if (note := await legacy.settle(client, plane)) else []
    definitions, kept = await newest(client, plane, crds)
    notes += kept
    if plane.enabled("base"):
        changes += await apply_component(
            client, Component("Base", tuple(base(plane, definitions))), seconds=seconds, report=report
        )
    if not plane.enabled("pilot"):
        return Installed(tuple(changes), False, start.held.revision if start.held else "", tuple(notes))
    objects = tuple(pilot.objects(plane, active=start.active))
    changes += await apply_component(client, Component("Pilot", objects), seconds=seconds, report=report)
    changes += await prune(client, plane, "Pilot", objects)
    notes += await _awaken(client, plane)
    try:
        more, said = await _prove(client, plane, start, seconds=seconds, report=report)
    except NotReady as error:
        raise ApplyError(str(error)) from error
    return _installed(plane, start, [*changes, *more], [*notes, *said])


async def _awaken(client: Client, plane: Plane) -> list[str]:
    """Give an istiod that was scaled to nothing a replica: autoscalers leave it alone then.

    How many replicas there are is otherwise not ours to say. Nothing of this revision could work without one.
    """
    live = await find(client, pilot.deployment(plane))
    if live is None or (live.get("spec") or {}).get("replicas", 1) != 0:
        return []
    meta = live["metadata"]
    await client.patch(DEPLOYMENT, meta["name"], meta["namespace"], {"spec": {"replicas": 1}})
    return [f"Deployment {meta['name']} was scaled to 0: it has 1 replica again"]


def _installed(plane: Plane, start: Start, changes: Sequence[Change], notes: Sequence[str]) -> Installed:
    default = plane.revision_name if start.mine(plane) else (start.held.revision if start.held else "")
    return Installed(tuple(changes), start.first, default, tuple(notes))


async def _start(client: Client, plane: Plane) -> Start:
    """An un-revisioned plane's own injector rests: the default tag does its work, once it is there."""
    held = await current_default(client, plane.namespace)
    if plane.revision:
        return Start(held, active=True)
    own = await find(client, injector(plane)) if held is None else None
    return Start(held, active=own is not None and not resting(own))


def resting(hook: Mapping[str, Any]) -> bool:
    """Whether an injector matches nothing because the default tag does its work (pure)."""
    return all(
        DEACTIVATED in ((entry.get("namespaceSelector") or {}).get("matchLabels") or {})
        for entry in hook.get("webhooks") or ()
    )


async def refuse_overlaps(client: Client, plane: Plane, *, first: bool) -> None:
    """Raises ApplyError when two injectors would serve one pod."""
    if not plane.enabled("pilot"):
        return
    live = (await client.list(MUTATING_WEBHOOK)).items
    wanted = [injector(plane, active=bool(plane.revision))]
    wanted += [default_tag(plane)] if first else []
    if found := overlaps(live, wanted):
        told = "; ".join(found)
        raise ApplyError(f"creating default tag would conflict: {told} (--force installs nevertheless)")


async def newest(client: Client, plane: Plane, crds: Sequence[Object]) -> tuple[list[Object], list[str]]:
    """The definitions to apply: not those that a newer Linnet has installed, for its revisions need them."""
    own = parse(plane.version)
    live = (await client.list(CUSTOM_RESOURCE_DEFINITION, labels="app.kubernetes.io/managed-by=Linnet")).items
    versions = {
        obj["metadata"]["name"]: parse(obj["metadata"]["labels"].get("operator.istio.io/version", ""))
        for obj in live
    }
    newer = {name for name, version in versions.items() if own and version and version > own}
    kept = [crd for crd in crds if crd["metadata"]["name"] not in newer]
    if not newer:
        return kept, []
    most = max(version for name, version in versions.items() if version and name in newer)
    return kept, [f"kept {len(newer)} definitions of version {most}, which is newer than {plane.version}"]


async def _prove(
    client: Client, plane: Plane, start: Start, *, seconds: float, report: Report
) -> tuple[list[Change], list[str]]:
    """Prove that it works, then let it be the default if nobody else is; what was changed, what to say."""
    await prove_validation(client, plane, seconds=seconds, report=report)
    if plane.revision or start.active:
        notes = await prove_injection(client, plane, seconds=seconds, report=report)
        return (await make_default(client, plane) if start.mine(plane) else []), notes
    if not start.mine(plane):
        told = "injection not tested: it serves nobody while another revision is the default"
        return [], [f"{told} (tag set default --revision default --overwrite)"]
    changes = await make_default(client, plane)
    try:
        return changes, await prove_injection(client, plane, seconds=seconds, report=report)
    except NotReady:
        if start.held is None:
            await drop_default(client, plane)  # a default that does not work blocks every pod
            await set_active(client, plane.namespace, active=False)
        raise


async def make_namespace(client: Client, plane: Plane) -> None:
    """Create the control plane's namespace if it is missing."""
    try:
        await client.get(NAMESPACE, plane.namespace)
    except NotFound:
        try:
            await client.create(NAMESPACE, namespace(plane))
        except AlreadyExists:
            return


async def preview(
    client: Client, plane: Plane, crds: Sequence[Object], *, gateways: bool, report: Report
) -> Installed:
    """What an installation would do, asked of the API server by dry run; nothing is written.

    Raises:
        ApplyError: the API server would refuse an object.
    """
    start = await _start(client, plane)
    notes = [note] if (note := await legacy.settle(client, plane, dry_run=True)) else []
    definitions, kept = await newest(client, plane, crds)
    notes += kept
    changes = await _namespace_preview(client, plane)
    parts = [Component("Base", tuple(base(plane, definitions)))] if plane.enabled("base") else []
    if plane.enabled("pilot"):
        parts.append(Component("Pilot", tuple(pilot.objects(plane, active=start.active))))
    parts += gateway_components(plane, plane.gateways) if gateways else ()
    for component in parts:
        changes += await apply_component(client, component, seconds=0, report=report, dry_run=True)
        if component.name != "Base":
            changes += await prune(client, plane, component.name, component.objects, dry_run=True)
    if start.mine(plane) and plane.enabled("pilot"):
        seen = {change.what for change in changes}
        wanted = await make_default(client, plane, dry_run=True)
        changes += [change for change in wanted if change.what not in seen]
    return _installed(plane, start, changes, notes)


async def _namespace_preview(client: Client, plane: Plane) -> list[Change]:
    obj = namespace(plane)
    if await find(client, obj) is None:
        return [Change(identity(obj), Outcome.CREATED)]
    return [Change(identity(obj), Outcome.SAME)]
