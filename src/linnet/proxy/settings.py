"""What an agent is told: arguments, environment and the pod's files, settled into one value (pure).

Source: Istio, `pilot-agent proxy`: environment, ProxyConfig and its precedence, node metadata.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from msgspec import Struct

LABELS_FILE = "/etc/istio/pod/labels"
ANNOTATIONS_FILE = "/etc/istio/pod/annotations"
MESH_FILE = "/etc/istio/config/mesh"
TOKEN_FILE = "/var/run/secrets/tokens/istio-token"  # noqa: S105 (a path)
ROOTS_FILE = "/var/run/secrets/istio/root-cert.pem"
ROUTES_FILE = "/proc/net/route"
SDS_SOCKET = "/var/run/secrets/workload-spiffe-uds/socket"
DEFAULT_DISCOVERY = "istiod.istio-system.svc:15012"
CONTROL_PLANE = re.compile(r"istiod(-[a-z0-9]([-a-z0-9]*[a-z0-9])?)?\.[a-z0-9]([-a-z0-9]*[a-z0-9])?\.svc")
# Envoy's drain time by role. A connection with nothing but a long stream on it hears GOAWAY in the last third
# of it, 5 s before its end at the latest (Envoy 1.40): at a gateway that must be before the preStop hook is
# over, since nobody else tells such a client. An application tells its own, so beside it there is more time.
_DRAIN = {"router": "30s", "sidecar": "45s"}

Read = Callable[[str], str | None]


class Unusable(ValueError):
    """The agent cannot run with what it was told; the message names the variable and the remedy."""


class Prober(Struct, frozen=True):
    """A probe or hook of the application that the kubelet sends to the agent instead.

    `kind` is `httpGet`, `tcpSocket` or `grpc`; `spec` is the Kubernetes handler.
    """

    kind: str
    spec: Mapping[str, Any]
    timeout: float = 1.0  # seconds


class Scrape(Struct, frozen=True):
    """Where the application's own metrics are."""

    port: int
    path: str


class Settings(Struct, frozen=True):
    """Everything about one proxy that is fixed when its container starts."""

    role: str  # sidecar or router
    pod: str
    namespace: str
    service_account: str
    ip: str
    node_addresses: frozenset[str]  # from where the kubelet speaks to the pod
    domain: str  # <namespace>.svc.<cluster domain>
    trust_domain: str
    discovery: str  # host name of the control plane, <istiod[-REV]>.<namespace>.svc
    discovery_port: int
    ca: str
    ca_port: int
    cluster: str  # node.cluster
    metadata: Mapping[str, Any]
    binary: str
    concurrency: int  # worker threads; 0: one per core
    log_level: str
    component_log_level: str
    drain_seconds: int  # Envoy's drain time
    termination_seconds: float  # how long after SIGTERM open connections may last
    minimum_drain_seconds: float
    admin_port: int
    status_port: int
    readiness_port: int
    prometheus_port: int
    certificate_seconds: int  # lifetime asked for
    mark: int | None  # SO_MARK of Envoy's upstream sockets; None: its user tells it apart
    probers: Mapping[str, Prober]
    scrape: Scrape | None
    stat_prefixes: tuple[str, ...]
    stat_suffixes: tuple[str, ...]
    stat_regexes: tuple[str, ...]
    quit_allowed: bool

    @property
    def identity(self) -> str:
        """The SPIFFE ID that the workload will ask for."""
        return f"spiffe://{self.trust_domain}/ns/{self.namespace}/sa/{self.service_account}"

    @property
    def node_id(self) -> str:
        """`<role>~<ip>~<pod>.<namespace>~<domain>`."""
        return f"{self.role}~{self.ip}~{self.pod}.{self.namespace}~{self.domain}"


def read(args: Sequence[str], env: Mapping[str, str], file: Read, *, version: str) -> Settings:
    """Settle `[proxy] sidecar|router …` arguments, environment and files (content of a path, or None).

    `version` is the agent's own, reported as ISTIO_VERSION unless the environment says otherwise.

    Raises:
        Unusable: something that the agent needs is missing or malformed.
    """
    role, flags = _arguments(args)
    labels, annotations = (_downward(file(path) or "") for path in (LABELS_FILE, ANNOTATIONS_FILE))
    config = _proxy_config(env, annotations, file(MESH_FILE))
    pod, namespace, ip = (_needed(env, name) for name in ("POD_NAME", "POD_NAMESPACE", "INSTANCE_IP"))
    account = env.get("SERVICE_ACCOUNT") or "default"
    discovery, discovery_port = _address(
        annotations.get("sidecar.istio.io/discoveryAddress") or config["discoveryAddress"], "discoveryAddress"
    )
    ca, ca_port = _address(env.get("CA_ADDR") or f"{discovery}:{discovery_port}", "CA_ADDR")
    return Settings(
        role=role,
        pod=pod,
        namespace=namespace,
        service_account=account,
        ip=ip,
        node_addresses=frozenset(filter(None, (env.get("HOST_IP"), _gateway(file(ROUTES_FILE) or "")))),
        domain=flags.get("domain") or f"{namespace}.svc.cluster.local",
        trust_domain=env.get("TRUST_DOMAIN") or "cluster.local",
        discovery=discovery,
        discovery_port=discovery_port,
        ca=ca,
        ca_port=ca_port,
        cluster=_service_cluster(config, flags, labels, env, namespace),
        metadata={"ISTIO_VERSION": version} | _metadata(env, config, labels, annotations),
        binary=env.get("LINNET_ENVOY") or config.get("binaryPath") or "/usr/local/bin/envoy",
        concurrency=_concurrency(config, flags, env),
        **_log_levels(flags),
        drain_seconds=round(seconds(config.get("drainDuration") or _DRAIN[role])),
        termination_seconds=seconds(config.get("terminationDrainDuration") or "5s"),
        minimum_drain_seconds=seconds(env.get("MINIMUM_DRAIN_DURATION") or "3s"),
        admin_port=int(config.get("proxyAdminPort") or 15000),
        status_port=int(annotations.get("status.sidecar.istio.io/port") or config.get("statusPort") or 15020),
        readiness_port=int(env.get("ENVOY_STATUS_PORT") or 15021),
        prometheus_port=int(env.get("ENVOY_PROMETHEUS_PORT") or 15090),
        certificate_seconds=round(seconds(env.get("SECRET_TTL") or "24h")),
        mark=int(env["LINNET_ENVOY_MARK"]) if env.get("LINNET_ENVOY_MARK") else None,
        probers=_probers(env.get("ISTIO_KUBE_APP_PROBERS") or "{}"),
        scrape=_scrape(env.get("ISTIO_PROMETHEUS_ANNOTATIONS") or "{}"),
        stat_prefixes=_stats("InclusionPrefixes", annotations, config),
        stat_suffixes=_stats("InclusionSuffixes", annotations, config),
        stat_regexes=_stats("InclusionRegexps", annotations, config),
        quit_allowed=env.get("LINNET_QUIT_ALLOWED", "").lower() == "true",
    )


def _stats(kind: str, annotations: Mapping[str, str], config: Mapping[str, Any]) -> tuple[str, ...]:
    """What the annotations and the mesh's configuration say of the stats that Envoy keeps."""
    configured = (config.get("proxyStatsMatcher") or {}).get(kind[0].lower() + kind[1:], ())
    return (*_words(annotations.get(f"sidecar.istio.io/stats{kind}")), *configured)


def seconds(duration: str) -> float:
    """Seconds of a duration such as `45s`, `1h30m`, `500ms`. Raises Unusable."""
    parts = re.findall(r"(\d+(?:\.\d+)?)(ms|us|ns|h|m|s)", duration)
    if not parts or "".join(number + unit for number, unit in parts) != duration:
        raise Unusable(f"{duration!r} is not a duration; write it like 45s or 1h30m")
    unit_seconds = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}
    return sum(float(number) * unit_seconds[unit] for number, unit in parts)


def _arguments(args: Sequence[str]) -> tuple[str, dict[str, str]]:
    """Role and flags; flags that we do not know are kept and ignored, as Istio's agent does."""
    role, flags, rest = "sidecar", dict[str, str](), list(args)
    while rest:
        word = rest.pop(0)
        if not word.startswith("-"):
            role = role if word == "proxy" else word
            continue
        name, equals, value = word.lstrip("-").partition("=")
        if not equals and rest and not rest[0].startswith("-"):
            value = rest.pop(0)
        flags[name] = value
    if role not in ("sidecar", "router"):
        raise Unusable(f"{role!r} is not a kind of proxy; use sidecar or router")
    return role, flags


def _gateway(routes: str) -> str:
    """The default gateway in `/proc/net/route`, or nothing; many networks let the kubelet speak from it."""
    for line in routes.splitlines()[1:]:
        _, destination, gateway, *_ = line.split()
        if destination == "00000000" and gateway != "00000000":
            return ".".join(str(byte) for byte in reversed(bytes.fromhex(gateway)))
    return ""


def _needed(env: Mapping[str, str], name: str) -> str:
    value = env.get(name)
    if not value:
        raise Unusable(f"the environment variable {name} is not set; the injected container sets it")
    return value


def _downward(text: str) -> dict[str, str]:
    """Labels or annotations as the downward API writes them: `key="quoted value"` lines."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        key, equals, value = line.partition("=")
        if equals:
            found[key] = json.loads(value) if value.startswith('"') else value
    return found


def _proxy_config(env: Mapping[str, str], annotations: Mapping[str, str], mesh: str | None) -> dict[str, Any]:
    """The effective ProxyConfig: defaults < mesh file < PROXY_CONFIG < annotation."""
    config: dict[str, Any] = {"discoveryAddress": DEFAULT_DISCOVERY}
    if mesh:
        config |= _mapping(mesh, MESH_FILE).get("defaultConfig") or {}
    config |= _mapping(env.get("PROXY_CONFIG") or "{}", "PROXY_CONFIG")
    return config | _mapping(annotations.get("proxy.istio.io/config") or "{}", "proxy.istio.io/config")


def _mapping(text: str, where: str) -> dict[str, Any]:
    """A JSON or YAML mapping; YAML is imported only when it must be."""
    try:
        value = json.loads(text)
    except json.JSONDecodeError:
        from ruamel.yaml import YAML
        from ruamel.yaml.error import YAMLError

        try:
            value = YAML(typ="safe").load(text)
        except YAMLError as error:
            raise Unusable(f"{where} is neither JSON nor YAML: {error}") from error
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise Unusable(f"{where} must be a mapping")
    return value


def _address(text: str, where: str) -> tuple[str, int]:
    """Host and port of a control plane; only names of istiod Services are accepted."""
    host, colon, port = text.rpartition(":")
    host = host.removesuffix(".cluster.local")
    if not colon or not port.isdecimal() or not CONTROL_PLANE.fullmatch(host):
        raise Unusable(
            f"{where} {text!r} does not name a control plane; expected istiod[-REV].NAMESPACE.svc:15012"
        )
    return host, int(port)


def _service_cluster(
    config: Mapping[str, Any],
    flags: Mapping[str, str],
    labels: Mapping[str, str],
    env: Mapping[str, str],
    namespace: str,
) -> str:
    named = str(config.get("serviceCluster") or flags.get("serviceCluster") or "")
    if named and named != "istio-proxy":
        return named
    return f"{labels.get('app') or env.get('ISTIO_META_WORKLOAD_NAME') or 'istio-proxy'}.{namespace}"


def _metadata(
    env: Mapping[str, str],
    config: Mapping[str, Any],
    labels: Mapping[str, str],
    annotations: Mapping[str, str],
) -> dict[str, Any]:
    """Node metadata with Istio's keys."""
    named = dict(config.get("proxyMetadata") or {}) | dict(env)
    metadata: dict[str, Any] = {
        key.removeprefix("ISTIO_META_"): value
        for key, value in named.items()
        if key.startswith("ISTIO_META_")
    }
    more_labels: dict[str, Any] = {}
    for key, value in env.items():
        if key == "ISTIO_METAJSON_LABELS":
            more_labels = _mapping(value, key)
        elif key.startswith("ISTIO_METAJSON_"):
            metadata |= _mapping(value, key)
    metadata |= {
        "INSTANCE_IPS": env["INSTANCE_IP"],
        "LABELS": {k: v for k, v in (more_labels | dict(labels)).items() if k != "pod-template-hash"},
        "ANNOTATIONS": dict(annotations),
        "NAME": env["POD_NAME"],
        "NAMESPACE": env["POD_NAMESPACE"],
        "SERVICE_ACCOUNT": env.get("SERVICE_ACCOUNT") or "default",
        "PROXY_CONFIG": dict(config),
        "ENVOY_STATUS_PORT": int(env.get("ENVOY_STATUS_PORT") or 15021),
        "ENVOY_PROMETHEUS_PORT": int(env.get("ENVOY_PROMETHEUS_PORT") or 15090),
        "PILOT_SAN": [str(config["discoveryAddress"]).rpartition(":")[0]],
    }
    metadata.setdefault("CLUSTER_ID", "Kubernetes")
    return metadata


def _concurrency(config: Mapping[str, Any], flags: Mapping[str, str], env: Mapping[str, str]) -> int:
    for asked in (flags.get("concurrency"), config.get("concurrency"), env.get("ISTIO_CPU_LIMIT")):
        if asked not in (None, ""):
            return int(asked)
    return 0


def _log_levels(flags: Mapping[str, str]) -> dict[str, str]:
    """Envoy's level and its components' levels; Istio allows both in one flag."""
    words = _words(flags.get("proxyLogLevel")) + _words(flags.get("proxyComponentLogLevel"))
    plain = [word for word in words if ":" not in word]
    return {
        "log_level": plain[0] if plain else "warning",
        "component_log_level": ",".join(word for word in words if ":" in word),
    }


def _words(text: str | None) -> tuple[str, ...]:
    return tuple(word.strip() for word in (text or "").split(",") if word.strip())


def _probers(text: str) -> dict[str, Prober]:
    probers = {}
    for path, spec in _mapping(text, "ISTIO_KUBE_APP_PROBERS").items():
        kind = next((kind for kind in ("httpGet", "tcpSocket", "grpc") if spec.get(kind)), "")
        if not kind:
            raise Unusable(f"ISTIO_KUBE_APP_PROBERS: {path} has none of httpGet, tcpSocket, grpc")
        probers[path] = Prober(kind, spec[kind], float(spec.get("timeoutSeconds") or 1))
    return probers


def _scrape(text: str) -> Scrape | None:
    asked = _mapping(text, "ISTIO_PROMETHEUS_ANNOTATIONS")
    if str(asked.get("scrape", "")).lower() != "true":
        return None
    return Scrape(int(asked.get("port") or 80), str(asked.get("path") or "/metrics"))
