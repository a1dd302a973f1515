"""What Kubernetes refuses in CustomResourceDefinitions.

Source: Kubernetes, `apiextensions-apiserver/pkg/apis/apiextensions/validation`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from linnet.local.api.causes import Cause, forbidden, invalid, not_supported, required
from linnet.local.api.names import dns_label_1035, dns_subdomain

if TYPE_CHECKING:
    from collections.abc import Iterator

Json = dict[str, Any]

_TYPES = ("array", "boolean", "integer", "number", "object", "string")
_COLUMN_TYPES = ("boolean", "date", "integer", "number", "string")
_COLUMN_PATH = re.compile(r"\.\S.*|\$?\{.*\}", re.DOTALL)


def causes(crd: Json, old: Json | None = None) -> list[Cause]:
    """What is wrong with a (defaulted) CRD, in Kubernetes' order and words."""
    spec = crd.get("spec") or {}
    names = spec.get("names") or {}
    found: list[Cause] = []
    wanted = f"{names.get('plural', '')}.{spec.get('group', '')}"
    if crd["metadata"].get("name") != wanted:
        why = 'must be spec.names.plural+"."+spec.group'
        found.append(invalid("metadata.name", crd["metadata"].get("name", ""), why))
    found += _group(spec)
    if spec.get("scope") not in ("Cluster", "Namespaced"):
        found.append(
            not_supported("spec.scope", spec.get("scope", ""), ("Cluster", "Namespaced"))
            if spec.get("scope")
            else required("spec.scope")
        )
    versions = spec.get("versions") or []
    found += _versions(versions)
    found += _names(names)
    for at, version in enumerate(versions):
        found += _version(version, f"spec.versions[{at}]")
    if not any(version.get("storage") for version in versions):
        found.append(invalid("status.storedVersions", None, "must have at least one stored version"))
    if old is not None:
        found += _immutable(crd, old)
    return found


def _group(spec: Json) -> list[Cause]:
    group = spec.get("group") or ""
    if not group:
        return [required("spec.group")]
    found = [invalid("spec.group", group, why) for why in dns_subdomain(group)]
    if "." not in group:
        found.append(invalid("spec.group", group, "should be a domain with at least one dot"))
    return found


def _versions(versions: list[Json]) -> list[Cause]:
    found: list[Cause] = []
    seen: set[str] = set()
    for at, version in enumerate(versions):
        name = version.get("name") or ""
        if name in seen:
            found.append(invalid(f"spec.versions[{at}].name", name, "must be unique"))
        seen.add(name)
        found += [invalid(f"spec.versions[{at}].name", name, why) for why in dns_label_1035(name)]
    if sum(bool(version.get("storage")) for version in versions) != 1:
        found.append(
            invalid("spec.versions", versions, "must have exactly one version marked as storage version")
        )
    return found


def _names(names: Json) -> list[Cause]:
    found: list[Cause] = []
    for field in ("plural", "singular", "kind", "listKind"):
        value = names.get(field) or ""
        if not value:
            if field != "singular":
                found.append(required(f"spec.names.{field}"))
            continue
        checked = value.lower() if field in ("kind", "listKind") else value
        found += [invalid(f"spec.names.{field}", value, why) for why in dns_label_1035(checked)]
    for field in ("shortNames", "categories"):
        for at, value in enumerate(names.get(field) or ()):
            found += [invalid(f"spec.names.{field}[{at}]", value, why) for why in dns_label_1035(value)]
    if names.get("kind") and names.get("kind") == names.get("listKind"):
        found.append(
            invalid("spec.names.listKind", names["listKind"], "kind and listKind may not be the same")
        )
    return found


def _version(version: Json, path: str) -> list[Cause]:
    schema = (version.get("schema") or {}).get("openAPIV3Schema")
    place = f"{path}.schema.openAPIV3Schema"
    found: list[Cause] = []
    if schema is None:
        found.append(required(place, "schemas are required"))
    else:
        found += _root(schema, place)
    for at, column in enumerate(version.get("additionalPrinterColumns") or ()):
        found += _column(column, f"{path}.additionalPrinterColumns[{at}]")
    scale = (version.get("subresources") or {}).get("scale")
    if scale is not None:
        found += _scale(scale, f"{path}.subresources.scale")
    return found


def _root(schema: Json, path: str) -> list[Cause]:
    kind = schema.get("type")
    if not kind:
        return [required(f"{path}.type", "must not be empty at the root"), *_below(schema, path)]
    if kind != "object":
        return [invalid(f"{path}.type", kind, "must be object at the root")]
    return list(_structural(schema, path, ""))


def _structural(schema: Json, path: str, where: str) -> Iterator[Cause]:
    """The rules of structural schemas that users meet."""
    kind = schema.get("type") or ""
    free = schema.get("x-kubernetes-int-or-string") or schema.get("x-kubernetes-preserve-unknown-fields")
    if not kind and not free:
        yield required(f"{path}.type", f"must not be empty for specified {where}")
    elif kind and kind not in _TYPES:
        yield not_supported(f"{path}.type", kind, _TYPES)
    if kind == "array" and not isinstance(schema.get("items"), dict):
        yield required(f"{path}.items", "must be specified")
    if schema.get("properties") and schema.get("additionalProperties"):
        yield forbidden(
            f"{path}.additionalProperties", "additionalProperties and properties are mutual exclusive"
        )
    if schema.get("uniqueItems"):
        yield forbidden(
            f"{path}.uniqueItems",
            "uniqueItems cannot be set to true since the runtime complexity becomes quadratic",
        )
    if schema.get("x-kubernetes-list-type") == "map" and not schema.get("x-kubernetes-list-map-keys"):
        why = "must not be empty if x-kubernetes-list-type is map"
        yield required(f"{path}.x-kubernetes-list-map-keys", why)
    if text := schema.get("pattern"):
        try:
            re.compile(text)
        except re.error as error:
            yield invalid(f"{path}.pattern", text, f"must be a valid regular expression, but isn't: {error}")
    yield from _rules(schema, path)
    yield from _below(schema, path)


def _rules(schema: Json, path: str) -> Iterator[Cause]:
    """CEL rules have a text that compiles."""
    for at, rule in enumerate(schema.get("x-kubernetes-validations") or ()):
        place = f"{path}.x-kubernetes-validations[{at}]"
        text = (rule.get("rule") or "").strip()
        if not text:
            yield required(f"{place}.rule", "rule is not specified")
            continue
        from linnet.local.api.celengine import CelError, compiled  # the engine takes 0.13 s of CPU

        try:
            compiled(text)
        except CelError as error:
            yield invalid(f"{place}.rule", text, f"compilation failed: {error}")


def _below(schema: Json, path: str) -> list[Cause]:
    found: list[Cause] = []
    for name, child in sorted((schema.get("properties") or {}).items()):
        found += _structural(child, f"{path}.properties[{name}]", "object fields")
    if isinstance(schema.get("items"), dict):
        found += _structural(schema["items"], f"{path}.items", "array items")
    if isinstance(schema.get("additionalProperties"), dict):
        found += _structural(schema["additionalProperties"], f"{path}.additionalProperties", "object fields")
    return found


def _column(column: Json, path: str) -> list[Cause]:
    found: list[Cause] = []
    if not column.get("name"):
        found.append(required(f"{path}.name"))
    if not column.get("type"):
        found.append(required(f"{path}.type", "must be one of " + ",".join(_COLUMN_TYPES)))
    elif column["type"] not in _COLUMN_TYPES:
        found.append(invalid(f"{path}.type", column["type"], "must be one of " + ",".join(_COLUMN_TYPES)))
    if not column.get("jsonPath"):
        found.append(required(f"{path}.JSONPath"))
    elif not _COLUMN_PATH.fullmatch(column["jsonPath"]):
        why = "must be a simple json path starting with ."
        found.append(invalid(f"{path}.jsonPath", column["jsonPath"], why))
    return found


def _scale(scale: Json, path: str) -> list[Cause]:
    found: list[Cause] = []
    for field, root in (("specReplicasPath", ".spec."), ("statusReplicasPath", ".status.")):
        value = scale.get(field) or ""
        if not value:
            found.append(required(f"{path}.{field}"))
        elif not value.startswith(root):
            found.append(invalid(f"{path}.{field}", value, f"should be a json path under {root.rstrip('.')}"))
    return found


def _immutable(crd: Json, old: Json) -> list[Cause]:
    """Group, scope and names of an established CRD do not change."""
    conditions = (old.get("status") or {}).get("conditions") or ()
    if not any(entry["type"] == "Established" and entry["status"] == "True" for entry in conditions):
        return []
    new, stored = crd["spec"], old["spec"]
    pairs = [
        ("spec.group", new.get("group"), stored.get("group")),
        ("spec.names.plural", (new.get("names") or {}).get("plural"), stored["names"].get("plural")),
        ("spec.scope", new.get("scope"), stored.get("scope")),
        ("spec.names.kind", (new.get("names") or {}).get("kind"), stored["names"].get("kind")),
    ]
    return [invalid(field, value, "field is immutable") for field, value, was in pairs if value != was]
