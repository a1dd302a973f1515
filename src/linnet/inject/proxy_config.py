"""The ProxyConfig that a pod asks for in its annotation, read with suspicion: users write it (pure)."""

import json
from typing import Any, Literal

import msgspec
from msgspec import Struct

from linnet.ingest.report import shape_fault
from linnet.inject.annotations import PROXY_CONFIG, InjectionError
from linnet.inject.configuration import ConfigurationError, read_mapping

_WHERE = f"annotation {PROXY_CONFIG}"


class _Image(Struct):
    """Which build of the proxy's image."""

    imageType: str | None = None  # noqa: N815 (Istio's name)


class _Shape(Struct):
    """The fields that injection and the agent read; others are passed on as they are."""

    discoveryAddress: str | None = None  # noqa: N815
    image: _Image | None = None
    proxyMetadata: dict[str, str | int | float | bool | None] | None = None  # noqa: N815
    interceptionMode: Literal["REDIRECT", "TPROXY", "NONE"] | None = None  # noqa: N815
    holdApplicationUntilProxyStarts: bool | None = None  # noqa: N815
    concurrency: int | None = None
    drainDuration: str | None = None  # noqa: N815
    terminationDrainDuration: str | None = None  # noqa: N815
    tracing: dict[str, Any] | None = None


def asked_config(text: str) -> dict[str, Any]:
    """What the annotation holds.

    Raises:
        InjectionError: it is no YAML mapping, a field has another shape, or it is not plain data.
    """
    try:
        found = read_mapping(text, _WHERE, aliases=False)
    except ConfigurationError as error:
        raise InjectionError(str(error)) from error
    try:
        msgspec.convert(found, _Shape)
    except msgspec.ValidationError as fault:
        path, message = shape_fault(fault)
        raise InjectionError(f"{_WHERE}{path.removeprefix('spec')}: {message}") from fault
    try:
        json.dumps(found, allow_nan=False, sort_keys=True)
    except (TypeError, ValueError, RecursionError) as error:
        raise InjectionError(
            f"{_WHERE}: only text, numbers, lists and mappings are allowed: {error}"
        ) from error
    return {key: value for key, value in found.items() if value is not None}
