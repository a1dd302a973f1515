"""Refusals: Kubernetes' `Status` of a failure as an exception; clients match the texts.

Source: Kubernetes, apimachinery `api/errors`.
"""

from collections.abc import Sequence
from typing import Any, Protocol

from linnet.local.api.causes import Cause, summary


class Named(Protocol):
    """What a text needs to know about a resource."""

    @property
    def group(self) -> str: ...
    @property
    def plural(self) -> str: ...
    @property
    def kind(self) -> str: ...


class Refused(Exception):
    """The request is answered with a Status of this code."""

    def __init__(
        self,
        code: int,
        reason: str,
        message: str,
        details: dict[str, Any] | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.details = details
        self.headers = headers or {}

    def status(self) -> dict[str, Any]:
        """The Status object that says it."""
        status: dict[str, Any] = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure"}
        if self.message:
            status["message"] = self.message
        if self.reason:
            status["reason"] = self.reason
        if self.details is not None:
            status["details"] = self.details
        status["code"] = self.code
        return status


class PageNotFound(Exception):
    """The path belongs to nobody: answered as plain text `404 page not found`."""


def qualified(resource: Named) -> str:
    """`deployments.apps`, `pods`."""
    return f"{resource.plural}.{resource.group}" if resource.group else resource.plural


def details(resource: Named, name: str, **more: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if name:
        found["name"] = name
    if resource.group:
        found["group"] = resource.group
    return {**found, "kind": resource.plural, **more}


def not_found(resource: Named, name: str) -> Refused:
    return Refused(404, "NotFound", f'{qualified(resource)} "{name}" not found', details(resource, name))


def no_such_path() -> Refused:
    return Refused(404, "NotFound", "the server could not find the requested resource", {})


def not_allowed() -> Refused:
    return Refused(
        405, "MethodNotAllowed", "the server does not allow this method on the requested resource", {}
    )


def bad_request(message: str) -> Refused:
    return Refused(400, "BadRequest", message)


def already_exists(resource: Named, name: str) -> Refused:
    message = f'{qualified(resource)} "{name}" already exists'
    return Refused(409, "AlreadyExists", message, details(resource, name))


def conflict(resource: Named, name: str, why: str = "") -> Refused:
    said = why or (
        "the object has been modified; please apply your changes to the latest version and try again"
    )
    message = f'Operation cannot be fulfilled on {qualified(resource)} "{name}": {said}'
    return Refused(409, "Conflict", message, details(resource, name))


def forbidden(resource: Named, name: str, why: str, **more: Any) -> Refused:
    message = f'{qualified(resource)} "{name}" is forbidden: {why}'
    return Refused(403, "Forbidden", message, details(resource, name, **more))


def invalid(resource: Named, name: str, causes: Sequence[Cause]) -> Refused:
    """422 with every cause; `resource` gives group and kind."""
    kind = f"{resource.kind}.{resource.group}" if resource.group else resource.kind
    found: dict[str, Any] = {}
    if name:
        found["name"] = name
    if resource.group:
        found["group"] = resource.group
    found["kind"] = resource.kind
    found["causes"] = [
        {"reason": cause.reason, "message": cause.message, "field": cause.field} for cause in causes
    ]
    return Refused(422, "Invalid", f'{kind} "{name}" is invalid: {summary(causes)}', found)


def invalid_options(kind: str, field: str, message: str, reason: str = "FieldValueInvalid") -> Refused:
    """422 for the options of a request (`PatchOptions`, `ListOptions`, …)."""
    found = {
        "group": "meta.k8s.io",
        "kind": kind,
        "causes": [{"reason": reason, "message": message, "field": field}],
    }
    return Refused(422, "Invalid", f'{kind}.meta.k8s.io "" is invalid: {field}: {message}', found)
