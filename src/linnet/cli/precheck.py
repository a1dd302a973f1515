"""`precheck` (and `x precheck`): whether this cluster can take an installation or an upgrade."""

import asyncio
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from linnet.cli import complete, options, output
from linnet.cli.faults import FAILED, UserError
from linnet.cli.prechecks import Facts, Finding, Level, check
from linnet.cli.request import request

if TYPE_CHECKING:
    from linnet.kube.client import Client
    from linnet.kube.kinds import Kind

CLEAN = "✔ No issues found when checking the cluster. Istio is safe to install or upgrade!"
Object = dict[str, Any]


@click.command(
    epilog="""\b
Examples:
  linnet x precheck                            before an installation or an upgrade
  linnet x precheck --revision canary          as that revision (its version counts as in place)
  linnet x precheck --from-version 1.20        from a version that does not run here
  linnet x precheck -o json --output-threshold Info

It looks at Kubernetes' version, your permissions, webhooks that call nobody or overlap, the validator that
an older Istio left, namespaces and Istio objects whose label names no revision or tag, revisions whose
configuration is gone, versions that do not fit, and whether a node has room for a second istiod.
Exit code 0: nothing at or above Warning; 1: something."""
)
@click.option(
    "-r",
    "--revision",
    default=None,
    metavar="REV",
    shell_complete=complete.revisions,
    help="The revision that would be installed.",
)
@click.option("-f", "--from-version", default="", metavar="VERSION", help="The version to upgrade from.")
@click.option("--skip-controlplane", is_flag=True, help="Leave out permissions, versions and capacity.")
@click.option(
    "--output-threshold",
    type=click.Choice([level.name for level in Level], case_sensitive=False),
    default="Warning",
    help="The least level that is shown (Warning); below Warning nothing fails.",
)
@click.option("-o", "--output", "form", type=click.Choice(["log", "json", "yaml"]), default="log")
def precheck(
    revision: str | None, from_version: str, skip_controlplane: bool, output_threshold: str, form: str
) -> None:
    """Say what stands in the way of an installation or an upgrade; change nothing."""
    from linnet.install.versions import parse

    if from_version and parse(from_version) is None:
        raise UserError(f"--from-version {from_version}: no version; write it like 1.20")
    plane = request((), (), revision).plane
    only = options.current().namespace
    facts = options.run(_gather(plane.namespace, control_plane=not skip_controlplane))
    found = [
        finding
        for finding in check(facts, plane, from_version=from_version)
        if finding.level >= Level[output_threshold.capitalize()] and _about(finding, only)
    ]
    worst = max((finding.level for finding in found), default=Level.Info)
    if form != "log":
        click.echo(output.dump([_data(finding) for finding in found], form))
        if worst >= Level.Warning:
            raise SystemExit(FAILED)
        return
    for finding in found:
        click.echo(str(finding))
    if worst >= Level.Warning:
        raise UserError("Issues found when checking the cluster.")
    click.echo(CLEAN, err=True)


def _about(finding: Finding, namespace: str) -> bool:
    """Whether a finding is about a namespace (`-n`), or about none."""
    named = finding.origin.rpartition(" ")[2].rpartition(".")[2]
    return not namespace or not finding.origin.startswith("Namespace ") or named == namespace


def _data(finding: Finding) -> dict[str, str]:
    return {
        "code": finding.code,
        "level": finding.level.name,
        "origin": finding.origin,
        "message": finding.message,
        **({"remedy": finding.remedy} if finding.remedy else {}),
    }


async def _gather(namespace: str, *, control_plane: bool) -> Facts:
    from linnet.cli.installation import running
    from linnet.install.legacy import LEGACY, blocking
    from linnet.install.marks import REV
    from linnet.kube import kinds
    from linnet.kube.errors import NotFound

    async with options.client() as client:

        async def everything(kind: "Kind", where: str = "", labels: str = "") -> Sequence[Object]:
            try:
                return (await client.list(kind, where, labels=labels)).items
            except NotFound:  # its CRD is not installed
                return ()

        async with asyncio.TaskGroup() as tasks:
            lists = {
                kind: tasks.create_task(everything(kind))
                for kind in (
                    kinds.NAMESPACE,
                    kinds.MUTATING_WEBHOOK,
                    kinds.VALIDATING_WEBHOOK,
                    kinds.SERVICE,
                    *((kinds.NODE, kinds.POD) if control_plane else ()),
                )
            }
            maps = tasks.create_task(everything(kinds.CONFIG_MAP, namespace))
            slices = tasks.create_task(everything(kinds.ENDPOINT_SLICE, namespace))
            istio = [tasks.create_task(everything(kind, labels=REV)) for kind in kinds.ISTIO]
        held = {kind: task.result() for kind, task in lists.items()}
        old = [
            hook
            for hook in held[kinds.VALIDATING_WEBHOOK]
            if hook["metadata"]["name"] == LEGACY.format(namespace)
        ]
        planes, proxies = await running(client, namespace) if control_plane else ([], [])
        return Facts(
            namespace=namespace,
            kubernetes=str(json.loads(await client.raw("GET", "/version")).get("gitVersion", "")),
            forbidden=await _forbidden(client, namespace) if control_plane else (),
            namespaces=held[kinds.NAMESPACE],
            injectors=held[kinds.MUTATING_WEBHOOK],
            validators=held[kinds.VALIDATING_WEBHOOK],
            services=held[kinds.SERVICE],
            slices=slices.result(),
            config_maps=maps.result(),
            istio_objects=[obj for task in istio for obj in task.result()],
            nodes=held.get(kinds.NODE, ()),
            pods=held.get(kinds.POD, ()),
            planes=planes,
            proxies=proxies,
            blocked=await blocking(client, old[0]) if old else "",
        )


async def _forbidden(client: "Client", namespace: str) -> list[str]:
    """The kinds that the caller may not create, of those that an installation creates."""
    from linnet.kube import kinds

    async def asks(kind: "Kind") -> str:
        where = namespace if kind.namespaced else ""
        attributes = {"verb": "create", "group": kind.group, "resource": kind.plural, "namespace": where}
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": attributes},
        }
        path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
        answer = json.loads(await client.raw("POST", path, body=review))
        allowed = bool((answer.get("status") or {}).get("allowed"))
        return "" if allowed else kind.resource + (f" in namespace {where}" if where else "")

    needed = (
        kinds.NAMESPACE,
        kinds.CLUSTER_ROLE,
        kinds.CLUSTER_ROLE_BINDING,
        kinds.CUSTOM_RESOURCE_DEFINITION,
        kinds.MUTATING_WEBHOOK,
        kinds.VALIDATING_WEBHOOK,
        kinds.ROLE,
        kinds.ROLE_BINDING,
        kinds.SERVICE_ACCOUNT,
        kinds.SERVICE,
        kinds.DEPLOYMENT,
        kinds.CONFIG_MAP,
        kinds.LEASE,
    )
    async with asyncio.TaskGroup() as tasks:
        asked = [tasks.create_task(asks(kind)) for kind in needed]
    return [what for task in asked if (what := task.result())]
