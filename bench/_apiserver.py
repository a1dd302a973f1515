"""An API server in a process of its own, for measurements from outside, and what it has cost."""

import asyncio
import os
import signal
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from msgspec import Struct

_START = 60.0  # seconds
_TICK = os.sysconf("SC_CLK_TCK")


class Server(Struct, frozen=True):
    """A server that answers."""

    kubeconfig: str
    pid: int

    def cpu(self) -> float:
        """CPU seconds of the server until now."""
        words = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return sum(map(int, words[11:13])) / _TICK

    def memory(self) -> float:
        """Megabytes that are resident."""
        line = next(
            line
            for line in Path(f"/proc/{self.pid}/status").read_text().splitlines()
            if line.startswith("VmRSS:")
        )
        return int(line.split()[1]) / 1024


@asynccontextmanager
async def running() -> AsyncIterator[Server]:
    """An API server without controllers or node, while the block runs."""
    with tempfile.TemporaryDirectory(prefix="bench-api-") as state:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "linnet.local.api", "--state", state, stdout=asyncio.subprocess.PIPE
        )
        try:
            assert process.stdout is not None
            async with asyncio.timeout(_START):
                line = await process.stdout.readline()
            if not line:
                raise RuntimeError(f"the API server ended with code {await process.wait()}")
            yield Server(line.decode().strip(), process.pid)
        finally:
            if process.returncode is None:
                process.send_signal(signal.SIGTERM)
            await process.wait()
