"""`linnet kubectl`: get, create namespace, label, apply, delete, rollout, logs."""

import sys
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import click

from linnet.cli import options
from linnet.cli.faults import UserError

T = TypeVar("T")
FILES = click.option(
    "-f", "--filename", "files", multiple=True, help="A file of objects, or - for standard input."
)


def _place(context: click.Context, parameter: click.Parameter, value: str) -> str:  # noqa: ARG001
    """The namespace given after the verb, else the one before it."""
    return value or context.find_root().ensure_object(options.Globals).namespace


NAMESPACE = click.option(
    "-n", "--namespace", default="", callback=_place, help="The namespace; the context's own by default."
)
SELECTOR = click.option(
    "-l", "--selector", default="", help="Only objects with these labels: app=istiod,tier!=db."
)


@click.group()
@click.option("--kubeconfig", default="", help="Path of the kubeconfig.")
@click.option("--context", default="", help="The context to use.")
@click.option("-n", "--namespace", default="", help="The namespace.")
@click.pass_context
def kubectl(ctx: click.Context, kubeconfig: str, context: str, namespace: str) -> None:
    """A thin client of the cluster for machines without kubectl.

    It knows the commands of the canary guide, with kubectl's spelling and output.
    For anything more, install kubectl.
    """
    flags = ctx.find_root().ensure_object(options.Globals)
    flags.kubeconfig, flags.context = kubeconfig or flags.kubeconfig, context or flags.context
    flags.namespace = namespace or flags.namespace


@kubectl.command()
@click.argument("what", nargs=-1, required=True)
@NAMESPACE
@SELECTOR
@click.option("-A", "--all-namespaces", is_flag=True, help="Look in all namespaces.")
@click.option("-o", "--output", default="", help="json, yaml, name, wide, or jsonpath='{…}'.")
@click.option("--sort-by", default="", help="Order by a field: .metadata.creationTimestamp.")
@click.option("--no-headers", is_flag=True, help="Leave the line of column names out.")
def get(**given: Any) -> None:
    """Show objects: get pods -n shop -l app=web; get svc istiod -o yaml."""
    from linnet.cli.kubectl import verbs

    _print(_run(verbs.get(options.client(), **given)), final=not given["output"].startswith("jsonpath"))


@kubectl.group()
def create() -> None:
    """Create a namespace."""


@create.command("namespace")
@click.argument("name")
def create_namespace(name: str) -> None:
    """Create a namespace."""
    from linnet.cli.kubectl import verbs

    _print(_run(verbs.create_namespace(options.client(manager="kubectl-create"), name)))


create.add_command(create_namespace, "ns")


@kubectl.command()
@click.argument("words", nargs=-1, required=True)
@NAMESPACE
@click.option("--overwrite", is_flag=True, help="Change a label that has another value.")
def label(words: tuple[str, ...], namespace: str, overwrite: bool) -> None:
    """Set and remove labels: label namespace shop istio-injection- istio.io/rev=canary."""
    from linnet.cli.kubectl import verbs

    client = options.client(manager="kubectl-label")
    _print(_run(verbs.label(client, words, namespace=namespace, overwrite=overwrite)))


@kubectl.command()
@FILES
@NAMESPACE
def apply(files: tuple[str, ...], namespace: str) -> None:
    """Make objects what files say (server-side apply)."""
    from linnet.cli.kubectl import verbs

    _print(_run(verbs.apply(options.client(manager="kubectl"), _documents(files), namespace)))


@kubectl.command()
@click.argument("what", nargs=-1)
@FILES
@NAMESPACE
@SELECTOR
def delete(what: tuple[str, ...], files: tuple[str, ...], namespace: str, selector: str) -> None:
    """Delete objects by name, by label, or those of files."""
    from linnet.cli.kubectl import verbs

    documents = _documents(files) if files else []
    _print(_run(verbs.delete(options.client(), what, documents, namespace=namespace, selector=selector)))


@kubectl.group()
def rollout() -> None:
    """Restart Deployments, and wait for them."""


@rollout.command()
@click.argument("what", nargs=-1, required=True)
@NAMESPACE
def restart(what: tuple[str, ...], namespace: str) -> None:
    """Replace the pods of Deployments, a few at a time: rollout restart deployment -n shop."""
    from linnet.cli.kubectl import verbs

    _print(_run(verbs.restart(options.client(manager="kubectl-rollout"), what, namespace)))


@rollout.command("status")
@click.argument("what", nargs=-1, required=True)
@NAMESPACE
@click.option(
    "--timeout", default="0", type=options.Duration(), help="Give up after so long; 0 waits for ever."
)
def rollout_status(what: tuple[str, ...], namespace: str, timeout: float) -> None:
    """Wait until Deployments have rolled out."""
    from linnet.cli.kubectl import verbs

    _run(verbs.rollout_status(options.client(), what, namespace, timeout=timeout, say=click.echo))


@kubectl.command()
@click.argument("pod")
@NAMESPACE
@click.option("-c", "--container", default="", help="The container; the only one by default.")
@click.option("-f", "--follow", is_flag=True, help="Go on as long as the container runs.")
@click.option("--tail", default=-1, help="Only so many of the last lines.")
def logs(pod: str, namespace: str, container: str, follow: bool, tail: int) -> None:
    """Print a container's log."""
    from linnet.cli.kubectl import verbs

    write = sys.stdout.buffer.write
    _run(
        verbs.logs(
            options.client(), pod, namespace, container=container, follow=follow, tail=tail, write=write
        )
    )


def _run(work: Coroutine[Any, Any, T]) -> T:
    """Run a command."""
    with _explained():
        return options.run(work)


@contextmanager
def _explained() -> Iterator[None]:
    """What goes wrong is said in kubectl's words, with its exit codes."""
    from linnet.kube.errors import ApiError

    try:
        yield
    except ApiError as error:
        click.echo(f"Error from server ({error.reason}): {error.message}", err=True)
        sys.exit(1)
    except UserError as error:
        click.echo(f"error: {error}" if error.code else str(error), err=True)
        sys.exit(error.code)


def _print(text: str, *, final: bool = True) -> None:
    if text:
        click.echo(text, nl=final)


def _documents(files: tuple[str, ...]) -> list[tuple[str, dict[str, Any]]]:
    """`(source, object)` of every document; lists are taken apart."""
    with _explained():
        return _read(files)


def _read(files: tuple[str, ...]) -> list[tuple[str, dict[str, Any]]]:
    """Raises UserError."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    if not files:
        raise UserError("must specify -f FILE")
    found: list[tuple[str, dict[str, Any]]] = []
    for name in files:
        try:
            text = sys.stdin.read() if name == "-" else Path(name).read_text()
            documents = [document for document in YAML(typ="safe").load_all(text) if document]
        except FileNotFoundError as error:
            raise UserError(f'the path "{name}" does not exist') from error
        except YAMLError as error:
            raise UserError(f"{name}: not valid YAML: {error}") from error
        for document in documents:
            if not isinstance(document, dict) or "kind" not in document:
                raise UserError(f"{name}: a document without apiVersion and kind")
            items = document.get("items") if document["kind"].endswith("List") else None
            found += [(name, item) for item in (items if items is not None else [document])]
    return found
