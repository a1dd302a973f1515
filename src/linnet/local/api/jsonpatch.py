"""JSON patch (RFC 6902) with the error texts of Kubernetes' library."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from linnet.local.api.copies import copied

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Json = dict[str, Any]

_MISSING = object()


class PatchError(ValueError):
    """A patch that is malformed (`code` 400) or does not fit the object (`code` 422)."""

    def __init__(self, message: str, *, code: int = 422) -> None:
        super().__init__(message)
        self.message = message
        self.code = code


def json_patch(doc: Json, operations: Sequence[Json]) -> Json:
    """The document after the operations; `doc` is not changed. Raises: PatchError.

    Source: RFC 6902; texts observed with Kubernetes 1.35.
    """
    if not isinstance(operations, list):
        raise PatchError("json: cannot unmarshal object into Go value of type jsonpatch.Patch", code=400)
    out: Any = copied(doc)
    for operation in operations:
        if not isinstance(operation, dict):
            raise PatchError(
                "json: cannot unmarshal value into Go value of type jsonpatch.Operation", code=400
            )
        apply = _OPERATIONS.get(operation.get("op", ""))
        if apply is None:
            raise PatchError(f"Unexpected kind: {operation.get('op', '')}")
        if not isinstance(operation.get("path"), str):
            raise PatchError("Unexpected path: missing value")
        out = apply(out, operation)
    if not isinstance(out, dict):
        raise PatchError("the patched document is not an object")
    return out


def _tokens(path: str) -> list[str]:
    """The reference tokens of a JSON pointer, unescaped."""
    if not path:
        return []
    if not path.startswith("/"):
        raise PatchError(f'JSON pointer must be empty or start with a "/": {path}')
    return [token.replace("~1", "/").replace("~0", "~") for token in path[1:].split("/")]


def _step(container: Any, token: str) -> Any:
    """What `token` names inside a container, or _MISSING."""
    if isinstance(container, dict):
        return container.get(token, _MISSING)
    if isinstance(container, list) and token.lstrip("-").isdigit():
        index = int(token)
        return container[index] if -len(container) <= index < len(container) else _MISSING
    return _MISSING


def _parent(doc: Any, path: str, op: str) -> tuple[Any, str]:
    """The container that the last token of a path names something in."""
    *head, last = _tokens(path) or [""]
    found = doc
    for token in head:
        found = _step(found, token)
        if not isinstance(found, dict | list):
            raise PatchError(f"{op} operation does not apply: doc is missing path: {path}: missing value")
    return found, last


def _found(doc: Any, path: str, op: str, *, key: str = "path") -> Any:
    """The value at a path; it must be there."""
    if not path:
        return doc
    container, last = _parent(doc, path, op)
    value = _step(container, last)
    if value is _MISSING:
        raise PatchError(f"{op} operation does not apply: doc is missing {key}: {path}: missing value")
    return value


def _put(doc: Any, path: str, value: Any, op: str) -> Any:
    """`doc` with the value added at a path: inserted into lists, set in objects."""
    if not path:
        return value
    container, last = _parent(doc, path, op)
    if isinstance(container, dict):
        container[last] = value
        return doc
    if last == "-":
        container.append(value)
        return doc
    if not last.lstrip("-").isdigit():
        raise PatchError(f'{op} operation does not apply: invalid array index: "{last}"')
    index = int(last) if not last.startswith("-") else int(last) + len(container) + 1
    if not 0 <= index <= len(container):
        raise PatchError(
            f"{op} operation does not apply: Unable to access invalid index: {last}: invalid index referenced"
        )
    container.insert(index, value)
    return doc


def _drop(doc: Any, path: str, op: str, *, key: str = "path") -> Any:
    """`doc` without the value at a path, which must be there."""
    _found(doc, path, op, key=key)
    container, last = _parent(doc, path, op)
    if isinstance(container, dict):
        del container[last]
    else:
        del container[int(last)]
    return doc


def _value(operation: Json) -> Any:
    if "value" not in operation:
        raise PatchError(f"{operation['op']} operation does not apply: missing value")
    return copied(operation["value"])


def _source(operation: Json) -> str:
    source = operation.get("from")
    if not isinstance(source, str):
        raise PatchError(f"{operation['op']} operation does not apply: missing from")
    return source


def _add(doc: Any, operation: Json) -> Any:
    return _put(doc, operation["path"], _value(operation), "add")


def _remove(doc: Any, operation: Json) -> Any:
    return _drop(doc, operation["path"], "remove")


def _replace(doc: Any, operation: Json) -> Any:
    path = operation["path"]
    value = _value(operation)
    if not path:
        return value
    _found(doc, path, "replace")
    container, last = _parent(doc, path, "replace")
    container[last if isinstance(container, dict) else int(last)] = value
    return doc


def _move(doc: Any, operation: Json) -> Any:
    source = _source(operation)
    value = _found(doc, source, "move", key="from path")
    return _put(_drop(doc, source, "move", key="from path"), operation["path"], value, "move")


def _copy(doc: Any, operation: Json) -> Any:
    value = _found(doc, _source(operation), "copy", key="from path")
    return _put(doc, operation["path"], copied(value), "copy")


def _test(doc: Any, operation: Json) -> Any:
    path = operation["path"]
    try:
        found = _found(doc, path, "test")
    except PatchError:
        if operation.get("value") is None:
            return doc
        raise
    if not _equal(found, operation.get("value")):
        raise PatchError(f"testing value {path} failed: test failed")
    return doc


def _equal(left: Any, right: Any) -> bool:
    """Equality of JSON values: true is not 1."""
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(_equal(left[key], right[key]) for key in left)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(_equal, left, right))
    return bool(left == right)


_OPERATIONS: dict[str, Callable[[Any, Json], Any]] = {
    "add": _add,
    "remove": _remove,
    "replace": _replace,
    "move": _move,
    "copy": _copy,
    "test": _test,
}
