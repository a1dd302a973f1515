"""Install a plane: namespace, Base, Pilot, proof, default, gateways; each step can be repeated.

namespace ─▶ CRDs ─▶ istiod ready ─▶ its webhooks ─▶ dry-run proof ─▶ default (first install) ─▶ gateways
"""

from collections.abc import Sequence

from msgspec import Struct

from linnet.install import pilot
from linnet.install.apply import ApplyError, Change, apply_component, apply_object
from linnet.install.default import Default, current_default, make_default, remove_legacy_validator
from linnet.install.marks import Object
from linnet.install.overlap import overlaps
from linnet.install.plane import Plane
from linnet.install.progress import Report
from linnet.install.ready import NotReady
from linnet.install.render import Component, base, default_objects, gateway_components, namespace
from linnet.install.selftest import prove
from linnet.install.webhooks import default_tag, injector
from linnet.kube.client import Client
from linnet.kube.errors import AlreadyExists
from linnet.kube.kinds import MUTATING_WEBHOOK, NAMESPACE


class Installed(Struct, frozen=True):
    """What an installation did."""

    changes: tuple[Change, ...]
    became_default: bool
    default: str  # the default revision afterwards; empty: none
    notes: tuple[str, ...] = ()


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
    held = await current_default(client, plane.namespace)
    first = held is None or held.dangling
    changes: list[Change] = []
    if not force:
        await _refuse_overlaps(client, plane, first=first)
    if plane.enabled("base"):
        changes += await apply_component(
            client, Component("Base", tuple(base(plane, crds))), seconds=seconds, report=report
        )
    if not plane.enabled("pilot"):
        return Installed(tuple(changes), False, held.revision if held else "")
    objects = tuple(pilot.objects(plane, active=first or bool(plane.revision)))
    changes += await apply_component(client, Component("Pilot", objects), seconds=seconds, report=report)
    return await _prove(client, plane, held, changes, seconds=seconds, report=report)


async def _refuse_overlaps(client: Client, plane: Plane, *, first: bool) -> None:
    if not plane.enabled("pilot"):
        return
    live = (await client.list(MUTATING_WEBHOOK)).items
    wanted = [injector(plane, active=bool(plane.revision))]
    wanted += [default_tag(plane)] if first else []
    if found := overlaps(live, wanted):
        told = "; ".join(found)
        raise ApplyError(f"creating default tag would conflict: {told} (--force installs nevertheless)")


async def _prove(
    client: Client,
    plane: Plane,
    held: Default | None,
    changes: list[Change],
    *,
    seconds: float,
    report: Report,
) -> Installed:
    mine = held is None or held.dangling or held.revision == plane.revision_name
    try:
        notes = await prove(
            client, plane, injects=mine or bool(plane.revision), seconds=seconds, report=report
        )
    except NotReady as error:
        raise ApplyError(str(error)) from error
    if mine:
        await make_default(client, plane)
        if await remove_legacy_validator(client, plane):
            notes.append(f"removed the validator istiod-{plane.namespace}: its Service is gone")
    became = held is None or held.dangling
    default = plane.revision_name if mine or held is None else held.revision
    return Installed(tuple(changes), became, default, tuple(notes))


async def make_namespace(client: Client, plane: Plane) -> None:
    """Create the control plane's namespace if it is missing."""
    try:
        await client.create(NAMESPACE, namespace(plane))
    except AlreadyExists:
        return


async def preview(client: Client, plane: Plane, crds: Sequence[Object], *, report: Report) -> list[Change]:
    """What an installation would do, asked of the API server by dry run; nothing is written."""
    changes = [await apply_object(client, namespace(plane), dry_run=True)]
    held = await current_default(client, plane.namespace)
    first = held is None or held.dangling
    parts = [Component("Base", tuple(base(plane, crds)))] if plane.enabled("base") else []
    if plane.enabled("pilot"):
        parts.append(Component("Pilot", tuple(pilot.objects(plane, active=first or bool(plane.revision)))))
    for component in (*parts, *gateway_components(plane, plane.gateways)):
        changes += await apply_component(client, component, seconds=0, report=report, dry_run=True)
    if first and plane.enabled("pilot"):
        changes += [await apply_object(client, obj, dry_run=True) for obj in default_objects(plane)]
    return changes
