"""Which pods and objects reach which revision: the webhook configurations and their selectors (pure).

Source: Istio since 1.10, selectors of the injection webhooks; since 1.12, the tag `default`.
Exactly zero or one injector matches any pod; `tests/install/test_decision_table.py` holds every row.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from linnet.install.marks import DEACTIVATED, NOT_PRUNED, REV, TAG_LABEL, Object, labels, made
from linnet.install.plane import NAME, Plane

_API = "admissionregistration.k8s.io/v1"
SUFFIX = "sidecar-injector.istio.io"
DEFAULT_TAG = "istio-revision-tag-default"
DEFAULT_VALIDATOR = "istiod-default-validator"
DEFAULT_SERVICE = "istiod-revision-tag-default"
UNTOUCHED = ("kube-system", "kube-public", "kube-node-lease", "local-path-storage")

_INJECTION, _INJECT = "istio-injection", "sidecar.istio.io/inject"
Requirement = dict[str, Any]


def _in(key: str, *values: str) -> Requirement:
    return {"key": key, "operator": "In", "values": list(values)}


def _not_in(key: str, *values: str) -> Requirement:
    return {"key": key, "operator": "NotIn", "values": list(values)}


def _absent(key: str) -> Requirement:
    return {"key": key, "operator": "DoesNotExist"}


# Pods of these are never injected. Asking about them would only stop them when nobody answers, whoever labels
# the namespace or the pod.
_OTHERS = _not_in("kubernetes.io/metadata.name", *UNTOUCHED)


def selectors(
    name: str, *, default: bool, everywhere: bool
) -> list[tuple[str, list[Requirement], list[Requirement]]]:
    """Prefix, namespace selector and object selector of each entry for a revision or tag `name`.

    `default`: it also serves what names no revision; `everywhere`: `enableNamespacesByDefault`.
    """
    wanted = _not_in(_INJECT, "false")
    rows = [
        ("rev.namespace.", [_in(REV, name), _absent(_INJECTION)], [wanted]),
        ("rev.object.", [_absent(REV), _absent(_INJECTION)], [wanted, _in(REV, name)]),
    ]
    if default:
        rows += [
            ("namespace.", [_in(_INJECTION, "enabled")], [wanted]),
            ("object.", [_absent(_INJECTION), _absent(REV)], [_in(_INJECT, "true"), _absent(REV)]),
        ]
    if default and everywhere:
        bare = [_absent(_INJECTION), _absent(REV)]
        rows.append(("auto.", bare, [_absent(_INJECT), _absent(REV)]))
    return [(prefix, [*namespaces, _OTHERS], objects) for prefix, namespaces, objects in rows]


def _injector_entries(plane: Plane, name: str, *, default: bool, active: bool = True) -> list[Object]:
    everywhere = bool(plane.value("sidecarInjectorWebhook.enableNamespacesByDefault"))
    never = {"matchLabels": {DEACTIVATED: "never-match"}}
    return [
        {
            "name": prefix + SUFFIX,
            "clientConfig": {"service": _service(plane, "/inject")},
            "rules": [
                {"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"]}
            ],
            "namespaceSelector": {"matchExpressions": namespaces} if active else never,
            "objectSelector": {"matchExpressions": objects} if active else never,
            "failurePolicy": "Fail",
            "reinvocationPolicy": plane.value("sidecarInjectorWebhook.reinvocationPolicy", "Never"),
            "sideEffects": "None",
            "admissionReviewVersions": ["v1"],
        }
        for prefix, namespaces, objects in selectors(name, default=default, everywhere=everywhere)
    ]


def _service(plane: Plane, path: str) -> Object:
    return {"name": plane.service, "namespace": plane.namespace, "path": path, "port": 443}


def in_namespace(name: str, plane: Plane) -> str:
    """The name of a cluster-wide webhook object; planes outside istio-system add their namespace."""
    return name if plane.namespace == "istio-system" else f"{name}-{plane.namespace}"


def injector(plane: Plane, *, active: bool = True) -> Object:
    """`istio-sidecar-injector-REV`. `active=False`: an un-revisioned one whose work the default tag does."""
    return made(
        _API,
        "MutatingWebhookConfiguration",
        in_namespace(plane.named("istio-sidecar-injector"), plane),
        labels(plane, "Pilot", {"app": "sidecar-injector"}),
        annotations=plane.value("sidecarInjectorWebhookAnnotations"),
        webhooks=_injector_entries(plane, plane.revision_name, default=not plane.revision, active=active),
    )


def injector_name(namespace: str) -> str:
    """The injector of an un-revisioned plane in a namespace."""
    return "istio-sidecar-injector" + ("" if namespace == "istio-system" else f"-{namespace}")


def deactivated(hook: Object) -> Object:
    """An un-revisioned injector as it is when the default tag does its work: it matches nothing."""
    never = {"matchLabels": {DEACTIVATED: "never-match"}}
    entries = [{**entry, "namespaceSelector": never, "objectSelector": never} for entry in hook["webhooks"]]
    return {**hook, "webhooks": entries}


def activated(hook: Object) -> Object:
    """An un-revisioned injector with the selectors that its entries' names stand for."""
    rows = {prefix + SUFFIX: row for prefix, *row in selectors(NAME, default=True, everywhere=True)}
    entries = []
    for entry in hook["webhooks"]:
        if entry["name"] in rows:
            namespaces, objects = ({"matchExpressions": row} for row in rows[entry["name"]])
            entries.append({**entry, "namespaceSelector": namespaces, "objectSelector": objects})
        else:
            entries.append(entry)
    return {**hook, "webhooks": entries}


def alias(canonical: Object, name: str) -> Object:
    """The webhook of a tag made from a revision's own one: whatever that calls, the tag calls."""
    own = next(entry for entry in canonical["webhooks"] if entry["name"].endswith(SUFFIX))
    kept = {key: own[key] for key in own if key not in ("name", "namespaceSelector", "objectSelector")}
    meta = canonical["metadata"]
    labelled = {k: v for k, v in (meta.get("labels") or {}).items() if "operator.istio.io" not in k}
    entries = [
        {
            **kept,
            "name": prefix + SUFFIX,
            "namespaceSelector": {"matchExpressions": namespaces},
            "objectSelector": {"matchExpressions": objects},
        }
        for prefix, namespaces, objects in selectors(name, default=False, everywhere=False)
    ]
    tagged = f"istio-revision-tag-{name}"
    return made(
        _API,
        "MutatingWebhookConfiguration",
        tagged,
        {**labelled, "app": "sidecar-injector", TAG_LABEL: name},
        annotations=meta.get("annotations"),
        webhooks=entries,
    )


def _validator_entry(plane: Plane, name: str, requirement: Requirement) -> Object:
    entry: Object = {
        "name": name,
        "clientConfig": {"service": _service(plane, "/validate")},
        "rules": [
            {
                "operations": ["CREATE", "UPDATE"],
                "apiGroups": [
                    "security.istio.io",
                    "networking.istio.io",
                    "telemetry.istio.io",
                    "extensions.istio.io",
                ],
                "apiVersions": ["*"],
                "resources": ["*"],
            }
        ],
        "objectSelector": {"matchExpressions": [requirement]},
        "failurePolicy": plane.value("base.validationFailurePolicy", "Ignore"),
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
    }
    return entry


def validator(plane: Plane) -> Object:
    """`istio-validator-REV-NS`: for objects labelled with this revision. istiod turns it to Fail."""
    return made(
        _API,
        "ValidatingWebhookConfiguration",
        f"{plane.named('istio-validator')}-{plane.namespace}",
        labels(plane, "Pilot", {"app": "istiod", "istio": "istiod"}),
        webhooks=[_validator_entry(plane, "rev.validation.istio.io", _in(REV, plane.revision_name))],
    )


def default_validator(plane: Plane) -> Object:
    """`istiod-default-validator`: validates objects that name no revision, by the default revision."""
    marked = labels(
        plane, "Pilot", {"app": "istiod", "istio": "istiod", TAG_LABEL: NAME, NOT_PRUNED: "true"}, shared=True
    )
    entry = _validator_entry(plane, "validation.istio.io", _absent(REV))
    return made(_API, "ValidatingWebhookConfiguration", DEFAULT_VALIDATOR, marked, webhooks=[entry])


def default_tag(plane: Plane) -> Object:
    """`istio-revision-tag-default`: injects what names no revision, and what names `default`."""
    marked = labels(
        plane, "Pilot", {"app": "sidecar-injector", TAG_LABEL: NAME, NOT_PRUNED: "true"}, shared=True
    )
    return made(
        _API,
        "MutatingWebhookConfiguration",
        in_namespace(DEFAULT_TAG, plane),
        marked,
        webhooks=_injector_entries(plane, NAME, default=True),
    )


def tag(plane: Plane, name: str) -> Object:
    """`istio-revision-tag-TAG`: a user's alias for this revision, without owner labels: it is theirs."""
    if name == NAME:
        return default_tag(plane)
    return made(
        _API,
        "MutatingWebhookConfiguration",
        in_namespace(f"istio-revision-tag-{name}", plane),
        {"app": "sidecar-injector", TAG_LABEL: name, REV: plane.revision_name, "release": "istio"},
        webhooks=_injector_entries(plane, name, default=False),
    )


def with_bundles(obj: Object, bundles: Mapping[str, str], *, policies: Sequence[Object] = ()) -> Object:
    """The object with `caBundle` (base64) from `bundles` by service name, and the policies of today.

    A validator that istiod has once found working stays at `Fail` when it is applied again.
    """
    live = {entry["name"]: entry.get("failurePolicy") for entry in policies}
    entries = []
    for entry in obj["webhooks"]:
        client = dict(entry["clientConfig"])
        if bundle := bundles.get(client["service"]["name"]):
            client["caBundle"] = bundle
        changed = {**entry, "clientConfig": client}
        if live.get(entry["name"]):
            changed["failurePolicy"] = live[entry["name"]]
        entries.append(changed)
    return {**obj, "webhooks": entries}
