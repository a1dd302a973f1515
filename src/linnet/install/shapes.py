"""What form the fields of a specification must have: a wrong one is named before any cluster is asked (pure).

Source: Istio, IstioOperator API and the values of its charts; Kubernetes, names of objects.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_LONGEST = 63  # characters of a DNS label


class ShapeError(ValueError):
    """A field of the wrong form; the message names it, what is expected and what was found."""


Form = tuple[str, Callable[[Any], bool]]

_MAPPING: Form = ("a mapping", lambda value: isinstance(value, Mapping))
_LIST: Form = ("a list", lambda value: isinstance(value, list))
_OVERLAYS: Form = (
    "a list of mappings with kind, name and patches, each patch with a path",
    lambda value: isinstance(value, list) and all(map(_is_overlay, value)),
)
_SWITCH: Form = ("true or false", lambda value: isinstance(value, bool))
_TEXT: Form = ("a text", lambda value: isinstance(value, str))
_NAME: Form = (
    'a name of lower-case letters, digits and "-", at most 63 characters',
    lambda value: isinstance(value, str) and len(value) <= _LONGEST and bool(_LABEL.fullmatch(value)),
)


def _count(least: int) -> Form:
    return (
        f"a whole number from {least} on",
        lambda value: isinstance(value, int) and not isinstance(value, bool) and value >= least,
    )


_K8S: Mapping[str, Form] = {
    "affinity": _MAPPING,
    "env": _LIST,
    "hpaSpec": _MAPPING,
    "hpaSpec.minReplicas": _count(1),
    "hpaSpec.maxReplicas": _count(1),
    "imagePullPolicy": _TEXT,
    "nodeSelector": _MAPPING,
    "overlays": _OVERLAYS,
    "podAnnotations": _MAPPING,
    "podDisruptionBudget": _MAPPING,
    "priorityClassName": _TEXT,
    "readinessProbe": _MAPPING,
    "replicaCount": _count(0),
    "resources": _MAPPING,
    "securityContext": _MAPPING,
    "service": _MAPPING,
    "serviceAnnotations": _MAPPING,
    "strategy": _MAPPING,
    "tolerations": _LIST,
    "volumeMounts": _LIST,
    "volumes": _LIST,
}
_COMPONENT: Mapping[str, Form] = {
    "enabled": _SWITCH,
    "name": _NAME,
    "namespace": _NAME,
    "label": _MAPPING,
    "k8s": _MAPPING,
} | {f"k8s.{path}": form for path, form in _K8S.items()}
_SCALE: Mapping[str, Form] = {
    "autoscaleEnabled": _SWITCH,
    "autoscaleMin": _count(1),
    "autoscaleMax": _count(1),
    "env": _MAPPING,
    "resources": _MAPPING,
}
_VALUES: Mapping[str, Form] = {
    "gateways": _MAPPING,
    "gateways.*": _MAPPING,
    "gateways.*.ports": _LIST,
    "gateways.*.serviceAnnotations": _MAPPING,
    "gateways.*.terminationGracePeriodSeconds": _count(0),
    "global": _MAPPING,
    "global.imagePullSecrets": _LIST,
    "global.istioNamespace": _NAME,
    "global.logAsJson": _SWITCH,
    "global.logging": _MAPPING,
    "global.multiCluster": _MAPPING,
    "global.proxy": _MAPPING,
    "global.proxy.resources": _MAPPING,
    "global.proxy_init": _MAPPING,
    "meshConfig": _MAPPING,
    "pilot": _MAPPING,
    "pilot.cpu": _MAPPING,
    "pilot.cpu.targetAverageUtilization": _count(1),
    "pilot.replicaCount": _count(0),
    "sidecarInjectorWebhook": _MAPPING,
    "sidecarInjectorWebhookAnnotations": _MAPPING,
    **{f"{part}.{path}": form for part in ("gateways.*", "pilot") for path, form in _SCALE.items()},
}
_SPEC: Mapping[str, Form] = {
    "components": _MAPPING,
    "meshConfig": _MAPPING,
    "meshConfig.defaultConfig": _MAPPING,
    "namespace": _NAME,
    "values": _MAPPING,
    **{f"values.{path}": form for path, form in _VALUES.items()},
    "components.base.enabled": _SWITCH,
    "components.pilot.enabled": _SWITCH,
    **{f"components.pilot.{path}": form for path, form in _COMPONENT.items()},
    **{
        f"components.{many}.#.{path}": form
        for many in ("ingressGateways", "egressGateways")
        for path, form in _COMPONENT.items()
    },
}


def _is_overlay(entry: Any) -> bool:
    if not isinstance(entry, Mapping) or not all(isinstance(entry.get(key), str) for key in ("kind", "name")):
        return False
    patches = entry.get("patches", [])
    return isinstance(patches, list) and all(
        isinstance(patch, Mapping) and isinstance(patch.get("path"), str) for patch in patches
    )


def check(spec: Mapping[str, Any]) -> None:
    """Raises ShapeError for the first field, by path, whose value has another form. Nulls are absent."""
    for path, (expected, fits) in sorted(_SPEC.items()):
        for name, value in _at(spec, path.split("."), "spec"):
            if not fits(value):
                raise ShapeError(f"{name}: expected {expected}, found {value!r}")


def _at(tree: Any, steps: Sequence[str], name: str) -> Iterator[tuple[str, Any]]:
    """Name and value of everything at a path; `*` is any key, `#` any index."""
    if tree is None:
        return
    if not steps:
        yield name, tree
    elif steps[0] == "#" and isinstance(tree, list):
        for index, entry in enumerate(tree):
            yield from _at(entry, steps[1:], f"{name}[{index}]")
    elif isinstance(tree, Mapping):
        for key in list(tree) if steps[0] == "*" else [steps[0]]:
            yield from _at(tree.get(key), steps[1:], f"{name}.{key}")
