r"""What `k8s.overlays` of a component changes in its rendered objects (pure).

    overlays:
    - kind: Deployment                    # and apiVersion, when given
      name: istiod-canary
      patches:
      - path: spec.template.spec.containers.[name:discovery].args.[-1]
        value: --log_as_json              # no value: what is at the path goes

A step of a path is a key (`\.` is a dot in it), `[KEY:VALUE]` the element of a list whose field is so,
`[:VALUE]` the element that is so, `[N]` the N-th from 0, `[-1]` a new one at the end.
Source: Istio, IstioOperator API, K8sObjectOverlay.
"""

import re
from collections.abc import Mapping, Sequence
from copy import deepcopy
from itertools import pairwise
from typing import Any

from linnet.install.marks import Object

_STEP = re.compile(r"\[[^\]]*\]|(?:\\.|[^.\[\]\\])+")
_END = -1  # the index of an element that is to be


class OverlayError(ValueError):
    """A patch that fits no object; the message names the patch, what is missing and what there is."""


def overlaid(
    objects: Sequence[Object], k8s: Mapping[str, Any], where: str, *, revision: str | None = None
) -> list[Object]:
    """The objects with every patch applied, in order; `where` names `k8s` in messages.

    `revision`: of a plane, part of its objects' names. An overlay that names another one, or none, means the
    same object: so it can be inherited by the next revision.

    Raises:
        OverlayError: no object has that kind and name, or nothing is at a path that should be changed.
    """
    found = list(objects)
    for number, entry in enumerate(k8s.get("overlays") or ()):
        at = f"{where}.overlays[{number}]"
        index = _meant(found, entry, at, revision)
        patched = deepcopy(found[index])
        for count, patch in enumerate(entry.get("patches") or ()):
            _patch(patched, patch, f"{at}.patches[{count}]")
        found[index] = patched
    return found


def _meant(objects: Sequence[Object], entry: Mapping[str, Any], at: str, revision: str | None) -> int:
    name, fits = str(entry.get("name")), dict[int, int]()  # index: characters that agree
    for index, obj in enumerate(objects):
        if obj["kind"] != entry.get("kind") or entry.get("apiVersion") not in (None, "", obj["apiVersion"]):
            continue
        if obj["metadata"]["name"] == name:
            return index
        base = obj["metadata"]["name"].removesuffix(f"-{revision}")
        if revision is not None and f"{name}-".startswith(f"{base}-"):
            fits[index] = len(base)
    if fits:
        return max(fits, key=lambda index: fits[index])
    same = [obj for obj in objects if obj["kind"] == entry.get("kind")]
    there = ", ".join(f"{obj['kind']} {obj['metadata']['name']}" for obj in same or objects)
    raise OverlayError(f"{at}: this component has no {entry.get('kind')} {name}; it has: {there}")


def _patch(obj: Object, patch: Mapping[str, Any], at: str) -> None:
    path = str(patch.get("path") or "")
    steps = _STEP.findall(path)
    if not steps or _joined(steps) != path.replace(".[", "["):
        raise OverlayError(f"{at}.path: {path!r} is no path; write it like spec.template.[name:x].args.[0]")
    here: Any = obj
    for step, following in pairwise(steps):
        key = _key(here, step, f"{at}.path: {path}")
        if isinstance(here, dict) and here.get(key) is None:
            here[key] = [] if following.startswith("[") else {}
        elif key == _END:
            raise OverlayError(f"{at}.path: {path}: {step} is a new element, nothing is below it")
        here = here[key]
    key, value = _key(here, steps[-1], f"{at}.path: {path}"), patch.get("value")
    if key == _END:
        here.append(value)
    elif value is not None:
        here[key] = value
    elif isinstance(here, list) or key in here:
        del here[key]
    else:
        raise OverlayError(f"{at}.path: {path}: there is nothing to remove")


def _joined(steps: Sequence[str]) -> str:
    first, *rest = steps
    return first + "".join(step if step.startswith("[") else f".{step}" for step in rest)


def _key(here: Any, step: str, at: str) -> Any:
    """The key or index that a step means in a mapping or a list."""
    if not step.startswith("["):
        if not isinstance(here, dict):
            raise OverlayError(f"{at}: {step} is below something that has no fields")
        return step.replace("\\", "")
    if not isinstance(here, list):
        raise OverlayError(f"{at}: {step} is below something that is no list")
    inner = step[1:-1]
    if re.fullmatch(r"-?\d+", inner):
        if int(inner) != _END and not 0 <= int(inner) < len(here):
            raise OverlayError(f"{at}: there is no {step}, the list has {len(here)} elements")
        return int(inner)
    key, colon, value = inner.partition(":")
    for index, element in enumerate(here):
        field = element.get(key) if key and isinstance(element, Mapping) else element
        if colon and str(field) == value:
            return index
    raise OverlayError(f"{at}: no element of the list is {step}")
