"""istiod beside a real API server: its ports, who is served, and what it writes."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import aiohttp
import grpc
import pytest

from linnet.control_plane import logs
from linnet.control_plane.settings import PlaintextCallers
from linnet.envoy.messages import DeltaDiscoveryRequest, DeltaDiscoveryResponse
from linnet.kube import locks
from linnet.kube.kinds import CONFIG_MAP, LEASE, MUTATING_WEBHOOK, SECRET, SERVICE_ACCOUNT, SIDECAR
from linnet.kube.locks import LEADER, Lock
from linnet.model.resource import CLUSTER
from linnet.model.resource import SECRET as SECRET_TYPE
from linnet.xds.ads import SERVICE

pytestmark = pytest.mark.wired


async def token(client, account: str, *audiences: str) -> str:
    """A token of an account of namespace shop."""
    request = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "metadata": {"name": account},
        "spec": {"audiences": list(audiences or ("istio-ca",))},
    }
    answer = await client.create(SERVICE_ACCOUNT, request, namespace="shop", subresource="token")
    return answer["status"]["token"]


async def root(client) -> bytes:
    """The root certificate of the mesh."""
    import base64

    secret = await client.get(SECRET, "istio-ca-secret", "istio-system")
    return base64.b64decode(secret["data"]["root-cert.pem"])


def stream(channel: grpc.aio.Channel, bearer: str = "") -> grpc.aio.StreamStreamCall:
    """A delta stream on which nothing was said yet."""
    metadata = (("authorization", f"Bearer {bearer}"),) if bearer else ()
    return channel.stream_stream(
        SERVICE + "DeltaAggregatedResources",
        request_serializer=lambda m: m.SerializeToString(),
        response_deserializer=DeltaDiscoveryResponse.FromString,
    )(metadata=metadata)


async def asked(
    channel: grpc.aio.Channel, *, claim: dict[str, str], bearer: str = "", type_url: str = CLUSTER
) -> DeltaDiscoveryResponse:
    """The first answer to a proxy that claims this."""
    call = stream(channel, bearer)
    namespace = claim.get("NAMESPACE", "shop")
    node = {"id": f"sidecar~10.0.0.1~web-1.{namespace}~{namespace}.svc.cluster.local", "metadata": claim}
    try:
        await call.write(DeltaDiscoveryRequest(node=node, type_url=type_url))
        async with asyncio.timeout(10):
            return await call.read()
    finally:
        call.cancel()


async def refusal(channel: grpc.aio.Channel, bearer: str = "") -> grpc.StatusCode:
    """The status of a caller that is refused before it says a word.

    Nothing is written: grpcio turns a write that comes after the status into a status of its own.
    """
    call = stream(channel, bearer)
    try:
        async with asyncio.timeout(10):
            return await call.code()
    finally:
        call.cancel()


async def secure(client, istiod, revision: str = "canary") -> grpc.aio.Channel:
    """A TLS channel that checks istiod's name."""
    credentials = grpc.ssl_channel_credentials(await root(client))
    options = [("grpc.ssl_target_name_override", f"istiod-{revision}.istio-system.svc")]
    return grpc.aio.secure_channel(f"127.0.0.1:{istiod.ports.secure_grpc}", credentials, options)


WEB = {"NAMESPACE": "shop", "SERVICE_ACCOUNT": "web"}


async def test_a_token_of_the_claimed_account_is_served(client, start) -> None:
    """The proxy gets clusters, and learns who serves it."""
    async with start() as istiod, await secure(client, istiod) as channel:
        answer = await asked(channel, claim=WEB, bearer=await token(client, "web"))
    assert "PassthroughCluster" in {resource.name for resource in answer.resources}
    assert json.loads(answer.control_plane.identifier)["ID"] == "istiod-canary"


@pytest.mark.parametrize(
    "theft",
    [{"NAMESPACE": "shop", "SERVICE_ACCOUNT": "admin"}, {"NAMESPACE": "bank", "SERVICE_ACCOUNT": "web"}],
)
async def test_identity_theft_is_refused(client, start, theft: dict[str, str]) -> None:
    """Who claims another's account or namespace gets nothing."""
    async with start() as istiod, await secure(client, istiod) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await asked(channel, claim=theft, bearer=await token(client, "web"))
    assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED


async def test_callers_without_proof_are_refused(client, start) -> None:
    """No certificate and no token, or a token for somebody else: nothing."""
    async with start() as istiod, await secure(client, istiod) as channel:
        for bearer in ("", "nonsense", await token(client, "web", "https://other")):
            assert await refusal(channel, bearer) is grpc.StatusCode.UNAUTHENTICATED


async def test_plaintext_serves_this_pod_without_secrets(client, start) -> None:
    """Loopback callers of 15010 get configuration, but no secrets; the operator can switch it off."""
    async with (
        start() as istiod,
        grpc.aio.insecure_channel(f"127.0.0.1:{istiod.ports.grpc}") as channel,
    ):
        answer = await asked(channel, claim=WEB)
        assert answer.resources
        assert not (await asked(channel, claim=WEB, type_url=SECRET_TYPE)).resources
    async with (
        start("closed", plaintext=PlaintextCallers.NONE) as closed,
        grpc.aio.insecure_channel(f"127.0.0.1:{closed.ports.grpc}") as channel,
    ):
        assert await refusal(channel) is grpc.StatusCode.PERMISSION_DENIED


async def test_http_ports(client, start) -> None:
    """Readiness, version (also under a doubled slash), metrics, debug pages, webhooks."""
    async with start() as istiod, aiohttp.ClientSession() as session:
        http, monitoring = (
            f"http://127.0.0.1:{port}" for port in (istiod.ports.http, istiod.ports.monitoring)
        )
        hooks = f"https://127.0.0.1:{istiod.ports.https}"

        async def get(url: str) -> tuple[int, str]:
            async with session.get(url, ssl=False) as answer:
                return answer.status, await answer.text()

        assert await get(f"{http}/ready") == (200, "ready\n")
        assert (await get(f"{hooks}/ready"))[0] == 200
        assert await get(f"{monitoring}//version") == (200, "1.2.3-unknown-Clean\n")
        assert 'pilot_info{version="1.2.3"} 1' in (await get(f"{monitoring}/metrics"))[1]
        assert json.loads((await get(f"{monitoring}/debug/syncz"))[1]) == []
        assert await get(f"{monitoring}/debug/config_dump") == (
            400,
            "You must provide a proxyID in the query string\n",
        )
        unknown = await get(f"{monitoring}/debug/config_dump?proxyID=a.b")
        assert unknown[0] == 404
        assert unknown[1].startswith("Proxy not connected to this Pilot instance.")
        pod = {"kind": "Pod", "metadata": {"labels": {"sidecar.istio.io/inject": "false"}}}
        review = {
            "apiVersion": "admission.k8s.io/v1",
            "kind": "AdmissionReview",
            "request": {"uid": "7", "operation": "CREATE", "object": pod},
        }
        for path in ("/inject", "/inject/net/a", "/validate"):
            async with session.post(hooks + path, json=review, ssl=False) as answer:
                body = await answer.json()
                assert body["response"]["uid"] == "7"
        async with session.post(f"{hooks}/inject", data="x", ssl=False) as answer:
            assert answer.status == 415
        async with session.post(f"{hooks}/validate", json={}, ssl=False) as answer:
            assert answer.status == 400


async def eventually(check: Callable[[], Awaitable[bool]], what: str) -> None:
    """Wait until the cluster is so."""
    try:
        async with asyncio.timeout(60):
            while not await check():  # noqa: ASYNC110 (others write)
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise AssertionError(f"not within 60 s: {what}") from None


async def test_two_revisions_never_fight(client, start) -> None:
    """Two istiods share one root and one ConfigMap of it; at rest they write nothing but leases."""
    async with start("1-0-0"), start("canary"):

        async def distributed() -> bool:
            maps = await client.list(CONFIG_MAP, fields="metadata.name=istio-ca-root-cert")
            return {obj["metadata"]["namespace"] for obj in maps.items} >= {"shop", "istio-system", "default"}

        await eventually(distributed, "the roots are in every namespace")

        async def versions() -> dict[tuple[str, str, str], str]:
            found = {}
            for kind in (CONFIG_MAP, SECRET):
                for obj in (await client.list(kind)).items:
                    meta = obj["metadata"]
                    if LEADER in (meta.get("annotations") or {}):
                        continue  # a lock is renewed
                    found[(kind.name, meta["namespace"], meta["name"])] = meta["resourceVersion"]
            return found

        before = await versions()
        await asyncio.sleep(2)  # what is tested is that nothing happens
        assert await versions() == before


async def holders(client) -> dict[str, tuple[str, str]]:
    """Lock -> pod and revision that hold it, as the records say."""
    found = {}
    for kind in (LEASE, CONFIG_MAP):
        for obj in (await client.list(kind, "istio-system")).items:
            name = obj["metadata"]["name"]
            if kind is LEASE or LEADER in (obj["metadata"].get("annotations") or {}):
                record = locks.read(obj, Lock("istio-system", name, kind), 0)
                found[name] = (record.holder, record.key)
    return found


SHARED = ("istio-namespace-controller-election", "istio-status-leader")


def default_tag(revision: str) -> dict:
    """The webhook that makes a revision the default."""
    labels = {"istio.io/rev": revision, "istio.io/tag": "default", "app": "sidecar-injector"}
    return {"metadata": {"name": "istio-revision-tag-default", "labels": labels}, "webhooks": []}


async def test_two_revisions_started_at_once_share_one_authority(client, start) -> None:
    """Scenario 16: one Secret, one root, in both; and each serves with a certificate of it."""
    running, enough = [asyncio.Event(), asyncio.Event()], asyncio.Event()

    async def run(revision: str, ready: asyncio.Event) -> None:
        async with start(revision) as istiod, await secure(client, istiod, revision) as channel:
            answer = await asked(channel, claim=WEB, bearer=await token(client, "web"))
            assert answer.resources
            ready.set()
            await enough.wait()

    async with asyncio.TaskGroup() as tasks:
        for revision, ready in zip(("1-0-0", "canary"), running, strict=True):
            tasks.create_task(run(revision, ready))
        async with asyncio.timeout(60):
            for ready in running:
                await ready.wait()
        secrets = (await client.list(SECRET, "istio-system")).items
        assert [s["metadata"]["name"] for s in secrets if s.get("type") == "istio.io/ca-root"] == [
            "istio-ca-secret"
        ]
        enough.set()


async def test_the_default_revision_leads(client, start) -> None:
    """Scenario 17: a flip of the default tag moves what all revisions share, and nothing else."""
    await client.create(MUTATING_WEBHOOK, default_tag("1-0-0"))
    async with start("canary"), start("1-0-0"):

        async def led_by(revision: str) -> bool:
            held = await holders(client)
            wanted = dict.fromkeys(SHARED, (f"istiod-{revision}", revision))
            own = {f"istio-status-leader-{r}": (f"istiod-{r}", r) for r in ("canary", "1-0-0")}
            return held.items() >= {**wanted, **own}.items()

        await eventually(lambda: led_by("1-0-0"), "the default leads")
        labels = {"metadata": {"labels": {"istio.io/rev": "canary"}}}
        await client.patch(MUTATING_WEBHOOK, "istio-revision-tag-default", "", labels)
        await eventually(lambda: led_by("canary"), "the new default leads")


async def test_a_dead_leader_is_replaced(client, start) -> None:
    """Scenario 17: a holder that does not renew loses its locks when they expire, also to a lesser claim."""
    await client.create(MUTATING_WEBHOOK, default_tag("dead"))
    for name, kind in zip(SHARED, (CONFIG_MAP, LEASE), strict=True):
        now = locks.stamp(datetime.now(UTC), kind)
        record = locks.Record("istiod-dead", "dead", 3, now, now)
        await client.create(kind, locks.written({}, Lock("istio-system", name, kind), record))
    async with start("canary"):

        async def replaced() -> bool:
            held = await holders(client)
            return all(held[name] == ("istiod-canary", "canary") for name in SHARED)

        await eventually(replaced, "the living one leads")


async def test_a_field_without_effect_is_reported(client, start) -> None:
    """The owner of the object reads it in the status; objects of another revision are left alone."""
    from linnet.kube.kinds import CUSTOM_RESOURCE_DEFINITION
    from linnet.objects.crd import definitions

    (crd,) = (d for d in definitions() if d["spec"]["names"]["kind"] == "Sidecar")
    await client.create(CUSTOM_RESOURCE_DEFINITION, crd)

    async def served() -> bool:
        try:
            await client.list(SIDECAR)
        except OSError:
            return False
        return True

    await eventually(served, "the CRD is served")
    async with start():
        for name, labels in (("ours", {}), ("theirs", {"istio.io/rev": "other"})):
            await client.create(
                SIDECAR,
                {
                    "apiVersion": SIDECAR.api_version,
                    "kind": "Sidecar",
                    "metadata": {"name": name, "namespace": "shop", "labels": labels},
                    "spec": {"egress": [{"hosts": ["./*"], "bind": "127.0.0.1"}]},
                },
            )

        async def reported() -> bool:
            obj = await client.get(SIDECAR, "ours", "shop")
            found = (obj.get("status") or {}).get("conditions") or []
            return [(c["type"], c["status"], c["reason"]) for c in found] == [
                ("linnet.io/Honoured", "False", "FieldNotHonoured")
            ]

        await eventually(reported, "the condition is written")
        assert "status" not in await client.get(SIDECAR, "theirs", "shop")


async def test_a_broken_injection_configuration(client, start) -> None:
    """Hazard H29: what is in force stays so, and istiod says that the ConfigMap is broken, or gone."""
    where = ("istio-sidecar-injector-canary", "istio-system")
    async with start() as istiod, aiohttp.ClientSession() as session:
        ready = f"http://127.0.0.1:{istiod.ports.http}/ready"
        inject = f"https://127.0.0.1:{istiod.ports.https}/inject"
        review = {
            "apiVersion": "admission.k8s.io/v1",
            "kind": "AdmissionReview",
            "request": {"uid": "7", "namespace": "shop", "object": {"metadata": {"name": "a"}, "spec": {}}},
        }

        async def says(*parts: str) -> bool:
            async with session.get(ready) as answer:
                assert answer.status == 200
                text = await answer.text()
                return all(part in text for part in parts)

        async def injected() -> None:
            async with session.post(inject, json=review, ssl=False) as answer:
                assert (await answer.json())["response"]["allowed"] is True

        await client.patch(CONFIG_MAP, *where, {"data": {"values": "{}"}})
        await eventually(lambda: says("istio-sidecar-injector-canary", "`global`"), "the break is told")
        await injected()
        await client.delete(CONFIG_MAP, *where)
        await eventually(lambda: says("there is no injection ConfigMap"), "the loss is told")
        await injected()


async def test_the_level_of_the_log(client, start) -> None:
    """`istioctl admin log` reads and changes it; what is no level or no scope is refused."""
    before = logs.level()
    async with start() as istiod, aiohttp.ClientSession() as session:
        scopes = f"http://127.0.0.1:{istiod.ports.controls}/scopej/"

        async def level() -> str:
            async with session.get(scopes) as answer:
                (scope,) = await answer.json()
                assert scope["name"] == "default"
                return scope["output_level"]

        try:
            assert await level() == before
            async with session.put(f"{scopes}default", json={"output_level": "debug"}) as answer:
                assert answer.status == 202
            assert await level() == "debug"
            async with session.put(f"{scopes}default", json={"output_level": "loud"}) as answer:
                assert answer.status == 400
            async with session.put(f"{scopes}ads", json={"output_level": "info"}) as answer:
                assert answer.status == 404
            assert await level() == "debug"
        finally:
            logs.set_level(before)
