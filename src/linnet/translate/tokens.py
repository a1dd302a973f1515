"""Issuers of tokens become the filter that checks them, and clusters where keys are fetched.

A request without a token passes unless one is required; with one that is not good it is refused with 401.
What a token says is kept for AuthorizationPolicies.
Source: Istio, RequestAuthentication; Envoy, `jwt_authn`.
"""

from collections.abc import Iterable
from urllib.parse import urlsplit

from msgspec import Struct

from linnet.envoy.messages import (
    Address,
    Cluster,
    ClusterLoadAssignment,
    DataSource,
    Duration,
    Empty,
    Endpoint,
    HttpFilter,
    HttpUri,
    JwtAuthentication,
    JwtClaimToHeader,
    JwtHeader,
    JwtProvider,
    JwtRequirement,
    JwtRequirementAndList,
    LbEndpoint,
    LocalityLbEndpoints,
    RemoteJwks,
    RequirementRule,
    RouteMatch,
)
from linnet.model.policy import AuthorizationPolicy, ClientTls, TlsMode
from linnet.model.resource import Resource
from linnet.model.route import Destination
from linnet.model.snapshot import MeshConfig
from linnet.model.tokens import Issuer
from linnet.translate.targets import NOWHERE, Targets
from linnet.translate.tls import user_client
from linnet.translate.wire import any_of, duration, resource, socket_address

FILTER = "envoy.filters.http.jwt_authn"
PAYLOAD = "payload"  # the key of the filter's metadata that holds what a token says
# A key to which nobody has the other half: Envoy takes no issuer without a key.
_NOBODYS_KEY = (
    '{"keys": [{"kty": "EC", "crv": "P-256", "x": "4a4nFoGhuc8DUzzCM3HAX0LTsOF0VwMBTzQQNtCZkf0",'
    ' "y": "_2XO5ptFqfoa7dTurJ-rPutkq9T6M0bS85g6xbClwQQ"}]}'
)
_LISTS = ("permission", "scope")
_KEPT = 20 * 60  # seconds until keys are fetched again; Source: Istio


class Checks(Struct, frozen=True, cache_hash=True):
    """What is demanded of requests. `sources` are (URI of keys, cluster) pairs."""

    policies: tuple[AuthorizationPolicy, ...] = ()
    issuers: tuple[Issuer, ...] = ()
    sources: tuple[tuple[str, str], ...] = ()


class KeyServer(Struct, frozen=True, cache_hash=True):
    """Where keys are fetched that no service of the mesh has."""

    host: str
    port: int
    secure: bool

    @property
    def cluster(self) -> str:
        """The name of its cluster."""
        return f"jwks|{self.port}|{'https' if self.secure else 'http'}|{self.host}"


def _server(uri: str) -> KeyServer:
    parts = urlsplit(uri)
    secure = parts.scheme == "https"
    return KeyServer((parts.hostname or "").lower(), parts.port or (443 if secure else 80), secure)


def _in_mesh(server: KeyServer, targets: Targets) -> str:
    """The cluster of a service of the mesh, which the mesh encrypts itself; empty for none."""
    if server.secure:
        return ""
    target = targets.of(Destination(server.host, port=server.port), server.port)
    return "" if target is NOWHERE else target.cluster


def key_servers(issuers: Iterable[Issuer], targets: Targets) -> tuple[KeyServer, ...]:
    """Those that need a cluster of their own."""
    servers = dict.fromkeys(_server(one.uri) for one in issuers if one.uri)
    return tuple(server for server in servers if not _in_mesh(server, targets))


def checks(
    policies: tuple[AuthorizationPolicy, ...], issuers: tuple[Issuer, ...], targets: Targets
) -> Checks:
    """What is demanded, with the clusters where keys come from."""
    servers = {one.uri: _server(one.uri) for one in issuers if one.uri}
    sources = ((uri, _in_mesh(server, targets) or server.cluster) for uri, server in servers.items())
    return Checks(policies, issuers, tuple(sorted(sources)))


def filters(held: Checks) -> list[HttpFilter]:
    """The filter, if there are issuers."""
    if not held.issuers:
        return []
    sources = dict(held.sources)
    names = [f"origins-{number}" for number in range(len(held.issuers))]
    demanded = [
        JwtRequirement(provider_name=name)
        for name, issuer in zip(names, held.issuers, strict=True)
        if issuer.required
    ]
    demanded.append(JwtRequirement(allow_missing=Empty()))
    requires = demanded[0]
    if len(demanded) > 1:
        requires = JwtRequirement(requires_all=JwtRequirementAndList(requirements=demanded))
    config = JwtAuthentication(
        providers={
            name: _provider(issuer, sources) for name, issuer in zip(names, held.issuers, strict=True)
        },
        rules=[RequirementRule(match=RouteMatch(prefix="/"), requires=requires)],
        bypass_cors_preflight=True,
    )
    return [HttpFilter(name=FILTER, typed_config=any_of(config))]


def _provider(issuer: Issuer, sources: dict[str, str]) -> JwtProvider:
    held = JwtProvider(
        issuer=issuer.name,
        audiences=issuer.audiences,
        forward=issuer.forward,
        from_headers=[JwtHeader(name=name, value_prefix=prefix) for name, prefix in issuer.headers],
        from_params=issuer.parameters,
        from_cookies=issuer.cookies,
        forward_payload_header=issuer.payload_header,
        payload_in_metadata=PAYLOAD,
        normalize_payload_in_metadata=JwtProvider.NormalizePayload(
            space_delimited_claims=dict.fromkeys((*_LISTS, *issuer.lists))
        ),
        claim_to_headers=[
            JwtClaimToHeader(header_name=header, claim_name=claim) for claim, header in issuer.claim_headers
        ],
    )
    if issuer.uri:
        source = HttpUri(uri=issuer.uri, cluster=sources[issuer.uri], timeout=duration(issuer.timeout))
        held.remote_jwks.CopyFrom(RemoteJwks(http_uri=source, cache_duration=Duration(seconds=_KEPT)))
    else:
        held.local_jwks.CopyFrom(DataSource(inline_string=issuer.keys or _NOBODYS_KEY))
    return held


def cluster(server: KeyServer, config: MeshConfig) -> Resource:
    """Where keys are fetched, found by DNS; over TLS the server must be who the system's CAs say it is."""
    where: Address = socket_address(server.host, server.port)
    endpoint = LbEndpoint(endpoint=Endpoint(address=where))
    held = Cluster(
        name=server.cluster,
        alt_stat_name=f"{server.cluster};",
        type=Cluster.STRICT_DNS,
        dns_lookup_family=Cluster.V4_ONLY,
        connect_timeout=duration(config.connect_timeout),
        load_assignment=ClusterLoadAssignment(
            cluster_name=server.cluster, endpoints=[LocalityLbEndpoints(lb_endpoints=[endpoint])]
        ),
    )
    if server.secure:
        tls = ClientTls(TlsMode.SIMPLE, sni=server.host, names=(server.host,))
        held.transport_socket.CopyFrom(user_client(tls, config, http2=False))
    return resource(server.cluster, held)
