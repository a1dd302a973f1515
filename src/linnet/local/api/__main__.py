"""An API server by itself, for tests and for looking at it: no controllers, no node.

    python -m linnet.local.api --state DIR [--port N]

Prints the path of the administrator's kubeconfig once it serves.
"""

import argparse
import asyncio
import contextlib
import signal
import socket
import sys
from pathlib import Path

from linnet.local.api.options import Options
from linnet.local.api.serve import serve


def main() -> int:
    """Run until SIGINT or SIGTERM."""
    parser = argparse.ArgumentParser(prog="python -m linnet.local.api", description=__doc__)
    parser.add_argument("--state", type=Path, required=True, help="directory of the server's state")
    parser.add_argument("--port", type=int, default=0, help="port on 127.0.0.1 (default: a free one)")
    arguments = parser.parse_args()
    arguments.state.mkdir(parents=True, exist_ok=True)
    listening = socket.create_server(("127.0.0.1", arguments.port))

    def ready() -> None:
        sys.stdout.write(f"{arguments.state / 'admin.kubeconfig'}\n")
        sys.stdout.flush()

    options = Options(state=arguments.state, sockets=(listening,), ready=ready)
    with contextlib.suppress(asyncio.CancelledError), listening:
        asyncio.run(_until_told(options))
    return 0


async def _until_told(options: Options) -> None:
    loop = asyncio.get_running_loop()
    async with asyncio.TaskGroup() as tasks:
        server = tasks.create_task(serve(options), name="api")
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, server.cancel)


if __name__ == "__main__":
    sys.exit(main())
