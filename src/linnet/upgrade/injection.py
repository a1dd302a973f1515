"""Which webhook would inject a pod, by the live webhooks and the labels of namespace and pod (pure).

Source: Kubernetes, selectors of admission webhooks; Istio, webhook entries by name.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from msgspec import Struct

from linnet.install.marks import REV, TAG_LABEL
from linnet.install.plane import NAME
from linnet.install.webhooks import SUFFIX, UNTOUCHED
from linnet.kube.selectors import matches

INJECTION, INJECT = "istio-injection", "sidecar.istio.io/inject"

Object = Mapping[str, Any]


class Injector(Struct, frozen=True, order=True):
    """A webhook entry that matches. `revision` as labels write it; `tag` is empty for a revision's own."""

    webhook: str
    entry: str
    revision: str
    tag: str


def labels_of(obj: Object) -> Mapping[str, str]:
    """The labels of an object."""
    return (obj.get("metadata") or {}).get("labels") or {}


def revision_label(obj: Object) -> str:
    """The revision that an object names; `default` if it names none."""
    return labels_of(obj).get(REV, NAME)


def entries(hook: Object) -> list[Object]:
    """The entries of a webhook object that inject."""
    return [entry for entry in hook.get("webhooks") or () if entry["name"].endswith(SUFFIX)]


def injectors(
    hooks: Iterable[Object], namespace: Mapping[str, str], pod: Mapping[str, str]
) -> list[Injector]:
    """All entries that match a pod with these labels in a namespace with those, by name; none: no proxy."""
    return sorted(
        Injector(
            hook["metadata"]["name"], entry["name"], revision_label(hook), labels_of(hook).get(TAG_LABEL, "")
        )
        for hook in hooks
        for entry in entries(hook)
        if matches(entry.get("namespaceSelector") or {}, namespace)
        and matches(entry.get("objectSelector") or {}, pod)
    )


def decides(namespace: Mapping[str, str], pod: Mapping[str, str]) -> tuple[str, str]:
    """Whose label decides about injection, and the revision or tag it asks for (empty: for none).

    The first is `namespace`, `pod` or empty (nobody asks). A namespace with either label beats the pod's.
    """
    if INJECTION in namespace:
        return "namespace", NAME if namespace[INJECTION] == "enabled" else ""
    if REV in namespace:
        return "namespace", namespace[REV]
    if REV in pod:
        return "pod", pod[REV]
    return ("pod", NAME) if pod.get(INJECT) == "true" else ("", "")


def unknown(hooks: Sequence[Object], namespaces: Iterable[Object]) -> list[tuple[str, str]]:
    """Namespaces whose label `istio.io/rev` names nobody, with the label: their pods get no proxy."""
    found = []
    for namespace in namespaces:
        labels, name = labels_of(namespace), namespace["metadata"]["name"]
        asks = REV in labels and INJECTION not in labels and name not in UNTOUCHED
        if asks and not injectors(hooks, labels, {}):
            found.append((name, labels[REV]))
    return sorted(found)
