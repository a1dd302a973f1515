"""Pod and configuration become the injected pod (pure).

    user's pod ─ strip an earlier injection ─▶ merge the templates ─▶ the user's own containers on top
               ─▶ order ─▶ probes, drain hooks, metrics ─▶ labels, annotations, status

Injecting an injected pod gives the same pod.
Source: Istio, injection: templates, overrides, status, revision label and annotation.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from linnet.inject import annotations as notes
from linnet.inject import prometheus
from linnet.inject.annotations import InjectionError
from linnet.inject.configuration import Configuration
from linnet.inject.context import PROXY, context, drain_hook, status_port
from linnet.inject.earlier import stripped
from linnet.inject.merge import merged
from linnet.inject.probes import rewritten

REV = "istio.io/rev"
INIT = "istio-init"
AUTO = "auto"

Object = dict[str, Any]


def injected(
    pod: Mapping[str, Any],
    namespace: str,
    configuration: Configuration,
    environment: Mapping[str, str] | None = None,
) -> Object:
    """The pod with its proxy. `environment` comes from the webhook's path and wins on the proxy container.

    Raises:
        InjectionError: an annotation or a template name cannot be used.
    """
    user = stripped(pod)
    facts = context(user, namespace, configuration)
    names = _templates(user, configuration)
    additions = [_rendered(name, facts, configuration) for name in names]
    result: Object = user
    for addition in additions:
        result = merged(result, addition)
    result, overrides = _overridden(result, user, additions)
    _order(result["spec"], hold=facts["proxy"]["hold"])
    proxied = "sidecar" in names
    originals = _through_agent(result, configuration) if proxied else {}
    scrape = _metrics(result, configuration)
    own = dict(environment or {})
    _environment(result["spec"], own | _told(originals, scrape, facts))
    volumes = _volumes(result)
    _label(result, facts, configuration, own, mtls=proxied)
    _annotate(result, user, [*additions, volumes], overrides, configuration)
    return result


def _templates(pod: Mapping[str, Any], configuration: Configuration) -> list[str]:
    asked = (pod["metadata"].get("annotations") or {}).get(notes.TEMPLATES)
    wanted = [part.strip() for part in asked.split(",")] if asked else configuration.default_templates
    names: list[str] = []
    for name in wanted:
        alias = configuration.aliases.get(name, name)
        names += alias if isinstance(alias, list) else [alias]
    for name in names:
        if name not in configuration.templates:
            raise InjectionError(
                f"annotation {notes.TEMPLATES}: there is no template {name!r}; "
                f"there are: {', '.join(sorted(configuration.templates))}"
            )
    return names


def _rendered(name: str, facts: Mapping[str, Any], configuration: Configuration) -> Object:
    addition = configuration.compiled[name](facts)
    assert isinstance(addition, dict)
    spec = addition.get("spec") or {}
    for field in [field for field, value in spec.items() if value == []]:
        del spec[field]
    return addition


def _overridden(
    result: Object, user: Mapping[str, Any], additions: Sequence[Object]
) -> tuple[Object, dict[str, list[Any]]]:
    """The result with the user's settings of injected containers on top, and those settings."""
    spec, recorded = dict(result["spec"]), dict[str, list[Any]]()
    for field in ("containers", "initContainers"):
        added = {c["name"] for addition in additions for c in (addition.get("spec") or {}).get(field) or ()}
        own = [c for c in user["spec"].get(field) or () if c["name"] in added]
        if not own:
            continue
        recorded[field] = own
        on_top = [{k: v for k, v in c.items() if (k, v) != ("image", AUTO)} for c in own]
        spec[field] = merged(spec[field], on_top, field)
    return {**result, "spec": spec}, recorded


def _order(spec: Object, *, hold: bool) -> None:
    """The proxy last (first when applications wait for it); istio-init after the user's init containers."""
    containers = list(spec.get("containers") or ())
    containers.sort(key=lambda c: (c["name"] != PROXY) if hold else (c["name"] == PROXY))
    spec["containers"] = containers
    if spec.get("initContainers"):
        spec["initContainers"] = sorted(spec["initContainers"], key=lambda c: c["name"] == INIT)


def _through_agent(pod: Object, configuration: Configuration) -> Object:
    """Point probes at the agent and add drain hooks, in place; the original probes by path."""
    annotated = pod["metadata"].get("annotations") or {}
    port = status_port(annotated, configuration)
    default = (configuration.values.get("sidecarInjectorWebhook") or {}).get("rewriteAppHTTPProbe", True)
    asked = annotated.get("sidecar.istio.io/rewriteAppHTTPProbers")
    rewrite = port and (asked == "true" if asked else default)
    hook = drain_hook(pod, configuration)
    originals: Object = {}
    for field in ("containers", "initContainers"):
        result = []
        for container in pod["spec"].get(field) or ():
            if container["name"] in (PROXY, INIT):
                result.append(container)
                continue
            changed, moved = rewritten(container, port) if rewrite else (dict(container), {})
            originals |= moved
            if hook and field == "containers":
                changed["lifecycle"] = hook | (changed.get("lifecycle") or {})
            result.append(changed)
        if result:
            pod["spec"][field] = result
    return originals


def _metrics(pod: Object, configuration: Configuration) -> str:
    """Move scrape annotations to the agent, in place; the agent's JSON."""
    annotated = pod["metadata"].get("annotations") or {}
    port = status_port(annotated, configuration)
    merge = configuration.mesh.get("enablePrometheusMerge", True)
    if not port or not merge or annotated.get("prometheus.istio.io/merge-metrics") == "false":
        return ""
    pod["metadata"] = {**pod["metadata"]}
    pod["metadata"]["annotations"], scrape = prometheus.moved(annotated, port)
    return scrape


def _told(originals: Object, scrape: str, facts: Mapping[str, Any]) -> dict[str, str]:
    """What else the proxy container's environment says."""
    told = {entry["name"]: entry["value"] for entry in facts["proxy"]["metadata"] or ()}
    if originals:
        told["ISTIO_KUBE_APP_PROBERS"] = json.dumps(originals, separators=(",", ":"), sort_keys=True)
    if scrape:
        told[prometheus.ENV] = scrape
    return told


def _environment(spec: Object, told: Mapping[str, str]) -> None:
    entries = [{"name": name, "value": value} for name, value in told.items()]
    spec["containers"] = [
        {**c, "env": merged(c.get("env") or [], entries, "env")} if c["name"] == PROXY else c
        for c in spec["containers"]
    ]


def _volumes(pod: Object) -> Object:
    """Add the volumes and mounts that annotations ask for, in place; the volumes as a partial pod."""
    annotated = pod["metadata"].get("annotations") or {}
    volumes = json.loads(annotated.get("sidecar.istio.io/userVolume") or "{}")
    mounts = json.loads(annotated.get("sidecar.istio.io/userVolumeMount") or "{}")
    spec = pod["spec"]
    wanted = [{**volume, "name": name} for name, volume in volumes.items()]
    if wanted:
        spec["volumes"] = merged(spec.get("volumes") or [], wanted, "volumes")
    if mounts:
        added = [{**mount, "name": name} for name, mount in mounts.items()]
        spec["containers"] = [
            {**c, "volumeMounts": merged(c.get("volumeMounts") or [], added, "volumeMounts")}
            if c["name"] == PROXY
            else c
            for c in spec["containers"]
        ]
    return {"spec": {"volumes": wanted}}


def _label(
    pod: Object,
    facts: Mapping[str, Any],
    configuration: Configuration,
    environment: Mapping[str, str],
    *,
    mtls: bool,
) -> None:
    labels: dict[str, str] = dict(pod["metadata"].get("labels") or {})
    name = labels.get("app.kubernetes.io/name") or labels.get("app") or facts["owner"]["workload"]
    version = labels.get("app.kubernetes.io/version") or labels.get("version") or "latest"
    network = environment.get("ISTIO_META_NETWORK") or facts["proxy"]["network"]
    ours = {
        **({"security.istio.io/tlsMode": "istio"} if mtls else {}),
        **({"service.istio.io/canonical-name": name[:63].rstrip("-_.")} if name else {}),
        "service.istio.io/canonical-revision": version,
        REV: configuration.revision,
        **({"topology.istio.io/network": str(network)} if network else {}),
    }
    pod["metadata"] = {**pod["metadata"], "labels": ours | labels}


def _annotate(
    pod: Object,
    user: Mapping[str, Any],
    additions: Sequence[Object],
    overrides: dict[str, list[Any]],
    configuration: Configuration,
) -> None:
    annotated: dict[str, str] = dict(pod["metadata"].get("annotations") or {})
    first = next((c["name"] for c in user["spec"].get("containers") or () if c["name"] != PROXY), "")
    for key in ("kubectl.kubernetes.io/default-container", "kubectl.kubernetes.io/default-logs-container"):
        if first:
            annotated.setdefault(key, first)
    for key, value in configuration.annotations.items():
        annotated.setdefault(key, str(value))
    if overrides:
        annotated[notes.OVERRIDES] = json.dumps(overrides, separators=(",", ":"), sort_keys=True)
    annotated[REV] = configuration.revision
    annotated[notes.STATUS] = _status(user, additions, configuration)
    pod["metadata"] = {**pod["metadata"], "annotations": annotated}


def _status(user: Mapping[str, Any], additions: Sequence[Object], configuration: Configuration) -> str:
    """What was added, by names; the user's own volumes stay theirs (for containers there is a record)."""
    own = {volume["name"] for volume in user["spec"].get("volumes") or ()}

    def names(field: str) -> list[str] | None:
        found = [
            item["name"]
            for addition in additions
            for item in (addition.get("spec") or {}).get(field) or ()
            if field != "volumes" or item["name"] not in own
        ]
        return list(dict.fromkeys(found)) or None

    status = {
        field: names(field) for field in ("initContainers", "containers", "volumes", "imagePullSecrets")
    }
    return json.dumps({**status, "revision": configuration.revision}, separators=(",", ":"))
