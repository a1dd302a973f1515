"""`kube-inject`: proxies written into the templates of a YAML file, where no webhook shall do it.

Source: Istio, `istioctl kube-inject`: kinds, flags, and what is said on stderr.
"""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from linnet.cli import complete, options, xds_flags
from linnet.cli.faults import UserError

if TYPE_CHECKING:
    from linnet.inject.configuration import Configuration

Object = dict[str, Any]
TEMPLATED = frozenset(
    {
        "Deployment",
        "DaemonSet",
        "ReplicaSet",
        "StatefulSet",
        "Job",
        "ReplicationController",
        "DeploymentConfig",
    }
)


@click.command(
    "kube-inject",
    epilog="""\b
Examples:
  linnet kube-inject -f app.yaml | kubectl apply -f -
  linnet kube-inject -f app.yaml --revision canary -o injected.yaml
  cat app.yaml | linnet kube-inject -f -""",
)
@click.option("-f", "--filename", required=True, metavar="FILE", help="The YAML file; - is standard input.")
@click.option("-o", "--output", "target", metavar="FILE", help="Where to write; standard output otherwise.")
@click.option(
    "-r",
    "--revision",
    default="",
    metavar="REV",
    shell_complete=complete.revisions,
    help="The revision (or tag) whose templates are used; the default revision otherwise.",
)
@click.option("--injectConfigFile", "config_file", metavar="FILE", help="Templates from a file.")
@click.option("--meshConfigFile", "mesh_file", metavar="FILE", help="The mesh's configuration from a file.")
@click.option("--valuesFile", "values_file", metavar="FILE", help="The values of the templates from a file.")
@click.option("--injectConfigMapName", hidden=True, expose_value=False)
@click.option("--meshConfigMapName", hidden=True, expose_value=False)
@click.option("--webhookConfig", hidden=True, expose_value=False)
@click.option("--operatorFileName", hidden=True, expose_value=False)
@click.option("--xds-label", hidden=True, expose_value=False)
@click.option("--timeout", hidden=True, expose_value=False)
@xds_flags.refused
def kube_inject(
    filename: str,
    target: str | None,
    revision: str,
    config_file: str | None,
    mesh_file: str | None,
    values_file: str | None,
) -> None:
    """Write proxies into the pod templates of a file, as the revision's webhook would.

    Documents without a pod template pass unchanged. What the revision would not inject is said on stderr.
    """
    from linnet.install.documents import DocumentError, dump_all, load

    text = _text(filename)
    given = {name: _text(path) if path else "" for name, path in _files(config_file, mesh_file, values_file)}
    try:
        documents = load(text, "standard input" if filename == "-" else filename)
    except DocumentError as error:
        raise UserError(str(error)) from error
    configuration = options.run(_configuration(revision, given))
    namespace = options.current().namespace or "default"
    made = dump_all(injected_document(document, configuration, namespace) for document in documents)
    if target:
        Path(target).write_text(made)
    else:
        print(made, end="")


def _files(config: str | None, mesh: str | None, values: str | None) -> Sequence[tuple[str, str | None]]:
    return ("config", config), ("mesh", mesh), ("values", values)


def _text(path: str) -> str:
    try:
        if path == "-":
            return sys.stdin.read() if sys.stdin is not None else ""
        return Path(path).read_text()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise UserError(f"{path}: {why}") from error


async def _configuration(revision: str, given: Mapping[str, str]) -> "Configuration":
    """The revision's injection, each part from a file where one is given.

    Raises:
        UserError: there is no such revision, or a part cannot be read.
    """
    from linnet.inject.configuration import ConfigurationError, parse
    from linnet.inject.trial import check

    namespace = options.current().istio_namespace
    name, found = (revision or "default"), dict(given)
    if not all(given.values()):
        name, held = await _held(revision, namespace)
        found = {key: given[key] or held[key] for key in given}
    try:
        data = {"config": found["config"], "values": found["values"]}
        configuration = parse(data, found["mesh"], revision=name, namespace=namespace)
        check(configuration)
    except ConfigurationError as error:
        raise UserError(f"injection of revision {name}: {error}") from error
    return configuration


async def _held(revision: str, namespace: str) -> tuple[str, dict[str, str]]:
    from linnet.install.plane import NAME, suffixed
    from linnet.kube.errors import NotFound
    from linnet.kube.kinds import CONFIG_MAP, MUTATING_WEBHOOK

    async with options.client() as client:
        tag = revision or NAME
        tags = (await client.list(MUTATING_WEBHOOK, labels=f"istio.io/tag={tag}")).items
        name = tags[0]["metadata"]["labels"]["istio.io/rev"] if tags else tag
        suffix = "" if name == NAME else name
        try:
            injector = await client.get(CONFIG_MAP, suffixed("istio-sidecar-injector", suffix), namespace)
            mesh = await client.get(CONFIG_MAP, suffixed("istio", suffix), namespace)
        except NotFound as error:
            raise UserError(
                f"there is no revision or tag {tag} in namespace {namespace}: {error}; see: revision list"
            ) from error
    held = {key: injector["data"].get(key, "") for key in ("config", "values")}
    return name, held | {"mesh": mesh["data"].get("mesh", "")}


def injected_document(document: Object, configuration: "Configuration", namespace: str) -> Object:
    """The document with a proxy in its pod template; as it is if it has none, or is not to be injected."""
    kind, spec = document.get("kind"), document.get("spec") or {}
    if kind == "List":
        items = [injected_document(item, configuration, namespace) for item in document.get("items") or ()]
        return {**document, "items": items}
    if kind == "Pod":
        return {**document, **_pod(document, document, configuration, namespace)}
    if kind == "CronJob" and isinstance(spec.get("jobTemplate"), dict):
        job = spec["jobTemplate"]
        inner = {**job.get("spec", {})}
        inner["template"] = _pod(inner.get("template") or {}, document, configuration, namespace)
        return {**document, "spec": {**spec, "jobTemplate": {**job, "spec": inner}}}
    if kind in TEMPLATED and isinstance(spec.get("template"), dict):
        made = _pod(spec["template"], document, configuration, namespace)
        return {**document, "spec": {**spec, "template": made}}
    return document


def _pod(template: Object, owner: Object, configuration: "Configuration", namespace: str) -> Object:
    from linnet.inject.annotations import InjectionError
    from linnet.inject.pod import injected
    from linnet.inject.policy import decide
    from linnet.inject.template import TemplateError

    meta = owner.get("metadata") or {}
    name, where = f"{owner['kind']} {meta.get('name', '')}", str(meta.get("namespace") or namespace)
    pod = {**template, "metadata": template.get("metadata") or {}, "spec": template.get("spec") or {}}
    for field in ("metadata", "spec"):
        if not isinstance(pod[field], dict):
            raise UserError(f"{name}: {field} of its pod template: expected a mapping")
    decision = decide(pod, where, configuration)
    for warning in decision.warnings:
        print(f"Warning: {name}: {warning}", file=sys.stderr)
    if not decision.inject:
        print(f"===> Skipping injection because {decision.reason}: {name}", file=sys.stderr)
        return template
    owned = {"apiVersion": owner.get("apiVersion", ""), "kind": owner["kind"], "name": meta.get("name", "")}
    own = pod["metadata"].get("ownerReferences")
    if owner is not template:  # its pods will have this owner
        pod["metadata"] = {**pod["metadata"], "ownerReferences": [{**owned, "uid": "", "controller": True}]}
    try:
        made = injected(pod, where, configuration)
    except (InjectionError, TemplateError) as error:
        raise UserError(f"{name}: {error}") from error
    metadata = {key: value for key, value in made["metadata"].items() if key != "ownerReferences"}
    return {**made, "metadata": metadata | ({"ownerReferences": own} if own else {})}
