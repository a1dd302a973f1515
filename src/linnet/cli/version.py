"""`version`: of this command, of every control plane, and of the proxies that are connected.

Source: Istio, `istioctl version`: lines, keys, and how istiod's answer is read.
"""

import json
import platform
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import click
from msgspec import Struct

from linnet.cli import complete, istiods, options, output, xds_flags
from linnet.install.versions import Version, parse


class Mesh(Struct, frozen=True):
    """What the cluster runs: (istiod, version) pairs; a row of `/debug/syncz` and `revision` per proxy."""

    planes: tuple[tuple[istiods.Istiod, str], ...] = ()
    proxies: tuple[dict[str, Any], ...] = ()
    faults: tuple[str, ...] = ()


def client_version() -> str:
    """The version of this package."""
    from importlib.metadata import version

    return version("linnet")


def parsed(body: bytes) -> str:
    """The version in an answer of `/version`: JSON, or `VERSION-REVISION-STATUS` (pure)."""
    text = body.decode(errors="replace").strip()
    try:
        held = json.loads(text)
    except ValueError:
        parts = text.rsplit("-", 2)
        return parts[0] if len(parts) == 3 else text
    return str((held.get("clientVersion") or {}).get("version", "")) if isinstance(held, dict) else text


def lines(mesh: Mesh | None, client: str) -> list[str]:
    """What `version` prints for people (pure); `mesh` is None if the cluster was not asked."""
    said = [f"client version: {client}"]
    if mesh is None:
        return said
    versions = {version for _, version in mesh.planes}
    revisions = {istiod.revision for istiod, _ in mesh.planes}
    if len(versions) == 1 and len(revisions) == 1:
        said.append(f"control plane version: {versions.pop()}")
    else:
        said += (
            f"{istiod.component} version: {version} (revision {istiod.revision})"
            for istiod, version in mesh.planes
        )
    proxies = Counter(row.get("istio_version") or "unknown" for row in mesh.proxies)
    counted = (
        f"{version} ({proxies[version]} {_proxies(proxies[version])})" for version in by_number(proxies)
    )
    said.append("data plane version: " + (", ".join(counted) or "none"))
    if len(revisions) > 1:
        by_revision = Counter(row["revision"] for row in mesh.proxies)
        shares = (f"{revision} ({by_revision[revision]})" for revision in sorted(revisions))
        said.append("proxies by revision: " + ", ".join(shares))
    return said


def by_number(versions: Iterable[str]) -> list[str]:
    """Versions in their order, 1.9 before 1.10; what is no version last (pure)."""
    return sorted(versions, key=lambda text: (parse(text) is None, parse(text) or Version(0, 0), text))


def _proxies(count: int) -> str:
    return "proxy" if count == 1 else "proxies"


def document(mesh: Mesh | None, client: str) -> dict[str, Any]:
    """The same as data, under Istio's keys (pure)."""
    held: dict[str, Any] = {"clientVersion": _info(client)}
    if mesh is not None:
        held["meshVersion"] = [
            {"Component": istiod.component, "Revision": istiod.revision, "Info": _info(version)}
            for istiod, version in mesh.planes
        ]
        held["dataPlaneVersion"] = [
            {
                "ID": row.get("proxy", ""),
                "IstioVersion": row.get("istio_version", ""),
                "Type": "gateway" if row.get("proxy_type") == "router" else row.get("proxy_type", ""),
                "Revision": row["revision"],
            }
            for row in mesh.proxies
        ]
    return held


def _info(version: str) -> dict[str, str]:
    return {
        "version": version,
        "revision": "",
        "golang_version": "",
        "status": "Clean",
        "tag": version,
    }


@click.command(
    "version",
    epilog="""\b
Examples:
  linnet version                     this command, every control plane, the proxies by version
  linnet version --revision canary   only that revision and its proxies
  linnet version --remote=false      this command only; no cluster is asked
  linnet version -o json""",
)
@click.option(
    "-s",
    "--short",
    type=bool,
    is_flag=False,
    flag_value="true",
    default=True,
    help="Versions only (true); --short=false adds how this command was built.",
)
@click.option(
    "--remote",
    type=bool,
    is_flag=False,
    flag_value="true",
    default=True,
    help="Also ask the cluster (true).",
)
@click.option("-o", "--output", "form", type=click.Choice(["json", "yaml"]), default=None)
@click.option(
    "-r",
    "--revision",
    default="",
    metavar="REV",
    shell_complete=complete.revisions,
    help="Only this revision.",
)
@xds_flags.refused
@click.option("--xds-label", hidden=True, expose_value=False)
@click.option("--timeout", hidden=True, expose_value=False)
def version(*, short: bool, remote: bool, form: str | None, revision: str) -> None:
    """Show the versions of this command, of the control planes and of the proxies."""
    client = client_version()
    mesh = options.run(_observe(options.current(), revision)) if remote else None
    for fault in mesh.faults if mesh else ():
        click.echo(f"Warning: {fault}", err=True)
    if mesh is not None and not mesh.planes:
        if not mesh.faults:
            click.echo("Istio is not present in the cluster: no running istiod", err=True)
        mesh = None
    if form:
        click.echo(output.dump(document(mesh, client), form))
        return
    said = lines(mesh, client)
    if not short:
        said[0] += f" (Python {platform.python_version()})"
    click.echo("\n".join(said))


async def _observe(flags: options.Globals, revision: str) -> Mesh:
    try:
        async with options.client(flags) as client:
            found = await istiods.running(client, istiods.Chosen(flags.istio_namespace, revision))
            versions = await istiods.ask(client, found, "/version", flags.timeout)
            synced = await istiods.ask(client, found, "/debug/syncz", flags.timeout)
    except OSError as error:
        return Mesh(faults=(f"the cluster cannot be asked: {error}",))
    return Mesh(
        planes=tuple((answer.istiod, parsed(answer.body)) for answer in versions if not answer.fault),
        proxies=_rows(synced),
        faults=tuple(f"{a.istiod.name}: {a.fault}" for a in versions if a.fault),
    )


def _rows(answers: Sequence[istiods.Answer]) -> tuple[dict[str, Any], ...]:
    return tuple(
        {**row, "revision": answer.istiod.revision} for answer in answers for row in istiods.rows_of(answer)
    )
