"""Tell owners of objects what has no effect: condition `linnet.io/Honoured`, one writer, only differences.

Objects that name a revision are told by that revision, under a lock of its own; all others by the holder of
the lock `LEASE`, which all revisions share (law L2).
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import structlog

from linnet.kube.client import Client, Object
from linnet.kube.errors import ApiError, Conflict, NotFound
from linnet.kube.kinds import ISTIO
from linnet.model.problem import Problem, Ref

LEASE = "istio-status-leader"
CONDITION = "linnet.io/Honoured"
_SEVERITY = ("Invalid", "Conflict", "NotFound", "FieldNotHonoured")
_LONGEST = 1024  # characters of a message
_RETRY = 5.0  # seconds

log = structlog.get_logger(__name__)


def conditions(
    held: Sequence[Mapping[str, Any]], problems: Sequence[Problem], *, now: str
) -> list[dict[str, Any]] | None:
    """The conditions of an object with these problems; None if those that it holds say the same (pure).

    An object without problems gets the condition only if it had one before. Conditions of others stay.
    """
    before = next((dict(c) for c in held if c.get("type") == CONDITION), None)
    if problems:
        reason = min((p.reason for p in problems), key=_rank)
        said = dict.fromkeys(f"{p.path}: {p.message}" if p.path else p.message for p in problems)
        message = "; ".join(said)
        message = message if len(message) <= _LONGEST else message[: _LONGEST - 3] + "..."
        wanted = {"type": CONDITION, "status": "False", "reason": reason, "message": message}
    elif before is not None:
        wanted = {"type": CONDITION, "status": "True", "reason": "Honoured", "message": ""}
    else:
        return None
    if before is not None and all(before.get(key, "") == value for key, value in wanted.items()):
        return None
    moved = before is None or before.get("status") != wanted["status"]
    since = now if moved or before is None else str(before.get("lastTransitionTime") or now)
    others = [dict(c) for c in held if c.get("type") != CONDITION]
    return [*others, {**wanted, "lastTransitionTime": since}]


def _rank(reason: str) -> int:
    return _SEVERITY.index(reason) if reason in _SEVERITY else len(_SEVERITY)


Known = Callable[[], tuple[Mapping[Ref, tuple[Problem, ...]], Callable[[Ref], Object | None]]]
"""The problems of the mesh now, and how to find the object that a reference names."""


@dataclass(slots=True)
class StatusWriter:
    """Writes conditions; `wake` it after each push."""

    client: Client
    known: Known
    now: Callable[[], datetime]
    _dirty: asyncio.Event = field(default_factory=asyncio.Event)
    _without_status: set[str] = field(default_factory=set)

    def wake(self) -> None:
        """Look again."""
        self._dirty.set()

    async def run(self) -> None:
        """Write what differs, for ever."""
        self._dirty.set()
        while True:
            await self._dirty.wait()
            self._dirty.clear()
            if not await self._write_all():
                try:
                    async with asyncio.timeout(_RETRY):
                        await self._dirty.wait()
                except TimeoutError:
                    self._dirty.set()

    async def _write_all(self) -> bool:
        problems, find = self.known()
        stamp = self.now().strftime("%Y-%m-%dT%H:%M:%SZ")
        done = True
        for ref, found in problems.items():
            obj = find(ref)
            if obj is None or ref.kind in self._without_status:
                continue
            status = obj.get("status") or {}
            wanted = conditions(_list(status.get("conditions")), found, now=stamp)
            if wanted is not None:
                done = await self._write(ref, obj, wanted) and done
        return done

    async def _write(self, ref: Ref, obj: Object, wanted: list[dict[str, Any]]) -> bool:
        kind = next((kind for kind in ISTIO if kind.name == ref.kind), None)
        if kind is None:
            return True
        patch = {
            "metadata": {"resourceVersion": obj["metadata"]["resourceVersion"]},
            "status": {"conditions": wanted},
        }
        try:
            await self.client.patch(kind, ref.name, ref.namespace, patch, subresource="status")
        except Conflict:
            return True  # it changed meanwhile: the mirror brings it, and the next push wakes us
        except NotFound:
            # gone, or a CRD (of somebody else's) without the status subresource
            self._without_status.update({ref.kind} if await self._exists(kind, ref) else ())
            return True
        except ApiError as error:
            log.warning("status-not-written", kind=ref.kind, name=ref.name, error=error.message)
            return False
        except OSError as error:
            log.warning("status-not-written", kind=ref.kind, name=ref.name, error=str(error))
            return False
        return True

    async def _exists(self, kind: Any, ref: Ref) -> bool:
        try:
            await self.client.get(kind, ref.name, ref.namespace)
        except NotFound:
            return False
        return True


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
