"""`verify-install`: whether an installation is there, whole and working."""

from typing import TYPE_CHECKING, Any

import click

from linnet.cli import options, output
from linnet.cli.faults import FAILED, UserError
from linnet.cli.request import described, request

if TYPE_CHECKING:
    from linnet.install.plane import Plane
    from linnet.install.verify import Verification
    from linnet.kube.client import Client


@click.command(
    "verify-install",
    epilog="""\b
Examples:
  linnet verify-install                        every revision, as it was installed
  linnet verify-install --revision canary      one of them
  linnet verify-install -f mesh.yaml           what this file describes
  linnet verify-install -o json

Each object must exist, Deployments must be rolled out, webhooks must reach an istiod; then a pod is injected
and a wrong object refused, both by dry run. What was edited since is said and is no fault.
Exit code 0: all of it; 1: not.""",
)
@described
@click.option("--enableVerbose", "verbose", type=bool, default=True, help="Say each object (true).")
@click.option("-o", "--output", "form", type=click.Choice(["json", "yaml"]), default=None)
def verify_install(
    filenames: tuple[str, ...],
    sets: tuple[str, ...],
    revision: str | None,
    manifests: str | None,  # noqa: ARG001
    verbose: bool,
    form: str | None,
) -> None:
    """Check an installation, object by object, and its webhooks by dry run."""
    plane = request(filenames, sets, revision).plane
    from_flags = bool(filenames or sets)
    found = options.run(
        _verify(
            plane,
            from_flags=from_flags,
            wanted=plane.revision_name if revision is not None else "",
            say=not form,
        )
    )
    if form:
        click.echo(output.dump([_data(verification) for verification in found], form))
    else:
        for verification in found:
            _print(verification, verbose=verbose)
    if not all(verification.good for verification in found):
        if form:
            raise SystemExit(FAILED)
        raise UserError("Istio installation failed")
    if not form:
        click.echo("✔ Istio is installed and verified successfully")


async def _verify(plane: "Plane", *, from_flags: bool, wanted: str, say: bool) -> "list[Verification]":
    from linnet.install.verify import verify
    from linnet.objects.crd import definitions

    async with options.client() as client:
        planes = [plane] if from_flags else await _installed(client, plane.namespace, wanted)
        if say and len(planes) > 1:
            names = ", ".join(found.revision_name for found in planes)
            click.echo(f"{len(planes)} Istio control planes detected: {names}")
        return [
            await verify(client, found, definitions(), compare=found.version == plane.version)
            for found in planes
        ]


async def _installed(client: "Client", namespace: str, wanted: str) -> "list[Plane]":
    """The planes that are recorded in a namespace, or the wanted one of them."""
    from linnet.cli.installation import configuration_of, revisions

    there = await revisions(client)
    if wanted and wanted not in there:
        raise UserError(
            f"No Istio installation found: no revision {wanted}; there are: {', '.join(there) or 'none'}"
        )
    found = []
    for name in [wanted] if wanted else there:
        plane = (await configuration_of(client, name, namespace)).plane
        if plane is None:
            raise UserError(
                f"revision {name} has no record of how it was installed (ConfigMap values-REV); "
                "say what to check: verify-install -f FILE"
            )
        found.append(plane)
    if not found:
        raise UserError("No Istio installation found")
    return found


def _print(verification: "Verification", *, verbose: bool) -> None:
    for check in verification.checks:
        if check.why:
            click.echo(f"✘ {check}: {check.why}")
        elif check.note:
            click.echo(f"✔ {check} checked successfully ({check.note})")
        elif verbose:
            click.echo(f"✔ {check} checked successfully")
    click.echo(f"Checked {verification.count('CustomResourceDefinition')} custom resource definitions")
    click.echo(f"Checked {verification.count('Deployment')} Istio Deployments")


def _data(verification: "Verification") -> dict[str, Any]:
    return {
        "revision": verification.revision,
        "good": verification.good,
        "checks": [
            {
                "kind": check.kind,
                "name": check.name,
                **({"namespace": check.namespace} if check.namespace else {}),
                "good": check.good,
                **({"why": check.why} if check.why else {}),
                **({"note": check.note} if check.note else {}),
            }
            for check in verification.checks
        ],
    }
