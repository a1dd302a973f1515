"""Objects and lists of objects, in the form that the client accepts."""

import asyncio
import base64
import binascii
from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from msgspec import Struct

from linnet.local.api import refusals, table, views
from linnet.local.api.cluster import Cluster
from linnet.local.api.negotiation import Accepted
from linnet.local.api.records import Record
from linnet.local.api.refusals import Refused
from linnet.local.api.registry import Resource
from linnet.local.api.selecting import selects
from linnet.local.api.store import Expired
from linnet.local.api.watching import Selects

Json = dict[str, Any]

_FUTURE_WAIT = 3.0  # seconds that a list waits for a revision that is not there yet
_UNREADABLE = "invalid continue token: continue key is not valid"
_META = "meta.k8s.io/v1"
_EXPIRED = (
    "The provided continue parameter is too old to display a consistent list result. "
    "You can start a new list without the continue parameter, or use the continue token in this response "
    "to retrieve the remainder of the results. Continuing with the provided token results in an inconsistent "
    "list - objects that were created, modified, or deleted between the time the first chunk was returned "
    "and now may show up in the list."
)


class Page(Struct, frozen=True):
    """Where a list goes on: the revision of its first page and the last key that was seen."""

    revision: int
    after: str

    def token(self) -> str:
        body = orjson.dumps({"v": "meta.k8s.io/v1", "rv": self.revision, "start": self.after})
        return base64.urlsafe_b64encode(body).rstrip(b"=").decode()


def page(token: str) -> Page:
    """Read a continue token. Raises: Refused 400."""
    try:
        raw = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
    except (binascii.Error, ValueError) as error:
        raise refusals.bad_request(f"{_UNREADABLE}: {error}") from error
    try:
        read = orjson.loads(raw)
        return Page(int(read["rv"]), str(read["start"]))
    except orjson.JSONDecodeError as error:
        first = raw[:1].decode("latin-1")
        why = f"invalid character {first!r} looking for beginning of value"
        raise refusals.bad_request(f"{_UNREADABLE}: {why}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise refusals.bad_request(f"{_UNREADABLE}: incorrect encoding") from error


def revision(text: str) -> int:
    """A resourceVersion parameter as a number, 0 for none. Raises: Refused."""
    if not text:
        return 0
    if not text.isdigit():
        why = f'Invalid value: "{text}": strconv.ParseUint: parsing "{text}": invalid syntax'
        raise refusals.bad_request(f"invalid resource version: resourceVersion: {why}")
    return int(text)


def shown(resource: Resource, obj: Json, accept: Accepted, query: Mapping[str, str]) -> Json:
    """One object in the accepted form."""
    if accept.form == "Table":
        include = query.get("includeObject", "Metadata")
        metadata = {"resourceVersion": obj["metadata"].get("resourceVersion", "")}
        return table.of(resource, [obj], metadata, include, accept.version)
    if accept.form:
        return partial(obj)
    return obj


def partial(obj: Json) -> Json:
    """The metadata alone."""
    return {"kind": "PartialObjectMetadata", "apiVersion": _META, "metadata": obj["metadata"]}


class Reader:
    """Answers get and list from what is durable."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    def get(self, resource: Resource, namespace: str, name: str) -> Json:
        """An object in the resource's version.

        Raises: Refused 404.
        """
        record = self._cluster.store.get(resource.key(namespace, name))
        if record is None:
            raise refusals.not_found(resource, name)
        return views.served(resource, record.load())

    async def list(
        self, resource: Resource, namespace: str, accept: Accepted, query: Mapping[str, str]
    ) -> Json:
        """A list in the accepted form; items may be raw JSON fragments.

        Raises: Refused.
        """
        chosen = selects(resource, query)
        token = query.get("continue", "")
        started = page(token) if token else None
        records, at = await self._records(resource, namespace, query, started)
        if started is not None:
            records = [record for record in records if record.key > started.after]
        limit = _limit(query)
        items, more = _take(records, chosen, limit)
        metadata: Json = {"resourceVersion": str(at)}
        if more:
            metadata["continue"] = Page(at, items[-1][0].key).token()
            if chosen is None:
                metadata["remainingItemCount"] = len(records) - len(items)
        return self._form(resource, items, metadata, accept, query)

    async def _records(
        self, resource: Resource, namespace: str, query: Mapping[str, str], started: Page | None
    ) -> tuple[Sequence[Record], int]:
        """The records that the list is about, and their revision."""
        store = self._cluster.store
        wanted = revision(query.get("resourceVersion", ""))
        if started is None and wanted > store.revision:
            await self._wait(wanted)
        if started is None and query.get("resourceVersionMatch") != "Exact":
            return store.records(resource.bucket, namespace), store.revision
        at = started.revision if started else wanted
        try:
            return store.records_at(resource.bucket, namespace, at), at
        except Expired as error:
            message = _EXPIRED if started else f"too old resource version: {at} ({error.compacted})"
            raise Refused(410, "Expired", message) from error

    async def _wait(self, wanted: int) -> None:
        """Give a revision of the near future time to come. Raises: Refused 504."""
        store = self._cluster.store
        deadline = asyncio.get_running_loop().time() + _FUTURE_WAIT
        while store.revision < wanted:
            left = deadline - asyncio.get_running_loop().time()
            if left <= 0:
                message = f"Too large resource version: {wanted}, current: {store.revision}"
                cause = {"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}
                details = {"causes": [cause], "retryAfterSeconds": 1}
                raise Refused(504, "Timeout", f"Timeout: {message}", details, {"Retry-After": "1"})
            await asyncio.sleep(min(left, 0.05))

    def _form(
        self,
        resource: Resource,
        items: Sequence[tuple[Record, Json | None]],
        metadata: Json,
        accept: Accepted,
        query: Mapping[str, str],
    ) -> Json:
        if not accept.form and views.is_stored_form(resource) and not accept.yaml:
            raw = [orjson.Fragment(record.raw) for record, _ in items]
            head = {"kind": resource.list_kind, "apiVersion": resource.api_version}
            return {**head, "metadata": metadata, "items": raw}
        objects = [views.served(resource, obj or record.load()) for record, obj in items]
        if accept.form == "Table":
            include = query.get("includeObject", "Metadata")
            return table.of(resource, objects, metadata, include, accept.version)
        if accept.form:
            head = {"kind": "PartialObjectMetadataList", "apiVersion": _META}
            return {**head, "metadata": metadata, "items": [partial(obj) for obj in objects]}
        head = {"kind": resource.list_kind, "apiVersion": resource.api_version}
        return {**head, "metadata": metadata, "items": objects}


def _limit(query: Mapping[str, str]) -> int:
    text = query.get("limit", "") or "0"
    if not text.isdigit():
        raise refusals.bad_request(f'strconv.ParseInt: parsing "{text}": invalid syntax')
    return int(text)


def _take(
    records: Sequence[Record], chosen: Selects | None, limit: int
) -> tuple[Sequence[tuple[Record, Json | None]], bool]:
    """At most `limit` selected records (0: all), and whether there are more."""
    if chosen is None:
        taken = records[:limit] if limit else records
        return [(record, None) for record in taken], len(taken) < len(records)
    found: list[tuple[Record, Json | None]] = []
    for record in records:
        obj = record.load()
        if chosen(obj):
            if limit and len(found) == limit:
                return found, True
            found.append((record, obj))
    return found, False
