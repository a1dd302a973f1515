"""The processes of the daemon: what each imports and runs. Heavy imports happen here, after the fork."""

import asyncio
import gc
import signal
from collections.abc import Callable, Coroutine
from typing import Any

from linnet.local.inheritance import Inheritance, say_ready
from linnet.netlink import linux

LAST_CERTIFICATE = "network.crt"  # of those that `prepare` makes
TITLES = {"api": "API server", "node": "node"}


def api(inheritance: Inheritance) -> None:
    """The API server and the controllers."""
    import uvloop

    from linnet.local.serving import serve_api

    # its TLS connections cost 43 KB each instead of 294, and there are more than a hundred
    _run(serve_api(inheritance, ready=lambda: _ready(inheritance, "api")), loop=uvloop.new_event_loop)


def node(inheritance: Inheritance) -> None:
    """The node; its forker is forked while this process is small and has one thread."""
    from linnet.local.node.forker import fork_forker
    from linnet.local.node.messages import Layout
    from linnet.local.node.rootfs import private_files

    inheritance.api_inside.close()
    settings = inheritance.settings
    paths = settings.paths
    _mount_memory(paths.memory)
    layout = Layout(
        paths.scratch,
        hidden=(*settings.homes, paths.state, paths.run),
        exposed=(*settings.environment, paths.images),
        private=private_files(),
    )
    forker = fork_forker(layout)
    from linnet.local.node.process import serve_node

    _run(serve_node(inheritance, forker, ready=lambda: _ready(inheritance, "node")))


def _mount_memory(path: str) -> None:
    """A file system in memory that goes with this process: nothing stays mounted."""
    linux.unshare(linux.CLONE_NEWNS)
    linux.mount("", "/", flags=linux.MS_REC | linux.MS_PRIVATE)
    linux.mount("tmpfs", path, "tmpfs", linux.MS_NOSUID | linux.MS_NODEV, "mode=700,size=25%")


_SETTLED = 2.0  # seconds after which the start is over
MAINS = {"api": api, "node": node}


def prepare(inheritance: Inheritance) -> None:
    """Make keys and certificates if they are missing: both processes need them from the start."""
    from linnet.local import credentials

    credentials.ensure(inheritance.settings.paths)


def _ready(inheritance: Inheritance, name: str) -> None:
    """Say that a process serves; a little later, give back what only its start needed."""
    say_ready(inheritance, name)
    asyncio.get_running_loop().call_later(_SETTLED, _tidy)


def _tidy() -> None:
    gc.collect()
    gc.freeze()  # what is there now stays; looking at it again and again is work for nothing
    linux.give_back_memory()


def _run(
    serve: Coroutine[Any, Any, None], loop: Callable[[], asyncio.AbstractEventLoop] | None = None
) -> None:
    """Run until it returns or TERM cancels it, on an event loop of the given make."""
    with asyncio.Runner(loop_factory=loop) as runner:
        running = runner.get_loop()

        async def until_term() -> None:
            task = asyncio.ensure_future(serve)  # noqa: TID251 (cancelled by a signal)
            running.add_signal_handler(signal.SIGTERM, task.cancel)
            try:
                await task
            except asyncio.CancelledError:
                return

        runner.run(until_term())
