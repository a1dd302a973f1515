"""Which pod a command means: `NAME`, `NAME.NAMESPACE`, `pod/NAME`, `deployment/NAME`, `service/NAME`."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from linnet.cli.faults import UserError
from linnet.cli.options import Globals

if TYPE_CHECKING:
    from linnet.kube.client import Client

_KINDS = {
    "pod": "pod",
    "pods": "pod",
    "po": "pod",
    "deployment": "deployment",
    "deployments": "deployment",
    "deploy": "deployment",
    "service": "service",
    "services": "service",
    "svc": "service",
}


def split(text: str, namespace: str) -> tuple[str, str, str]:
    """Kind, name and namespace of a pod argument (pure). The last dot parts the namespace.

    Raises:
        UserError: a kind that has no pods, or no name.
    """
    kind, slash, rest = text.rpartition("/")
    if slash and kind not in _KINDS:
        raise UserError(f"{text!r}: the kind {kind!r} is not one of pod, deployment, service")
    name, _, of_name = rest.partition(".") if rest.count(".") == 1 else _last_dot(rest)
    if not name:
        raise UserError(f"{text!r} names no pod; write NAME.NAMESPACE or NAME -n NAMESPACE")
    return _KINDS.get(kind, "pod"), name, of_name or namespace


def _last_dot(text: str) -> tuple[str, str, str]:
    return text.rpartition(".") if "." in text else (text, "", "")


async def resolve(client: "Client", text: str, flags: Globals) -> tuple[str, str]:
    """Namespace and name of the pod that an argument means: of a deployment or service the first ready one.

    Raises:
        UserError: there is none.
    """
    from linnet.kube.errors import NotFound
    from linnet.kube.kinds import DEPLOYMENT, POD, SERVICE

    kind, name, namespace = split(text, flags.namespace or client.config.namespace or "default")
    try:
        if kind == "pod":
            await client.get(POD, name, namespace)
            return namespace, name
        owner = await client.get(DEPLOYMENT if kind == "deployment" else SERVICE, name, namespace)
    except NotFound as error:
        raise UserError(f"no {kind} {name!r} in namespace {namespace!r}") from error
    selector = owner["spec"].get("selector") or {}
    labels = selector.get("matchLabels", {}) if kind == "deployment" else selector
    if not labels:
        raise UserError(f"{kind} {name!r} in namespace {namespace!r} selects no pods")
    wanted = ",".join(f"{key}={value}" for key, value in sorted(labels.items()))
    listing = await client.list(POD, namespace, labels=wanted)
    ready = first_ready(listing.items)
    if ready is None:
        raise UserError(f"{kind} {name!r} in namespace {namespace!r} has no ready pod")
    return namespace, ready


def first_ready(pods: Iterable[Mapping[str, Any]]) -> str | None:
    """The name of the first ready pod, by name (pure)."""
    names = (
        pod["metadata"]["name"]
        for pod in pods
        if any(
            condition["type"] == "Ready" and condition["status"] == "True"
            for condition in (pod.get("status") or {}).get("conditions") or ()
        )
    )
    return min(names, default=None)
