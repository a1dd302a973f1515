"""What was done to the revisions of a mesh, when, by whom, and how it ended (pure).

The record is one ConfigMap in the control plane's namespace: `entries` has one JSON object a line, the newest
last; `last` names the operation that wrote it. It outlives revisions, goes with `uninstall --purge`, and has
neither values nor credentials: names, versions and error messages only.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from linnet.install.marks import COMPONENT, REV, TAG_LABEL
from linnet.install.plane import NAME as DEFAULT

NAME = "linnet-history"
ENTRIES, LAST = "entries", "last"  # keys of the ConfigMap
LIMIT = 100  # entries that are kept
LONGEST = 300  # characters of an error message
DONE, FAILED, INTERRUPTED = "done", "failed", "interrupted"

Object = Mapping[str, Any]


class Change(Struct, frozen=True):
    """What something was before and after; empty: it was not there."""

    what: str  # "revision canary", "tag prod", "default", "gateway NAME.NAMESPACE"
    before: str
    after: str

    def __str__(self) -> str:
        return f"{self.what}: {self.before or 'none'} -> {self.after or 'none'}"


class Entry(Struct, frozen=True, omit_defaults=True):
    """One command. Times are UTC, `2026-01-31T10:15:03Z`; `ended` of a killed one: its last sign of life."""

    id: str
    began: str
    ended: str
    by: str
    version: str
    command: str
    result: str = DONE
    error: str = ""
    writes: int = 0
    changes: tuple[Change, ...] = ()

    def concerns(self, revision: str) -> bool:
        """Whether it changed a revision, or something that pointed or points to it."""
        named = f"revision {revision}"
        return any(revision in (c.before, c.after) or c.what == named for c in self.changes) or (
            revision in self.command.split()
        )


class State(Struct, frozen=True):
    """Who is there and what points to whom."""

    revisions: Mapping[str, str]  # name -> version
    tags: Mapping[str, str]  # tag -> revision
    gateways: Mapping[str, str]  # NAME.NAMESPACE of an installed gateway -> the revision that it is made for


class Dead(Struct, frozen=True):
    """A killed command, as its Lease tells it. `before`: the state when it began, if it got so far."""

    id: str
    began: str
    ended: str
    by: str
    version: str
    command: str
    before: State | None = None


def state(hooks: Iterable[Object], deployments: Iterable[Object]) -> State:
    """The state that mutating webhooks and Deployments of installations show."""
    tags, revisions, gateways = {}, {}, {}
    for hook in hooks:
        labels = hook["metadata"].get("labels") or {}
        if TAG_LABEL in labels:
            tags[labels[TAG_LABEL]] = labels.get(REV, DEFAULT)
    for obj in deployments:
        meta = obj["metadata"]
        labels = meta.get("labels") or {}
        if labels.get(COMPONENT) == "Pilot":
            revisions[labels.get(REV, DEFAULT)] = labels.get("operator.istio.io/version", "")
        elif labels.get(COMPONENT) in ("IngressGateways", "EgressGateways"):
            gateways[f"{meta['name']}.{meta.get('namespace', '')}"] = labels.get(REV, DEFAULT)
    return State(revisions, tags, gateways)


def changes(before: State | None, after: State | None) -> tuple[Change, ...]:
    """What differs, revisions first; nothing where a state is not known."""
    if before is None or after is None:
        return ()
    found: list[Change] = []
    for kind, was, now in (
        ("revision ", before.revisions, after.revisions),
        ("tag ", before.tags, after.tags),
        ("gateway ", before.gateways, after.gateways),
    ):
        for name in sorted({*was, *now}):
            if was.get(name) != now.get(name):
                what = DEFAULT if (kind, name) == ("tag ", DEFAULT) else kind + name
                found.append(Change(what, was.get(name, ""), now.get(name, "")))
    return tuple(found)


def interruptions(dead: Sequence[Dead], now: State | None) -> list[Entry]:
    """The entries of killed commands, the oldest first: what each had changed when the next one began."""
    afters = (*(one.before for one in dead[1:]), now)
    return [
        Entry(
            id=one.id,
            began=one.began,
            ended=one.ended,
            by=one.by,
            version=one.version,
            command=one.command,
            result=INTERRUPTED,
            changes=changes(one.before, after),
        )
        for one, after in zip(dead, afters, strict=bool(dead))
    ]


def added(held: Sequence[Entry], last: str, new: Iterable[Entry]) -> list[Entry] | None:
    """The entries with new ones; None: there is nothing to add.

    `last`: the operation that wrote what is held. It had come to its end, so that its death was none. An
    entry of a command that was taken for dead is replaced by its own.
    """
    by_id = {entry.id: entry for entry in held}
    news = [
        entry
        for entry in new
        if entry.result != INTERRUPTED or (entry.id not in by_id and entry.id != last) or entry.writes
    ]
    if not news:
        return None
    whole = by_id | {entry.id: entry for entry in news}
    return sorted(whole.values(), key=lambda entry: (entry.began, entry.ended))[-LIMIT:]


def encoded(entries: Iterable[Entry]) -> str:
    """One JSON object a line."""
    return "".join(f"{msgspec.json.encode(entry).decode()}\n" for entry in entries)


def decoded(config_map: Object) -> list[Entry]:
    """The entries of the ConfigMap; a line that people broke is left out."""
    found = []
    for line in str((config_map.get("data") or {}).get(ENTRIES) or "").splitlines():
        try:
            found.append(msgspec.json.decode(line, type=Entry))
        except msgspec.MsgspecError:
            continue
    return found


def message(error: BaseException) -> str:
    """The first line of an error, cut."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    text = (str(error) or type(error).__name__).splitlines()[0]
    return text if len(text) <= LONGEST else text[: LONGEST - 3] + "..."
