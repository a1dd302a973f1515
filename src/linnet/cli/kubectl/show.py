"""What `get` prints: the server's own tables, or objects as JSON, YAML, names or a template."""

import io
from typing import Any

import orjson

from linnet.cli.faults import UserError
from linnet.cli.kubectl.jsonpath import TemplateError, render
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
    widths = [max(len(line[at]) for line in lines) for at in range(len(head))] if lines else []
    text = ("   ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in lines)
    return "\n".join(line.rstrip() for line in text)


def objects(found: list[dict[str, Any]], output: str, *, single: bool, kind: Kind) -> str:
    """Objects in the form that `-o` names. Raises UserError for a form that does not exist."""
    document = (
        found[0]
        if single
        else {"apiVersion": "v1", "items": found, "kind": "List", "metadata": {"resourceVersion": ""}}
    )
    form, _, template = output.partition("=")
    if form == "json":
        return orjson.dumps(document, option=orjson.OPT_INDENT_2).decode()
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
