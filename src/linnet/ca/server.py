"""istio.v1.auth.IstioCertificateService: signing requests of authenticated callers, over gRPC.

The caller's identity comes from `authenticate` (client certificate or service account token), never from the
request.
Source: Istio, `IstioCertificateService.CreateCertificate`: message, order of the chain, status codes.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import structlog
from grpclib.const import Cardinality, Handler, Status
from grpclib.exceptions import GRPCError
from grpclib.server import Stream

from linnet.ca.authority import Authority
from linnet.ca.issue import Refused
from linnet.envoy.messages import IstioCertificateRequest, IstioCertificateResponse

METHOD = "/istio.v1.auth.IstioCertificateService/CreateCertificate"

Metadata = Mapping[str, str | bytes]
Certificate = Mapping[str, Any]  # as `ssl.SSLSocket.getpeercert` gives it
Authenticate = Callable[[Metadata, Certificate | None], Awaitable[str | None]]
"""The SPIFFE ID of the caller, from the call's metadata and the verified client certificate; None: nobody."""

log = structlog.get_logger(__name__)


class CertificateService:
    """A grpclib service; give it to the same `grpclib.server.Server` as ADS."""

    def __init__(self, authority: Authority, authenticate: Authenticate) -> None:
        self._authority, self._authenticate = authority, authenticate
        self.issued = 0
        self.refused = 0

    def __mapping__(self) -> dict[str, Handler]:
        """The methods by path, as grpclib wants them."""
        return {
            METHOD: Handler(
                self.create_certificate,
                Cardinality.UNARY_UNARY,
                IstioCertificateRequest,
                IstioCertificateResponse,
            )
        }

    async def create_certificate(
        self, stream: Stream[IstioCertificateRequest, IstioCertificateResponse]
    ) -> None:
        """Answer one call: leaf, certificates between it and the root, root bundle last."""
        request = await stream.recv_message()
        if request is None:
            raise GRPCError(Status.INVALID_ARGUMENT, "the request is missing")
        certificate = stream.peer.cert() or None
        identity = await self._authenticate(stream.metadata or {}, certificate)
        if identity is None:
            self.refused += 1
            raise GRPCError(Status.UNAUTHENTICATED, "request authenticate failure")
        try:
            leaf = self._authority.certify(request.csr.encode(), identity, seconds=request.validity_duration)
        except Refused as error:
            self.refused += 1
            log.warning("certificate-refused", identity=identity, reason=str(error))
            raise GRPCError(Status.INVALID_ARGUMENT, f"CSR sign error: {error}") from error
        self.issued += 1
        log.info("certificate-issued", identity=identity)
        chain = [leaf, *self._authority.chain, self._authority.roots]
        await stream.send_message(IstioCertificateResponse(cert_chain=chain))
