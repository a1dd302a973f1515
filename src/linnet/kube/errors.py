"""What an API server says when it says no."""

from typing import Any


class ApiError(OSError):
    """A Status answer of the API server. `code` is the HTTP status, `reason` Kubernetes' CamelCase reason."""

    def __init__(self, code: int, reason: str, message: str, status: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.status = status or {}


class NotFound(ApiError):
    """404."""


class Unauthorized(ApiError):
    """401."""


class Forbidden(ApiError):
    """403."""


class Conflict(ApiError):
    """409: the object changed meanwhile, or another field manager owns a field."""


class AlreadyExists(ApiError):
    """409 on create."""


class Gone(ApiError):
    """410: the resourceVersion is too old to continue from."""


class Invalid(ApiError):
    """422."""


_BY_CODE: dict[int, type[ApiError]] = {
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    410: Gone,
    422: Invalid,
}


def from_status(code: int, status: dict[str, Any]) -> ApiError:
    """The exception for a Kubernetes Status object (or for an answer without one: `status` empty)."""
    reason = str(status.get("reason") or "")
    message = str(status.get("message") or f"the server answered {code}")
    kind = AlreadyExists if reason == "AlreadyExists" else _BY_CODE.get(code, ApiError)
    return kind(code, reason, message, status)
