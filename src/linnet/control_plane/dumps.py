"""What istiod offers a proxy, in the form of Envoy's `/config_dump`, so that the two can be compared.

Source: Envoy, `admin/v3/config_dump.proto`.
"""

import base64
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from linnet.model.resource import CLUSTER, ENDPOINTS, LISTENER, ROUTES, SECRET, Resource
from linnet.xds.offers import Line

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from linnet.envoy.messages import Any as AnyMessage

Json = dict[str, Any]
_ADMIN = "type.googleapis.com/envoy.admin.v3."
_REDACTED = base64.b64encode(b"[redacted]").decode()
_SHORT = {"cds": CLUSTER, "eds": ENDPOINTS, "lds": LISTENER, "rds": ROUTES, "sds": SECRET}


class _Section(Struct, frozen=True):
    """One type of resources in a dump; `shown` gives the form of one of them, from version and content."""

    kind: str
    type_url: str
    key: str
    shown: Callable[[str, Json], Json]
    versioned: bool = False


_SECTIONS = (  # in Envoy's order
    _Section(
        "ClustersConfigDump",
        CLUSTER,
        "dynamicActiveClusters",
        lambda version, content: {"versionInfo": version, "cluster": content},
        versioned=True,
    ),
    _Section(
        "EndpointsConfigDump",
        ENDPOINTS,
        "dynamicEndpointConfigs",
        lambda version, content: {"versionInfo": version, "endpointConfig": content},
    ),
    _Section(
        "ListenersConfigDump",
        LISTENER,
        "dynamicListeners",
        lambda version, content: {
            "name": content["name"],
            "activeState": {"versionInfo": version, "listener": content},
        },
        versioned=True,
    ),
    _Section(
        "RoutesConfigDump",
        ROUTES,
        "dynamicRouteConfigs",
        lambda version, content: {"versionInfo": version, "routeConfig": content},
    ),
    _Section(
        "SecretsConfigDump",
        SECRET,
        "dynamicActiveSecrets",
        lambda version, content: {"name": content["name"], "versionInfo": version, "secret": content},
    ),
)


def config_dump(line: Line, types: Iterable[str] = (), *, endpoints: bool = False) -> Json:
    """`{"configs": [...]}`: a section per type; with `types` (`cds`, ...) the resources themselves."""
    version = str(line.number)
    if types:
        chosen = (_SHORT[name] for name in types if name in _SHORT)
        return {"configs": [content for t in chosen for content in _contents(line, t)]}

    shown = (section for section in _SECTIONS if endpoints or section.type_url != ENDPOINTS)
    sections = [_section(section, version, _contents(line, section.type_url)) for section in shown]
    return {"configs": [{"@type": _ADMIN + "BootstrapConfigDump"}, *sections]}


def _section(section: _Section, version: str, contents: Iterable[Json]) -> Json:
    about = {"versionInfo": version} if section.versioned else {}
    found = [section.shown(version, content) for content in contents]
    return {"@type": _ADMIN + section.kind, **about, section.key: found}


def messages(line: Line) -> list["Message"]:
    """The sections of `config_dump` as messages; secrets by name only.

    Source: Istio, answer to the xDS type `istio.io/debug/config_dump`.
    """
    from linnet.envoy.messages import (
        BootstrapConfigDump,
        ClustersConfigDump,
        ListenersConfigDump,
        RoutesConfigDump,
        SecretsConfigDump,
    )

    version = str(line.number)
    clusters = [
        ClustersConfigDump.DynamicCluster(version_info=version, cluster=body)
        for _, body in _bodies(line, CLUSTER)
    ]
    listeners = [
        ListenersConfigDump.DynamicListener(
            name=name,
            active_state=ListenersConfigDump.DynamicListenerState(version_info=version, listener=body),
        )
        for name, body in _bodies(line, LISTENER)
    ]
    routes = [
        RoutesConfigDump.DynamicRouteConfig(version_info=version, route_config=body)
        for _, body in _bodies(line, ROUTES)
    ]
    secrets = [
        SecretsConfigDump.DynamicSecret(name=name, version_info=version)
        for name in sorted(line.newest.of(SECRET))
    ]
    return [
        BootstrapConfigDump(),
        ClustersConfigDump(version_info=version, dynamic_active_clusters=clusters),
        ListenersConfigDump(version_info=version, dynamic_listeners=listeners),
        RoutesConfigDump(dynamic_route_configs=routes),
        SecretsConfigDump(dynamic_active_secrets=secrets),
    ]


def _bodies(line: Line, type_url: str) -> Iterator[tuple[str, "AnyMessage"]]:
    from linnet.envoy.messages import Any as AnyMessage

    for name, resource in sorted(line.newest.of(type_url).items()):
        yield name, AnyMessage.FromString(resource.body)


def decoded(resource: Resource) -> Json:
    """A resource as JSON, with its `@type`; private keys are not shown."""
    from google.protobuf import json_format  # heavy, and only needed when somebody looks

    from linnet.envoy.messages import Any as AnyMessage
    from linnet.envoy.pool import pool

    content: Json = json_format.MessageToDict(AnyMessage.FromString(resource.body), descriptor_pool=pool())
    _redact(content)
    return content


def _contents(line: Line, type_url: str) -> list[Json]:
    resources: Mapping[str, Resource] = line.newest.of(type_url)
    return [decoded(resources[name]) for name in sorted(resources)]


def _redact(content: Json) -> None:
    key = (content.get("tlsCertificate") or {}).get("privateKey")
    if key is not None:
        content["tlsCertificate"]["privateKey"] = {"inlineBytes": _REDACTED}
