"""What a user asks for (profile, files, `--set`) becomes one merged specification, checked field by field.

Precedence, low to high: profile, files in order, `--set` in order, `--revision`.
Source: Istio, `istioctl install`.
"""

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from importlib.resources import files
from typing import Any

from msgspec import Struct

from linnet.install import documents, shapes
from linnet.install.plane import Plane, RevisionError, revision_of
from linnet.install.tree import PathError, Tree, assign, overlay, parse_assignment

API_VERSION, KIND = "install.istio.io/v1alpha1", "IstioOperator"
_K8S = frozenset(
    {
        "affinity",
        "env",
        "hpaSpec",
        "imagePullPolicy",
        "nodeSelector",
        "overlays",
        "podAnnotations",
        "podDisruptionBudget",
        "priorityClassName",
        "readinessProbe",
        "replicaCount",
        "resources",
        "securityContext",
        "service",
        "serviceAnnotations",
        "strategy",
        "tolerations",
        "volumeMounts",
        "volumes",
    }
)
_COMPONENTS: Mapping[str, frozenset[str]] = {
    "base": frozenset({"enabled"}),
    "pilot": frozenset({"enabled", "hub", "tag", "k8s"}),
    "ingressGateways": frozenset({"enabled", "name", "namespace", "label", "hub", "tag", "k8s"}),
    "egressGateways": frozenset({"enabled", "name", "namespace", "label", "hub", "tag", "k8s"}),
    "cni": frozenset({"enabled"}),
    "ztunnel": frozenset({"enabled"}),
}
_SPEC = frozenset(
    {
        "profile",
        "hub",
        "tag",
        "revision",
        "namespace",
        "meshConfig",
        "components",
        "values",
        "unvalidatedValues",
        "installPackagePath",
        "compatibilityVersion",
    }
)
# paths of values that something reads, each with all that is below it
_HONOURED: frozenset[tuple[str, ...]] = frozenset(
    tuple(path.split("."))
    for path in (
        "base.validationFailurePolicy",
        "gateways",
        "global.caAddress",
        "global.hub",
        "global.imagePullPolicy",
        "global.imagePullSecrets",
        "global.istioNamespace",
        "global.logAsJson",
        "global.logging.level",
        "global.meshID",
        "global.multiCluster.clusterName",
        "global.network",
        "global.platform",
        "global.proxy",
        "global.proxy_init.image",
        "global.tag",
        "global.variant",
        "meshConfig",
        "pilot.autoscaleEnabled",
        "pilot.autoscaleMax",
        "pilot.autoscaleMin",
        "pilot.cpu.targetAverageUtilization",
        "pilot.env",
        "pilot.hub",
        "pilot.image",
        "pilot.keepaliveMaxServerConnectionAge",
        "pilot.replicaCount",
        "pilot.resources",
        "pilot.tag",
        "pilot.traceSampling",
        "revision",
        "sidecarInjectorWebhook",
        "sidecarInjectorWebhookAnnotations",
    )
)


class InputError(ValueError):
    """A request that cannot be met; the message names source, field and remedy."""


class Request(Struct, frozen=True):
    """An installation as asked for. `warnings` are for people; nothing else depends on them."""

    plane: Plane
    warnings: tuple[str, ...] = ()


def profile_names() -> list[str]:
    """The built-in profiles."""
    return sorted(
        entry.name.removesuffix(".yaml")
        for entry in (files("linnet.install") / "profiles").iterdir()
        if entry.name.endswith(".yaml")
    )


def profile_text(name: str) -> str:
    """The YAML of a built-in profile.

    Raises:
        InputError: no such profile.
    """
    if name not in profile_names():
        raise InputError(f"unknown profile {name!r}; there are: {', '.join(profile_names())}")
    return (files("linnet.install") / "profiles" / f"{name}.yaml").read_text()


def resolve(
    sources: Sequence[tuple[str, str]],
    sets: Sequence[str],
    *,
    version: str,
    namespace: str = "",
    revision: str | None = None,
    inherited: Mapping[str, Any] | None = None,
    profile: Callable[[str], str] = profile_text,
) -> Request:
    """The installation that `sources` (name and YAML text of each file) and `sets` describe.

    `inherited`: the request of an earlier installation, to which they are added.

    Raises:
        InputError: a file, a field, a value or the revision is not usable.
    """
    try:
        asked, owner = _files(sources)
        asked = overlay(deepcopy(dict(inherited or {})), asked)
        for text in (*sets, *([f"revision={revision}"] if revision is not None else ())):
            steps, value = parse_assignment(text)
            if steps[-1] == "revision" and value == "":  # an empty variable must not mean another plane
                revision_of("")
            assign(asked, steps, value)
        shapes.check(asked)
        name = str(asked.get("profile") or "default")
        base = documents.load(profile(name), f"profile {name}")[0]["spec"]
        spec = overlay(overlay(base, asked), {"profile": name})
        revision_of(revision) if revision is not None else None
        _settle_revision(spec)
    except (PathError, documents.DocumentError, RevisionError, shapes.ShapeError) as error:
        raise InputError(str(error)) from error
    if namespace and not (spec.get("values") or {}).get("global", {}).get("istioNamespace"):
        spec["values"] = overlay(spec.get("values") or {}, {"global": {"istioNamespace": namespace}})
    return Request(
        plane=Plane(spec=spec, version=version, owner=owner, original=asked), warnings=tuple(_check(spec))
    )


def _files(sources: Sequence[tuple[str, str]]) -> tuple[Tree, str]:
    asked: Tree = {}
    owner = "unknown"
    for source, text in sources:
        found = documents.load(text, source)
        if len(found) != 1:
            raise InputError(f"{source}: expected one {KIND} document, found {len(found)}")
        document = found[0]
        if document.get("kind") != KIND or document.get("apiVersion") != API_VERSION:
            raise InputError(
                f"{source}: expected apiVersion {API_VERSION}, kind {KIND}; "
                f"found {document.get('apiVersion')}, {document.get('kind')}"
            )
        if unknown := set(document) - {"apiVersion", "kind", "metadata", "spec", "status"}:
            raise InputError(f"{source}: unknown field {min(unknown)!r}")
        spec = document.get("spec") or {}
        if not isinstance(spec, dict):
            raise InputError(f"{source}: spec: expected a mapping")
        try:
            _check(spec)
            shapes.check(spec)
        except (InputError, shapes.ShapeError) as error:
            raise InputError(f"{source}: {error}") from error
        metadata = document.get("metadata") or {}
        owner = str(metadata.get("name") or owner)
        if metadata.get("namespace"):
            spec = overlay({"values": {"global": {"istioNamespace": metadata["namespace"]}}}, spec)
        asked = overlay(asked, spec)
    return asked, owner


def _settle_revision(spec: Tree) -> None:
    values = spec.setdefault("values", {})
    revision = revision_of(str(spec.get("revision") or values.get("revision") or "default"))
    spec["revision"] = values["revision"] = revision
    if not revision:
        del spec["revision"]


def _check(spec: Mapping[str, Any]) -> list[str]:
    """Warnings about what is accepted without effect. Raises InputError for what cannot be."""
    for key in spec:
        if key not in _SPEC:
            raise InputError(f"spec.{key}: unknown field; there are: {', '.join(sorted(_SPEC))}")
    components = spec.get("components") or {}
    for key, value in components.items():
        if key not in _COMPONENTS:
            raise InputError(f"spec.components.{key}: unknown component; there are: {', '.join(_COMPONENTS)}")
        many = key.endswith("Gateways")
        if not isinstance(value, list if many else Mapping):
            raise InputError(f"spec.components.{key}: expected a {'list' if many else 'mapping'}")
        for index, entry in enumerate(value if many else [value]):
            _check_component(f"spec.components.{key}" + (f"[{index}]" if many else ""), key, entry)
    for key in ("cni", "ztunnel"):
        if (components.get(key) or {}).get("enabled"):
            raise InputError(
                f"spec.components.{key}.enabled: Linnet has no {key}; remove it or set it to false"
            )
    return [f"values.{path} has no effect in Linnet" for path in unhonoured(spec.get("values") or {})]


def unhonoured(values: Mapping[str, Any]) -> list[str]:
    """The paths of values that nothing reads, as short as they can be; empty and false ones need no word."""
    found: list[str] = []

    def walk(tree: Mapping[str, Any], prefix: tuple[str, ...]) -> None:
        for key, value in tree.items():
            path = (*prefix, str(key))
            if path in _HONOURED or not value:
                continue
            if isinstance(value, Mapping) and all(not inner for inner in value.values()):
                continue
            if isinstance(value, Mapping) and any(known[: len(path)] == path for known in _HONOURED):
                walk(value, path)
            else:
                found.append(".".join(path))

    walk(values, ())
    return sorted(found)


def _check_component(path: str, key: str, entry: Any) -> None:
    if not isinstance(entry, Mapping):
        raise InputError(f"{path}: expected a mapping")
    for field in entry:
        if field not in _COMPONENTS[key]:
            raise InputError(
                f"{path}.{field}: unknown field; there are: {', '.join(sorted(_COMPONENTS[key]))}"
            )
    for field in entry.get("k8s") or ():
        if field not in _K8S:
            raise InputError(
                f"{path}.k8s.{field}: unknown or unsupported field; there are: {', '.join(sorted(_K8S))}"
            )
