"""OpenAPI v3 documents, one per group and version, made when they are first asked for.

They carry what kubectl looks for: the schemas with their merge keys, and for every kind a path
with a PATCH operation that names the kind, its patch types and the `fieldValidation` parameter.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from linnet.local.api.discovery import Document, document
from linnet.local.api.registry import Registry, Resource
from linnet.local.api.schemas import Schemas

Json = dict[str, Any]

_REF = "#/components/schemas/"
_PATCHES = ("application/apply-patch+yaml", "application/json-patch+json", "application/merge-patch+json")


class OpenApi:
    """Documents of the current registry; they are remembered until it changes."""

    def __init__(self, registry: Registry, schemas: Schemas, version: str) -> None:
        self._registry = registry
        self._schemas = schemas
        self._version = version
        self._documents: dict[tuple[str, str], Document] = {}
        registry.on_change(self._documents.clear)

    def index(self) -> Json:
        """The answer to `/openapi/v3`; the hashes change when the registry does."""
        paths = {}
        for group in self._registry.groups():
            for version in self._registry.versions(group):
                path = f"apis/{group}/{version}" if group else f"api/{version}"
                builtin = all(one.custom is None for one in self._registry.of(group, version))
                stamp = self._version if builtin else f"{self._version}.{self._registry.generation}"
                paths[path] = {"serverRelativeURL": f"/openapi/v3/{path}?hash={stamp}"}
        return {"paths": paths}

    def document(self, group: str, version: str) -> Document | None:
        """The document of a group and version, None if it is not served."""
        resources = self._registry.of(group, version)
        if not resources:
            return None
        known = self._documents.get((group, version))
        if known is None:
            known = document(self._build(group, version, resources))
            self._documents[group, version] = known
        return known

    def _build(self, group: str, version: str, resources: Iterable[Resource]) -> Json:
        paths: Json = {}
        components: Json = {}
        for resource in resources:
            name = self._component(resource, components)
            if name and "patch" in resource.verbs:
                paths.update(_paths(group, version, resource, name))
        self._close(components)
        return {
            "openapi": "3.0.0",
            "info": {"title": "Kubernetes", "version": self._version},
            "paths": paths,
            "components": {"schemas": components},
        }

    def _component(self, resource: Resource, components: Json) -> str:
        """Add the schema of a resource; returns its name, or "" if there is none."""
        if resource.custom is None:
            name = self._schemas.name(resource.group, resource.version, resource.kind)
            if name:
                components[name] = self._schemas.definitions[name]
            return name
        reverse = ".".join(reversed(resource.group.split(".")))
        name = f"{reverse}.{resource.version}.{resource.kind}"
        schema = resource.custom.schema or {"type": "object"}
        common = self._schemas.definitions["io.k8s.api.core.v1.ConfigMap"]["properties"]
        properties = {field: common[field] for field in ("apiVersion", "kind", "metadata")}
        kind = {"group": resource.group, "version": resource.version, "kind": resource.kind}
        components[name] = {
            **schema,
            "properties": {**schema.get("properties", {}), **properties},
            "x-kubernetes-group-version-kind": [kind],
        }
        return name

    def _close(self, components: Json) -> None:
        """Add everything that the schemas refer to."""
        todo = list(components.values())
        while todo:
            for name in _references(todo.pop()):
                if name not in components:
                    components[name] = self._schemas.definitions[name]
                    todo.append(components[name])


def _references(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        target = schema.get("$ref")
        if isinstance(target, str):
            yield target.removeprefix(_REF)
        for part in schema.values():
            yield from _references(part)
    elif isinstance(schema, list):
        for part in schema:
            yield from _references(part)


def _paths(group: str, version: str, resource: Resource, component: str) -> Json:
    base = f"/apis/{group}/{version}" if group else f"/api/{version}"
    collection = base + ("/namespaces/{namespace}" if resource.namespaced else "") + f"/{resource.plural}"
    kind = {"group": group, "version": version, "kind": resource.kind}
    schema = {"$ref": _REF + component}
    body = {"content": {"*/*": {"schema": schema}}}
    types = _PATCHES if resource.custom else (*_PATCHES, "application/strategic-merge-patch+json")
    patch = {"content": {one: {"schema": {"type": "object"}} for one in types}}
    parameters = [
        {"name": name, "in": "query", "schema": {"type": "string", "uniqueItems": True}}
        for name in ("dryRun", "fieldManager", "fieldValidation")
    ]

    def operation(verb: str, **more: Any) -> Json:
        return {
            "operationId": f"{verb}{group.title().replace('.', '')}{version.title()}{resource.kind}",
            "x-kubernetes-action": verb,
            "x-kubernetes-group-version-kind": kind,
            "responses": {"200": {"description": "OK", "content": {"application/json": {"schema": schema}}}},
            **more,
        }

    force = {"name": "force", "in": "query", "schema": {"type": "boolean", "uniqueItems": True}}
    return {
        collection: {
            "get": operation("list"),
            "post": operation("post", parameters=parameters, requestBody=body),
        },
        collection + "/{name}": {
            "get": operation("get"),
            "put": operation("put", parameters=parameters, requestBody=body),
            "patch": operation("patch", parameters=[*parameters, force], requestBody=patch),
            "delete": operation("delete"),
        },
    }


def second_version(version: str) -> bytes:
    """A document for `/openapi/v2` in protobuf form that describes no kind.

    kubectl asks it about kinds that it did not find elsewhere, and then says itself that they are unknown.

    Source: gnostic, message `openapi.v2.Document`: 1 swagger, 2 info (1 title, 2 version).
    """
    info = _text(1, "Kubernetes") + _text(2, version)
    return _text(1, "2.0") + b"\x12" + bytes([len(info)]) + info


def _text(number: int, text: str) -> bytes:
    return bytes([number << 3 | 2, len(text)]) + text.encode()
