"""The hazards of Istio's own canary upgrade: each is brought about, and does no harm.

docs/hazards.md lists them all; the names of these tests begin with their numbers.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from tests.e2e.asking import (
    SYSTEM,
    Object,
    dangling,
    injector,
    is_ready,
    pod,
    stored,
    validates,
    virtual_service,
)
from tests.e2e.clusters import NEEDS_ROOT, Cluster, cluster, until
from tests.e2e.failing import reject, scorecard, serve, verdicts
from tests.e2e.rights import restricted

from linnet.kube.client import Client
from linnet.kube.errors import ApiError
from linnet.kube.kinds import (
    CLUSTER_ROLE,
    CONFIG_MAP,
    DEPLOYMENT,
    MUTATING_WEBHOOK,
    POD,
    SERVICE,
    SERVICE_ACCOUNT,
    VIRTUAL_SERVICE,
)
from linnet.upgrade.look import look

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300), NEEDS_ROOT]

OWNED = {  # what the installers of the field write on what they may delete
    "install.operator.istio.io/owning-resource": "unknown",
    "install.operator.istio.io/owning-resource-namespace": SYSTEM,
    "operator.istio.io/managed": "Reconcile",
}


@pytest.fixture(scope="module")
def mesh() -> Iterator[Cluster]:
    """A cluster with 1-0-0, the default, and its ingress gateway."""
    with cluster() as made:
        logs = "meshConfig.accessLogFile=/dev/stdout"
        made.linnet("install", "--set", "revision=1-0-0", "--set", logs, "-y")
        yield made


@pytest.fixture
async def both(mesh: Cluster, client: Client) -> AsyncIterator[Cluster]:
    """Beside 1-0-0 a canary without a gateway, whatever the test before did to it."""
    if not await stored(client, MUTATING_WEBHOOK, "istio-sidecar-injector-canary"):
        mesh.linnet("install", "--set", "profile=minimal", "--set", "revision=canary", "-y")
    yield mesh
    mesh.attempt("tag", "remove", "prod", "-y")
    mesh.linnet("tag", "set", "default", "-r", "1-0-0", "--overwrite")


@pytest.fixture
def alone(mesh: Cluster) -> Cluster:
    """1-0-0 and nothing else."""
    mesh.attempt("uninstall", "--revision", "canary", "-y", "--force")
    return mesh


async def test_h1_a_tag_never_points_to_nothing(both: Cluster, client: Client, space) -> None:
    """A tag of the revision that shall go stops its removal and is named; moved away, it goes on."""
    both.linnet("tag", "set", "prod", "-r", "canary")
    team = await space(rev="prod")
    refused = both.attempt("uninstall", "--revision", "canary", "-y")
    assert refused.returncode == 1
    assert "tag prod" in refused.stderr
    assert f"namespace {team}" in refused.stderr
    assert await injector(client, team) == "canary"
    both.linnet("tag", "set", "prod", "-r", "1-0-0", "--overwrite")
    both.linnet("uninstall", "--revision", "canary", "-y")
    assert await dangling(client) == []
    assert await injector(client, team) == "1-0-0"
    await validates(client, team)


async def test_h1_force_leaves_no_dangling_webhook(both: Cluster, client: Client, space) -> None:
    """Even when it is forced: pods can be created in namespaces of the tag, without a sidecar."""
    both.linnet("tag", "set", "prod", "-r", "canary")
    team = await space(rev="prod")
    both.linnet("uninstall", "--revision", "canary", "-y", "--force")
    assert await dangling(client) == []
    assert await injector(client, team) == ""


async def test_h2_the_default_moves_before_its_revision_goes(both: Cluster, client: Client, space) -> None:
    """The canary was made the default; it is rolled back, and 1-0-0 is the default again."""
    team = await space(injection="enabled")
    both.linnet("tag", "set", "default", "-r", "canary", "--overwrite")
    assert await injector(client, team) == "canary"
    said = both.linnet("uninstall", "--revision", "canary", "-y")
    assert "1-0-0 becomes the default" in said
    assert await injector(client, team) == "1-0-0"
    await validates(client, team)
    assert await dangling(client) == []


async def test_h2_a_revision_that_cannot_serve_takes_nothing_over(
    both: Cluster, client: Client, space
) -> None:
    """The only other revision is scaled to nothing, or does not inject: the default stays, nothing goes."""
    team = await space(injection="enabled")
    command = ("uninstall", "--revision", "1-0-0", "-y", "--readiness-timeout", "20s")

    async def scaled(replicas: int) -> None:
        await client.patch(DEPLOYMENT, "istiod-canary", SYSTEM, {"spec": {"replicas": replicas}})

        async def seen() -> bool:
            status = (await client.get(DEPLOYMENT, "istiod-canary", SYSTEM)).get("status") or {}
            return status.get("readyReplicas", 0) == replicas

        await until(seen)

    await scaled(0)
    for refused in (
        both.attempt(*command),
        both.attempt("tag", "set", "default", "-r", "canary", "--overwrite"),
    ):
        assert refused.returncode == 1
        assert "no ready istiod" in refused.stderr
    await scaled(1)
    await client.delete(MUTATING_WEBHOOK, "istio-sidecar-injector-canary")
    refused = both.attempt(*command)
    assert refused.returncode == 1
    assert "revision canary cannot become the default" in refused.stderr
    assert "istio-sidecar-injector-canary does not exist" in refused.stderr
    assert await injector(client, team) == "1-0-0"
    await validates(client, team)


async def test_h3_the_gateway_outlives_the_canary(alone: Cluster, client: Client) -> None:
    """Installed and rolled back, a canary leaves the gateway's Service as it was, address and all."""

    async def gateway() -> tuple[str, Object, str]:
        service = await client.get(SERVICE, "istio-ingressgateway", SYSTEM)
        deployment = await client.get(DEPLOYMENT, "istio-ingressgateway", SYSTEM)
        revision = deployment["spec"]["template"]["metadata"]["labels"]["istio.io/rev"]
        return service["metadata"]["uid"], service["status"]["loadBalancer"], revision

    uid, address, revision = await gateway()
    assert (bool(address["ingress"]), revision) == (True, "1-0-0")
    alone.linnet("install", "--set", "revision=canary", "-y")
    assert await gateway() == (uid, address, "canary")
    alone.linnet("x", "uninstall", "--revision=canary", "-y")
    assert await gateway() == (uid, address, "1-0-0")


async def test_h4_a_canary_is_configured_as_the_old_one_on_request(alone: Cluster, client: Client) -> None:
    """Without it what gets lost is shown before anything happens; with it, it is inherited."""
    install = ("install", "--set", "profile=minimal", "--set", "revision=canary")
    shown = alone.attempt(*install)  # nobody answers the question
    assert shown.returncode == 1
    assert "- accessLogFile: /dev/stdout" in shown.stdout
    assert await stored(client, CONFIG_MAP, "istio-canary", SYSTEM) is None
    alone.linnet(*install, "--from-revision", "1-0-0", "-y")
    inherited = await client.get(CONFIG_MAP, "istio-canary", SYSTEM)
    assert "accessLogFile: /dev/stdout" in inherited["data"]["mesh"]


async def test_h5_the_default_is_moved_in_one_step(both: Cluster, client: Client, space) -> None:
    """At no moment between the two revisions is a pod created without a sidecar, or refused."""
    team = await space(injection="enabled")
    seen: list[str] = []
    moving = asyncio.create_task(
        asyncio.to_thread(both.linnet, "tag", "set", "default", "-r", "canary", "--overwrite")
    )
    while not moving.done():
        seen.append(await injector(client, team))
    await moving
    seen.append(await injector(client, team))
    assert set(seen) <= {"1-0-0", "canary"}
    assert seen[-1] == "canary"


async def test_h6_a_typo_is_not_silent(both: Cluster, client: Client, space) -> None:
    """A namespace that names a revision which is not there is named by the check and by the list."""
    team = await space(rev="canry")
    assert await injector(client, team) == ""
    checked = both.attempt("x", "precheck")
    assert checked.returncode == 1
    assert f"(Namespace {team}) label istio.io/rev=canry names neither a revision nor a tag" in checked.stdout
    assert f"no revision or tag canry; pods get no proxy in namespace {team}" in both.linnet(
        "revision", "list"
    )


async def test_h7_who_may_not_remove_all_of_it_removes_nothing(
    both: Cluster, client: Client, tmp_path: Path
) -> None:
    """Somebody has every right but to delete roles of the cluster: the default does not even move."""
    both.linnet("tag", "set", "default", "-r", "canary", "--overwrite")
    rights = [
        {
            "apiGroups": ["*"],
            "resources": ["*"],
            "verbs": ["get", "list", "watch", "create", "patch", "update"],
        },
        {"apiGroups": ["", "apps", "admissionregistration.k8s.io"], "resources": ["*"], "verbs": ["delete"]},
    ]
    most = await restricted(both, client, "most", rights, tmp_path)
    before = await look(client, SYSTEM, streams=False)
    refused = most.attempt("uninstall", "--revision", "canary", "-y")
    assert refused.returncode == 1
    assert "cannot be removed" in refused.stderr
    assert "nothing was changed" in refused.stderr
    after = await look(client, SYSTEM, streams=False)
    assert (after.default, after.present) == ("canary", before.present)
    names = {kind.name: [obj["metadata"]["name"] for obj in found] for kind, found in before.objects.items()}
    assert names == {
        kind.name: [obj["metadata"]["name"] for obj in found] for kind, found in after.objects.items()
    }


async def test_h8_installed_means_that_it_injects_and_validates(
    alone: Cluster, client: Client, space
) -> None:
    """The moment the command returns, pods are injected and bad objects of the revision are refused."""
    team = await space(rev="canary")
    assert await injector(client, team) == ""
    alone.linnet("install", "--set", "profile=minimal", "--set", "revision=canary", "-y")
    assert await injector(client, team) == "canary"
    bad = virtual_service(team, "shop", "shop")
    bad["metadata"]["labels"] = {"istio.io/rev": "canary"}
    with pytest.raises(ApiError, match="duplicate host"):
        await client.create(VIRTUAL_SERVICE, bad, dry_run=True)


async def test_h9_what_all_revisions_share_stays(both: Cluster, client: Client) -> None:
    """A node agent that an installer labelled with the canary is not the canary's to delete."""
    labels = {**OWNED, "istio.io/rev": "canary", "operator.istio.io/component": "Cni"}
    shared = {"metadata": {"name": "istio-cni-config", "namespace": "kube-system", "labels": labels}}
    await client.create(CONFIG_MAP, {**shared, "data": {}})
    both.linnet("uninstall", "--revision", "canary", "-y")
    assert await stored(client, CONFIG_MAP, "istio-cni-config", "kube-system")
    await client.delete(CONFIG_MAP, "istio-cni-config", "kube-system")


async def test_h10_configuration_of_nobody_is_named(both: Cluster, client: Client, space) -> None:
    """An object that only a removed revision would read, and one that names a tag, which counts."""
    both.linnet("tag", "set", "prod", "-r", "canary", "--overwrite")
    team = await space()
    for name, revision in (("lost", "removed"), ("tagged", "prod")):
        made = virtual_service(team, "shop")
        made["metadata"] |= {"name": name, "labels": {"istio.io/rev": revision}}
        await client.create(VIRTUAL_SERVICE, made)
    said = both.attempt("x", "precheck").stdout
    assert f"lost.{team}" in said or f"{team}/lost" in said
    assert "tagged" not in said


async def test_h12_a_canary_that_does_worse_is_called_worse(both: Cluster, space) -> None:
    """Its requests fail (nobody listens behind a proxy), a proxy rejects a listener: said, with the cause."""
    serve(both, await space(rev="1-0-0"), well=True)
    bad = await space(rev="canary")
    serve(both, bad, well=False)
    reject(both, bad, "canary")

    async def found() -> bool:
        cards = scorecard(both)
        old, new = verdicts(cards["1-0-0"]), verdicts(cards["canary"])
        return (
            new["configuration"][0] == "problem"
            and new.get("failures") == ("worse", "1-0-0")
            and old.get("failures") == ("ok", "")
            and old["configuration"] == ("ok", "")
        )

    await until(found, 200)
    checked = both.attempt("revision", "status", "canary", "--check", "-o", "json")
    assert checked.returncode == 1
    [card] = [one for one in json.loads(checked.stdout) if one["revision"] == "canary"]
    [rejected] = card["proxies"]["rejecting"]
    assert (rejected["proxy"].split("-")[0], rejected["type"]) == ("door", "LDS")
    assert "9999" in rejected["reason"]
    by_subject = {one["about"]: one for one in card["judgement"]}
    assert f".{bad}: " in by_subject["failures"]["text"]


async def test_h16_a_file_names_exactly_one_revision(both: Cluster, client: Client, tmp_path) -> None:
    """`uninstall -f` and `--set revision=` remove what they name and nothing else."""
    file = tmp_path / "canary.yaml"
    file.write_text("apiVersion: install.istio.io/v1alpha1\nkind: IstioOperator\nspec:\n  revision: canary\n")
    both.linnet("uninstall", "-f", str(file), "-y")
    assert await stored(client, DEPLOYMENT, "istiod-canary", SYSTEM) is None
    assert await stored(client, DEPLOYMENT, "istiod-1-0-0", SYSTEM)
    nothing = both.attempt("uninstall", "-f", "manifests/profiles/default.yaml", "-y")
    assert await stored(client, DEPLOYMENT, "istiod-1-0-0", SYSTEM), nothing.stdout


async def test_h17_what_pods_will_be_is_shown_before(both: Cluster) -> None:
    """A difference in what is injected is said when the revision is installed, not at some pod's restart."""
    asked = ("install", "--set", "profile=minimal", "--set", "revision=other", "--dry-run")
    said = both.linnet(*asked, "--set", "values.global.proxy.logLevel=debug")
    assert "a pod that is injected" in said
    assert "--proxyLogLevel=debug" in said


async def test_h20_a_workload_without_pods_is_a_user(both: Cluster, client: Client, space) -> None:
    """Scaled to zero, a Deployment that asks for the canary still needs it."""
    team = await space()
    template = {
        "metadata": {"labels": {"app": "sleepy", "istio.io/rev": "canary"}},
        "spec": pod(team)["spec"],
    }
    sleepy = {
        "metadata": {"name": "sleepy", "namespace": team},
        "spec": {"replicas": 0, "selector": {"matchLabels": {"app": "sleepy"}}, "template": template},
    }
    await client.create(DEPLOYMENT, sleepy)
    refused = both.attempt("uninstall", "--revision", "canary", "-y")
    assert refused.returncode == 1
    assert "sleepy" in refused.stderr


async def test_h21_the_label_says_which_revision_injected(both: Cluster, client: Client, space) -> None:
    """Pods carry `istio.io/rev`, whether their namespace is moved by revision, tag or the old label."""
    both.linnet("tag", "set", "prod", "-r", "canary", "--overwrite")
    for labels, revision in (
        ({"rev": "canary"}, "canary"),
        ({"rev": "prod"}, "canary"),
        ({"injection": "enabled"}, "1-0-0"),
    ):
        created = await client.create(POD, pod(await space(**labels)), dry_run=True)
        assert created["metadata"]["labels"]["istio.io/rev"] == revision


async def test_h22_the_old_revision_keeps_its_rights(both: Cluster, client: Client, space) -> None:
    """After a rollback 1-0-0 still has its accounts and roles, and a restarted istiod comes up."""
    both.linnet("uninstall", "--revision", "canary", "-y")
    assert await stored(client, SERVICE_ACCOUNT, "istiod-1-0-0", SYSTEM)
    assert await stored(client, CLUSTER_ROLE, "istiod-clusterrole-1-0-0-istio-system")
    selector = "app=istiod,istio.io/rev=1-0-0"
    [old] = [one["metadata"]["name"] for one in (await client.list(POD, SYSTEM, labels=selector)).items]
    await client.delete(POD, old, SYSTEM)

    async def replaced() -> bool:
        pods = (await client.list(POD, SYSTEM, labels=selector)).items
        return any(one["metadata"]["name"] != old and is_ready(one) for one in pods)

    await until(replaced)
    team = await space(rev="1-0-0")
    assert await injector(client, team) == "1-0-0"


async def test_h23_a_first_revision_validates(mesh: Cluster, client: Client, space) -> None:
    """Nobody made a Service `istiod`, and objects are validated; made by hand, it does no harm."""
    team = await space()
    assert await stored(client, SERVICE, "istiod", SYSTEM) is None
    await validates(client, team)
    service = await client.get(SERVICE, "istiod-1-0-0", SYSTEM)
    spec = {key: service["spec"][key] for key in ("ports", "selector")}
    by_hand = {
        "metadata": {"name": "istiod", "namespace": SYSTEM, "labels": service["metadata"]["labels"]},
        "spec": spec,
    }
    await client.create(SERVICE, by_hand)
    await validates(client, team)
    await client.delete(SERVICE, "istiod", SYSTEM)
    await validates(client, team)


async def test_h24_a_plain_install_does_not_take_the_default(mesh: Cluster, client: Client, space) -> None:
    """`istioctl install` by mistake, without a revision: the mesh stays where it is."""
    team = await space(injection="enabled")
    said = mesh.linnet("install", "--set", "profile=minimal", "-y")
    try:
        assert "1-0-0 stays the default" in said
        assert await injector(client, team) == "1-0-0"
    finally:
        mesh.linnet("uninstall", "--revision", "default", "-y")
    assert await injector(client, team) == "1-0-0"


async def test_h25_a_tag_for_a_revision_without_webhook(both: Cluster, client: Client, space) -> None:
    """The revision's own webhook is managed by somebody else and is missing: its tag works all the same."""
    await client.delete(MUTATING_WEBHOOK, "istio-sidecar-injector-canary")
    both.linnet("tag", "set", "prod", "-r", "canary")
    assert await injector(client, await space(rev="prod")) == "canary"


async def test_h27_who_is_where_is_one_command(both: Cluster, client: Client, space) -> None:
    """Every revision with its tags, namespaces, pods, gateways and the health of its webhooks."""
    both.linnet("tag", "set", "prod", "-r", "canary", "--overwrite")
    team = await space(rev="prod")
    listed = {one["revision"]: one for one in json.loads(both.linnet("revision", "list", "-o", "json"))}
    assert listed["1-0-0"]["default"]
    assert (listed["canary"]["tags"], listed["canary"]["namespaces"]) == (["prod"], [team])
    assert "istio-revision-tag-prod" in both.linnet("x", "revision", "describe", "canary")


async def test_h29_the_injectors_configuration_is_deleted(both: Cluster, client: Client, space) -> None:
    """Pods are injected as before with what is known, and the check says what is missing."""
    team = await space(rev="canary")
    await client.delete(CONFIG_MAP, "istio-sidecar-injector-canary", SYSTEM)
    assert await injector(client, team) == "canary"
    checked = both.attempt("verify-install", "--revision", "canary")
    assert checked.returncode == 1
    assert "istio-sidecar-injector-canary" in checked.stdout + checked.stderr
    both.linnet("install", "--set", "profile=minimal", "--set", "revision=canary", "-y")
    assert await injector(client, team) == "canary"
