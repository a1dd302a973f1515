"""A cluster for one scenario: Linnet's API server and controllers with the stand-in node, in one process.

    python -m tools.transcripts.cluster DIR

Prints the path of a kubeconfig once it serves.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import sys
from pathlib import Path

from tools.transcripts.standin import play

from linnet.kube.config import from_kubeconfig
from linnet.local.api.options import Options
from linnet.local.api.serve import serve
from linnet.local.controllers.serve import serve as serve_controllers


async def _run(state: Path) -> None:
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        options = Options(
            state=state, sockets=(listening,), ready=ready.set, synchronous="OFF", node_address="198.51.100.1"
        )
        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(serve(options))]

            def stop() -> None:
                for task in running:
                    task.cancel()

            for number in (signal.SIGINT, signal.SIGTERM):
                loop.add_signal_handler(number, stop)
            await ready.wait()
            kubeconfig = state / "admin.kubeconfig"
            config = from_kubeconfig(str(kubeconfig))
            running.append(tasks.create_task(serve_controllers(config, ca=config.ca.decode())))
            running.append(tasks.create_task(play(config)))
            print(kubeconfig, flush=True)


def main() -> None:
    """Run until SIGINT or SIGTERM."""
    with contextlib.suppress(asyncio.CancelledError):
        asyncio.run(_run(Path(sys.argv[1])))


if __name__ == "__main__":
    main()
