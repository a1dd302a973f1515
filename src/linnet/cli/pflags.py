"""Flags as Go's pflag reads them, made into what click reads: `--dry-run=true`, `-y=false`, `-n=shop`."""

from collections.abc import Iterator, Sequence

import click

from linnet.cli.defaults import BOOLEANS


def rewritten(args: Sequence[str], params: Sequence[click.Parameter]) -> list[str]:
    """The arguments without values of switches and `=` after short flags; `params` say which is which.

    Raises:
        click.BadParameter: a switch is given something that is neither true nor false.
    """
    options = {name: param for param in params if isinstance(param, click.Option) for name in param.opts}
    return list(_rewritten(args, options))


def _rewritten(args: Sequence[str], options: dict[str, click.Option]) -> Iterator[str]:
    left = iter(args)
    for arg in left:
        if arg == "--":
            yield arg
            yield from left
            return
        name, equals, value = arg.partition("=")
        option = options.get(name)
        if option is None or not equals:
            yield arg
        elif option.is_flag and not option.secondary_opts:
            if value not in BOOLEANS:
                raise click.BadParameter(f"{value!r} is neither true nor false", param_hint=f"{name!r}")
            if BOOLEANS[value]:
                yield name
        elif name.startswith("--"):
            yield arg
        else:
            yield from (name, value)
