"""Gateway: what a gateway proxy listens for.

Source: Istio's CustomResourceDefinitions, version v1; every field that they know is here.
"""

from typing import Annotated, Literal

from msgspec import Meta

from linnet.objects.parts import Part, UInt32

TlsMode = Literal["PASSTHROUGH", "SIMPLE", "MUTUAL", "AUTO_PASSTHROUGH", "ISTIO_MUTUAL", "OPTIONAL_MUTUAL"]
TlsVersion = Literal["TLS_AUTO", "TLSV1_0", "TLSV1_1", "TLSV1_2", "TLSV1_3"]


class ServerPort(Part, frozen=True):
    name: str
    number: UInt32
    protocol: str
    target_port: UInt32 | None = None


class TlsCertificate(Part, frozen=True):
    ca_certificates: str | None = None
    private_key: str | None = None
    server_certificate: str | None = None


class ServerTls(Part, frozen=True):
    ca_cert_credential_name: str | None = None
    ca_certificates: str | None = None
    ca_crl: str | None = None
    cipher_suites: tuple[str, ...] = ()
    credential_name: str | None = None
    credential_names: Annotated[tuple[str, ...], Meta(max_length=2)] = ()
    ecdh_curves: tuple[str, ...] = ()
    https_redirect: bool | None = None
    insecure_skip_verify: bool | None = None
    max_protocol_version: TlsVersion | None = None
    min_protocol_version: TlsVersion | None = None
    mode: TlsMode | None = None
    private_key: str | None = None
    server_certificate: str | None = None
    subject_alt_names: tuple[str, ...] = ()
    tls_certificates: Annotated[tuple[TlsCertificate, ...], Meta(max_length=2)] = ()
    verify_certificate_hash: tuple[str, ...] = ()
    verify_certificate_spki: tuple[str, ...] = ()


class Server(Part, frozen=True):
    hosts: tuple[str, ...]
    port: ServerPort
    bind: str | None = None
    default_endpoint: str | None = None
    name: str | None = None
    tls: ServerTls | None = None


class GatewaySpec(Part, frozen=True):
    selector: dict[str, str] | None = None
    servers: tuple[Server, ...] = ()
