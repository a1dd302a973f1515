"""The agent beside one Envoy: starts it, keeps its identity and its way to istiod, ends it gently.

    run ─┬─ SDS socket   ◀─ keep_identity (key, CSR, CA, again at half of the lifetime)
         ├─ xds.json     ◀─ follow_control_plane (resolve, rename)
         ├─ port 15020   ◀─ readiness, metrics, probes, drain
         └─ Envoy        ─▶ its exit ends the agent, with its exit code; the container starts again

Host-independent (decision D20): the node hosts one for each pod, `linnet proxy` hosts one for its own.
"""

import asyncio
import json
import signal
from datetime import UTC, datetime

import structlog

from linnet.proxy import http
from linnet.proxy.bootstrap import BOOTSTRAP_FILE, arguments, bootstrap
from linnet.proxy.certificates import Identity, keep_identity
from linnet.proxy.drain import Drain
from linnet.proxy.endpoints import follow_control_plane, write_atomically, write_endpoints
from linnet.proxy.host import Envoy, Host
from linnet.proxy.sds import SecretServer, serving
from linnet.proxy.settings import SDS_SOCKET, Settings
from linnet.proxy.status import Status

STUBBORN = 5.0  # seconds that Envoy may take to end after SIGTERM


class Agent:
    """One proxy. Make it inside a running event loop; `run` it once."""

    def __init__(self, settings: Settings, host: Host, log: structlog.typing.FilteringBoundLogger) -> None:
        self.settings = settings
        self.secrets = SecretServer()
        self._host, self._log = host, log
        self._envoy: Envoy | None = None
        self._identity: Identity | None = None
        self._started = datetime.now(UTC)
        self._terminating = asyncio.Event()
        self._quitting = False
        self._killed = False
        self._drain = Drain(settings, host, log)
        self._status = Status(
            settings, host, self._drain, own_metrics=self._metrics, quit_now=self._quit, log=log
        )

    @property
    def ready(self) -> asyncio.Event:
        """Set once a readiness probe found that Envoy holds its first configuration."""
        return self._status.ready

    async def run(self) -> int:
        """Run until Envoy has ended; its exit code.

        Raises:
            OSError: a port, the socket or a file cannot be had, or Envoy cannot be executed.
        """
        self._write_files()
        port = self._host.listen(self.settings.status_port)
        async with (
            serving(self.secrets, self._host.here(SDS_SOCKET)),
            http.serving(port, self._status.answer),
        ):
            return await self._supervise()

    def terminate(self) -> None:
        """Drain, then end Envoy: what SIGTERM asks for."""
        self._terminating.set()

    def kill(self) -> None:
        """End Envoy at once: what SIGKILL does, also while it is being started."""
        self._killed = True
        if self._envoy:
            self._envoy.signal(signal.SIGKILL)

    async def _supervise(self) -> int:
        self._envoy = envoy = await self._host.launch(arguments(self.settings))
        if self._killed:
            envoy.signal(signal.SIGKILL)
        try:
            async with asyncio.TaskGroup() as tasks:
                helpers = [
                    tasks.create_task(
                        keep_identity(self.settings, self._host, self._publish, self._log), name="identity"
                    ),
                    tasks.create_task(
                        follow_control_plane(self.settings, self._host, self._log), name="endpoints"
                    ),
                    tasks.create_task(self._end_when_told(envoy), name="end"),
                ]
                code = await envoy.wait()
                for helper in helpers:
                    helper.cancel()
        except BaseException:
            envoy.signal(signal.SIGKILL)
            raise
        self._log.info("envoy-ended", code=code)
        return code

    async def _end_when_told(self, envoy: Envoy) -> None:
        await self._terminating.wait()
        patience = self.settings.termination_seconds
        if not self._quitting:
            if not self._drain.begun.is_set():  # no preStop hook came first
                await self._drain.begin()
                await self._drain.wait(max(self.settings.minimum_drain_seconds, patience))
            await self._drain.wait_for_all()
        envoy.signal(signal.SIGTERM)
        await asyncio.sleep(STUBBORN)
        self._log.warning("envoy-killed", after=STUBBORN)
        envoy.signal(signal.SIGKILL)

    def _quit(self) -> None:
        self._quitting = True
        self._terminating.set()

    def _publish(self, identity: Identity) -> None:
        self._identity = identity
        self.secrets.publish(identity)

    def _write_files(self) -> None:
        write_endpoints(self.settings, self._host, ())  # Envoy does not start without the file
        content = json.dumps(bootstrap(self.settings), indent=1)
        write_atomically(self._host.here(BOOTSTRAP_FILE), content)

    def _metrics(self) -> str:
        """The agent's own metrics as Prometheus' text."""
        lines = [
            "# TYPE istio_agent_sds_pushes_total counter",
            f"istio_agent_sds_pushes_total {self.secrets.pushed}",
            "# TYPE istio_agent_uptime_seconds gauge",
            f"istio_agent_uptime_seconds {(datetime.now(UTC) - self._started).total_seconds():.1f}",
        ]
        if self._identity:
            left = (self._identity.expires - datetime.now(UTC)).total_seconds()
            lines += [
                "# TYPE istio_agent_cert_expiry_seconds gauge",
                f'istio_agent_cert_expiry_seconds{{resource_name="default"}} {left:.0f}',
            ]
        return "\n".join(lines) + "\n"
