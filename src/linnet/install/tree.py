"""Trees of plain values: paths into them as `--set` writes them, and how one tree is laid over another."""

import json
import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

Tree = dict[str, Any]
_TOKEN = re.compile(r"(?:\\.|[^.\[\]\\])+|\[\d+\]|\.")
_TEXT = frozenset(
    {"hub", "tag", "revision", "istioNamespace"}
)  # keys whose values stay text: 1.10 is no number


class PathError(ValueError):
    """A path or an assignment that cannot be read; the message quotes it."""


def parse_path(path: str) -> tuple[str | int, ...]:
    r"""The keys of a path like `components.ingressGateways[0].enabled`; `\.` is a dot inside a key."""
    steps: list[str | int] = []
    if "".join(_TOKEN.findall(path)) != path or not path:
        raise PathError(
            f"{path!r} is no path; write it like values.global.hub or components.ingressGateways[0].enabled"
        )
    for part in _TOKEN.findall(path):
        if part.startswith("["):
            steps.append(int(part[1:-1]))
        elif part != ".":
            steps.append(part.replace("\\", ""))
    return tuple(steps)


def parse_assignment(text: str) -> tuple[tuple[str | int, ...], Any]:
    """The path and the value of `path=value`."""
    path, equals, value = text.partition("=")
    if not equals:
        raise PathError(f"--set {text!r}: expected path=value")
    steps = parse_path(path.strip())
    return steps, value if steps[-1] in _TEXT else _scalar(value)


def _scalar(text: str) -> Any:
    if text in ("true", "false"):
        return text == "true"
    if text == "null":
        return None
    if re.fullmatch(r"-?(0|[1-9]\d*)", text):
        return int(text)
    if re.fullmatch(r"-?\d+\.\d+", text):
        return float(text)
    if text[:1] in ("[", '"') or (text[:1] == "{" and ":" in text):
        try:
            return json.loads(text)
        except json.JSONDecodeError as error:
            raise PathError(f"{text!r} is no JSON value: {error.msg}") from error
    if text[:1] == "{" and text[-1:] == "}":  # helm's list: {a,b}
        return [_scalar(part.strip()) for part in text[1:-1].split(",") if part.strip()]
    return text


def assign(tree: Tree, steps: Sequence[str | int], value: Any) -> None:
    """Set the value at a path, making what is missing on the way; None removes it."""
    here: Any = tree
    for step, following in pairwise(steps):
        here = _child(here, step, [] if isinstance(following, int) else {})
    last = steps[-1]
    if isinstance(last, int):
        _child(here, last, None)
        here[last] = value
    elif not isinstance(here, dict):
        raise PathError(f"{'.'.join(map(str, steps))}: {last!r} is below a value that has no fields")
    elif value is None:
        here.pop(last, None)
    else:
        here[last] = value


def _child(here: Any, step: str | int, empty: Any) -> Any:
    if isinstance(step, int):
        if not isinstance(here, list) or step > len(here):
            raise PathError(f"[{step}] is not below a list of that length")
        if step == len(here):
            here.append(empty)
        return here[step]
    if not isinstance(here, dict):
        raise PathError(f"{step!r} is below a value that has no fields")
    if here.get(step) is None:
        here[step] = empty
    return here[step]


def lookup(tree: Mapping[str, Any], path: str, default: Any = None) -> Any:
    """The value at a dotted path of keys, or `default` when a step is missing or null."""
    here: Any = tree
    for step in path.split("."):
        if not isinstance(here, Mapping) or here.get(step) is None:
            return default
        here = here[step]
    return here


def overlay(base: Any, over: Any) -> Any:
    """A new tree: mappings merge by key, lists of named mappings by name, anything else is replaced."""
    if isinstance(base, Mapping) and isinstance(over, Mapping):
        merged = dict(base)
        for key, value in over.items():
            merged[key] = overlay(base[key], value) if key in base else value
        return merged
    if _named(base) and _named(over):
        by_name = {item["name"]: item for item in base}
        for item in over:
            by_name[item["name"]] = overlay(by_name.get(item["name"], {}), item)
        return list(by_name.values())
    return over


def without_nulls(tree: Mapping[str, Any]) -> Tree:
    """A new tree without the keys whose value is null: an overlay takes a default away with them."""
    return {
        key: without_nulls(value) if isinstance(value, Mapping) else value
        for key, value in tree.items()
        if value is not None
    }


def _named(value: Any) -> bool:
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(item, Mapping) and "name" in item for item in value)
    )
