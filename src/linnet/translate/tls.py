"""TLS contexts: of the mesh, with identities from the agent, and of users.

Without Istio's own filters only names of the mesh are offered by ALPN: nothing is negotiated, and the server
finds out the codec by itself.
Source: Istio, automatic mTLS.
"""

from collections.abc import Iterable

from linnet.envoy.messages import (
    ApiConfigSource,
    ApiVersion,
    BoolValue,
    CertificateValidationContext,
    CommonTlsContext,
    ConfigSource,
    DownstreamTlsContext,
    Duration,
    GrpcService,
    RawBuffer,
    SdsSecretConfig,
    StringMatcher,
    SubjectAltNameMatcher,
    TlsParameters,
    TransportSocket,
    UpstreamTlsContext,
)
from linnet.model.gateway import ServerTls, ServerTlsMode
from linnet.model.policy import ClientTls
from linnet.model.snapshot import MeshConfig
from linnet.translate import names
from linnet.translate.wire import ads, any_of

MESH_ALPN = ("istio",)
_TLS = "envoy.transport_sockets.tls"
_CIPHERS = (
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES128-GCM-SHA256",
    "AES256-GCM-SHA384",
    "AES128-GCM-SHA256",
)


def plain() -> TransportSocket:
    """No encryption."""
    return TransportSocket(name="envoy.transport_sockets.raw_buffer", typed_config=any_of(RawBuffer()))


def _from_agent(name: str) -> SdsSecretConfig:
    """A secret that the agent beside the proxy serves."""
    service = GrpcService(envoy_grpc=GrpcService.EnvoyGrpc(cluster_name=names.SDS_CLUSTER))
    return SdsSecretConfig(
        name=name,
        sds_config=ConfigSource(
            api_config_source=ApiConfigSource(
                api_type=ApiConfigSource.GRPC,
                transport_api_version=ApiVersion.V3,
                set_node_on_first_message_only=True,
                grpc_services=[service],
            ),
            initial_fetch_timeout=Duration(),
            resource_api_version=ApiVersion.V3,
        ),
    )


def _from_control_plane(name: str) -> SdsSecretConfig:
    """A secret that comes over ADS."""
    return SdsSecretConfig(name=name, sds_config=ads())


def _uri(matcher: StringMatcher) -> SubjectAltNameMatcher:
    return SubjectAltNameMatcher(san_type=SubjectAltNameMatcher.URI, matcher=matcher)


def _dns_or_uri(name: str) -> list[SubjectAltNameMatcher]:
    kinds = [SubjectAltNameMatcher.URI] if "://" in name else [SubjectAltNameMatcher.DNS]
    return [SubjectAltNameMatcher(san_type=kind, matcher=StringMatcher(exact=name)) for kind in kinds]


def _mesh_validation(
    matchers: Iterable[SubjectAltNameMatcher],
) -> CommonTlsContext.CombinedCertificateValidationContext:
    return CommonTlsContext.CombinedCertificateValidationContext(
        default_validation_context=CertificateValidationContext(match_typed_subject_alt_names=matchers),
        validation_context_sds_secret_config=_from_agent("ROOTCA"),
    )


def mesh_client(sni: str, principals: Iterable[str]) -> TransportSocket:
    """Mesh mTLS to endpoints that have one of the identities; with none given any of the mesh will do."""
    context = UpstreamTlsContext(
        sni=sni,
        common_tls_context=CommonTlsContext(
            tls_params=TlsParameters(
                tls_minimum_protocol_version=TlsParameters.TLSv1_2,
                tls_maximum_protocol_version=TlsParameters.TLSv1_3,
            ),
            alpn_protocols=MESH_ALPN,
            tls_certificate_sds_secret_configs=[_from_agent("default")],
            combined_validation_context=_mesh_validation(_uri(StringMatcher(exact=p)) for p in principals),
        ),
    )
    return TransportSocket(name=_TLS, typed_config=any_of(context))


def mesh_server(config: MeshConfig) -> TransportSocket:
    """Mesh mTLS for callers of the trust domain and its aliases."""
    domains = (config.trust_domain, *config.trust_domain_aliases)
    context = DownstreamTlsContext(
        require_client_certificate=BoolValue(value=True),
        common_tls_context=CommonTlsContext(
            tls_params=TlsParameters(
                tls_minimum_protocol_version=TlsParameters.TLSv1_2,
                tls_maximum_protocol_version=TlsParameters.TLSv1_3,
                cipher_suites=_CIPHERS,
            ),
            alpn_protocols=["h2", "http/1.1"],
            tls_certificate_sds_secret_configs=[_from_agent("default")],
            combined_validation_context=_mesh_validation(
                _uri(StringMatcher(prefix=f"spiffe://{domain}/")) for domain in domains
            ),
        ),
    )
    return TransportSocket(name=_TLS, typed_config=any_of(context))


SYSTEM_ROOTS = "file-root:system"  # the name that Istio's agent gives to it


def user_client(tls: ClientTls, config: MeshConfig, *, http2: bool) -> TransportSocket:
    """TLS to servers outside the mesh, whom the system's roots vouch for.

    Without such roots nobody outside is believed: the connection fails rather than going anywhere unchecked.
    """
    common = CommonTlsContext(
        tls_params=TlsParameters(tls_maximum_protocol_version=TlsParameters.TLSv1_3),
        alpn_protocols=["h2"] if http2 else [],
    )
    if not tls.unverified:
        matchers = [matcher for name in tls.names for matcher in _dns_or_uri(name)]
        roots = _from_control_plane(SYSTEM_ROOTS) if config.system_roots else _from_agent("ROOTCA")
        common.combined_validation_context.CopyFrom(
            CommonTlsContext.CombinedCertificateValidationContext(
                default_validation_context=CertificateValidationContext(
                    match_typed_subject_alt_names=matchers
                ),
                validation_context_sds_secret_config=roots,
            )
        )
    context = UpstreamTlsContext(sni=tls.sni, common_tls_context=common)
    if not tls.sni:
        context.auto_host_sni = True
        if not tls.names and not tls.unverified:
            context.auto_sni_san_validation = True
    return TransportSocket(name=_TLS, typed_config=any_of(context))


def gateway_server(tls: ServerTls, config: MeshConfig) -> TransportSocket:
    """What a server of a gateway presents, and what it asks of callers."""
    if tls.mode is ServerTlsMode.MESH:
        return mesh_server(config)
    common = CommonTlsContext(alpn_protocols=["h2", "http/1.1"])
    params = common.tls_params
    params.tls_maximum_protocol_version = TlsParameters.TlsProtocol.Value(tls.max_version or "TLS_AUTO")
    params.tls_minimum_protocol_version = TlsParameters.TlsProtocol.Value(tls.min_version or "TLS_AUTO")
    params.cipher_suites.extend(tls.ciphers)
    for credential in tls.credentials:
        common.tls_certificate_sds_secret_configs.append(_from_control_plane(f"kubernetes://{credential}"))
    asks = tls.mode in {ServerTlsMode.MUTUAL, ServerTlsMode.OPTIONAL_MUTUAL}
    if asks:
        matchers = [matcher for name in tls.names for matcher in _dns_or_uri(name)]
        expected = CertificateValidationContext(match_typed_subject_alt_names=matchers)
        ca = tls.ca or f"{tls.credentials[0]}-cacert"
        common.combined_validation_context.CopyFrom(
            CommonTlsContext.CombinedCertificateValidationContext(
                default_validation_context=expected,
                validation_context_sds_secret_config=_from_control_plane(f"kubernetes://{ca}"),
            )
        )
    context = DownstreamTlsContext(
        common_tls_context=common,
        require_client_certificate=BoolValue(value=tls.mode is ServerTlsMode.MUTUAL),
    )
    return TransportSocket(name=_TLS, typed_config=any_of(context))
