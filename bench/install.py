"""What installing and removing a revision costs: wall time, API calls, writes, CPU of the command.

    python -m bench.install        as root

A local cluster of its own; the command runs through a wire that counts its requests.
"""

import asyncio
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from bench._wire import Wire, wire
from linnet.local.paths import local_paths

LINNET = [sys.executable, "-m", "linnet.cli"]
STEPS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("install 1-0-0, the first", ("install", "--set", "revision=1-0-0", "-y")),
    ("the same again", ("install", "--set", "revision=1-0-0", "-y")),
    ("install canary, gateways move", ("install", "--set", "revision=canary", "-y")),
    ("the same again", ("install", "--set", "revision=canary", "-y")),
    (
        "canary with another log level",
        ("install", "--set", "revision=canary", "--set", "values.global.proxy.logLevel=info", "-y"),
    ),
    ("dry run of a third", ("install", "--set", "revision=third", "--dry-run")),
    ("uninstall canary, gateways move back", ("uninstall", "--revision", "canary", "-y")),
    ("uninstall 1-0-0, the last", ("uninstall", "--revision", "1-0-0", "-y")),
)


async def measure(line: Wire, name: str, args: tuple[str, ...], environment: dict[str, str]) -> str:
    """One command: a row of the table."""
    line.log.clear()
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    begun = time.perf_counter()
    done = await asyncio.to_thread(
        subprocess.run, [*LINNET, *args], env=environment, capture_output=True, text=True, check=False
    )
    wall = time.perf_counter() - begun
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise SystemExit(f"{name}: {done.stdout}{done.stderr}")
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    objects = Counter(request.path for request in line.writes)
    locks = sum(request.writes for request in line.log if request.locks)
    written = f"{len(line.writes)} of {len(objects)} objects"
    return f"| {name} | {wall:.1f} s | {cpu:.2f} s | {len(line.log)} | {written} | {locks} |"


async def steps(directory: str, kubeconfig: str, environment: dict[str, str]) -> None:
    """Run the steps one after the other."""
    async with wire(kubeconfig) as line:
        environment["KUBECONFIG"] = line.kubeconfig(Path(directory) / "config")
        print("| command | wall | CPU | API calls | writes | of the lock |")
        print("| --- | --- | --- | --- | --- | --- |")
        for name, args in STEPS:
            print(await measure(line, name, args, environment), flush=True)


def main() -> None:
    """On a cluster of its own."""
    with tempfile.TemporaryDirectory(prefix="lb-", dir="/tmp") as directory:
        os.mkdir(f"{directory}/r", mode=0o700)
        environment = {**os.environ, "XDG_STATE_HOME": f"{directory}/s", "XDG_RUNTIME_DIR": f"{directory}/r"}
        paths = local_paths(f"{directory}/s", f"{directory}/r")
        subprocess.run([*LINNET, "local", "up"], env=environment, check=True, capture_output=True)
        try:
            asyncio.run(steps(directory, paths.kubeconfig, environment))
        finally:
            subprocess.run(
                [*LINNET, "local", "down", "--purge"], env=environment, check=False, capture_output=True
            )


if __name__ == "__main__":
    main()
