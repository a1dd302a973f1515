"""Flags of istioctl for asking istiod over xDS: here istiods are asked through the API server.

Those that would send the question elsewhere are refused; those that only say how to connect have no effect.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])
WHY = (
    "istiods are asked through the API server (port-forward), with your rights there; "
    "choose a cluster with --context, istiods with --revision or --xds-label"
)


def _refuse(ctx: click.Context, param: click.Parameter, value: str | None) -> None:
    if value:
        raise click.BadParameter(WHY, ctx=ctx, param=param)


def refused(command: F) -> F:
    """Add the flags that name another server, and those without effect."""
    for name in ("--xds-address", "--cert-dir", "--authority"):
        command = click.option(name, hidden=True, expose_value=False, callback=_refuse)(command)
    for name in ("--insecure", "--plaintext"):
        command = click.option(name, hidden=True, expose_value=False, is_flag=True)(command)
    return click.option("--xds-port", hidden=True, expose_value=False, type=int)(command)
