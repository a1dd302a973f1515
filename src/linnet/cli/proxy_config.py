"""`proxy-config`: what the Envoy of a pod really has, read from its admin interface through a port-forward.

Source: Istio, `istioctl proxy-config`: names, aliases, columns and filters.
"""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from linnet.cli import groups, options, output
from linnet.cli.envoy import clusters, dump, endpoints, listeners, routes, secrets
from linnet.cli.faults import UserError

Json = dict[str, Any]
FORMS = click.Choice(["short", "json", "yaml"])
CONFIG_DUMP = "/config_dump"
CLUSTERS = "/clusters?format=json"
ALIASES = {
    "cluster": "clusters",
    "c": "clusters",
    "listener": "listeners",
    "l": "listeners",
    "route": "routes",
    "r": "routes",
    "endpoint": "endpoints",
    "ep": "endpoints",
    "secret": "secrets",
    "s": "secrets",
    "a": "all",
    "b": "bootstrap",
}


class _Views(groups.Group):
    aliases = ALIASES


@click.group("proxy-config", cls=_Views)
@click.option("-o", "--output", "form", type=FORMS, default=None, help="As after the command.")
@click.option("--proxy-admin-port", "admin", type=int, default=None, help="As after the command.")
@click.pass_context
def proxy_config(ctx: click.Context, form: str | None, admin: int | None) -> None:
    """Show what the Envoy of a pod has: clusters, listeners, routes, endpoints, secrets, all.

    POD is NAME, NAME.NAMESPACE, deployment/NAME or service/NAME.
    """
    given = {key: value for key, value in (("form", form), ("admin", admin)) if value is not None}
    ctx.default_map = dict.fromkeys((*proxy_config.commands, *ALIASES), given)


Command = Callable[..., None]


def _common(function: Command) -> Command:
    """The argument and options that all of them take."""
    for decorate in (
        click.option("--proxy-admin-port", "admin", type=int, default=15000, help="Envoy's admin port."),
        click.option("--file", "-f", "file", type=click.Path(exists=True, dir_okay=False), default=None,
                     help="Read Envoy's answer from a file instead."),
        click.option("-o", "--output", "form", type=FORMS, default="short"),
        click.argument("pod", required=False),
    ):  # fmt: skip
        function = decorate(function)
    return function


def fetched(pod: str | None, file: str | None, admin: int, *paths: str) -> list[Json]:
    """What Envoy answers to each path, or what the file holds.

    Raises:
        UserError: neither pod nor file, or what was read is not JSON.
    """
    if file:
        texts = [Path(file).read_bytes()]
    elif pod:
        texts = options.run(_fetch(pod, admin, paths))
    else:
        raise UserError("name a pod (NAME.NAMESPACE), or a file with --file", code=64)
    try:
        return [json.loads(text) for text in texts]
    except ValueError as error:
        raise UserError(f"{file or pod}: not valid JSON: {error}") from error


async def _fetch(pod: str, admin: int, paths: tuple[str, ...]) -> list[bytes]:
    from linnet.cli.pods import resolve
    from linnet.upgrade.observe import fetch

    flags = options.current()
    async with options.client(flags) as client:
        namespace, name = await resolve(client, pod, flags)
        try:
            return [await fetch(client, namespace, name, admin, path) for path in paths]
        except OSError as error:
            raise UserError(
                f"{name}.{namespace}: Envoy's admin port {admin} does not answer: {error}"
            ) from error


def _show(header: tuple[str, ...], rows: list[tuple[str, ...]], raw: object, form: str) -> None:
    if form != "short":
        click.echo(output.dump(raw, form))
        return
    if not rows:
        click.echo("Nothing matches.", err=True)
        return
    click.echo(output.columns([header, *rows], gap=5))


@proxy_config.command("clusters")
@_common
@click.option("--fqdn", default="", help="Part of the service's name.")
@click.option("--port", type=int, default=0)
@click.option("--subset", default="")
@click.option("--direction", default="", help="inbound or outbound.")
def show_clusters(
    pod: str | None,
    form: str,
    file: str | None,
    admin: int,
    fqdn: str,
    port: int,
    subset: str,
    direction: str,
) -> None:
    """The clusters."""
    (held,) = fetched(pod, file, admin, CONFIG_DUMP)
    found = clusters.select(held, clusters.Filter(fqdn, port, subset, direction))
    _show(clusters.HEADER, clusters.rows(found), found, form)


@proxy_config.command("listeners")
@_common
@click.option("--address", default="")
@click.option("--port", type=int, default=0)
@click.option("--type", "kind", default="", help="HTTP, TCP or HTTP+TCP.")
@click.option("--verbose", type=bool, is_flag=False, flag_value="true", hidden=True, expose_value=False)
def show_listeners(
    pod: str | None, form: str, file: str | None, admin: int, address: str, port: int, kind: str
) -> None:
    """The listeners, a line per filter chain."""
    (held,) = fetched(pod, file, admin, CONFIG_DUMP)
    found = listeners.select(held, listeners.Filter(address, port, kind))
    _show(listeners.HEADER, listeners.rows(found), found, form)


@proxy_config.command("routes")
@_common
@click.option("--name", default="", help="The route configuration.")
@click.option("--verbose", type=bool, is_flag=False, flag_value="true", hidden=True, expose_value=False)
def show_routes(pod: str | None, form: str, file: str | None, admin: int, name: str) -> None:
    """The routes."""
    (held,) = fetched(pod, file, admin, CONFIG_DUMP)
    found = routes.select(held, name)
    _show(routes.HEADER, routes.rows(found), found, form)


@proxy_config.command("endpoints")
@_common
@click.option("--address", default="")
@click.option("--port", type=int, default=0)
@click.option("--cluster", default="", help="The cluster, outbound|80||host.")
@click.option("--status", default="", help="HEALTHY, UNHEALTHY, DRAINING.")
def show_endpoints(
    pod: str | None,
    form: str,
    file: str | None,
    admin: int,
    address: str,
    port: int,
    cluster: str,
    status: str,
) -> None:
    """The endpoints that requests are balanced over."""
    (held,) = fetched(pod, file, admin, CLUSTERS)
    found = endpoints.select(held, endpoints.Filter(address, port, cluster, status))
    names = {endpoint.cluster for endpoint in found}
    raw = [entry for entry in held.get("cluster_statuses") or () if entry.get("name") in names]
    _show(endpoints.HEADER, [endpoint.row for endpoint in found], raw, form)


@proxy_config.command("secrets")
@_common
@click.option("--name", default="", help="The secret: default, ROOTCA, kubernetes://...")
def show_secrets(pod: str | None, form: str, file: str | None, admin: int, name: str) -> None:
    """The certificates that Envoy has."""
    (held,) = fetched(pod, file, admin, CONFIG_DUMP)
    found = secrets.select(held, name)
    raw = {"dynamicActiveSecrets": [entry for entry, _ in found]}
    _show(secrets.HEADER, secrets.rows(found, datetime.now(UTC)), raw, form)


@proxy_config.command("bootstrap")
@_common
def show_bootstrap(pod: str | None, form: str, file: str | None, admin: int) -> None:
    """The configuration that Envoy started with."""
    (held,) = fetched(pod, file, admin, CONFIG_DUMP)
    click.echo(output.dump(dump.section(held, "BootstrapConfigDump"), "json" if form == "short" else form))


@proxy_config.command(
    "all",
    epilog="""\b
Examples:
  linnet proxy-config all deployment/web.shop
  linnet proxy-config all web-5f4b6c-abcde.shop --fqdn backend --port 80 --direction outbound""",
)
@_common
@click.option("--fqdn", default="", help="Clusters: part of the service's name.")
@click.option("--port", type=int, default=0, help="Clusters, listeners and endpoints of this port.")
@click.option("--subset", default="", help="Clusters of this subset.")
@click.option("--direction", default="", help="Clusters: inbound or outbound.")
@click.option("--address", default="", help="Listeners and endpoints at this address.")
@click.option("--type", "kind", default="", help="Listeners: HTTP, TCP or HTTP+TCP.")
@click.option("--name", default="", help="The route configuration.")
@click.option("--verbose", type=bool, is_flag=False, flag_value="true", hidden=True, expose_value=False)
@click.option("--with-headers", hidden=True, is_flag=True, expose_value=False)
def show_all(
    pod: str | None,
    form: str,
    file: str | None,
    admin: int,
    fqdn: str,
    port: int,
    subset: str,
    direction: str,
    address: str,
    kind: str,
    name: str,
) -> None:
    """Everything: clusters, listeners, routes, endpoints and secrets."""
    if form != "short":
        (held,) = fetched(pod, file, admin, CONFIG_DUMP + "?include_eds")
        click.echo(output.dump(held, form))
        return
    held, *rest = fetched(pod, file, admin, CONFIG_DUMP, CLUSTERS)
    now = datetime.now(UTC)
    chosen = clusters.select(held, clusters.Filter(fqdn, port, subset, direction))
    heard = listeners.select(held, listeners.Filter(address, port, kind))
    tables: list[tuple[tuple[str, ...], list[tuple[str, ...]]]] = [
        (clusters.HEADER, clusters.rows(chosen)),
        (listeners.HEADER, listeners.rows(heard)),
        (routes.HEADER, routes.rows(routes.select(held, name))),
        (secrets.HEADER, secrets.rows(secrets.select(held), now)),
    ]
    if rest:
        found = endpoints.select(rest[0], endpoints.Filter(address, port, "", ""))
        tables.insert(3, (endpoints.HEADER, [endpoint.row for endpoint in found]))
    click.echo("\n\n".join(output.columns([header, *rows], gap=5) for header, rows in tables))
