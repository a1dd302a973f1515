"""Who may call the gRPC ports, and as whom: the policy of each port on top of `identity`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import structlog
from grpclib.const import Status
from grpclib.exceptions import GRPCError

from linnet.control_plane import identity
from linnet.control_plane.identity import Identity, Unauthenticated
from linnet.control_plane.settings import PlaintextCallers
from linnet.kube.client import Client
from linnet.model.snapshot import MeshConfig
from linnet.xds.transport import Caller

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Callers:
    """Authenticates callers of xDS, the CA and the debug pages. `mesh` gives the mesh's configuration now."""

    client: Client
    plaintext: PlaintextCallers
    mesh: Callable[[], MeshConfig]

    async def proven(self, caller: Caller) -> Identity | None:
        """The identity that a caller proves, by certificate first; None if it offers no proof.

        Raises:
            Unauthenticated: the proof is not good.
            OSError: the API server could not be asked.
        """
        config = self.mesh()
        if caller.certificate:
            domains = frozenset((config.trust_domain, *config.trust_domain_aliases))
            return identity.from_certificate(caller.certificate, domains)
        if caller.token:
            return await identity.from_token(self.client, caller.token, config.trust_domain)
        return None

    async def of_stream(self, caller: Caller) -> Identity | None:
        """The identity of an ADS caller; None only where the operator lets callers without identity in.

        Raises:
            GRPCError: it must not be served.
        """
        if not caller.secure and not self._served_in_plaintext(caller):
            raise GRPCError(
                Status.PERMISSION_DENIED,
                "this port serves only callers of this pod; connect with TLS to port 15012",
            )
        try:
            found = await self.proven(caller)
        except Unauthenticated as error:
            log.warning("caller-refused", peer=str(caller), reason=str(error))
            raise GRPCError(Status.UNAUTHENTICATED, str(error)) from error
        except OSError as error:
            log.warning("caller-not-verified", peer=str(caller), error=str(error))
            raise GRPCError(Status.UNAVAILABLE, f"cannot verify the caller: {error}") from error
        if found is None and caller.secure:
            raise GRPCError(Status.UNAUTHENTICATED, "neither a client certificate nor a token")
        return found

    async def of_request(
        self, metadata: Mapping[str, Any], certificate: Mapping[str, Any] | None
    ) -> str | None:
        """The SPIFFE ID of a caller of the CA; None if it proves none (see `linnet.ca.server`)."""
        names = certificate.get("subjectAltName", ()) if certificate else ()
        scheme, _, token = str(metadata.get("authorization", "")).partition(" ")
        caller = Caller(
            host="",
            certificate=tuple(value for kind, value in names if kind == "URI"),
            token=token.strip() if scheme.lower() == "bearer" else "",
        )
        try:
            found = await self.proven(caller)
        except Unauthenticated as error:
            log.warning("caller-refused", what="certificate request", reason=str(error))
            return None
        except OSError as error:
            raise GRPCError(Status.UNAVAILABLE, f"cannot verify the caller: {error}") from error
        return found.spiffe if found is not None else None

    def _served_in_plaintext(self, caller: Caller) -> bool:
        match self.plaintext:
            case PlaintextCallers.ALL:
                return True
            case PlaintextCallers.LOOPBACK:
                return caller.loopback
            case PlaintextCallers.NONE:
                return False
