"""`install` before anything happens: what it says, what it asks, what it refuses."""

import asyncio
import json
import subprocess
from collections.abc import Awaitable, Callable
from importlib.metadata import version
from typing import Any

import pytest

from linnet.install.apply import apply_object
from linnet.install.install import make_namespace
from linnet.install.operator import resolve
from linnet.install.plane import Plane
from linnet.install.render import base, components, default_objects
from linnet.kube.client import Client
from linnet.kube.config import from_kubeconfig
from linnet.kube.errors import NotFound
from linnet.kube.kinds import CONFIG_MAP, CUSTOM_RESOURCE_DEFINITION, DEPLOYMENT, MUTATING_WEBHOOK, NAMESPACE
from linnet.objects.crd import definitions

pytestmark = pytest.mark.wired
Run = Callable[..., subprocess.CompletedProcess[str]]
OWN = version("linnet")


def plane(revision: str, *sets: str, release: str = OWN) -> Plane:
    """The default profile."""
    return resolve([], list(sets), version=release, revision=revision).plane


@pytest.fixture(scope="module")
def on(api_server: str) -> Callable[[Callable[[Client], Awaitable[Any]]], Any]:
    """Do something with the server's administrator."""

    def do(work: Callable[[Client], Awaitable[Any]]) -> Any:
        async def inner() -> Any:
            async with Client(from_kubeconfig(api_server), manager="istio-operator") as client:
                return await work(client)

        return asyncio.run(inner())

    return do


@pytest.fixture(scope="module", autouse=True)
def old(on: Any) -> Plane:
    """A revision 1-0-0, the default, whose istiod does not run; its mesh was edited by hand."""
    made = plane("1-0-0", "values.global.proxy.logLevel=info")

    async def install(client: Client) -> None:
        await make_namespace(client, made)
        objects = [obj for component in components(made, definitions()) for obj in component.objects]
        for obj in (*objects, *default_objects(made)):
            await apply_object(client, obj)
        mesh = await client.get(CONFIG_MAP, "istio-1-0-0", "istio-system")
        mesh["data"]["mesh"] += "accessLogFile: /dev/stdout\n"
        await client.patch(CONFIG_MAP, "istio-1-0-0", "istio-system", {"data": mesh["data"]})

    async def edited_by_hand(client: Client) -> None:
        client.manager = "kubectl-edit"
        await install(client)

    on(edited_by_hand)
    return made


def test_the_plan_is_exact(run: Run, on: Any) -> None:
    """Every object and its outcome; nothing is written."""
    done = run("install", "--set", "revision=canary", "--dry-run", "-o", "json")
    assert done.returncode == 0, done.stderr
    plan = json.loads(done.stdout)
    outcomes = {change["object"]: change["outcome"] for change in plan["changes"]}
    assert outcomes["Deployment/istio-system/istiod-canary"] == "created"
    assert outcomes["Deployment/istio-system/istio-ingressgateway"] == "changed"
    assert {outcome for what, outcome in outcomes.items() if what.startswith("Custom")} == {"unchanged"}
    assert (plan["comparedWith"], plan["becomesDefault"], plan["refused"]) == ("1-0-0", False, [])

    async def missing(client: Client) -> None:
        with pytest.raises(NotFound):
            await client.get(DEPLOYMENT, "istiod-canary", "istio-system")

    on(missing)


def test_gateways_may_stay(run: Run) -> None:
    """`--gateways=later` leaves them out of the plan."""
    done = run("install", "--set", "revision=canary", "--gateways=later", "--dry-run")
    assert "istio-ingressgateway created" not in done.stdout
    assert "istio-ingressgateway changed" not in done.stdout
    assert "Deployment/istio-system/istiod-canary created (dry run)" in done.stdout


@pytest.mark.parametrize("text", ["\n", "n\n", "what\nNo\n"])
def test_anything_but_yes_is_no(run: Run, text: str) -> None:
    """An empty line means no; other words are asked again."""
    done = run("install", "--set", "profile=empty", text=text)
    assert done.returncode == 1
    assert done.stdout.startswith("This will install the Istio ")
    assert done.stdout.endswith("Cancelled.\n")
    assert done.stdout.count("(y/N)") == (2 if text.startswith("what") else 1)


def test_h17_what_differs_is_part_of_the_question(run: Run) -> None:
    """Mesh, values, gateways and an injected pod are compared before anybody is asked; end of input is no."""
    done = run("install", "--set", "revision=canary")
    assert done.returncode == 1
    told, _, asked = done.stdout.partition("This will install the Istio")
    assert asked.endswith("Proceed? (y/N) \nCancelled.\n")
    assert told.splitlines() == [
        "What revision canary does otherwise than revision 1-0-0:",
        "  mesh configuration:",
        "    - accessLogFile: /dev/stdout",
        "  values of injection:",
        "    ~ global.proxy.logLevel: info → warning",
        "  gateways:",
        (
            "    ~ istio-ingressgateway Deployment.template.spec.containers[istio-proxy].args: "
            "--proxyLogLevel=info → --proxyLogLevel=warning"
        ),
        "  a pod that is injected:",
        "    ~ spec.containers[istio-proxy].args: --proxyLogLevel=info → --proxyLogLevel=warning",
        "  the same: istiod",
        "  (--from-revision 1-0-0 takes over its configuration)",
    ]


def test_h4_an_inheriting_canary_differs_in_nothing(run: Run) -> None:
    """With `--from-revision` the edits by hand are taken over, too."""
    done = run("install", "--revision", "canary", "--from-revision", "1-0-0")
    assert "with what was edited in its mesh configuration: accessLogFile" in done.stderr
    assert done.stdout.startswith(
        "Revision canary is configured and injects as revision 1-0-0 does.\nThis will"
    )
    done = run(
        *("install", "--revision", "canary", "--from-revision", "1-0-0"),
        *("--set", "meshConfig.accessLogFile=/x"),
    )
    assert "    ~ accessLogFile: /dev/stdout → /x\n" in done.stdout
    assert "the same: values of injection, istiod, gateways, a pod that is injected" in done.stdout


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (["--from-revision", "nope"], "no revision nope: it has no ConfigMap istio-nope; there are: 1-0-0"),
        (["--from-revision", "No"], "invalid revision specified"),
        (["--from-revision", "1-0-0", "--revision", "1-0-0"], "has the same name"),
    ],
)
def test_mistakes(run: Run, args: list[str], told: str) -> None:
    """Nothing to inherit, or from itself."""
    done = (
        run("install", "-y", "--revision", "canary", *args)
        if "--revision" not in args
        else run("install", *args)
    )
    assert done.returncode == 1
    assert told in done.stderr
    assert "Traceback" not in done.stderr


def test_h15_versions_that_do_not_fit(run: Run) -> None:
    """The version policy is enforced, and can be overridden."""
    asked = ("install", "--set", "revision=canary", "--set", "tag=99.0.0", "--dry-run")
    done = run(*asked)
    assert done.returncode == 1
    assert "--allow-skew installs it nevertheless" in done.stderr
    again = run(*asked, "--allow-skew")
    assert again.returncode == 0
    assert again.stderr.startswith("WARNING: revision 1-0-0 runs")


def test_h24_an_unrevisioned_installation_never_moves_the_default(run: Run) -> None:
    """H24: by mistake without a revision; the default stays, and what would change is seen."""
    plan = json.loads(run("install", "--dry-run", "-o", "json").stdout)
    assert plan["becomesDefault"] is False
    outcomes = {change["object"]: change["outcome"] for change in plan["changes"]}
    assert not any("default" in what for what in outcomes)
    assert outcomes["MutatingWebhookConfiguration/istio-sidecar-injector"] == "created"


def test_definitions_of_a_newer_version_stay(on: Any) -> None:
    """L3: an older installation never takes away fields that a newer revision needs."""
    from linnet.install.install import newest

    async def work(client: Client) -> None:
        older, newer = plane("x", release="0.0.1"), plane("x", release="99.0.0")
        kept, notes = await newest(client, older, definitions())
        assert kept == []
        assert notes[0].endswith(f"definitions of version {OWN}, which is newer than 0.0.1")
        assert await newest(client, newer, definitions()) == (definitions(), [])
        assert (
            len(base(newer, definitions())) == len((await client.list(CUSTOM_RESOURCE_DEFINITION)).items) + 1
        )

    on(work)


def test_a_dry_run_on_an_empty_namespace(run: Run, on: Any) -> None:
    """A first installation elsewhere: everything would be created."""
    done = run("-i", "mesh", "install", "--dry-run", "-o", "json")
    assert done.returncode == 0, done.stderr
    changes = {change["object"]: change for change in json.loads(done.stdout)["changes"]}
    assert changes["Namespace/mesh"]["outcome"] == "created"
    assert changes["Deployment/mesh/istiod"]["note"] == "namespace mesh does not exist yet"
    on(lambda client: _absent(client, "mesh"))


async def _absent(client: Client, namespace: str) -> None:
    with pytest.raises(NotFound):
        await client.get(NAMESPACE, namespace)
    assert (await client.list(MUTATING_WEBHOOK)).items


def test_output_needs_a_dry_run(run: Run) -> None:
    """A document of what happened does not exist."""
    done = run("install", "-y", "-o", "json")
    assert (done.returncode, done.stdout) == (1, "")
    assert "--output is for --dry-run" in done.stderr
