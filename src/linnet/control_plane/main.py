"""Run istiod as a process: signals, event loop, and the end."""

import asyncio
import ctypes
import gc
import itertools
import signal

import structlog

from linnet.admit.webhook import review
from linnet.control_plane.istiod import Istiod
from linnet.control_plane.serve import serve
from linnet.control_plane.settings import Settings
from linnet.kube.client import Client
from linnet.kube.config import Config

log = structlog.get_logger(__name__)


def run(settings: Settings, config: Config) -> None:
    """Serve until TERM or INT; a second one ends at once."""
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_main(settings, config))


async def _main(settings: Settings, config: Config) -> None:
    log.info("starting", revision=settings.revision, namespace=settings.namespace, version=settings.version)
    async with Client(config, user_agent=f"istiod/{settings.version}", manager="istiod") as client:
        istiod = Istiod(settings, client, review)
        main = asyncio.current_task()
        assert main is not None

        def stop() -> None:
            if istiod.serving_now.is_set() and not istiod.stopping.is_set():
                istiod.stopping.set()
            else:
                main.cancel()

        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop)
        try:
            async with asyncio.TaskGroup() as tasks:
                tidying = tasks.create_task(_tidy_up(istiod))
                await serve(istiod)
                tidying.cancel()
        except asyncio.CancelledError:
            log.info("stopped before the end")
    log.info("stopped")


async def _tidy_up(istiod: Istiod) -> None:
    """Give back what only the start, or a burst, needed; let the collector pass over what stays."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", lambda _: 0)  # glibc's
    await istiod.serving_now.wait()
    for pause in itertools.chain((0, 10), itertools.repeat(300)):
        await asyncio.sleep(pause)
        gc.collect()
        gc.freeze()
        trim(0)
