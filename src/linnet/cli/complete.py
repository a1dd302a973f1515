"""What a shell offers for revisions and tags: the names that are there, if the cluster answers at once."""

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

SECONDS = 2.0  # nobody waits longer after a press of the tab key


def revisions(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:  # noqa: ARG001
    """The installed revisions."""
    return [name for name in _labelled("istio.io/rev", "!istio.io/tag") if name.startswith(incomplete)]


def tags(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:  # noqa: ARG001
    """The tags that are set."""
    return [name for name in _labelled("istio.io/tag", "istio.io/rev") if name.startswith(incomplete)]


def _labelled(key: str, more: str) -> "Sequence[str]":
    import asyncio

    try:
        return asyncio.run(_values(key, more))
    except (OSError, TimeoutError, click.ClickException):
        return ()


async def _values(key: str, more: str) -> list[str]:
    import asyncio

    from linnet.cli import options
    from linnet.cli.faults import UserError
    from linnet.kube.kinds import MUTATING_WEBHOOK

    try:
        async with asyncio.timeout(SECONDS), options.client(options.Globals()) as client:
            found: Sequence[dict[str, Any]] = (
                await client.list(MUTATING_WEBHOOK, labels=f"{key},{more},app=sidecar-injector")
            ).items
    except UserError:
        return []
    return sorted({obj["metadata"]["labels"][key] for obj in found})
