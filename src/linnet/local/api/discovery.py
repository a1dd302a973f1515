"""Discovery documents: the aggregated form that kubectl asks for, and the plain one."""

import base64
import hashlib
from collections.abc import Iterator
from typing import Any

import orjson
from msgspec import Struct

from linnet.local.api.registry import Registry, Resource, Subresource
from linnet.local.api.views import stored_version

Json = dict[str, Any]


class Document(Struct, frozen=True):
    """A cacheable answer."""

    body: bytes
    etag: str
    content_type: str = "application/json"


def document(value: Any, content_type: str = "application/json") -> Document:
    body = orjson.dumps(value)
    return Document(body, f'"{hashlib.sha256(body).hexdigest().upper()}"', content_type)


def aggregated(registry: Registry, *, core: bool, version: str) -> Document:
    """An APIGroupDiscoveryList of version `v2` or `v2beta1`, for `/api` (core) or `/apis`."""
    items = [_group(registry, group) for group in registry.groups() if (group == "") == core]
    value = {
        "kind": "APIGroupDiscoveryList",
        "apiVersion": f"apidiscovery.k8s.io/{version}",
        "metadata": {},
        "items": items,
    }
    form = f"application/json;g=apidiscovery.k8s.io;v={version};as=APIGroupDiscoveryList"
    return document(value, form)


def api_versions(server: str) -> Json:
    """The answer to `/api`."""
    return {
        "kind": "APIVersions",
        "versions": ["v1"],
        "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": server}],
    }


def group_list(registry: Registry) -> Json:
    """The answer to `/apis`."""
    groups = [_plain_group(registry, group) for group in registry.groups() if group]
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}


def group(registry: Registry, name: str) -> Json:
    """The answer to `/apis/<group>`."""
    return {"kind": "APIGroup", "apiVersion": "v1", **_plain_group(registry, name)}


def resource_list(registry: Registry, name: str, version: str) -> Json:
    """The answer to `/api/v1` and `/apis/<group>/<version>`."""
    return {
        "kind": "APIResourceList",
        **({"apiVersion": "v1"} if name else {}),
        "groupVersion": f"{name}/{version}" if name else version,
        "resources": [entry for one in registry.of(name, version) for entry in _plain_resource(one)],
    }


def _group(registry: Registry, name: str) -> Json:
    versions = [
        {
            "version": version,
            "resources": [_resource(one) for one in registry.of(name, version)],
            "freshness": "Current",
        }
        for version in registry.versions(name)
    ]
    return {"metadata": {"name": name} if name else {}, "versions": versions}


def _resource(resource: Resource) -> Json:
    described: Json = {
        "resource": resource.plural,
        "responseKind": _response(resource),
        "scope": "Namespaced" if resource.namespaced else "Cluster",
        "singularResource": resource.singular,
        "verbs": list(resource.verbs),
    }
    if resource.short_names:
        described["shortNames"] = list(resource.short_names)
    if resource.categories:
        described["categories"] = list(resource.categories)
    if resource.subresources:
        described["subresources"] = [
            {"subresource": sub.name, "responseKind": _response(sub), "verbs": list(sub.verbs)}
            for sub in resource.subresources
        ]
    return described


def _response(of: Resource | Subresource) -> Json:
    if isinstance(of, Resource) and of.custom is None:
        # Built-in resources leave the group of their own kind out.
        return {"group": "", "version": "", "kind": of.kind}
    return {"group": of.group, "version": of.version, "kind": of.kind}


def _plain_group(registry: Registry, name: str) -> Json:
    versions = [{"groupVersion": f"{name}/{one}", "version": one} for one in registry.versions(name)]
    return {"name": name, "versions": versions, "preferredVersion": versions[0]}


def _plain_resource(resource: Resource) -> Iterator[Json]:
    described: Json = {
        "name": resource.plural,
        "singularName": resource.singular,
        "namespaced": resource.namespaced,
        "kind": resource.kind,
        "verbs": list(resource.verbs),
    }
    if resource.short_names:
        described["shortNames"] = list(resource.short_names)
    if resource.categories:
        described["categories"] = list(resource.categories)
    if "watch" in resource.verbs:
        described["storageVersionHash"] = _storage_hash(resource)
    yield described
    for sub in resource.subresources:
        entry: Json = {
            "name": f"{resource.plural}/{sub.name}",
            "singularName": "",
            "namespaced": resource.namespaced,
        }
        if sub.group and sub.group != resource.group:
            entry |= {"group": sub.group, "version": sub.version}
        yield entry | {"kind": sub.kind, "verbs": list(sub.verbs)}


def _storage_hash(resource: Resource) -> str:
    """Says which version the objects are stored in. Source: Kubernetes, `StorageVersionHash`."""
    version = stored_version(resource).rpartition("/")[2]
    group = stored_version(resource).rpartition("/")[0]
    digest = hashlib.sha256(f"{group}/{version}/{resource.kind}".encode()).digest()
    return base64.b64encode(digest[:8]).decode()
