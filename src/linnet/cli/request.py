"""The flags that describe an installation (`-f`, `--set`, `--revision`) become a plane."""

import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

import click

from linnet.cli import complete, options
from linnet.cli.faults import UserError
from linnet.install.operator import InputError, Request, resolve
from linnet.install.overlays import OverlayError
from linnet.install.render import components

F = TypeVar("F", bound=Callable[..., Any])


def described(command: F) -> F:
    """Add `-f`, `--set`, `--revision`, `--manifests` to a command."""
    for option in (
        click.option(
            "-d", "--manifests", "--charts", "manifests", hidden=True, help="Accepted, of no effect."
        ),
        click.option(
            "-r",
            "--revision",
            metavar="REV",
            shell_complete=complete.revisions,
            help="The revision; names of objects end in it.",
        ),
        click.option(
            "-s", "--set", "sets", multiple=True, metavar="PATH=VALUE", help="Set one value; may be repeated."
        ),
        click.option(
            "-f",
            "--filename",
            "filenames",
            multiple=True,
            metavar="FILE",
            help="An IstioOperator file; may be repeated, - is standard input.",
        ),
    ):
        command = option(command)
    return command


def read(filenames: Sequence[str]) -> list[tuple[str, str]]:
    """Name and text of each file of `-f` (comma lists too). Raises UserError."""
    return [(name, _read(name)) for text in filenames for name in text.split(",")]


def request(filenames: Sequence[str], sets: Sequence[str], revision: str | None) -> Request:
    """The installation that the flags describe; warnings go to stderr.

    Raises:
        UserError: a file cannot be read, or what it says cannot be met.
    """
    found = described_by(read(filenames), sets, revision)
    for warning in found.warnings:
        print(f"❗ {warning}", file=sys.stderr)
    return found


def described_by(
    sources: Sequence[tuple[str, str]],
    sets: Sequence[str],
    revision: str | None,
    inherited: Mapping[str, Any] | None = None,
) -> Request:
    """The same from texts that were read before, added to what an earlier installation was asked for.

    Raises:
        UserError: what they say cannot be met.
    """
    namespace = options.current().istio_namespace
    try:
        request = resolve(
            sources,
            sets,
            version=version("linnet"),
            namespace="" if namespace == "istio-system" else namespace,
            revision=revision,
            inherited=inherited,
        )
        components(request.plane, ())  # an overlay that fits nothing is named before a cluster is asked
    except (InputError, OverlayError) as error:
        raise UserError(str(error)) from error
    return request


def _read(name: str) -> str:
    if name == "-":
        return sys.stdin.read() if sys.stdin is not None else ""
    try:
        return Path(name).read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"{name}: {error.strerror if isinstance(error, OSError) else 'not UTF-8 text'}"
        ) from error
