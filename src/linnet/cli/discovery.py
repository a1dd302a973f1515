"""`discovery`: the istiod process. Istio's flags and environment; flags that mean nothing here are accepted.

Source: Istio, `pilot-discovery discovery`: flags and their defaults; environment of the istiod container.
"""

import os
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from linnet.cli.faults import UserError
from linnet.cli.options import Duration
from linnet.cli.version import client_version

if TYPE_CHECKING:
    from linnet.control_plane.settings import Address, Settings
    from linnet.kube.config import Config

PLAINTEXT = "LINNET_PLAINTEXT_XDS"


@click.command(
    "discovery",
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
)
@click.option("--httpAddr", "http", default=":8080", help="Readiness and debug.")
@click.option("--httpsAddr", "https", default=":15017", help="Webhooks.")
@click.option("--grpcAddr", "grpc", default=":15010", help="xDS and CA without TLS.")
@click.option("--secureGRPCAddr", "secure", default=":15012", help="xDS and CA with TLS.")
@click.option("--monitoringAddr", "monitoring", default=":15014", help="Metrics, version, debug.")
@click.option(
    "--ctrlz_port", "controls", type=int, default=9876, help="The level of the log (this pod only)."
)
@click.option("--namespace", "-n", default=None, help="Our namespace ($POD_NAMESPACE).")
@click.option("--domain", default="cluster.local", help="The cluster's DNS domain.")
@click.option("--clusterID", "cluster", default=None, help="The cluster's name ($CLUSTER_ID).")
@click.option("--revision", default=None, help="The revision to serve ($REVISION).")
@click.option("--kubeconfig", default=None, help="Instead of the pod's own account ($KUBECONFIG).")
@click.option("--context", default="", help="The context of the kubeconfig.")
@click.option("--shutdownDuration", "shutdown", type=Duration(), default=10.0)
@click.option("--keepaliveMaxServerConnectionAge", "age", type=Duration(), default=0.0)
@click.option("--log_output_level", "level", default="default:info")
@click.option("--log_as_json", "as_json", is_flag=True, help="Logs as JSON.")
def discovery(level: str, *, as_json: bool, kubeconfig: str | None, context: str, **flags: Any) -> None:
    """Run istiod until it is told to stop (TERM, INT)."""
    # structlog takes rich for tracebacks if it finds it; a server has no use for its 5 MB
    sys.modules.setdefault("rich", None)  # type: ignore[arg-type]
    from linnet.control_plane.logs import configure
    from linnet.control_plane.main import run

    settings = settings_of(flags, os.environ)
    configure(level, as_json=as_json)
    run(settings, api_server(kubeconfig, context, os.environ))


def settings_of(flags: Mapping[str, Any], environment: Mapping[str, str]) -> "Settings":
    """What istiod is told, by flags first, then by its environment.

    Raises:
        UserError: a value that cannot be used; the message names the flag or variable.
    """
    from linnet.control_plane.settings import Address, PlaintextCallers, Settings

    plaintext = environment.get(PLAINTEXT, PlaintextCallers.LOOPBACK.value)
    if plaintext not in frozenset(PlaintextCallers):
        raise UserError(f"{PLAINTEXT}={plaintext!r}: expected one of {', '.join(PlaintextCallers)}")
    usual, hosts = Settings(), environment.get("ISTIOD_CUSTOM_HOST", "")
    return Settings(
        revision=flags["revision"] or environment.get("REVISION") or "default",
        namespace=flags["namespace"] or environment.get("POD_NAMESPACE") or "istio-system",
        pod=environment.get("POD_NAME") or socket.gethostname(),
        cluster=flags["cluster"] or environment.get("CLUSTER_ID") or "Kubernetes",
        domain=flags["domain"],
        version=client_version(),
        custom_hosts=tuple(filter(None, (host.strip() for host in hosts.split(",")))),
        http=address(flags["http"], "--httpAddr"),
        https=address(flags["https"], "--httpsAddr"),
        grpc=address(flags["grpc"], "--grpcAddr"),
        secure_grpc=address(flags["secure"], "--secureGRPCAddr"),
        monitoring=address(flags["monitoring"], "--monitoringAddr"),
        controls=Address(flags["controls"], "127.0.0.1"),
        plaintext=PlaintextCallers(plaintext),
        debounce_quiet=_seconds(environment, "PILOT_DEBOUNCE_AFTER", usual.debounce_quiet),
        debounce_limit=_seconds(environment, "PILOT_DEBOUNCE_MAX", usual.debounce_limit),
        connection_age=flags["age"],
        shutdown=flags["shutdown"],
        default_ttl=_seconds(environment, "DEFAULT_WORKLOAD_CERT_TTL", usual.default_ttl),
        max_ttl=_seconds(environment, "MAX_WORKLOAD_CERT_TTL", usual.max_ttl),
    )


def address(text: str, flag: str) -> "Address":
    """`:15012`, `127.0.0.1:0` or `[::1]:15012`.

    Raises:
        UserError: it is none of these.
    """
    from linnet.control_plane.settings import Address

    host, colon, port = text.rpartition(":")
    if not colon or not port.isdecimal() or int(port) > 65535:
        raise UserError(f"{flag} {text!r}: expected HOST:PORT or :PORT")
    return Address(int(port), host.strip("[]"))


def _seconds(environment: Mapping[str, str], name: str, usual: float) -> float:
    text = environment.get(name)
    if not text:
        return usual
    try:
        return Duration().convert(text, None, None)
    except click.BadParameter as error:
        raise UserError(f"{name}: {error.message}") from error


def api_server(kubeconfig: str | None, context: str, environment: Mapping[str, str]) -> "Config":
    """The API server: of the flag, else of $KUBECONFIG if that file exists, else the pod's own account.

    Raises:
        ConfigError: none of them is usable.
    """
    from linnet.kube.config import from_kubeconfig, in_cluster

    named = kubeconfig or environment.get("KUBECONFIG", "")
    # an installed istiod always has KUBECONFIG set, in case it runs outside its cluster: mostly no such file
    if kubeconfig or any(Path(path).exists() for path in named.split(":") if path):
        return from_kubeconfig(named, context)
    return in_cluster(environment)
