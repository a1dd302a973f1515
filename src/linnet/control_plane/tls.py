"""TLS contexts of istiod's ports; a new certificate goes into the contexts that are there."""

import ssl
from dataclasses import dataclass, field

from linnet.kube.config import load_certificate


def _context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.num_tickets = 0  # proxies keep their connection; tickets would only cost memory
    return context


def _grpc_context() -> ssl.SSLContext:
    context = _context()
    context.set_alpn_protocols(["h2"])
    # certificates and tokens on one port: a certificate must verify if it is there
    context.verify_mode = ssl.CERT_OPTIONAL
    return context


@dataclass(slots=True)
class Contexts:
    """For gRPC (client certificate optional) and for webhooks (none asked for)."""

    grpc: ssl.SSLContext = field(default_factory=_grpc_context)
    webhooks: ssl.SSLContext = field(default_factory=_context)

    def load(self, chain: str, key: str, roots: str) -> None:
        """Serve new connections with this certificate, and trust these roots in addition."""
        for context in (self.grpc, self.webhooks):
            load_certificate(context, chain.encode(), key.encode())
        self.grpc.load_verify_locations(cadata=roots)
