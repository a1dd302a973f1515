"""What a shell offers for revisions, tags, namespaces and gateways: those that are there, if the cluster
answers at once. The flags before the word (-c, --context, -n, -i) say where to look."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from typing import Any

    from linnet.cli.options import Globals
    from linnet.kube.client import Client

    Object = dict[str, Any]
    Ask = Callable[[Client, Globals], Awaitable[list[str]]]

SECONDS = 2.0  # nobody waits longer after a press of the tab key, unless --kubeclient-timeout says so


def revisions(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:  # noqa: ARG001
    """The installed revisions."""
    return _offered(ctx, incomplete, _labelled("istio.io/rev", "!istio.io/tag"))


def tags(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:  # noqa: ARG001
    """The tags that are set."""
    return _offered(ctx, incomplete, _labelled("istio.io/tag", "istio.io/rev"))


def namespaces(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:  # noqa: ARG001
    """The namespaces of the cluster."""

    async def ask(client: "Client", flags: "Globals") -> list[str]:  # noqa: ARG001
        from linnet.kube.kinds import NAMESPACE

        return [obj["metadata"]["name"] for obj in (await client.list(NAMESPACE)).items]

    return _offered(ctx, incomplete, ask)


def gateways(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:  # noqa: ARG001
    """The gateways of the mesh: NAME in the namespace of -n (or the control plane's), else NAME.NAMESPACE."""

    async def ask(client: "Client", flags: "Globals") -> list[str]:
        from linnet.upgrade.look import look

        seen = await look(client, flags.istio_namespace, streams=False)
        here = flags.namespace or flags.istio_namespace
        return [row.name if row.namespace == here else f"{row.name}.{row.namespace}" for row in seen.gateways]

    return _offered(ctx, incomplete, ask)


def _labelled(key: str, more: str) -> "Ask":
    async def ask(client: "Client", flags: "Globals") -> list[str]:  # noqa: ARG001
        from linnet.kube.kinds import MUTATING_WEBHOOK

        found = await client.list(MUTATING_WEBHOOK, labels=f"{key},{more},app=sidecar-injector")
        return [obj["metadata"]["labels"][key] for obj in found.items]

    return ask


def _offered(ctx: click.Context, incomplete: str, ask: "Ask") -> list[str]:
    """The names that begin so; none if the cluster does not answer: a shell shows no errors here."""
    import asyncio

    from linnet.cli import options
    from linnet.cli.faults import UserError

    async def names(flags: "Globals") -> list[str]:
        seconds = SECONDS if flags.patience is None else flags.patience
        async with asyncio.timeout(seconds), options.client(flags) as client:
            return await ask(client, flags)

    try:
        with ctx.scope(cleanup=False):
            found = options.run(names(options.current()))
    except (OSError, TimeoutError, UserError, click.ClickException):
        return []
    return sorted({name for name in found if name.startswith(incomplete)})
