"""Where the control plane is, in the file that Envoy watches: resolved again and again, put in by rename."""

import asyncio
import json
import os

import structlog

from linnet.proxy.bootstrap import ENDPOINTS_DIRECTORY, ENDPOINTS_FILE, endpoints
from linnet.proxy.host import Host
from linnet.proxy.settings import Settings

EVERY = 5.0  # seconds between look-ups
RETRY = 0.2  # seconds after a look-up that failed before the first success


def write_endpoints(settings: Settings, host: Host, addresses: tuple[str, ...]) -> None:
    """Put the file in place in one step; Envoy never sees half of it. Raises OSError."""
    directory = host.here(ENDPOINTS_DIRECTORY)
    os.makedirs(directory, exist_ok=True)
    os.chmod(directory, 0o755)  # noqa: S103 (whatever our umask: Envoy may have another user)
    content = json.dumps(endpoints(settings.discovery, addresses, settings.discovery_port))
    path = host.here(ENDPOINTS_FILE)
    write_atomically(path, content)


def write_atomically(path: str, content: str) -> None:
    """Write beside and rename over; readable by everybody in the container. Raises OSError."""
    beside = f"{path}.new"
    with open(beside, "w", encoding="utf-8") as file:
        file.write(content)
    os.chmod(beside, 0o644)
    os.replace(beside, path)


async def follow_control_plane(
    settings: Settings, host: Host, log: structlog.typing.FilteringBoundLogger
) -> None:
    """Keep the file true, for ever. An unresolvable name leaves the last good addresses in force."""
    written: tuple[str, ...] = ()
    failing = False
    while True:
        try:
            addresses = tuple(sorted(await host.resolve(settings.discovery)))
            failing = False
        except OSError as error:
            addresses = ()
            if not failing:
                log.warning("control-plane-not-found", name=settings.discovery, error=str(error))
            failing = True
        if addresses and addresses != written:
            write_endpoints(settings, host, addresses)
            log.info("control-plane-at", name=settings.discovery, addresses=list(addresses))
            written = addresses
        await asyncio.sleep(EVERY if written else RETRY)
