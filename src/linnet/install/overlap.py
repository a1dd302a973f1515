"""Whether two injectors would serve one pod: every combination of labels against every webhook (pure).

Source: Istio, the check before an installation creates or moves the default tag.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from typing import Any

from linnet.install.marks import REV
from linnet.install.plane import NAME
from linnet.install.webhooks import SUFFIX
from linnet.kube.selectors import matches

_INJECTION, _INJECT = "istio-injection", "sidecar.istio.io/inject"
_MOST = 3  # combinations that are shown

Object = Mapping[str, Any]


def overlaps(live: Sequence[Object], wanted: Sequence[Object]) -> list[str]:
    """What more than one Service would inject, in words, once `wanted` has replaced those of the same name.

    Webhooks that call the same Service do not count: injecting twice is injecting once.
    """
    names = {obj["metadata"]["name"] for obj in wanted}
    hooks = [*wanted, *(obj for obj in live if obj["metadata"]["name"] not in names)]
    revisions = sorted({value for obj in hooks for value in _revisions(obj)} | {NAME})
    found = []
    for namespace, pod in _combinations(revisions):
        serving = _serving(hooks, namespace, pod)
        if len(set(serving.values())) > 1:
            who = " and ".join(sorted(serving))
            found.append(
                f"a pod with {_text(pod)} in a namespace with {_text(namespace)} is injected by {who}"
            )
    return found[:_MOST] + ([f"and {len(found) - _MOST} more combinations"] if len(found) > _MOST else [])


def _revisions(obj: Object) -> Iterable[str]:
    labels = obj["metadata"].get("labels") or {}
    return [labels[key] for key in (REV, "istio.io/tag") if labels.get(key)]


def _combinations(revisions: Sequence[str]) -> Iterable[tuple[dict[str, str], dict[str, str]]]:
    rev: list[str | None] = [None, *revisions]
    for injection, space, inject, own in product(
        (None, "enabled", "disabled"), rev, (None, "true", "false"), rev
    ):
        yield _labels((_INJECTION, injection), (REV, space)), _labels((_INJECT, inject), (REV, own))


def _labels(*pairs: tuple[str, str | None]) -> dict[str, str]:
    return {key: value for key, value in pairs if value is not None}


def _serving(hooks: Sequence[Object], namespace: dict[str, str], pod: dict[str, str]) -> dict[str, str]:
    """Webhook object -> what it calls, for those that match."""
    return {
        obj["metadata"]["name"]: _called(entry["clientConfig"])
        for obj in hooks
        for entry in obj.get("webhooks") or ()
        if entry["name"].endswith(SUFFIX)
        and matches(entry.get("namespaceSelector") or {}, namespace)
        and matches(entry.get("objectSelector") or {}, pod)
    }


def _called(client: Object) -> str:
    service = client.get("service") or {}
    return f"{service['namespace']}/{service['name']}" if service else str(client.get("url"))


def _text(labels: Mapping[str, str]) -> str:
    return ", ".join(f"{key}={value}" for key, value in labels.items()) or "no labels"
