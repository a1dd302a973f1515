"""The process of the API server and the controllers, wired."""

import asyncio
from collections.abc import Callable
from functools import partial
from pathlib import Path

from linnet.local import credentials, logging
from linnet.local.api.options import Options
from linnet.local.api.serve import serve
from linnet.local.controllers.serve import serve as serve_controllers
from linnet.local.inheritance import Inheritance
from linnet.local.node.network import NODE_IP
from linnet.netlink.dial import connected

_DIAL_TIMEOUT = 10.0  # seconds; callers have shorter limits of their own


async def serve_api(inheritance: Inheritance, *, ready: Callable[[], None]) -> None:
    """Serve until cancelled. Raises what ends the API server or the controllers."""
    logging.configure()
    paths = inheritance.settings.paths
    serving = asyncio.Event()

    def served() -> None:
        serving.set()
        ready()

    options = Options(
        state=Path(paths.state),
        sockets=(inheritance.api, inheritance.api_inside),
        dial=partial(connected, inheritance.namespace, timeout=_DIAL_TIMEOUT),
        node=credentials.NODE,
        node_address=NODE_IP,
        ready=served,
    )
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(serve(options), name="api")
        await serving.wait()
        config = credentials.config(paths, inheritance.api.getsockname()[1], "controllers")
        tasks.create_task(serve_controllers(config, ca=config.ca.decode()), name="controllers")
