"""An installation before it happens: what is asked for, what runs, what will differ, whether versions fit."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from linnet.cli import istiods
from linnet.cli.consequences import Section, consequences, differ, lines
from linnet.cli.faults import UserError
from linnet.cli.request import described_by
from linnet.cli.version import parsed
from linnet.install.apply import Outcome
from linnet.install.inherit import InheritError, Source, inherit
from linnet.install.install import Installed, preview
from linnet.install.marks import REV, TAG_LABEL
from linnet.install.plane import NAME, Plane, RevisionError, revision_of, suffixed
from linnet.install.progress import Report
from linnet.install.skew import Finding, Level, Proxy, Running, judge
from linnet.kube.errors import NotFound
from linnet.kube.kinds import CONFIG_MAP, DEPLOYMENT, MUTATING_WEBHOOK
from linnet.objects.crd import definitions

if TYPE_CHECKING:
    from linnet.kube.client import Client

Object = dict[str, Any]


class Asked(Struct, frozen=True):
    """The flags that describe an installation; `sources` are names and texts of the files."""

    sources: Sequence[tuple[str, str]]
    sets: tuple[str, ...]
    revision: str | None
    from_revision: str = ""


class Wish(Struct, frozen=True):
    """What is asked for, and what people should know about it."""

    plane: Plane
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


class Plan(Struct, frozen=True):
    """What an installation would do.

    `against` is the revision it is compared with (empty: there is none), `before` the version of the same
    revision now (empty: it is not there).
    """

    plane: Plane
    installed: Installed
    findings: tuple[Finding, ...] = ()
    against: str = ""
    sections: tuple[Section, ...] = ()
    before: str = ""
    inherits: bool = False

    @property
    def refusals(self) -> list[str]:
        """Why the version policy says no."""
        return [finding.text for finding in self.findings if finding.level is Level.REFUSED]

    @property
    def doubts(self) -> list[str]:
        """What the version policy warns about."""
        return [finding.text for finding in self.findings if finding.level is Level.WARNING]

    def told(self, *, everything: bool) -> list[str]:
        """What people are told before they are asked."""
        plane, own = self.plane, self.against == self.plane.revision_name
        said = []
        if self.before and self.before != plane.pilot_tag:
            said.append(
                f"Revision {plane.revision_name} changes in place from {self.before} to {plane.pilot_tag}."
            )
        if self.against and not differ(self.sections):
            mine = "stays as it is" if unchanged(self) else "is completed, and does nothing differently"
            same = mine if own else f"is configured and injects as revision {self.against} does"
            said.append(f"Revision {plane.revision_name} {same}.")
        elif self.against:
            what = "does differently from now on" if own else f"does otherwise than revision {self.against}"
            said.append(f"What revision {plane.revision_name} {what}:")
            said += lines(self.sections, everything=everything)
            if not own and not self.inherits:
                said.append(f"  (--from-revision {self.against} takes over its configuration)")
        return said

    def actions(self) -> list[str]:
        """Every object and what happens to it."""
        return [
            f"{change.what} {change.outcome} (dry run)" + (f" ({change.note})" if change.note else "")
            for change in self.installed.changes
        ]


async def wished(client: "Client", asked: Asked) -> Wish:
    """The plane that is asked for.

    Raises:
        UserError: a file, a value or the revision to inherit from cannot be used.
    """
    if not asked.from_revision:
        found = described_by(asked.sources, asked.sets, asked.revision)
        return Wish(found.plane, found.warnings)
    # where to look: the namespace does not depend on what is inherited
    namespace = described_by(asked.sources, asked.sets, asked.revision).plane.namespace
    try:
        name = revision_of(asked.from_revision) or NAME
        source = await configuration_of(client, name, namespace)
        taken = inherit(source)
    except RevisionError as error:
        raise UserError(f"--from-revision: {error}") from error
    except InheritError as error:
        there = ", ".join(await revisions(client)) or "none"
        raise UserError(f"--from-revision: {error}; there are: {there}") from error
    found = described_by(asked.sources, asked.sets, asked.revision, taken.asked)
    if found.plane.revision_name == name:
        raise UserError(
            f"--from-revision {name}: the revision to install has the same name; give it one of its own "
            "(--revision NAME)"
        )
    return Wish(found.plane, found.warnings, taken.notes)


async def plan(client: "Client", plane: Plane, from_revision: str, *, gateways: bool, report: Report) -> Plan:
    """What installing a plane would do now; nothing is written.

    Raises:
        ApplyError: the API server would refuse an object.
    """
    runs, proxies = await running(client, plane.namespace)
    installed = await preview(client, plane, definitions(), gateways=gateways, report=report)
    against = await _against(client, plane, from_revision)
    sections: tuple[Section, ...] = ()
    if against:
        sections = consequences(await configuration_of(client, against, plane.namespace), plane)
    return Plan(
        plane=plane,
        installed=installed,
        findings=judge(plane.revision_name, plane.pilot_tag, runs, proxies) if plane.enabled("pilot") else (),
        against=against,
        sections=sections,
        inherits=bool(from_revision),
        before=next((run.version for run in runs if run.revision == plane.revision_name), ""),
    )


async def _against(client: "Client", plane: Plane, from_revision: str) -> str:
    """The revision to compare with: the one that is inherited from, itself, the default, or the only one."""
    if from_revision or not plane.enabled("pilot"):
        return from_revision
    known = await revisions(client)
    if plane.revision_name in known:
        return plane.revision_name
    from linnet.install.default import current_default

    held = await current_default(client, plane.namespace)
    if held and held.revision in known:
        return held.revision
    return known[0] if len(known) == 1 else ""


async def revisions(client: "Client") -> list[str]:
    """The revisions that have an injector, as labels write them."""
    hooks = (await client.list(MUTATING_WEBHOOK, labels=f"app=sidecar-injector,!{TAG_LABEL}")).items
    return sorted({(hook["metadata"].get("labels") or {}).get(REV, NAME) for hook in hooks})


async def configuration_of(client: "Client", revision: str, namespace: str) -> Source:
    """The ConfigMaps of a revision (as labels write it)."""
    own = "" if revision == NAME else revision

    async def read(name: str) -> Object | None:
        try:
            return await client.get(CONFIG_MAP, suffixed(name, own), namespace)
        except NotFound:
            return None

    return Source(revision, await read("values"), await read("istio"), await read("istio-sidecar-injector"))


async def running(
    client: "Client", namespace: str, *, seconds: float = 15.0
) -> tuple[list[Running], list[Proxy]]:
    """The control planes that run and the proxies that are connected to them, with their versions.

    Of an istiod that does not answer the version is what its Deployment's labels say.
    """
    found = await istiods.running(client, istiods.Chosen(namespace))
    versions = await istiods.ask(client, found, "/version", seconds)
    synced = await istiods.ask(client, found, "/debug/syncz", seconds)
    planes = {Running(a.istiod.revision, parsed(a.body)) for a in versions if not a.fault}
    heard = {plane.revision for plane in planes}
    for obj in (await client.list(DEPLOYMENT, namespace, labels="app=istiod")).items:
        labels = obj["metadata"].get("labels") or {}
        version, revision = labels.get("operator.istio.io/version"), labels.get(REV, NAME)
        if version and revision not in heard:
            planes.add(Running(revision, version))
    proxies = {
        Proxy(str(row.get("proxy", "")), answer.istiod.revision, str(row.get("istio_version") or ""))
        for answer in synced
        for row in istiods.rows_of(answer)
    }
    return sorted(planes), sorted(proxies)


def unchanged(planned: Plan) -> bool:
    """Whether the installation has nothing to write."""
    return all(change.outcome is Outcome.SAME for change in planned.installed.changes)
