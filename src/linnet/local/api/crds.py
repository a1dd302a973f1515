"""CustomResourceDefinitions: what is wrong with them, and the resources that they serve."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from linnet.local.api.causes import Cause

Json = dict[str, Any]


class Scale(msgspec.Struct, frozen=True):
    """The JSON paths of a scale subresource, split into field names."""

    spec_replicas: tuple[str, ...]
    status_replicas: tuple[str, ...]
    label_selector: tuple[str, ...]  # () if there is none


class Column(msgspec.Struct, frozen=True):
    """One printer column."""

    name: str
    type: str
    json_path: str
    format: str = ""
    description: str = ""
    priority: int = 0


class Served(msgspec.Struct, frozen=True):
    """One served version of a CRD: what registry, discovery and tables need."""

    group: str
    version: str
    plural: str
    singular: str
    kind: str
    list_kind: str
    namespaced: bool
    short_names: tuple[str, ...]
    categories: tuple[str, ...]
    schema: Json
    columns: tuple[Column, ...]  # without NAME; the default AGE column where none are declared
    status: bool
    scale: Scale | None
    selectable: tuple[str, ...]  # "spec.size"
    deprecation: str  # the text of the warning, "" if not deprecated
    storage: bool


def prepared(crd: Json, old: Json | None, *, now: str) -> Json:
    """A CRD as it is stored: defaulted names, accepted names, conditions, stored versions."""
    raise NotImplementedError


def causes(crd: Json, old: Json | None = None) -> list[Cause]:
    """What is wrong with a (defaulted) CRD, in Kubernetes' order and words."""
    raise NotImplementedError


def served(crd: Json) -> tuple[Served, ...]:
    """The versions that a stored CRD serves, most preferred first."""
    raise NotImplementedError
