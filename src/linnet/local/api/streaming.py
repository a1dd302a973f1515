"""A watch as a stream of lines over HTTP."""

import asyncio
import random
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson
from msgspec import Struct

from linnet.local.api import reading, refusals, table, views
from linnet.local.api.cluster import Cluster
from linnet.local.api.negotiation import Accepted
from linnet.local.api.paths import true
from linnet.local.api.records import Event
from linnet.local.api.refusals import Refused
from linnet.local.api.registry import Resource
from linnet.local.api.selecting import selects
from linnet.local.api.store import Expired
from linnet.local.api.watching import Seen, Selects, Watch, current

Json = dict[str, Any]

_BOOKMARK = 60.0  # seconds without events after which a bookmark is sent
_SHORTEST = 1_800.0  # seconds that a watch lasts at least, if its client does not say
_CHUNK = 200


@dataclass(slots=True)
class Ending:
    """Tells every watch that the server ends, or that what is served has changed."""

    over: bool = False
    _watches: list[Watch] = field(default_factory=list)

    @contextmanager
    def waking(self, watch: Watch) -> Iterator[None]:
        """Wake this watch too, while the block runs."""
        self._watches.append(watch)
        try:
            yield
        finally:
            self._watches.remove(watch)

    def wake(self) -> None:
        for watch in self._watches:
            watch.wake()

    def end(self) -> None:
        """End all watches."""
        self.over = True
        self.wake()


class Lines:
    """Encodes what a watch sees in the form that its client accepts."""

    def __init__(self, resource: Resource, accept: Accepted, include: str) -> None:
        self._resource = resource
        self._accept = accept
        self._include = include
        self._first = True
        self._shareable = not accept.form and views.is_stored_form(resource)

    def event(self, seen: Seen) -> bytes:
        if self._shareable and seen.obj is None:
            return _raw_line(seen.event)
        return self.line(seen.change, seen.load())

    def line(self, change: str, obj: Json) -> bytes:
        return orjson.dumps({"type": change, "object": self._form(obj)}, option=orjson.OPT_APPEND_NEWLINE)

    def bookmark(self, revision: int, *, initial_end: bool = False) -> bytes:
        """A bookmark; `initial_end` marks the end of the objects that existed already."""
        metadata: Json = {"resourceVersion": str(revision), "creationTimestamp": None}
        if initial_end:
            metadata["annotations"] = {"k8s.io/initial-events-end": "true"}
        head = {"kind": self._resource.kind, "apiVersion": self._resource.api_version}
        obj = {**head, "metadata": metadata}
        if self._accept.form == "Table":
            obj = table.empty(self._resource, metadata, self._accept.version, obj)
        elif self._accept.form:
            obj = reading.partial(obj)
        return orjson.dumps({"type": "BOOKMARK", "object": obj}, option=orjson.OPT_APPEND_NEWLINE)

    def _form(self, stored: Json) -> Json:
        obj = views.served(self._resource, stored)
        if self._accept.form == "Table":
            metadata = {"resourceVersion": obj["metadata"]["resourceVersion"]}
            header, self._first = self._first, False
            return table.of(
                self._resource, [obj], metadata, self._include, self._accept.version, header=header
            )
        return reading.partial(obj) if self._accept.form else obj


def _raw_line(event: Event) -> bytes:
    return b'{"type":"' + event.change.encode() + b'","object":' + event.record.raw + b"}\n"


class Request(Struct, frozen=True):
    """A watch whose parameters are good."""

    resource: Resource
    namespace: str
    selects: Selects | None
    since: int  # 0: from now
    existing: bool  # the objects of now come first, as ADDED
    initial_end: bool  # a bookmark says where they end
    bookmarks: bool
    seconds: float
    encode: Lines


def request(resource: Resource, namespace: str, accept: Accepted, query: Mapping[str, str]) -> Request:
    """Read the parameters of a watch.

    Raises: Refused.
    """
    since = reading.revision(query.get("resourceVersion", ""))
    initial = _wants_initial(query)
    return Request(
        resource=resource,
        namespace=namespace,
        selects=selects(resource, query),
        since=0 if initial else since,
        existing=initial or (not since and "sendInitialEvents" not in query),
        initial_end=initial,
        bookmarks=true(query.get("allowWatchBookmarks", "")),
        seconds=_duration(query),
        encode=Lines(resource, accept, query.get("includeObject", "Metadata")),
    )


async def lines(cluster: Cluster, wanted: Request, ending: Ending) -> AsyncGenerator[bytes, None]:
    """The lines of a watch until its time is over, its resource is gone or the server ends."""
    store, bucket = cluster.store, wanted.resource.bucket
    start = wanted.since or store.revision
    try:
        with (
            Watch(store, bucket, wanted.namespace, wanted.selects, start) as watch,
            ending.waking(watch),
        ):
            if wanted.existing:
                existing = current(store, bucket, wanted.namespace, wanted.selects)
                for at in range(0, len(existing), _CHUNK):
                    yield b"".join(wanted.encode.line("ADDED", obj) for _, obj in existing[at : at + _CHUNK])
            if wanted.initial_end:
                yield wanted.encode.bookmark(start, initial_end=True)
            async for chunk in _follow(cluster, wanted, watch, ending):
                yield chunk
    except Expired as error:
        message = f"too old resource version: {start} ({error.compacted})"
        status = Refused(410, "Expired", message).status()
        yield orjson.dumps({"type": "ERROR", "object": status}, option=orjson.OPT_APPEND_NEWLINE)


async def _follow(cluster: Cluster, wanted: Request, watch: Watch, ending: Ending) -> AsyncIterator[bytes]:
    loop = asyncio.get_running_loop()
    resource = wanted.resource
    end = loop.time() + wanted.seconds
    while not (ending.over or watch.overrun):
        left = end - loop.time()
        if left <= 0:
            return
        if not await watch.wait(min(left, _BOOKMARK)):
            if wanted.bookmarks:
                yield wanted.encode.bookmark(cluster.store.revision)
            continue
        seen = watch.take()
        if seen:
            yield b"".join(wanted.encode.event(one) for one in seen)
        if cluster.registry.find(resource.group, resource.version, resource.plural) != resource:
            return


def _duration(query: Mapping[str, str]) -> float:
    """Seconds; spread, so that clients do not come back all at once."""
    text = query.get("timeoutSeconds", "")
    if text and not text.isdigit():
        raise refusals.bad_request(f'strconv.ParseInt: parsing "{text}": invalid syntax')
    return float(text) if text and text != "0" else _SHORTEST * random.uniform(1, 2)  # noqa: S311


def _wants_initial(query: Mapping[str, str]) -> bool:
    """Whether this is a watch-list. Raises: Refused 422 for half of one."""
    if "sendInitialEvents" not in query:
        if "resourceVersionMatch" in query:
            raise refusals.invalid_options(
                "ListOptions",
                "resourceVersionMatch",
                "Forbidden: resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
                "FieldValueForbidden",
            )
        return False
    if query.get("resourceVersionMatch") != "NotOlderThan":
        raise refusals.invalid_options(
            "ListOptions",
            "resourceVersionMatch",
            "Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
            "FieldValueForbidden",
        )
    return true(query["sendInitialEvents"])
