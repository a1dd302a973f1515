"""CreateCertificate over real gRPC, asked by grpcio: who gets a certificate, in whose name, and who none."""

import socket
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from grpclib.server import Server

from linnet.ca.authority import Authority
from linnet.ca.issue import Policy, Signer, pem, self_signed
from linnet.ca.server import METHOD, CertificateService
from linnet.envoy.messages import IstioCertificateRequest, IstioCertificateResponse

pytestmark = pytest.mark.wired

ME = "spiffe://cluster.local/ns/shop/sa/cart"


async def who(metadata, certificate) -> str | None:
    return {"Bearer mine": ME}.get(str(metadata.get("authorization")))


@pytest.fixture
async def service() -> AsyncIterator[tuple[CertificateService, int]]:
    key = ec.generate_private_key(ec.SECP256R1())
    root = self_signed(key, "cluster.local", lifetime=timedelta(days=9), now=datetime.now(UTC), serial=1)
    authority = Authority(
        Signer(root, key, (), pem(root)),
        source="istio-ca-secret",
        policy=Policy(longest_seconds=7200),
        clock=lambda: datetime.now(UTC),
    )
    service = CertificateService(authority, who)
    server = Server([service])
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.setblocking(False)
        await server.start(sock=listening)
        yield service, listening.getsockname()[1]
        server.close()
        await server.wait_closed()


def request(seconds: int = 3600) -> tuple[ec.EllipticCurvePrivateKey, IstioCertificateRequest]:
    key = ec.generate_private_key(ec.SECP256R1())
    csr = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())
    text = csr.public_bytes(serialization.Encoding.PEM).decode()
    return key, IstioCertificateRequest(csr=text, validity_duration=seconds)


async def create(port: int, message: IstioCertificateRequest, token: str) -> IstioCertificateResponse:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        method = channel.unary_unary(
            METHOD,
            request_serializer=lambda m: m.SerializeToString(),
            response_deserializer=IstioCertificateResponse.FromString,
        )
        return await method(message, metadata=(("authorization", f"Bearer {token}"),), timeout=5)


async def test_a_known_caller_gets_a_certificate_in_its_own_name(service):
    """Leaf first, root bundle last, as Istio's agent expects."""
    served, port = service
    key, message = request()
    chain = list((await create(port, message, "mine")).cert_chain)
    assert len(chain) == 2
    leaf = x509.load_pem_x509_certificate(chain[0].encode())
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert list(names) == [x509.UniformResourceIdentifier(ME)]
    assert leaf.public_key() == key.public_key()
    leaf.verify_directly_issued_by(x509.load_pem_x509_certificate(chain[1].encode()))
    assert served.issued == 1


async def test_nobody_gets_nothing(service):
    """An unknown token: UNAUTHENTICATED, and no word of why."""
    served, port = service
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await create(port, request()[1], "stolen")
    assert error.value.code() is grpc.StatusCode.UNAUTHENTICATED
    assert error.value.details() == "request authenticate failure"
    assert (served.issued, served.refused) == (0, 1)


@pytest.mark.parametrize(
    ("message", "said"),
    [
        (IstioCertificateRequest(csr="rubbish"), "not a certificate signing request"),
        (request(7201)[1], "7201 s"),
    ],
    ids=["rubbish", "too-long"],
)
async def test_what_the_policy_does_not_give_is_an_invalid_argument(service, message, said):
    """The caller is told what was wrong with its request."""
    _, port = service
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await create(port, message, "mine")
    assert error.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert said in error.value.details()
