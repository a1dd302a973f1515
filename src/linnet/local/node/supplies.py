"""What a pod takes from the API: ConfigMaps, Secrets, tokens; and the volumes that are filled with them."""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress

from linnet.kube.kinds import CONFIG_MAP, SECRET
from linnet.local.node import payload
from linnet.local.node.environment import Facts, Missing
from linnet.local.node.sources import Key, Source
from linnet.local.node.spec import Object, Pod
from linnet.local.node.surroundings import Surroundings
from linnet.local.node.tokens import PodTokens
from linnet.local.node.volume_spec import TokenSource
from linnet.local.node.volumes import Volumes

_RETRY = 1.0  # seconds after a failure that no change of an object announces
_PATIENCE = 1.0  # seconds for which a missing object is not worth an event: it may be just coming


class Supplies:
    """Keeps the volumes of one pod current while `run` runs."""

    def __init__(
        self,
        around: Surroundings,
        volumes: Volumes,
        pod: Callable[[], Pod],
        say: Callable[[str], None],
        moved: Callable[[], None],
    ) -> None:
        self.ready = asyncio.Event()  # all volumes are there
        self.changed = asyncio.Event()  # something may have to be written anew
        self._around, self._volumes, self._pod, self._say, self._moved = around, volumes, pod, say, moved
        self._tokens = PodTokens(around.client, around.now)
        self._sources: Mapping[Key, Source] = {}
        self._token_sources: frozenset[TokenSource] = payload.token_sources(pod())

    async def run(self) -> None:
        """Fill the volumes and follow changes, for ever."""
        references = payload.references(self._pod())
        with self._around.sources.hold(references, self.changed) as self._sources:
            await self._around.services.synced.wait()
            for source in self._sources.values():
                await source.known.wait()
            failures = 0
            while True:
                self.changed.clear()
                problem = await self._refresh()
                failures = failures + 1 if problem else 0
                if problem and failures > 1:
                    self._say(problem)
                if not problem:
                    self.ready.set()
                self._moved()
                limit = (_PATIENCE if failures == 1 else _RETRY * min(failures, 60)) if problem else None
                with suppress(TimeoutError):
                    async with asyncio.timeout(limit or self._tokens.seconds_left()):
                        await self.changed.wait()

    async def _refresh(self) -> str:
        """Write what changed; what is wrong, or nothing."""
        pod = self._pod()
        try:
            tokens = await self._tokens.current(pod, self._token_sources)
            self._volumes.refresh(pod, self.facts(""), tokens)
        except Missing as error:
            return str(error)
        except OSError as error:
            return f"MountVolume.SetUp failed: {error}"
        return ""

    def facts(self, ip: str) -> Facts:
        """What is known of the pod now."""
        pod, options = self._pod(), self._around.options
        namespace = pod.metadata.namespace
        return Facts(
            pod=pod,
            ip=ip,
            node_name=options.name,
            node_ip=options.ip,
            allocatable=options.allocatable,
            config_maps=self._values(CONFIG_MAP),
            secrets=self._values(SECRET),
            services=tuple(
                service
                for key, service in sorted(self._around.services.items())
                if key[0] == namespace or key == ("default", "kubernetes")
            ),
        )

    def _values(self, kind: object) -> dict[str, Object]:
        return {
            key[2]: source.value
            for key, source in self._sources.items()
            if key[0] is kind and source.value is not None
        }
