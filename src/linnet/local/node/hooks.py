"""What runs right after a container's start and before its end.

Source: Kubernetes, "Container Lifecycle Hooks".
"""

import asyncio

from linnet.local.node import fetch
from linnet.local.node.container_spec import Container, Hook, port_number
from linnet.local.node.probes import RunIn
from linnet.local.node.runtime import Sandbox

_AGENT = "kube-lifecycle/1.35"


class HookFailed(Exception):
    """A hook that did not succeed; the message says why."""


async def run(hook: Hook, container: Container, sandbox: Sandbox, exec_in: RunIn, *, timeout: float) -> None:
    """Run a hook to its end, at most `timeout` seconds.

    Raises:
        HookFailed: it failed or took too long.
    """
    try:
        async with asyncio.timeout(timeout):
            if hook.exec:
                code, output = await exec_in(hook.exec.command, timeout)
                if code != 0:
                    said = output.decode(errors="replace").strip()
                    raise HookFailed(f"command {' '.join(hook.exec.command)!r} exited with {code}: {said}")
            elif hook.http_get:
                port = port_number(container, hook.http_get.port)
                answer = await fetch.get(sandbox, hook.http_get, port, timeout=timeout, agent=_AGENT)
                if answer.code >= 400:
                    raise HookFailed(f"HTTP status {answer.code} of {hook.http_get.path}")
            elif hook.sleep:
                await asyncio.sleep(hook.sleep.seconds)
    except TimeoutError as error:
        raise HookFailed(f"not done after {timeout:.0f} s") from error
    except (OSError, ValueError) as error:
        raise HookFailed(str(error)) from error
