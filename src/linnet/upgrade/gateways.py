"""Hand the gateways from one revision to another, in place: same Deployment, Service and address.

New pods run beside the old ones until they hold their configuration; then the old ones drain. It is over when
no pod of another revision is listed any more, ending ones included.
"""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from typing import Any

from linnet.install.apply import ApplyError, apply_component
from linnet.install.marks import REV
from linnet.install.plane import GatewaySpec, Plane
from linnet.install.progress import Report
from linnet.install.render import TITLES, gateway_components
from linnet.kube.client import Client
from linnet.kube.kinds import POD
from linnet.kube.mirror import key_of
from linnet.kube.watch import Applied, Deleted, Listed, follow


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
                await _wait_alone(client, plane, gateway, seconds=seconds, report=report)

        await apply_component(client, component, seconds=seconds, report=report, after=alone)


def strangers(pods: Sequence[Mapping[str, Any]], revision: str) -> list[str]:
    """The pods that are not, or no longer, of this revision (pure)."""
    return sorted(
        pod["metadata"]["name"]
        for pod in pods
        if (pod["metadata"].get("labels") or {}).get(REV) != revision
        or pod["metadata"].get("deletionTimestamp")
    )


async def _wait_alone(
    client: Client, plane: Plane, gateway: GatewaySpec, *, seconds: float, report: Report
) -> None:
    selector = ",".join(f"{key}={value}" for key, value in gateway.labels.items())
    left: list[str] = []
    try:
        async with asyncio.timeout(seconds):
            pods: dict[tuple[str, str], Mapping[str, Any]] = {}
            async with aclosing(follow(client, POD, gateway.namespace, labels=selector)) as events:
                async for event in events:
                    match event:
                        case Listed(items=items):
                            pods = {key_of(pod): pod for pod in items}
                        case Applied(object=pod):
                            pods[key_of(pod)] = pod
                        case Deleted(object=pod):
                            pods.pop(key_of(pod), None)
                    left = strangers(list(pods.values()), plane.revision_name)
                    if not left:
                        return
                    title = TITLES[gateway.component][0]
                    report.working(
                        f"Processing resources for {title}. Waiting for {', '.join(left)} to drain"
                    )
    except TimeoutError:
        told = ", ".join(left)
        raise ApplyError(f"{gateway.name}: after {seconds:g} seconds still there: {told}") from None
