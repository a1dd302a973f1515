"""Compiled schemas: built-in OpenAPI definitions and structural schemas of CRDs as one kind of node."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

Json = dict[str, Any]

_REF = "$ref"
_QUANTITY = "io.k8s.apimachinery.pkg.api.resource.Quantity"
_PLAIN: dict[str, type] = {"string": str, "boolean": bool, "integer": int}
_OBJECT_META = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"


class Node:
    """One place in a schema. Children are compiled at first use, so recursion is no problem."""

    def __init__(
        self, raw: Mapping[str, Any], schemas: Schemas, *, custom: bool, definition: str = ""
    ) -> None:
        self.raw = raw
        self.definition = definition  # "io.k8s.api.core.v1.Pod"; "" inside CRDs and for inline schemas
        self.custom = custom  # from a CRD: structural rules apply (pruning, schema defaults, CEL)
        self.schemas = schemas
        self.type: str = raw.get("type", "")
        self.format: str = raw.get("format", "")
        self.nullable: bool = bool(raw.get("nullable"))
        self.int_or_string: bool = (
            bool(raw.get("x-kubernetes-int-or-string")) or self.format == "int-or-string"
        )
        self.preserves: bool = bool(raw.get("x-kubernetes-preserve-unknown-fields"))
        self.embedded: bool = bool(raw.get("x-kubernetes-embedded-resource"))
        self.atomic_map: bool = raw.get("x-kubernetes-map-type") == "atomic"
        self.list_type: str = raw.get("x-kubernetes-list-type") or ""  # "", atomic, set, map
        self.map_keys: tuple[str, ...] = tuple(raw.get("x-kubernetes-list-map-keys") or ())
        self.merge_key: str = raw.get("x-kubernetes-patch-merge-key") or ""
        strategy: str = raw.get("x-kubernetes-patch-strategy") or ""
        self.strategies: tuple[str, ...] = tuple(strategy.split(",")) if strategy else ()

    @cached_property
    def plain(self) -> type | None:
        """The Python type whose values a typed server takes as they are, None where it must look closer."""
        if self.definition == _QUANTITY or self.int_or_string or self.format == "byte":
            return None
        return _PLAIN.get(self.type)

    @cached_property
    def fields(self) -> Mapping[str, Node]:
        """The declared properties; empty for anything but a struct."""
        return {
            name: self.schemas.compiled(child, custom=self.custom)
            for name, child in (self.raw.get("properties") or {}).items()
        }

    @cached_property
    def values(self) -> Node | None:
        """The node of every value of a map (`additionalProperties`), None if undeclared."""
        more = self.raw.get("additionalProperties")
        return self.schemas.compiled(more, custom=self.custom) if isinstance(more, dict) else None

    @cached_property
    def items(self) -> Node | None:
        """The node of every element of a list, None if undeclared."""
        more = self.raw.get("items")
        return self.schemas.compiled(more, custom=self.custom) if isinstance(more, dict) else None

    @cached_property
    def rules(self) -> bool:
        """Whether CEL rules are anywhere at or below this place of a structural schema."""
        return _has_rules(self.raw)

    @cached_property
    def object_meta(self) -> Node:
        """The node of the metadata of every object."""
        return self.schemas.compiled({_REF: _OBJECT_META}, custom=False)

    def child(self, name: str) -> Node | None:
        """The node of field or key `name`, None if the schema does not know it."""
        return self.fields.get(name) or self.values

    @cached_property
    def required(self) -> tuple[str, ...]:
        """Names of the fields that the schema demands."""
        return tuple(self.raw.get("required") or ())


class Schemas:
    """Every schema that the server knows, by group, version and kind."""

    def __init__(self, definitions: Mapping[str, Json]) -> None:
        self.definitions = definitions  # name as io.k8s.api.core.v1.Pod -> OpenAPI v3 schema
        self._compiled: dict[str, Node] = {}
        self._custom: dict[tuple[str, str, str], Node] = {}
        self._names: dict[tuple[str, str, str], str] = {}
        for name, definition in definitions.items():
            for gvk in definition.get("x-kubernetes-group-version-kind", ()):
                self._names.setdefault((gvk["group"], gvk["version"], gvk["kind"]), name)

    def name(self, group: str, version: str, kind: str) -> str:
        """The definition's name of a built-in kind, "" if there is none."""
        return self._names.get((group, version, kind), "")

    def of(self, group: str, version: str, kind: str) -> Node | None:
        """The schema of a kind, None where the server has none (everything is allowed then)."""
        if node := self._custom.get((group, version, kind)):
            return node
        name = self._names.get((group, version, kind))
        return self.compiled({_REF: name}, custom=False) if name else None

    def register(self, group: str, version: str, kind: str, schema: Json) -> Node:
        """Add (or replace) the structural schema of a CRD's version."""
        node = Node(schema, self, custom=True)
        self._custom[group, version, kind] = node
        return node

    def forget(self, group: str, version: str, kind: str) -> None:
        """Drop a CRD's version; unknown ones are ignored."""
        self._custom.pop((group, version, kind), None)

    def compiled(self, raw: Mapping[str, Any], *, custom: bool) -> Node:
        """The node of a raw schema; a reference is followed, its siblings win over what it names."""
        name, extra = _reference(raw)
        if not name:
            return Node(raw, self, custom=custom)
        if extra:
            return Node({**self.definitions[name], **extra}, self, custom=custom, definition=name)
        node = self._compiled.get(name)
        if node is None:
            node = self._compiled[name] = Node(self.definitions[name], self, custom=False, definition=name)
        return node


def _reference(raw: Mapping[str, Any]) -> tuple[str, Json]:
    """The definition that a schema refers to ("" if none), and what it adds to it."""
    ref = raw.get(_REF)
    if ref is None:
        alternatives = raw.get("allOf")
        if not (isinstance(alternatives, list) and len(alternatives) == 1 and _REF in alternatives[0]):
            return "", {}
        ref = alternatives[0][_REF]
    extra = {key: value for key, value in raw.items() if key.startswith("x-kubernetes-") or key == "default"}
    return ref.rsplit("/", 1)[-1], extra


def _has_rules(raw: Any) -> bool:
    """Whether a structural schema has `x-kubernetes-validations`; property names do not confuse it."""
    if not isinstance(raw, dict):
        return False
    children = [*(raw.get("properties") or {}).values(), raw.get("items"), raw.get("additionalProperties")]
    return bool(raw.get("x-kubernetes-validations")) or any(map(_has_rules, children))
