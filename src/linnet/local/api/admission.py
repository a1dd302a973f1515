"""Admission webhooks: who is asked, in which order, and what becomes of their answers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    import socket

Json = dict[str, Any]
Dial = Callable[[str, int], Awaitable["socket.socket"]]


class Review(msgspec.Struct, frozen=True):
    """A request on its way into the store."""

    operation: str  # CREATE, UPDATE, DELETE, CONNECT
    group: str
    version: str
    kind: str
    plural: str
    namespaced: bool
    namespace: str
    name: str
    subresource: str
    user: Json  # UserInfo: username, uid, groups, extra
    obj: Json | None
    old: Json | None
    options: Json  # CreateOptions, UpdateOptions, DeleteOptions with kind and apiVersion
    dry_run: bool


class Denied(Exception):
    """A webhook (or its failure) refused the request; the fields are those of the Status."""

    def __init__(self, code: int, reason: str, message: str, details: Json | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.details = details


class Admission:
    """Calls the registered webhooks. One per server; `close` it."""

    def __init__(
        self,
        *,
        configurations: Callable[[str], Iterable[Json]],
        lookup: Callable[[str, str, str], Json | None],
        dial: Dial | None = None,
    ) -> None:
        """Reads the cluster through two functions.

        `configurations(plural)` lists stored `mutatingwebhookconfigurations`, `validatingwebhookconfigurations`,
        `validatingadmissionpolicies` and `validatingadmissionpolicybindings`;
        `lookup(plural, namespace, name)` finds `namespaces` and `services`;
        `dial(address, port)` connects into the pod network (None: plain TCP).
        """
        raise NotImplementedError

    async def mutated(self, review: Review, warn: Callable[[str], None]) -> Json | None:
        """The object after the mutating webhooks (the same one if nothing changed). Raises: Denied."""
        raise NotImplementedError

    async def validated(self, review: Review, warn: Callable[[str], None]) -> None:
        """Returns if policies and validating webhooks allow the request. Raises: Denied."""
        raise NotImplementedError

    async def close(self) -> None:
        """Close idle connections."""
        raise NotImplementedError
