"""What `get` prints: the server's own tables, or objects as JSON, YAML, names or a template."""

import io
import json
from typing import Any

from linnet.cli.faults import UserError
from linnet.cli.kubectl.jsonpath import TemplateError, find, render
from linnet.kube.kinds import Kind

TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"


def table(
    document: dict[str, Any], *, wide: bool, namespaces: bool, prefix: str, headers: bool = True
) -> str:
    """A server's Table as text, three blanks between columns. Wide columns have a priority above zero."""
    shown = [
        at for at, column in enumerate(document["columnDefinitions"]) if wide or not column.get("priority")
    ]
    head = [document["columnDefinitions"][at]["name"].upper() for at in shown]
    rows = [
        [("<none>" if row["cells"][at] is None else str(row["cells"][at])) for at in shown]
        for row in document.get("rows") or ()
    ]
    if prefix:
        for row in rows:
            row[0] = f"{prefix}/{row[0]}"
    if namespaces:
        head.insert(0, "NAMESPACE")
        for row, source in zip(rows, document.get("rows") or (), strict=True):
            row.insert(0, source["object"]["metadata"].get("namespace", ""))
    lines = [head, *rows] if headers else rows
    widths = [max(3, *(len(line[at]) for line in lines)) + 3 for at in range(len(head))] if lines else []
    text = ("".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in lines)
    return "\n".join(line.rstrip() for line in text)


def ordered(found: list[dict[str, Any]], field: str, *, within: str = "") -> list[dict[str, Any]]:
    """Objects, or rows that have them `within` a field, by a field: `.metadata.name`, `{.spec.replicas}`.

    Raises:
        UserError: the field cannot be read.
    """
    if not field:
        return found
    path = "." + field.strip("{}").removeprefix(".")
    try:
        values = [next(iter(find(within + path, entry)), None) for entry in found]
    except TemplateError as error:
        raise UserError(f"--sort-by {field}: {error}") from error
    order = sorted(range(len(found)), key=lambda at: _rank(values[at]))
    return [found[at] for at in order]


def _rank(value: Any) -> tuple[int, float, str]:
    """Missing values first, then numbers, then text."""
    if value is None:
        return (0, 0.0, "")
    if isinstance(value, int | float):
        return (1, float(value), "")
    return (2, 0.0, str(value))


def objects(found: list[dict[str, Any]], output: str, *, single: bool, kind: Kind) -> str:
    """Objects in the form that `-o` names, without what field managers own.

    Raises:
        UserError: there is no such form.
    """
    for obj in found:
        obj.get("metadata", {}).pop("managedFields", None)
    document = (
        found[0]
        if single
        else {"apiVersion": "v1", "items": found, "kind": "List", "metadata": {"resourceVersion": ""}}
    )
    form, _, template = output.partition("=")
    if form == "json":
        return json.dumps(document, indent=4, sort_keys=True, ensure_ascii=False)
    if form == "yaml":
        return _yaml(document)
    if form == "name":
        singular = f"{kind.name.lower()}.{kind.group}" if kind.group else kind.name.lower()
        return "\n".join(f"{singular}/{obj['metadata']['name']}" for obj in found)
    if form == "jsonpath":
        try:
            return render(template, document)
        except TemplateError as error:
            raise UserError(f"-o jsonpath: {error}") from error
    raise UserError(f"-o {output}: use json, yaml, name, wide or jsonpath='{{…}}'")


def _yaml(document: dict[str, Any]) -> str:
    from ruamel.yaml import YAML

    writer, stream = YAML(typ="safe", pure=True), io.StringIO()
    writer.default_flow_style = False
    writer.dump(document, stream)
    return stream.getvalue().rstrip("\n")
