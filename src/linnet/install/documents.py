"""YAML in and out: users' files with line numbers in errors, our own output in plain block style."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

_PLAIN = re.compile(r"[A-Za-z/_][A-Za-z0-9_./:\-]*$")
_RESERVED = frozenset({"true", "false", "null", "yes", "no", "on", "off", "y", "n", "nan", "inf"})


class DocumentError(ValueError):
    """Text that is no YAML; the message names the source and the line."""


def load(text: str, source: str) -> list[dict[str, Any]]:
    """The documents of a YAML text that are not empty. `source` is named in errors.

    Raises:
        DocumentError: no YAML, or a document that is not a mapping.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        documents = [
            document for document in YAML(typ="safe", pure=True).load_all(text) if document is not None
        ]
    except YAMLError as error:
        raise DocumentError(f"{source}: not valid YAML: {' '.join(str(error).split())}") from error
    for document in documents:
        if not isinstance(document, dict):
            raise DocumentError(f"{source}: expected a mapping, found {type(document).__name__}")
    return documents


def dump(value: Any) -> str:
    """A value as block-style YAML with a newline at its end; strings that YAML could misread are quoted."""
    return "\n".join(_lines(value)) + "\n"


def dump_all(objects: Iterable[Mapping[str, Any]]) -> str:
    """Objects as a stream of YAML documents, separated by `---`."""
    return "---\n".join(dump(obj) for obj in objects)


def _lines(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping) and value:
        for key, item in value.items():
            yield from _entry(_scalar(key) + ":", item)
    elif isinstance(value, list | tuple) and value:
        for item in value:
            first, *rest = _lines(item)
            yield f"- {first}"
            yield from (f"  {line}" for line in rest)
    else:
        yield _scalar(value)


def _entry(key: str, item: Any) -> Iterator[str]:
    if isinstance(item, str) and "\n" in item and _block(item):
        yield f"{key} |" + ("" if item.endswith("\n") else "-")
        yield from (f"  {line}" if line else "" for line in item.removesuffix("\n").split("\n"))
    elif isinstance(item, Mapping) and item:
        yield key
        yield from (f"  {line}" for line in _lines(item))
    elif isinstance(item, list | tuple) and item:
        yield key
        yield from _lines(item)
    else:
        yield f"{key} {_scalar(item)}"


def _block(text: str) -> bool:
    return (
        text[0] not in " \n"
        and not text.endswith("\n\n")
        and text.isprintable() is False
        and "\t" not in text
    )


def _scalar(value: Any) -> str:
    if isinstance(value, str) and _PLAIN.match(value) and value.lower() not in _RESERVED and value[-1] != ":":
        return value
    return json.dumps(value, ensure_ascii=False)
