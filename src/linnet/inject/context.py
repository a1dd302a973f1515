"""What templates may say about a pod: the context of `${…}` references (pure).

Source: Istio, data of injection templates and the precedence of ProxyConfig.
"""

import json
from collections.abc import Mapping
from typing import Any

from linnet.inject import annotations as notes
from linnet.inject.annotations import readiness, sidecar, traffic
from linnet.inject.configuration import Configuration
from linnet.inject.proxy_config import asked_config

BUILT_IN_DISCOVERY = "istiod.istio-system.svc:15012"
PROXY = "istio-proxy"
DRAIN_PATH = "/drain"
GRACE = 30  # seconds, Kubernetes' default
_PATIENCE = 660  # seconds for which applications wait for the proxy: its startup probe gives up after 600
_RESERVE = 5  # seconds of it that are left when the drain hook gives up
_VARIANTS = ("-distroless", "-debug")

Object = Mapping[str, Any]


def context(pod: Object, namespace: str, configuration: Configuration) -> dict[str, Any]:
    """The context of a pod. Raises InjectionError for an annotation that cannot be used."""
    metadata, spec = pod.get("metadata") or {}, pod.get("spec") or {}
    annotated = metadata.get("annotations") or {}
    notes.check(annotated)
    owner = owner_of(metadata, namespace)
    config = proxy_config(annotated, configuration)
    grace = spec.get("terminationGracePeriodSeconds")
    if grace is not None and grace > GRACE:
        config = {"drainDuration": f"{drain_seconds(grace)}s"} | config
    return {
        "pod": {
            "name": metadata.get("name") or metadata.get("generateName", ""),
            "namespace": namespace,
            "labels": metadata.get("labels") or {},
            "annotations": annotated,
            "ports": _ports(spec),
            "containers": ",".join(c["name"] for c in spec.get("containers") or () if c["name"] != PROXY),
        },
        "owner": owner,
        "revision": configuration.revision,
        "values": configuration.values,
        "mesh": {"trustDomain": "cluster.local", **configuration.mesh},
        "images": _images(annotated, config, configuration),
        "capture": _capture(annotated, config, configuration),
        "proxy": _proxy(pod, annotated, config, configuration),
    }


def owner_of(metadata: Object, namespace: str) -> dict[str, str]:
    """`workload` (its name) and `reference` (Istio's owner URL); a ReplicaSet stands for its Deployment."""
    reference = next((ref for ref in metadata.get("ownerReferences") or () if ref.get("controller")), None)
    if reference is None:
        name, kind, version = (
            metadata.get("name") or metadata.get("generateName", "").rstrip("-"),
            "Pod",
            "v1",
        )
    else:
        name, kind, version = reference["name"], reference["kind"], reference["apiVersion"]
        template = (metadata.get("labels") or {}).get("pod-template-hash")
        if kind == "ReplicaSet" and template and name.endswith(f"-{template}"):
            name, kind = name.removesuffix(f"-{template}"), "Deployment"
    workload = (metadata.get("labels") or {}).get("service.istio.io/workload-name") or name
    url = f"kubernetes://apis/{version}/namespaces/{namespace}/{kind.lower()}s/{name}"
    return {"workload": workload, "kind": kind, "name": name, "reference": url if name else ""}


def proxy_config(annotated: Mapping[str, str], configuration: Configuration) -> dict[str, Any]:
    """The ProxyConfig of a pod: mesh defaults, then its annotation."""
    default = dict(configuration.mesh.get("defaultConfig") or {})
    default["discoveryAddress"] = configuration.discovery_address
    if text := annotated.get(notes.PROXY_CONFIG):
        default |= asked_config(text)
    return default


def _ports(spec: Object) -> str:
    ports = [
        {key: port[key] for key in ("name", "containerPort", "protocol") if key in port}
        for container in spec.get("containers") or ()
        if container["name"] != PROXY
        for port in container.get("ports") or ()
    ]
    return json.dumps(ports, separators=(",", ":"))


def _images(annotated: Mapping[str, str], config: Object, configuration: Configuration) -> dict[str, str]:
    values = configuration.values["global"]
    kind = (
        sidecar(annotated, "proxyImageType")
        or (config.get("image") or {}).get("imageType")
        or values.get("variant")
    )
    tag = str(values["tag"])
    if kind:
        for variant in _VARIANTS:
            tag = tag.removesuffix(variant)
        tag = tag if kind == "default" else f"{tag}-{kind}"

    def image(name: str) -> str:
        return name if "/" in name else f"{values['hub']}/{name}:{tag}"

    proxy = sidecar(annotated, "proxyImage") or values["proxy"].get("image", "proxyv2")
    init = (values.get("proxy_init") or {}).get("image") or values["proxy"].get("image", "proxyv2")
    return {"proxy": image(proxy), "init": image(init)}


def _capture(annotated: Mapping[str, str], config: Object, configuration: Configuration) -> dict[str, Any]:
    """How traffic gets into the proxy. Source: Istio, arguments of `istio-iptables`."""
    values = configuration.values["global"]["proxy"]
    mode = sidecar(annotated, "interceptionMode") or config.get("interceptionMode") or "REDIRECT"
    status = str(status_port(annotated, configuration))
    always = [port for port in ("15090", "15021", status) if port != "0"]
    excluded = traffic(annotated, "excludeInboundPorts", values.get("excludeInboundPorts"))
    args = [
        "istio-iptables",
        *("-p", "15001", "-z", "15006", "-u", "1337", "-m", mode),
        *("-i", traffic(annotated, "includeOutboundIPRanges", values.get("includeIPRanges"))),
        *("-x", traffic(annotated, "excludeOutboundIPRanges", values.get("excludeIPRanges"))),
        *("-b", traffic(annotated, "includeInboundPorts", values.get("includeInboundPorts"))),
        *("-d", ",".join([*always, *filter(None, [excluded])])),
    ]
    interfaces = annotated.get("istio.io/reroute-virtual-interfaces", "").strip()
    for flag, value in (
        ("-q", traffic(annotated, "includeOutboundPorts", values.get("includeOutboundPorts"))),
        ("-o", traffic(annotated, "excludeOutboundPorts", values.get("excludeOutboundPorts"))),
        ("-k", interfaces or traffic(annotated, "kubevirtInterfaces", "")),
        ("-c", traffic(annotated, "excludeInterfaces", "")),
    ):
        args += [flag, value] if value else []
    args.append(f"--log_output_level={_agent_level(annotated, configuration)}")
    return {"mode": mode, "enabled": mode != "NONE", "args": args}


def _agent_level(annotated: Mapping[str, str], configuration: Configuration) -> str:
    configured = (configuration.values["global"].get("logging") or {}).get("level") or "default:info"
    return sidecar(annotated, "agentLogLevel") or str(configured)


def _proxy(
    pod: Object, annotated: Mapping[str, str], config: Object, configuration: Configuration
) -> dict[str, Any]:
    values = configuration.values["global"]
    proxy = values["proxy"]
    binds_low = sidecar(annotated, "capNetBindService") == "true"
    transparent = (sidecar(annotated, "interceptionMode") or config.get("interceptionMode")) == "TPROXY"
    added = [name for name, needed in (("NET_ADMIN", transparent), ("NET_BIND_SERVICE", binds_low)) if needed]
    delay = proxy.get("readinessInitialDelaySeconds", 0)
    return {
        "logLevel": sidecar(annotated, "logLevel") or proxy.get("logLevel", "warning"),
        "componentLogLevel": sidecar(annotated, "componentLogLevel")
        or proxy.get("componentLogLevel", "misc:error"),
        "agentLogLevel": _agent_level(annotated, configuration),
        "caAddress": values.get("caAddress") or configuration.discovery_address,
        "config": _config_text(config),
        "metadata": _metadata(config) or None,
        "cluster": (values.get("multiCluster") or {}).get("clusterName") or "Kubernetes",
        "network": values.get("network") or "",
        "mesh": values.get("meshID") or configuration.mesh.get("trustDomain") or "cluster.local",
        "resources": _resources(annotated, proxy.get("resources") or {}),
        "probed": status_port(annotated, configuration) != 0,
        "readiness": {
            "initialDelaySeconds": readiness(annotated, "initialDelaySeconds", delay),
            "periodSeconds": readiness(annotated, "periodSeconds", proxy.get("readinessPeriodSeconds", 15)),
            "failureThreshold": readiness(
                annotated, "failureThreshold", proxy.get("readinessFailureThreshold", 4)
            ),
        },
        "lifecycle": proxy.get("lifecycle") or _lifecycle(pod, config, configuration),
        "hold": holds(pod, config, configuration),
        "capabilities": added or None,
        "unprivileged": not added,
        "user": 0 if added else 1337,
        "bootstrapOverride": sidecar(annotated, "bootstrapOverride") or None,
        "pullSecrets": [{"name": name} for name in values.get("imagePullSecrets") or ()] or None,
        "gatewaySecurity": (configuration.values.get("gateways") or {}).get("securityContext")
        or {"sysctls": [{"name": "net.ipv4.ip_unprivileged_port_start", "value": "0"}]},
    }


def status_port(annotated: Mapping[str, str], configuration: Configuration) -> int:
    """The agent's port for probes, metrics and draining; 0 switches them off."""
    return int(
        annotated.get(notes.STATUS_PORT) or configuration.values["global"]["proxy"].get("statusPort", 15020)
    )


def drain_hook(pod: Object, configuration: Configuration) -> dict[str, Any] | None:
    """The preStop hook that begins the graceful drain and answers when it is over; None: switched off."""
    annotated = (pod.get("metadata") or {}).get("annotations") or {}
    port = status_port(annotated, configuration)
    if annotated.get(notes.DRAIN) == "false" or not port:
        return None
    grace = (pod.get("spec") or {}).get("terminationGracePeriodSeconds")
    path = DRAIN_PATH if grace in (None, GRACE) else f"{DRAIN_PATH}?grace={grace}"
    return {"preStop": {"httpGet": {"path": path, "port": port}}}


def drain_seconds(grace: int) -> int:
    """Envoy's drain time in a pod with a long grace period, so that it cuts no stream of its own accord.

    Envoy 1.40 closes WebSockets in the last third of its drain time. By then the drain hook shall have
    given up, after which the application itself says goodbye.
    """
    return -(-3 * (grace - _RESERVE) // 2)


def holds(pod: Object, config: Object, configuration: Configuration) -> bool:
    """Whether the application's containers start only when the proxy is ready.

    By default they do: until its proxy listens, what an application calls is refused, and every pod that a
    move restarts would lose its first calls. Without a status port nobody could say that it is ready.
    """
    default = configuration.values["global"]["proxy"].get("holdApplicationUntilProxyStarts", True)
    annotated = (pod.get("metadata") or {}).get("annotations") or {}
    others = any(c.get("name") != PROXY for c in (pod.get("spec") or {}).get("containers") or ())
    asked = bool(config.get("holdApplicationUntilProxyStarts", default))
    return asked and others and status_port(annotated, configuration) != 0


def _wait(pod: Object, configuration: Configuration) -> list[str]:
    """The command that returns when the proxy is ready. It asks by the loopback, which is not redirected."""
    port = status_port((pod.get("metadata") or {}).get("annotations") or {}, configuration)
    url = f"--url=http://127.0.0.1:{port}/healthz/ready"
    return ["linnet", "pilot-agent", "wait", url, f"--timeoutSeconds={_PATIENCE}", "--periodMillis=100"]


def _lifecycle(pod: Object, config: Object, configuration: Configuration) -> dict[str, Any] | None:
    hooks = dict(drain_hook(pod, configuration) or {})
    if holds(pod, config, configuration):
        hooks["postStart"] = {"exec": {"command": _wait(pod, configuration)}}
    return hooks or None


def _config_text(config: Object) -> str:
    """ProxyConfig as the environment carries it, without what every agent assumes."""
    shown = {k: v for k, v in config.items() if (k, v) != ("discoveryAddress", BUILT_IN_DISCOVERY)}
    return json.dumps(shown, separators=(",", ":"), sort_keys=True)


def _metadata(config: Object) -> list[dict[str, str]]:
    return [{"name": k, "value": str(v)} for k, v in sorted((config.get("proxyMetadata") or {}).items())]


def _resources(annotated: Mapping[str, str], default: Object) -> Object:
    """Any of the four annotations replaces the defaults altogether."""
    asked = {
        ("requests", "cpu"): sidecar(annotated, "proxyCPU"),
        ("requests", "memory"): sidecar(annotated, "proxyMemory"),
        ("limits", "cpu"): sidecar(annotated, "proxyCPULimit"),
        ("limits", "memory"): sidecar(annotated, "proxyMemoryLimit"),
    }
    if not any(asked.values()):
        return default
    found: dict[str, dict[str, str]] = {}
    for (kind, name), value in asked.items():
        if value:
            found.setdefault(kind, {})[name] = value
    return found
