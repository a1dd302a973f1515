"""The webhook server that transcripts speak of, with an authority of its own."""

from __future__ import annotations

import asyncio
import base64
import datetime
import json
import ssl
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

Json = dict[str, Any]

_HOST = "127.0.0.1"
_SLOW = 5.0


@dataclass(slots=True)
class Served:
    """Where the hooks are, and the base64 PEM that clients must trust."""

    url: str
    ca_bundle: str


def _certificate() -> tuple[bytes, bytes]:
    """A self-signed certificate for the loopback address, and its key, as PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "transcript hooks")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(IPv4Address(_HOST))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return pem, secret


@asynccontextmanager
async def serving() -> AsyncIterator[Served]:
    """The hooks, while the block runs."""
    pem, key = _certificate()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "hook.pem")
        path.write_bytes(pem + key)
        context.load_cert_chain(path)
    app = web.Application()
    app.router.add_post("/{name}", _answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, _HOST, 0, ssl_context=context)
    await site.start()
    try:
        port = runner.addresses[0][1]
        yield Served(f"https://{_HOST}:{port}", base64.b64encode(pem).decode())
    finally:
        await runner.cleanup()


def _review(uid: str, **response: Any) -> web.Response:
    return web.json_response(
        {
            "apiVersion": "admission.k8s.io/v1",
            "kind": "AdmissionReview",
            "response": {"uid": uid, **response},
        }
    )


def _patch(operations: list[Json]) -> Json:
    text = base64.b64encode(json.dumps(operations).encode()).decode()
    return {"allowed": True, "patchType": "JSONPatch", "patch": text}


async def _answer(request: web.Request) -> web.Response:
    review = await request.json()
    uid = review["request"]["uid"]
    match request.match_info["name"]:
        case "inject":
            container = {"name": "proxy", "image": "example.test/proxy:1"}
            operations = [{"op": "add", "path": "/spec/containers/-", "value": container}]
            return _review(uid, warnings=["injected"], **_patch(operations))
        case "deny":
            return _review(uid, allowed=False, status={"code": 400, "message": "no way"})
        case "deny403":
            return _review(uid, allowed=False, status={"code": 403, "reason": "Forbidden"})
        case "slow":
            await asyncio.sleep(_SLOW)
            return _review(uid, allowed=True)
        case "bad":
            return web.Response(text='"this is no review"', content_type="application/json")
        case "500":
            return web.Response(status=500, body=b"")
        case "uid":
            return _review("wrong", allowed=True)
        case "badpatch":
            return _review(uid, **_patch([{"op": "replace", "path": "/spec/nosuch/deep", "value": 1}]))
    return _review(uid, allowed=True)
