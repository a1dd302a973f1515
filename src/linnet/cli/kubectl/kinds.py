"""Kinds by the names that people type: plural, singular, short name, `resource.group`."""

from typing import Any

import orjson
from msgspec import Struct

from linnet.cli.faults import UserError
from linnet.kube.client import Client
from linnet.kube.kinds import Kind


class Names(Struct, frozen=True):
    """What the server serves: every accepted name, and the kind for an object's `apiVersion` and `kind`."""

    by_name: dict[str, Kind]
    by_object: dict[tuple[str, str], Kind]

    def kind(self, name: str) -> Kind:
        """The kind that somebody typed. Raises UserError."""
        found = self.by_name.get(name.lower())
        if found is None:
            raise UserError(f'the server doesn\'t have a resource type "{name}"')
        return found

    def of(self, obj: dict[str, Any], source: str) -> Kind:
        """The kind of an object of a file. Raises UserError."""
        key = (obj.get("apiVersion", ""), obj.get("kind", ""))
        if key not in self.by_object:
            raise UserError(f'{source}: no matches for kind "{key[1]}" in version "{key[0]}"')
        return self.by_object[key]


async def names(client: Client) -> Names:
    """Ask the server's discovery."""
    accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
    by_name: dict[str, Kind] = {}
    by_object: dict[tuple[str, str], Kind] = {}
    for path in ("/api", "/apis"):
        document = orjson.loads(await client.raw("GET", path, headers={"Accept": accept}))
        for group in document["items"]:
            name = group["metadata"].get("name", "")
            for version in group["versions"]:
                for found in version["resources"]:
                    kind = Kind(
                        name,
                        version["version"],
                        found["resource"],
                        found["responseKind"]["kind"],
                        found["scope"] == "Namespaced",
                    )
                    by_object.setdefault((kind.api_version, kind.name), kind)
                    typed = {
                        kind.plural,
                        found.get("singularResource") or kind.name.lower(),
                        kind.name.lower(),
                    }
                    for word in typed | set(found.get("shortNames") or ()):
                        by_name.setdefault(word, kind)
                        by_name.setdefault(f"{word}.{name}", kind)
    return Names(by_name, by_object)
