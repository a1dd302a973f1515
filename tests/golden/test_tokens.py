"""Tokens at a real Envoy: which requests pass, and what AuthorizationPolicies see of a token."""

import asyncio
import base64
import json
import subprocess
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import envoys
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from google.protobuf import json_format

from linnet.envoy.messages import RouteConfiguration
from linnet.envoy.pool import pool
from linnet.ingest.authorization import authorization_policy
from linnet.ingest.decode import item
from linnet.ingest.report import Report
from linnet.ingest.tokens import request_authentication, usable_keys
from linnet.model.problem import Ref
from linnet.model.snapshot import MeshConfig
from linnet.translate import filters
from linnet.translate.tokens import Checks

pytestmark = pytest.mark.envoy

KEYS = {name: ec.generate_private_key(ec.SECP256R1()) for name in ("ours", "theirs", "unknown")}


def encoded(data: bytes) -> str:
    """Base64 as tokens have it."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def jwks(*names: str) -> str:
    """The public halves of keys."""
    keys = []
    for name in names:
        numbers = KEYS[name].public_key().public_numbers()
        x, y = (encoded(number.to_bytes(32)) for number in (numbers.x, numbers.y))
        keys.append({"kty": "EC", "crv": "P-256", "alg": "ES256", "kid": name, "x": x, "y": y})
    return json.dumps({"keys": keys})


def token(key: str, issuer: str, **claims: Any) -> str:
    """A signed token."""
    head = {"alg": "ES256", "kid": key}
    body = {"iss": issuer, "exp": int(time.time()) + 3600, **claims}
    text = ".".join(encoded(json.dumps(part).encode()) for part in (head, body))
    r, s = decode_dss_signature(KEYS[key].sign(text.encode(), ec.ECDSA(hashes.SHA256())))
    return f"{text}.{encoded(r.to_bytes(32) + s.to_bytes(32))}"


def checks(issuers: list[dict[str, Any]], *policies: tuple[str, list[dict[str, Any]]]) -> Checks:
    """What objects of users demand."""
    report = Report(Ref("RequestAuthentication", "a", "r"))
    raw = {"spec": {"jwtRules": issuers}}
    held = request_authentication(item("RequestAuthentication", ("a", "r"), raw), report)
    assert held is not None
    read = [
        authorization_policy(
            item("AuthorizationPolicy", ("a", f"p{n}"), {"spec": {"action": action, "rules": rules}}), report
        )
        for n, (action, rules) in enumerate(policies)
    ]
    return Checks(tuple(one for one in read if one is not None), held.issuers)


class Door:
    """A running Envoy whose listener demands something."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def ask(self, path: str = "/", bearer: str = "", **headers: str) -> int:
        """The status of a request."""
        held = {"authorization": f"Bearer {bearer}"} if bearer else {}
        async with self._session.get(f"http://door{path}", headers={**held, **headers}) as answer:
            return answer.status


@pytest.fixture
async def open_door(tmp_path: Path) -> AsyncIterator[Any]:
    """Start Envoys; each listens on a socket in a folder of its own."""
    running: list[asyncio.subprocess.Process] = []
    sessions: list[aiohttp.ClientSession] = []

    async def start(held: Checks) -> Door:
        binary = envoys.newest()
        if binary is None:
            pytest.skip("no Envoy: make setup")
        routes = RouteConfiguration(name="all")
        host = routes.virtual_hosts.add(name="all", domains=["*"])
        route = host.routes.add()
        route.match.prefix = "/"
        route.direct_response.status = 200
        network = filters.inbound_http("door", routes, held, MeshConfig())
        shown = json_format.MessageToDict(network, descriptor_pool=pool(), preserving_proto_field_name=True)
        socket = tmp_path / "door.sock"
        listener = {
            "name": "door",
            "address": {"pipe": {"path": str(socket)}},
            "filter_chains": [{"filters": [shown]}],
        }
        file = tmp_path / "bootstrap.json"
        file.write_text(json.dumps({"static_resources": {"listeners": [listener]}}))
        running.append(
            await asyncio.create_subprocess_exec(
                binary, "-c", file, "-l", "error", "--disable-hot-restart", "--concurrency", "1"
            )
        )
        session = aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(socket)))
        sessions.append(session)
        door = Door(session)
        async with asyncio.timeout(60):
            while True:
                assert running[-1].returncode is None, "Envoy ended"
                try:
                    await door.ask()
                    return door
                except aiohttp.ClientError:
                    await asyncio.sleep(0.05)

    yield start
    for session in sessions:
        await session.close()
    for process in running:
        process.kill()
        await process.wait()


OURS = {"issuer": "https://ours.example/", "jwks": jwks("ours")}
THEIRS = {"issuer": "theirs", "jwks": jwks("theirs")}


async def test_tokens_that_are_not_good_are_refused(open_door) -> None:
    """No token passes; a token passes by the key of its issuer, and in no other case."""
    door = await open_door(checks([OURS, THEIRS, {"issuer": "silent"}, {"issuer": "x", "jwks": "{}"}]))
    assert await door.ask() == 200
    assert await door.ask(bearer=token("ours", OURS["issuer"])) == 200
    assert await door.ask(bearer=token("theirs", "theirs")) == 200
    for key, issuer, more in (
        ("theirs", OURS["issuer"], {}),
        ("unknown", "theirs", {}),
        ("ours", "nobody", {}),
        ("ours", OURS["issuer"], {"exp": 1}),
        ("ours", "silent", {}),
        ("ours", "x", {}),
    ):
        assert await door.ask(bearer=token(key, issuer, **more)) == 401, (key, issuer)
    assert await door.ask(bearer="nonsense") == 401


async def test_where_tokens_are_found_and_for_whom_they_are(open_door) -> None:
    """In the header, parameter or cookie that the rule names, for one of its audiences; a required one."""
    rule = {
        **OURS,
        "audiences": ["shop"],
        "fromHeaders": [{"name": "x-token", "prefix": "Token "}],
        "fromParams": ["token"],
        "fromCookies": ["token"],
        "presence": "REQUIRED",
    }
    door = await open_door(checks([rule]))
    good = token("ours", OURS["issuer"], aud=["shop", "bank"])
    assert await door.ask() == 401
    assert await door.ask(**{"x-token": f"Token {good}"}) == 200
    assert await door.ask(f"/?token={good}") == 200
    assert await door.ask(cookie=f"token={good}") == 200
    other = token("ours", OURS["issuer"], aud="bank")
    assert await door.ask(f"/?token={other}") == 403


async def test_policies_see_what_a_token_says(open_door) -> None:
    """Principals with slashes, claims that are texts, lists and words, in ALLOW and DENY."""

    def allowed(path: str, **source: Any) -> dict[str, Any]:
        when = source.pop("when", [])
        rule: dict[str, Any] = {"to": [{"operation": {"paths": [path]}}], "when": when}
        return {**rule, "from": [{"source": source}]} if source else rule

    door = await open_door(
        checks(
            [OURS, THEIRS],
            (
                "ALLOW",
                [
                    allowed("/anybody", requestPrincipals=["*"]),
                    allowed("/one", requestPrincipals=["https://ours.example//ann"]),
                    allowed("/ours", requestPrincipals=["https://ours.example//*"]),
                    allowed("/anns", requestPrincipals=["*/ann"]),
                    allowed("/group", when=[{"key": "request.auth.claims[groups]", "values": ["admins"]}]),
                    allowed("/deep", when=[{"key": "request.auth.claims[a][b]", "values": ["x*"]}]),
                    allowed("/word", when=[{"key": "request.auth.claims[scope]", "values": ["write"]}]),
                    allowed("/shop", when=[{"key": "request.auth.audiences", "values": ["shop"]}]),
                    allowed("/none", notRequestPrincipals=["*"]),
                ],
            ),
            ("DENY", [allowed("/*", requestPrincipals=["theirs/eve"])]),
        )
    )
    ann = token(
        "ours",
        OURS["issuer"],
        sub="ann",
        groups=["users", "admins"],
        a={"b": "xy"},
        scope="read write",
        aud="shop",
    )
    bob = token("theirs", "theirs", sub="bob", groups="admins", a={"b": "y"}, scope="read", aud=["bank"])
    eve = token("theirs", "theirs", sub="eve", groups="admins")
    passes = {"/anybody", "/one", "/ours", "/anns", "/group", "/deep", "/word", "/shop"}
    for path in (*sorted(passes), "/none"):
        assert await door.ask(path) == (200 if path == "/none" else 403), path
        assert await door.ask(path, ann) == (200 if path in passes else 403), path
        assert await door.ask(path, bob) == (200 if path in {"/anybody", "/group"} else 403), path
        assert await door.ask(path, eve) == 403, path


def odd_keys() -> list[dict[str, Any]]:
    """Keys as people have them, right, half right and wrong."""
    right = json.loads(jwks("ours"))["keys"][0]
    bare = {name: right[name] for name in ("kty", "crv", "x", "y")}
    modulus = encoded(b"\xc1" + bytes(range(1, 128)))
    rsa = {"kty": "RSA", "n": modulus, "e": "AQAB"}
    edwards = {"kty": "OKP", "crv": "Ed25519", "x": encoded(bytes(range(32)))}
    return [
        bare,
        {**right, "use": "enc", "key_ops": ["verify"], "x5c": ["nonsense"]},
        {**bare, "alg": "RS256"},
        {**bare, "crv": "P-384"},
        {**bare, "y": bare["x"]},
        {**bare, "x": bare["x"] + "="},
        {**bare, "kid": 7},
        {**bare, "d": "AQAB"},
        rsa,
        {**rsa, "alg": "PS512"},
        {**rsa, "alg": "ES256"},
        {**rsa, "e": ""},
        {**rsa, "n": "AQAB"},
        {**rsa, "n": modulus + "!"},
        {**rsa, "e": 65537},
        {**rsa, "n": None},
        edwards,
        {**edwards, "alg": "EdDSA"},
        {**edwards, "x": encoded(bytes(31))},
        {"kty": "oct", "k": encoded(b"secret")},
        {"kty": "oct", "k": encoded(b"secret"), "alg": "HS256"},
        {"kty": "oct", "k": ""},
        {"kty": "mystery"},
        {},
    ]


@pytest.mark.parametrize(
    "envoy", [pytest.param(envoys.newest, id="1.40"), pytest.param(envoys.older, id="1.38")]
)
def test_envoy_takes_every_key_that_is_kept(envoy: Any, tmp_path: Path) -> None:
    """A key that Envoy does not read would cost the whole listener (law L1); the good ones are kept."""
    binary = envoy()
    if binary is None:
        pytest.skip("not here: make golden gets it")
    sets = [usable_keys(json.dumps({"keys": [key]})) for key in odd_keys()]
    assert [bool(kept) for kept in sets].count(True) >= 7
    issuers = [{"issuer": f"i{n}", "jwks": kept} for n, kept in enumerate(sets) if kept]
    routes = RouteConfiguration(name="all")
    network = filters.inbound_http("door", routes, checks(issuers), MeshConfig())
    shown = json_format.MessageToDict(network, descriptor_pool=pool(), preserving_proto_field_name=True)
    address = {"pipe": {"path": str(tmp_path / "socket")}}
    listener = {"name": "door", "address": address, "filter_chains": [{"filters": [shown]}]}
    file = tmp_path / "bootstrap.json"
    file.write_text(json.dumps({"static_resources": {"listeners": [listener]}}))
    done = subprocess.run(
        [binary, "--mode", "validate", "-c", file, "-l", "error", "--disable-hot-restart"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
