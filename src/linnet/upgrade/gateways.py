"""Hand gateways from one revision to another, in place: same workload, Service and address.

New pods run beside the old ones until they hold their configuration; then the old ones drain. It is over when
no pod of another revision is listed any more, ending ones included.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Any

from linnet.install.apply import ApplyError, apply_component
from linnet.install.gateways import described
from linnet.install.marks import REV
from linnet.install.plane import GatewaySpec, Plane
from linnet.install.progress import Report
from linnet.install.ready import NotReady, wait_ready
from linnet.install.render import gateway_components
from linnet.kube.client import Client
from linnet.kube.errors import ApiError
from linnet.kube.kinds import DEPLOYMENT, POD
from linnet.kube.mirror import key_of
from linnet.kube.selectors import text
from linnet.kube.watch import Applied, Deleted, Listed, follow
from linnet.upgrade.fleet import CANONICAL_NAME, Gateway, Way
from linnet.upgrade.users import revision_of_pod

RESTARTED = "kubectl.kubernetes.io/restartedAt"

Object = Mapping[str, Any]


class UnknownGateway(ValueError):
    """Gateways of which nobody noted how they were installed; the message says what to do."""


async def hand_over(
    client: Client, plane: Plane, served: Sequence[GatewaySpec], *, seconds: float, report: Report
) -> None:
    """Let `plane` serve these gateways (made if they are missing), and wait until it alone does.

    Raises:
        ApplyError: something was refused or did not finish within `seconds`; the same call completes it.
    """
    for component in gateway_components(plane, served):
        own = [gateway for gateway in served if gateway.component == component.name]

        async def alone(own: Sequence[GatewaySpec] = own) -> None:
            for gateway in own:
                labels = {**gateway.labels, CANONICAL_NAME: gateway.name}
                await wait_alone(
                    client,
                    f"{gateway.name}.{gateway.namespace}",
                    gateway.namespace,
                    labels,
                    lambda pods: strangers(pods, plane.revision_name),
                    seconds=seconds,
                    report=report,
                )

        try:
            await apply_component(client, component, seconds=seconds, report=report, after=alone)
        except ApplyError as error:
            if not isinstance(error.__cause__, NotReady):
                raise
            raise ApplyError(
                f"{error}. Pods that were ready go on serving: mend it and run the same command again, "
                "or go back with linnet gateway move --to REV"
            ) from error


def specs(wanted: Iterable[Gateway], taker: Plane, planes: Iterable[Plane]) -> list[GatewaySpec]:
    """How installed gateways are rendered for the revision that takes them (pure).

    Its own description of a gateway wins; then what `install` noted on the gateway; then any plane's.

    Raises:
        UnknownGateway: nobody describes one of them.
    """
    known = {(g.namespace, g.name): g for plane in (*planes, taker) for g in plane.gateways}
    own = {(g.namespace, g.name) for g in taker.gateways}
    found, missing = [], []
    for gateway in wanted:
        key = (gateway.namespace, gateway.name)
        noted = None if key in own else described(gateway.name, gateway.namespace, gateway.record)
        spec = noted or known.get(key)
        if spec is None:
            missing.append(str(gateway))
        else:
            found.append(spec)
    if missing:
        raise UnknownGateway(
            f"no revision describes {'the gateway' if len(missing) == 1 else 'the gateways'} "
            f"{', '.join(missing)}; install it again from its file: "
            f"install -f FILE --set revision={taker.revision_name}"
        )
    return found


async def move_injected(
    client: Client, gateway: Gateway, revision: str, way: Way, *, seconds: float, report: Report
) -> None:
    """Bring an injected gateway to a revision by its own label or by a restart, and wait until it is there.

    Raises:
        ApplyError: it was refused, did not finish within `seconds`, or was injected by somebody else.
    """
    template: dict[str, Any] = {"labels": {REV: revision}} if way is Way.LABEL else {}
    if way is Way.RESTART and gateway.served_by != (revision,):
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        template = {"annotations": {RESTARTED: now}}
    report.working(f"Moving gateway {gateway}.")
    try:
        live = await client.get(DEPLOYMENT, gateway.name, gateway.namespace)
        if template:
            patch = {"spec": {"template": {"metadata": template}}}
            live = await client.patch(DEPLOYMENT, gateway.name, gateway.namespace, patch)
    except ApiError as error:
        raise ApplyError(f"gateway {gateway}: {error}") from error
    live |= {"apiVersion": DEPLOYMENT.api_version, "kind": DEPLOYMENT.name}
    try:
        await wait_ready(client, [live], seconds=seconds, title=f"gateway {gateway}", report=report)
    except NotReady as error:
        raise ApplyError(f"gateway {gateway}: {error}") from error
    await wait_alone(
        client,
        str(gateway),
        gateway.namespace,
        gateway.selector,
        lambda pods: others(pods, revision),
        seconds=seconds,
        report=report,
    )


def strangers(pods: Sequence[Object], revision: str) -> list[str]:
    """The pods that are not, or no longer, of this revision by their label (pure)."""
    return sorted(
        pod["metadata"]["name"]
        for pod in pods
        if (pod["metadata"].get("labels") or {}).get(REV) != revision
        or pod["metadata"].get("deletionTimestamp")
    )


def others(pods: Sequence[Object], revision: str) -> list[str]:
    """The pods that are not, or no longer, injected by this revision (pure)."""
    return sorted(
        pod["metadata"]["name"]
        for pod in pods
        if revision_of_pod(pod) != revision or pod["metadata"].get("deletionTimestamp")
    )


async def wait_alone(
    client: Client,
    name: str,
    namespace: str,
    selector: Mapping[str, str],
    left_of: Callable[[Sequence[Object]], list[str]],
    *,
    seconds: float,
    report: Report,
) -> None:
    """Return when `left_of` the pods is nothing. Raises ApplyError after `seconds`."""
    left: list[str] = []
    try:
        async with asyncio.timeout(seconds):
            pods: dict[tuple[str, str], Object] = {}
            async with aclosing(follow(client, POD, namespace, labels=text(selector))) as events:
                async for event in events:
                    match event:
                        case Listed(items=items):
                            pods = {key_of(pod): pod for pod in items}
                        case Applied(object=pod):
                            pods[key_of(pod)] = pod
                        case Deleted(object=pod):
                            pods.pop(key_of(pod), None)
                    left = left_of(list(pods.values()))
                    if not left:
                        return
                    report.working(f"Gateway {name}: waiting for {', '.join(left)} to drain")
    except TimeoutError:
        told = ", ".join(left)
        raise ApplyError(f"{name}: after {seconds:g} seconds still there: {told}") from None
