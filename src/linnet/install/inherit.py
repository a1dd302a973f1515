"""`--from-revision`: what an earlier installation was asked for, and what people have edited since (pure).

What is inherited is the request (`original-values` of ConfigMap `values-REV`), not the rendered objects: the
new version's defaults apply to what nobody asked for. Not inherited: the revision, the version (`tag`), and
everything that names the old revision's Service.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct

from linnet.install import documents
from linnet.install.difference import edits
from linnet.install.marks import MANAGER
from linnet.install.pilot import injection_values, recorded
from linnet.install.plane import NAME, Plane, suffixed
from linnet.install.tree import Tree, lookup, overlay

Object = Mapping[str, Any]
_IMAGES = (  # of another product
    "hub",
    "values.global.hub",
    "values.global.proxy.image",
    "values.global.proxy_init.image",
    "values.pilot.hub",
    "values.pilot.image",
    "components.pilot.hub",
)
_TAGS = ("tag", "values.global.tag", "values.pilot.tag", "components.pilot.tag")


class InheritError(ValueError):
    """A revision whose configuration cannot be told; the message names what is missing."""


class Inherited(Struct, frozen=True):
    """A specification to begin with, and what people should know about it."""

    asked: Tree
    notes: tuple[str, ...] = ()


class Source(Struct, frozen=True):
    """The ConfigMaps of a revision (as labels write it); None where there is none."""

    revision: str
    record: Object | None = None  # values-REV
    mesh: Object | None = None  # istio-REV
    injection: Object | None = None  # istio-sidecar-injector-REV

    @property
    def plane(self) -> Plane | None:
        """The plane as it was installed; None if Linnet did not install it."""
        return recorded(self.record) if self.record else None

    @property
    def mesh_now(self) -> Tree:
        """The MeshConfig as it is now. Raises InheritError."""
        return _yaml(self.mesh, "mesh")

    @property
    def values_now(self) -> Tree:
        """The values of injection as they are now. Raises InheritError."""
        return _json(self.injection, "values")


def inherit(source: Source) -> Inherited:
    """What a new revision takes over.

    Raises:
        InheritError: the revision has neither a record nor a mesh configuration, or one that cannot be read.
    """
    if source.record is None and source.mesh is None:
        name = suffixed("istio", "" if source.revision == NAME else source.revision)
        raise InheritError(f"there is no revision {source.revision}: it has no ConfigMap {name}")
    plane, notes = source.plane, list[str]()
    asked: Tree = _original(source)
    if plane is None:
        notes.append("it was not installed by Linnet, so only its values are inherited")
    changed = _mesh_edits(source, plane)
    if changed:
        asked["meshConfig"] = overlay(asked.get("meshConfig") or {}, changed)
        if plane is not None:
            notes.append(f"with what was edited in its mesh configuration: {', '.join(sorted(changed))}")
    changed = _value_edits(source, plane)
    if changed:
        asked["values"] = overlay(asked.get("values") or {}, changed)
        if plane is not None:
            notes.append(f"with what was edited in its values of injection: {', '.join(sorted(changed))}")
    if plane is not None and _edited(source.injection, "config"):
        notes.append(
            "its edited templates or policy of injection are not inherited, as they belong to their version; "
            "give them as values.sidecarInjectorWebhook"
        )
    if plane is not None and _edited(source.mesh, "meshNetworks"):
        notes.append("its edited meshNetworks is not inherited")
    notes += _without(asked, _TAGS if plane else (*_TAGS, *_IMAGES))
    return Inherited(asked, tuple(notes))


def _original(source: Source) -> Tree:
    """What was asked for, without its revision. Of another tool's record the values only."""
    found = _json(source.record, "original-values")
    if source.record is not None and source.plane is None:
        found = {"values": found} if found else {}
    found.pop("revision", None)
    if isinstance(found.get("values"), dict):
        found["values"].pop("revision", None)
    return found


def _mesh_edits(source: Source, plane: Plane | None) -> Tree:
    now = source.mesh_now
    if plane is None:
        now.pop("rootNamespace", None)
        changed = now
    elif _edited(source.mesh, "mesh"):
        changed = edits(plane.mesh(), now)
    else:
        return {}
    address = str(lookup(changed, "defaultConfig.discoveryAddress", ""))
    if address.startswith("istiod"):
        del changed["defaultConfig"]["discoveryAddress"]
        if not changed["defaultConfig"]:
            del changed["defaultConfig"]
    return changed


def _value_edits(source: Source, plane: Plane | None) -> Tree:
    now = source.values_now
    own = ("revision", "gateways")
    if plane is None:
        keys = () if source.record else ("global", "sidecarInjectorWebhook")
        return {key: now[key] for key in keys if key in now}
    return edits(injection_values(plane), now, skip=own) if _edited(source.injection, "values") else {}


def _edited(config_map: Object | None, key: str) -> bool:
    """Whether somebody else than the installer wrote a key of a ConfigMap last."""
    if config_map is None:
        return False
    owners = {
        entry.get("manager")
        for entry in config_map["metadata"].get("managedFields") or ()
        if f"f:{key}" in ((entry.get("fieldsV1") or {}).get("f:data") or {})
    }
    return bool(owners - {MANAGER})


def _without(asked: Tree, paths: Sequence[str]) -> list[str]:
    """Take values out of a request, in place; what to say about it."""
    notes = []
    for path in paths:
        *way, last = path.split(".")
        parent = lookup(asked, ".".join(way)) if way else asked
        if isinstance(parent, dict) and last in parent:
            notes.append(f"{path} {parent.pop(last)} is not inherited, this installs its own")
    return notes


def _json(config_map: Object | None, key: str) -> Tree:
    text = ((config_map or {}).get("data") or {}).get(key) or "{}"
    try:
        value = json.loads(text)
    except json.JSONDecodeError:
        return _yaml(config_map, key)  # Istio's record is YAML
    return value if isinstance(value, dict) else {}


def _yaml(config_map: Object | None, key: str) -> Tree:
    if config_map is None:
        return {}
    text, name = (config_map.get("data") or {}).get(key) or "", config_map["metadata"]["name"]
    try:
        found = documents.load(text, f"ConfigMap {name}, key {key}")
    except documents.DocumentError as error:
        raise InheritError(str(error)) from error
    return found[0] if found else {}
