"""`proxy-status`: which proxies are connected, to which istiod, and whether they have what they were sent.

The table's eighth word is the istiod, as scripts expect; every state is one word.

Source: Istio, `istioctl proxy-status`.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import click
from msgspec import Struct

from linnet.cli import complete, istiods, options, output, xds_flags
from linnet.cli.faults import UserError

TYPES = (
    ("CDS", "cluster", "type.googleapis.com/envoy.config.cluster.v3.Cluster"),
    ("LDS", "listener", "type.googleapis.com/envoy.config.listener.v3.Listener"),
    ("EDS", "endpoint", "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment"),
    ("RDS", "route", "type.googleapis.com/envoy.config.route.v3.RouteConfiguration"),
    ("ECDS", "extensionconfig", "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig"),
)
HEADER = ("NAME", "CLUSTER", "CDS", "LDS", "EDS", "RDS", "ECDS", "ISTIOD", "VERSION")
_NOTHING = "-"  # an empty cell would move the words after it


class Row(Struct, frozen=True):
    """A connected proxy."""

    name: str
    cluster: str
    states: tuple[str, ...]
    istiod: str
    version: str
    revision: str
    details: Mapping[str, Any]


def state(row: Mapping[str, Any], column: str, type_url: str) -> str:
    """One word for what a proxy has of one type."""
    sent, acked = row.get(f"{column}_sent", ""), row.get(f"{column}_acked", "")
    if ((row.get("resources") or {}).get(type_url) or {}).get("lastError"):
        return "ERROR"
    if not sent:
        return "IGNORED" if column == "extensionconfig" else "NOT_SENT"
    return "SYNCED" if sent == acked else "STALE"


def rows(answers: Iterable[istiods.Answer], namespace: str = "") -> list[Row]:
    """The proxies of all istiods that answered, by name; `namespace` limits them (pure)."""
    found = []
    for answer in answers:
        for row in istiods.rows_of(answer):
            proxy = str(row.get("proxy", ""))
            if namespace and proxy.rpartition(".")[2] != namespace:
                continue
            found.append(
                Row(
                    name=proxy,
                    cluster=row.get("cluster_id") or _NOTHING,
                    states=tuple(state(row, column, type_url) for _, column, type_url in TYPES),
                    istiod=answer.istiod.name,
                    version=row.get("istio_version") or _NOTHING,
                    revision=answer.istiod.revision,
                    details=row,
                )
            )
    return sorted(found, key=lambda row: (row.name, row.istiod))


def table(found: Sequence[Row]) -> str:
    """The rows in columns, at least five spaces apart."""
    lines = [HEADER, *((r.name, r.cluster, *r.states, r.istiod, r.version) for r in found)]
    return output.columns(lines, gap=5)


def document(found: Sequence[Row]) -> list[dict[str, Any]]:
    """The rows as data, with when each type was sent and what was rejected."""
    return [
        {
            "name": row.name,
            "cluster": row.cluster,
            "istiod": row.istiod,
            "revision": row.revision,
            "version": row.version,
            "proxyVersion": row.details.get("proxy_version", ""),
            "type": row.details.get("proxy_type", ""),
            "states": dict(zip((name for name, _, _ in TYPES), row.states, strict=True)),
            "resources": row.details.get("resources") or {},
        }
        for row in found
    ]


@click.command(
    "proxy-status",
    epilog="""\b
Examples:
  linnet proxy-status                            every proxy, with the istiod that serves it
  linnet proxy-status --revision canary          those of one revision's istiods
  linnet proxy-status --xds-label istio.io/rev=canary
  linnet proxy-status -n shop -o json
  linnet proxy-status web-5f4b6c-abcde.shop      what its Envoy has, compared with what istiod offers""",
)
@click.argument("pod", required=False)
@click.option("-o", "--output", "form", type=click.Choice(["table", "json", "yaml"]), default="table")
@click.option(
    "-r",
    "--revision",
    default="",
    metavar="REV",
    shell_complete=complete.revisions,
    help="Only proxies of this revision's istiods.",
)
@click.option("--xds-label", "label", default="", metavar="SELECTOR", help="Only istiods with these labels.")
@click.option(
    "--timeout", type=options.Duration(), default=30.0, metavar="DURATION", help="How long to wait (30s)."
)
@click.option("-v", "--verbosity", type=int, default=0, hidden=True, expose_value=False)
@click.option(
    "--file",
    "-f",
    "file",
    type=click.Path(exists=True, dir_okay=False),
    default=None,
    help="With POD: compare this dump of Envoy's configuration instead of asking Envoy.",
)
@click.option("--proxy-admin-port", type=int, default=15000, help="Envoy's admin port in the pod.")
@xds_flags.refused
def proxy_status(
    pod: str | None,
    form: str,
    revision: str,
    label: str,
    timeout: float,
    file: str | None,
    proxy_admin_port: int,
) -> None:
    """Show which proxies are connected, to which istiod, and whether they are current.

    With POD[.NAMESPACE]: compare what its Envoy has with what istiod offers it.
    """
    flags = options.current()
    chosen = istiods.Chosen(flags.istio_namespace, revision, label, timeout)
    if pod:
        from linnet.cli.compare import compare_pod

        options.run(compare_pod(pod, flags, chosen, proxy_admin_port, file))
        return
    answers = options.run(_syncz(flags, chosen))
    for answer in answers:
        if answer.fault:
            click.echo(f"Warning: {answer.istiod.name}: {answer.fault}", err=True)
    if all(answer.fault for answer in answers):
        raise UserError("no istiod answered; see the warnings above")
    found = rows(answers, flags.namespace)
    if form == "table":
        click.echo(table(found))
    else:
        click.echo(output.dump(document(found), form))


async def _syncz(flags: options.Globals, chosen: istiods.Chosen) -> list[istiods.Answer]:
    async with options.client(flags) as client:
        found = istiods.required(await istiods.running(client, chosen), chosen)
        return await istiods.ask(client, found, "/debug/syncz", chosen.seconds)
