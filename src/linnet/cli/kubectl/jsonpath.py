"""JSONPath as kubectl templates write it: `{.items..metadata.name}`, `{range .items[*]}…{end}`, quoted text.

Source: Kubernetes, JSONPath support; filters are `[?(@.field == "value")]`.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Any

import orjson

_STEP = re.compile(
    r"""\.\.(?P<deep>[\w-]+|\*)|\.(?P<field>(?:\\.|[\w/-])+|\*)|\[(?P<index>-?\d+)\]|\[(?P<from>-?\d*):(?P<to>-?\d*)\]
    |\[(?P<all>\*)\]|\['(?P<quoted>[^']*)'\]|\[\?\(@(?P<path>[^=!)\s]+)\s*(?P<operator>==|!=)\s*["'](?P<value>[^"']*)["']\)\]""",
    re.VERBOSE,
)


class TemplateError(ValueError):
    """A template that cannot be read; the message names the place."""


def render(template: str, document: Any) -> str:
    """The text of a template for a document; what is missing is empty."""
    text, rest = _block(_parts(template), 0, document)
    if rest != len(_parts(template)):
        raise TemplateError(f"{template}: {{end}} without {{range}}")
    return text


def _parts(template: str) -> list[tuple[str, str]]:
    """`(kind, text)`: literal text outside of braces, expressions inside."""
    parts = []
    for literal, expression in re.findall(r"([^{]+)|\{((?:\"(?:\\.|[^\"])*\"|'[^']*'|[^}])*)\}", template):
        parts.append(("text", literal) if literal else ("expression", expression.strip()))
    if template.count("{") != template.count("}") and not any("{" in part for _, part in parts):
        raise TemplateError(f"{template}: unbalanced braces")
    return parts


def _block(parts: Sequence[tuple[str, str]], at: int, document: Any) -> tuple[str, int]:
    result = []
    while at < len(parts):
        kind, text = parts[at]
        if kind == "text":
            result.append(text)
        elif text == "end":
            return "".join(result), at
        elif text.startswith("range"):
            end = at
            for item in find(text.removeprefix("range").strip(), document):
                inner, end = _block(parts, at + 1, item)
                result.append(inner)
            at = end if end > at else _skip(parts, at + 1)
        elif text[:1] in "\"'":
            result.append(text[1:-1].encode().decode("unicode_escape"))
        else:
            result.append(" ".join(_shown(found) for found in find(text, document)))
        at += 1
    return "".join(result), at


def _skip(parts: Sequence[tuple[str, str]], at: int) -> int:
    depth = 1
    while at < len(parts):
        text = parts[at][1] if parts[at][0] == "expression" else ""
        depth += text.startswith("range") - (text == "end")
        if not depth:
            return at
        at += 1
    raise TemplateError("{range} without {end}")


def _shown(value: Any) -> str:
    if isinstance(value, str):
        return value
    return orjson.dumps(value).decode()


def find(path: str, document: Any) -> list[Any]:
    """Every value that a path such as `.items[*].metadata.name` leads to."""
    path = path.removeprefix("$").removeprefix("@")
    if path and path[0] not in ".[":
        path = "." + path
    found, at = [document], 0
    while at < len(path):
        if path[at:] == ".":
            break
        step = _STEP.match(path, at)
        if step is None:
            raise TemplateError(f"{path}: cannot read {path[at:]!r}")
        found = [value for one in found for value in _follow(step, one)]
        at = step.end()
    return found


def _follow(step: re.Match[str], value: Any) -> Iterator[Any]:
    group = step.groupdict()
    name = group["field"] or group["quoted"]
    if group["deep"]:
        yield from _everywhere(group["deep"], value)
    elif name == "*" or group["all"]:
        yield from value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    elif name is not None:
        key = name.replace("\\", "")
        if isinstance(value, dict) and key in value:
            yield value[key]
    elif not isinstance(value, list):
        return
    elif group["index"]:
        index = int(group["index"])
        yield from value[index : index + 1 or None]
    elif group["path"]:
        for item in value:
            equal = [_shown(found) for found in find(group["path"], item)] == [group["value"]]
            if equal == (group["operator"] == "=="):
                yield item
    else:
        yield from value[int(group["from"] or 0) : int(group["to"]) if group["to"] else None]


def _everywhere(name: str, value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        if name in value:
            yield value[name]
        for child in value.values():
            yield from _everywhere(name, child)
    elif isinstance(value, list):
        for child in value:
            yield from _everywhere(name, child)
