"""Credentials of gateways (SDS): certificates with their keys, and CAs to check callers with.

Source: Istio, names ``kubernetes://<secret>`` and ``kubernetes://<secret>-cacert``.
"""

from collections.abc import Iterable, Mapping

from linnet.envoy.messages import CertificateValidationContext, DataSource, Secret, TlsCertificate
from linnet.model.gateway import Gateway
from linnet.model.policy import DestinationRule, TlsMode
from linnet.model.resource import Resource
from linnet.model.snapshot import Credential, MeshConfig
from linnet.translate.tls import SYSTEM_ROOTS
from linnet.translate.wire import resource

_CA = "-cacert"


def wanted(gateways: Iterable[Gateway]) -> list[str]:
    """Names of the Secrets that some gateways refer to."""
    found: set[str] = set()
    for gateway in gateways:
        for server in gateway.servers:
            if server.tls is not None:
                found.update(server.tls.credentials)
                found.update(f"{name}{_CA}" for name in server.tls.credentials)
                if server.tls.ca:
                    found.add(server.tls.ca)
    return sorted(found)


def source_of(
    name: str, namespace: str, credentials: Mapping[tuple[str, str], Credential]
) -> tuple[Credential, bool] | None:
    """The credential behind a name, and whether its CA is meant; None if there is none."""
    if name.endswith(_CA):
        for one in (name, name.removesuffix(_CA)):
            held = credentials.get((namespace, one))
            if held is not None and held.ca:
                return held, True
    held = credentials.get((namespace, name))
    if held is None:
        return None
    if held.certificate:
        return held, False
    return (held, True) if held.ca else None


def system_roots(config: MeshConfig) -> Resource:
    """Who vouches for servers outside the mesh."""
    trusted = CertificateValidationContext(trusted_ca=DataSource(inline_bytes=config.system_roots))
    return resource(SYSTEM_ROOTS, Secret(name=SYSTEM_ROOTS, validation_context=trusted))


def wants_system_roots(rules: Iterable[DestinationRule]) -> bool:
    """Whether some rule asks for TLS to servers outside the mesh."""
    held = [
        policy
        for rule in rules
        for one in (rule.policy, *(subset.policy for subset in rule.subsets))
        if one is not None
        for policy in (one.default, *(policy for _, policy in one.ports))
    ]
    return any(one.tls is not None and one.tls.mode in {TlsMode.SIMPLE, TlsMode.MUTUAL} for one in held)


def secret(name: str, held: Credential, as_ca: bool) -> Resource:
    """A secret under its name."""
    full = f"kubernetes://{name}"
    if as_ca:
        trusted = CertificateValidationContext(trusted_ca=DataSource(inline_bytes=held.ca))
        return resource(full, Secret(name=full, validation_context=trusted))
    pair = TlsCertificate(
        certificate_chain=DataSource(inline_bytes=held.certificate),
        private_key=DataSource(inline_bytes=held.key),
    )
    return resource(full, Secret(name=full, tls_certificate=pair))
