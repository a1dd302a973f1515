"""VirtualService: where requests go.

Source: Istio's CustomResourceDefinitions, version v1; every field that they know is here.
"""

from typing import Literal

from msgspec import field

from linnet.objects.parts import Duration, Part, UInt32


class StringMatch(Part, frozen=True):
    exact: str | None = None
    prefix: str | None = None
    regex: str | None = None


class CorsPolicy(Part, frozen=True):
    allow_credentials: bool | None = None
    allow_headers: tuple[str, ...] = ()
    allow_methods: tuple[str, ...] = ()
    allow_origin: tuple[str, ...] = ()
    allow_origins: tuple[StringMatch, ...] = ()
    expose_headers: tuple[str, ...] = ()
    max_age: Duration | None = None
    unmatched_preflights: Literal["UNSPECIFIED", "FORWARD", "IGNORE"] | None = None


class Delegate(Part, frozen=True):
    name: str | None = None
    namespace: str | None = None


class Body(Part, frozen=True):
    bytes: str | None = None
    string: str | None = None


class DirectResponse(Part, frozen=True):
    status: UInt32
    body: Body | None = None


class Percentage(Part, frozen=True):
    value: float | None = None


class Abort(Part, frozen=True):
    grpc_status: str | None = None
    http2_error: str | None = None
    http_status: int | None = None
    percentage: Percentage | None = None


class Delay(Part, frozen=True):
    exponential_delay: Duration | None = None
    fixed_delay: Duration | None = None
    percent: int | None = None
    percentage: Percentage | None = None


class Fault(Part, frozen=True):
    abort: Abort | None = None
    delay: Delay | None = None


class HeaderOperations(Part, frozen=True):
    add: dict[str, str] | None = None
    remove: tuple[str, ...] = ()
    set: dict[str, str] | None = None


class Headers(Part, frozen=True):
    request: HeaderOperations | None = None
    response: HeaderOperations | None = None


class HttpMatch(Part, frozen=True):
    authority: StringMatch | None = None
    gateways: tuple[str, ...] = ()
    headers: dict[str, StringMatch] | None = None
    ignore_uri_case: bool | None = None
    method: StringMatch | None = None
    name: str | None = None
    port: UInt32 | None = None
    query_params: dict[str, StringMatch] | None = None
    scheme: StringMatch | None = None
    source_labels: dict[str, str] | None = None
    source_namespace: str | None = None
    stat_prefix: str | None = None
    uri: StringMatch | None = None
    without_headers: dict[str, StringMatch] | None = None


class PortNumber(Part, frozen=True):
    number: UInt32 | None = None


class Destination(Part, frozen=True):
    host: str
    port: PortNumber | None = None
    subset: str | None = None


class MirrorTo(Part, frozen=True):
    destination: Destination
    percentage: Percentage | None = None


class Redirect(Part, frozen=True):
    authority: str | None = None
    derive_port: Literal["FROM_PROTOCOL_DEFAULT", "FROM_REQUEST_PORT"] | None = None
    port: UInt32 | None = None
    prefix_rewrite: str | None = None
    redirect_code: UInt32 | None = None
    scheme: str | None = None
    uri: str | None = None


class Retries(Part, frozen=True):
    attempts: int | None = None
    backoff: Duration | None = None
    per_try_timeout: Duration | None = None
    retry_ignore_previous_hosts: bool | None = None
    retry_on: str | None = None
    retry_remote_localities: bool | None = None


class UriRegexRewrite(Part, frozen=True):
    match: str | None = None
    rewrite: str | None = None


class Rewrite(Part, frozen=True):
    authority: str | None = None
    uri: str | None = None
    uri_regex_rewrite: UriRegexRewrite | None = None


class HttpDestination(Part, frozen=True):
    destination: Destination
    headers: Headers | None = None
    weight: int | None = None


class HttpRoute(Part, frozen=True):
    cors_policy: CorsPolicy | None = None
    delegate: Delegate | None = None
    direct_response: DirectResponse | None = None
    fault: Fault | None = None
    headers: Headers | None = None
    match: tuple[HttpMatch, ...] = ()
    mirror: Destination | None = None
    old_mirror_percent: UInt32 | None = field(name="mirror_percent", default=None)
    mirror_percent: UInt32 | None = None
    mirror_percentage: Percentage | None = None
    mirrors: tuple[MirrorTo, ...] = ()
    name: str | None = None
    redirect: Redirect | None = None
    retries: Retries | None = None
    rewrite: Rewrite | None = None
    route: tuple[HttpDestination, ...] = ()
    timeout: Duration | None = None


class TcpMatch(Part, frozen=True):
    destination_subnets: tuple[str, ...] = ()
    gateways: tuple[str, ...] = ()
    port: UInt32 | None = None
    source_labels: dict[str, str] | None = None
    source_namespace: str | None = None
    source_subnet: str | None = None


class RouteDestination(Part, frozen=True):
    destination: Destination
    weight: int | None = None


class TcpRoute(Part, frozen=True):
    match: tuple[TcpMatch, ...] = ()
    route: tuple[RouteDestination, ...] = ()


class TlsMatch(Part, frozen=True):
    sni_hosts: tuple[str, ...]
    destination_subnets: tuple[str, ...] = ()
    gateways: tuple[str, ...] = ()
    port: UInt32 | None = None
    source_labels: dict[str, str] | None = None
    source_namespace: str | None = None


class TlsRoute(Part, frozen=True):
    match: tuple[TlsMatch, ...]
    route: tuple[RouteDestination, ...] = ()


class VirtualServiceSpec(Part, frozen=True):
    export_to: tuple[str, ...] = ()
    gateways: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    http: tuple[HttpRoute, ...] = ()
    tcp: tuple[TcpRoute, ...] = ()
    tls: tuple[TlsRoute, ...] = ()
