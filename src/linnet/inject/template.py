"""Our template language: a partial pod in YAML whose scalars take values from a context (pure).

    ${path}       the value at a path; alone in a scalar it keeps its type, and null drops the key or the item
    $if: path     keeps the mapping that it stands in only when the value is true; `!path` when it is not
    $text: value  with $if in a list of strings: the item

A template is compiled once into closures; rendering walks them.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

Render = Callable[[Mapping[str, Any]], Any]
_REFERENCE = re.compile(r"\$\{([A-Za-z0-9_.\-/]+)\}")
DROPPED = object()


class TemplateError(ValueError):
    """A template or a reference that cannot be used; the message quotes it."""


def compile_template(node: Any) -> Render:
    """A function from a context to the rendered value of a template that YAML has already parsed."""
    if isinstance(node, str):
        return _scalar(node)
    if isinstance(node, Mapping):
        return _mapping(node)
    if isinstance(node, list):
        return _list(node)
    return lambda _: node


def _lookup(path: str) -> Render:
    steps = path.split(".")

    def render(context: Mapping[str, Any]) -> Any:
        here: Any = context
        for index, step in enumerate(steps):
            if not isinstance(here, Mapping):
                return None
            if index == 0 and step not in here:
                raise TemplateError(
                    f"${{{path}}}: the context has no {step!r}; there are: {', '.join(sorted(here))}"
                )
            here = here.get(step)
            if here is None:
                return None
        return here

    return render


def _scalar(text: str) -> Render:
    whole = _REFERENCE.fullmatch(text)
    if whole:
        find = _lookup(whole.group(1))

        def alone(context: Mapping[str, Any]) -> Any:
            value = find(context)
            return DROPPED if value is None else value

        return alone
    parts = _REFERENCE.split(text)
    if len(parts) == 1:
        return lambda _: text
    finders = [_lookup(part) if index % 2 else None for index, part in enumerate(parts)]

    def joined(context: Mapping[str, Any]) -> str:
        return "".join(
            _text(find(context)) if find else part for find, part in zip(finders, parts, strict=True)
        )

    return joined


def _text(value: Any) -> str:
    if value is None:
        return ""
    return ("true" if value else "false") if isinstance(value, bool) else str(value)


def _condition(expression: Any) -> Callable[[Mapping[str, Any]], bool]:
    if not isinstance(expression, str):
        raise TemplateError(f"$if: {expression!r}: expected a path")
    find = _lookup(expression.removeprefix("!"))
    negated = expression.startswith("!")
    return lambda context: bool(find(context)) is not negated


def _mapping(node: Mapping[str, Any]) -> Render:
    holds = _condition(node["$if"]) if "$if" in node else None
    if "$text" in node:
        inner: Render = compile_template(node["$text"])
    else:
        inner = _fields([(key, compile_template(value)) for key, value in node.items() if key != "$if"])

    def render(context: Mapping[str, Any]) -> Any:
        return inner(context) if holds is None or holds(context) else DROPPED

    return render


def _fields(items: list[tuple[str, Render]]) -> Render:
    def render(context: Mapping[str, Any]) -> dict[str, Any]:
        found = {}
        for key, item in items:
            value = item(context)
            if value is not DROPPED:
                found[key] = value
        return found

    return render


def _list(node: list[Any]) -> Render:
    items = [compile_template(item) for item in node]

    def render(context: Mapping[str, Any]) -> list[Any]:
        return [value for item in items if (value := item(context)) is not DROPPED]

    return render
