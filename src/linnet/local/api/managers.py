"""The entries of `metadata.managedFields`, decoded: who owns which fields, by which way of writing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from linnet.local.api import fieldsets
from linnet.local.api.fieldsets import FieldSet

Json = dict[str, Any]

APPLY = "Apply"
UPDATE = "Update"

# More update managers than this are merged, oldest first, into one.
_MOST_UPDATERS = 10
_ANCIENT = "ancient-changes"


class Manager(NamedTuple):
    """What tells entries apart; an applier is the same one whatever version it applies."""

    name: str
    operation: str
    subresource: str
    api_version: str  # "" for appliers

    def shown(self) -> str:
        """The manager as conflicts name it."""
        text = f'"{self.name}"'
        if self.subresource:
            text += f' with subresource "{self.subresource}"'
        return f"{text} using {self.api_version}" if self.operation == UPDATE else text


@dataclass(slots=True)
class Owned:
    """What one manager owns; `time` is RFC 3339 or ""."""

    fields: FieldSet
    api_version: str
    time: str


class Managers:
    """The managers of one object."""

    def __init__(self, entries: list[Json] | None) -> None:
        self.owned: dict[Manager, Owned] = {}
        for entry in entries or ():
            operation = entry.get("operation", "")
            version = entry.get("apiVersion", "")
            manager = Manager(
                entry.get("manager", ""),
                operation,
                entry.get("subresource", ""),
                "" if operation == APPLY else version,
            )
            self.owned[manager] = Owned(
                fieldsets.loaded(entry.get("fieldsV1")), version, entry.get("time") or ""
            )

    def drop_empty(self) -> None:
        """Forget managers that own nothing."""
        self.owned = {manager: owned for manager, owned in self.owned.items() if owned.fields}

    def capped(self, current: Manager) -> None:
        """Merge the oldest update managers when there are too many. `current` stays."""
        updaters = sorted(
            (manager for manager in self.owned if manager.operation == UPDATE and not manager.subresource),
            key=lambda manager: (self.owned[manager].time, manager.name),
        )
        surplus = len(updaters) - _MOST_UPDATERS
        if surplus <= 0:
            return
        for manager in [manager for manager in updaters if manager != current][: surplus + 1]:
            old = self.owned.pop(manager)
            ancient = Manager(_ANCIENT, UPDATE, "", old.api_version)
            before = self.owned.get(ancient)
            fields = fieldsets.union(before.fields, old.fields) if before else old.fields
            self.owned[ancient] = Owned(fields, old.api_version, old.time)

    def entries(self) -> list[Json]:
        """The entries as they are stored: appliers first, then by time, manager, version, subresource."""

        def order(manager: Manager) -> tuple[str, str, str, str, str]:
            owned = self.owned[manager]
            return manager.operation, owned.time, manager.name, owned.api_version, manager.subresource

        return [self._entry(manager) for manager in sorted(self.owned, key=order)]

    def _entry(self, manager: Manager) -> Json:
        owned = self.owned[manager]
        return entry(manager, owned.api_version, owned.time, fieldsets.dumped(owned.fields))


def entry(manager: Manager, api_version: str, time: str, fields: FieldSet) -> Json:
    """An element of `managedFields`; `fields` is in the form of `fieldsV1`."""
    out: Json = {"manager": manager.name, "operation": manager.operation, "apiVersion": api_version}
    if time:
        out["time"] = time
    out["fieldsType"] = "FieldsV1"
    out["fieldsV1"] = fields
    if manager.subresource:
        out["subresource"] = manager.subresource
    return out
