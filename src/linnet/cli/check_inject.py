"""`check-inject` and `injector list`: which webhook injects a pod, and which revision its namespace has."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from linnet.cli import options, output, pods
from linnet.cli.faults import UserError

if TYPE_CHECKING:
    from linnet.upgrade.look import Seen

Object = Mapping[str, Any]
NONE = "<none>"


@click.command(
    "check-inject",
    epilog="""\b
Examples:
  linnet x check-inject web-5f4b6c-abcde -n shop
  linnet x check-inject deployment/web -n shop
  linnet x check-inject -n shop -l app=web,istio.io/rev=canary    a pod that is not there yet""",
)
@click.argument("pod", required=False)
@click.option("-l", "--labels", default="", metavar="KEY=VALUE,…", help="The labels of a pod to be.")
@click.option("-o", "--output", "form", type=click.Choice(["table", "json", "yaml"]), default="table")
def check_inject(pod: str | None, labels: str, form: str) -> None:
    """Say for every injection webhook whether it would inject a pod, and why."""
    if bool(pod) == bool(labels):
        raise UserError("name a pod, or describe one by --labels (and --namespace)")
    rows = options.run(_checked(pod or "", _labels(labels)))
    if form != "table":
        keys = ("webhook", "revision", "injected", "reason")
        shown = [dict(zip(keys, (w, r, i == "✔", why), strict=True)) for w, r, i, why in rows]
        print(output.dump(shown, form))
        return
    print(output.columns([("WEBHOOK", "REVISION", "INJECTED", "REASON"), *rows]))
    several = [webhook for webhook, _, mark, _ in rows if mark == "✔"]
    if len(several) > 1:
        raise UserError(f"several webhooks would inject it: {', '.join(several)}")


async def _checked(pod: str, own: dict[str, str]) -> list[tuple[str, str, str, str]]:
    from linnet.kube.errors import NotFound
    from linnet.kube.kinds import MUTATING_WEBHOOK, NAMESPACE, POD

    flags = options.current()
    async with options.client() as client:
        namespace = flags.namespace or client.config.namespace or "default"
        if pod:
            namespace, name = await pods.resolve(client, pod, flags)
            own = dict((await client.get(POD, name, namespace))["metadata"].get("labels") or {})
        try:
            space = (await client.get(NAMESPACE, namespace))["metadata"].get("labels") or {}
        except NotFound as error:
            raise UserError(f"there is no namespace {namespace}") from error
        hooks = (await client.list(MUTATING_WEBHOOK)).items
    return verdicts(hooks, space, own)


def _labels(text: str) -> dict[str, str]:
    pairs = [part.partition("=") for part in text.split(",") if part]
    if any(not separator for _, separator, _ in pairs):
        raise UserError(f"--labels {text}: write KEY=VALUE,KEY=VALUE")
    return {key: value for key, _, value in pairs}


def verdicts(
    hooks: Sequence[Object], namespace: Mapping[str, str], pod: Mapping[str, str]
) -> list[tuple[str, str, str, str]]:
    """Webhook, revision, mark and reason for every injector, by name (pure)."""
    from linnet.upgrade.injection import entries, injectors, revision_label
    from linnet.upgrade.revisions import deactivated

    rows = []
    for hook in sorted(hooks, key=lambda hook: str(hook["metadata"]["name"])):
        if not entries(hook):
            continue
        found = injectors([hook], namespace, pod)
        if found:
            reason = _because(found[0].entry, namespace, pod)
        elif deactivated(hook):
            reason = "deactivated: the default tag injects for it"
        else:
            reason = _why_not(namespace, pod)
        rows.append((hook["metadata"]["name"], revision_label(hook), "✔" if found else "✘", reason))
    return rows


def _because(entry: str, namespace: Mapping[str, str], pod: Mapping[str, str]) -> str:
    where = {
        "rev.namespace.": f"Namespace label istio.io/rev={namespace.get('istio.io/rev')}",
        "rev.object.": f"Pod label istio.io/rev={pod.get('istio.io/rev')}",
        "namespace.": "Namespace label istio-injection=enabled",
        "object.": "Pod label sidecar.istio.io/inject=true",
        "auto.": "Nobody has a label, and namespaces are injected by default",
    }
    return next((text for prefix, text in where.items() if entry.startswith(prefix)), f"Entry {entry}")


def _why_not(namespace: Mapping[str, str], pod: Mapping[str, str]) -> str:
    if pod.get("sidecar.istio.io/inject") == "false":
        return "Pod label sidecar.istio.io/inject=false"
    if "istio-injection" in namespace:
        return f"Namespace label istio-injection={namespace['istio-injection']} decides"
    if "istio.io/rev" in namespace:
        return f"Namespace label istio.io/rev={namespace['istio.io/rev']} names another"
    if "istio.io/rev" in pod:
        return f"Pod label istio.io/rev={pod['istio.io/rev']} names another"
    return "Neither namespace nor pod asks for it"


@click.group()
def injector() -> None:
    """See which revision injects each namespace: list."""


@injector.command(
    "list",
    epilog="""\b
Examples:
  linnet x injector list
  linnet x injector list -n shop""",
)
@click.option("-o", "--output", "form", type=click.Choice(["table", "json", "yaml"]), default="table")
def list_injectors(form: str) -> None:
    """Namespaces with the revision that injects them and that of their pods; then the webhooks."""
    flags = options.current()
    seen = options.run(_seen(flags.istio_namespace))
    spaces, hooks = namespace_rows(seen, flags.namespace), hook_rows(seen)
    if form != "table":
        keys = ("namespaces", "hook", "revision", "image")
        document = {
            "namespaces": [{"namespace": n, "revision": r, "pods": p} for n, r, p in spaces],
            "injectors": [dict(zip(keys, row, strict=True)) for row in hooks],
        }
        print(output.dump(document, form))
        return
    shown = [(n, r, ", ".join(f"{rev}: {count}" for rev, count in p.items()) or NONE) for n, r, p in spaces]
    print(output.columns([("NAMESPACE", "ISTIO-REVISION", "POD-REVISIONS"), *shown]))
    print()
    print(output.columns([("NAMESPACES", "INJECTOR-HOOK", "ISTIO-REVISION", "SIDECAR-IMAGE"), *hooks]))


async def _seen(namespace: str) -> "Seen":
    from linnet.upgrade.look import look

    async with options.client() as client:
        return await look(client, namespace, streams=False)


def namespace_rows(seen: "Seen", only: str = "") -> list[tuple[str, str, dict[str, int]]]:
    """Namespaces that ask for injection or hold a proxy, with their revision and their pods' (pure)."""
    from linnet.install.marks import REV
    from linnet.upgrade.injection import decides, injectors, labels_of
    from linnet.upgrade.users import revisions_of_pods

    counted: dict[str, Counter[str]] = {}
    for pod, revision in revisions_of_pods(seen.observed.pods).items():
        counted.setdefault(pod.rpartition(".")[2], Counter())[revision] += 1
    rows = []
    for space in seen.observed.namespaces:
        name, labels = space["metadata"]["name"], labels_of(space)
        found = injectors(seen.observed.injectors, labels, {})
        _, asks = decides(labels, {})
        revision = found[0].revision if found else f"MISSING/{asks}" if asks and REV in labels else ""
        if (revision or name in counted) and only in ("", name):
            rows.append((name, revision or NONE, dict(sorted(counted.get(name, Counter()).items()))))
    return sorted(rows)


def hook_rows(seen: "Seen") -> list[tuple[str, str, str, str]]:
    """Which namespaces each injection webhook serves, its revision, and the image of its proxies (pure)."""
    from linnet.upgrade.injection import entries, injectors, labels_of, revision_label

    rows = []
    for hook in seen.observed.injectors:
        if not entries(hook):
            continue
        served = [
            space["metadata"]["name"]
            for space in seen.observed.namespaces
            if injectors([hook], labels_of(space), {})
        ]
        plane = seen.records.get(revision_label(hook))
        image = plane.image(str(plane.value("global.proxy.image", "proxyv2"))) if plane else NONE
        where = ",".join(sorted(served)) or "DOES NOT AUTOINJECT"
        rows.append((where, hook["metadata"]["name"], revision_label(hook), image))
    return sorted(rows, key=_by_name)


def _by_name(row: Iterable[str]) -> str:
    return list(row)[1]
