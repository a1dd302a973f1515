"""What the tasks and servers of one istiod share."""

import asyncio
import json
import time
from dataclasses import dataclass, field

from linnet.control_plane.metrics import Metrics
from linnet.control_plane.settings import Settings
from linnet.control_plane.tls import Contexts
from linnet.control_plane.webhooks import Validate
from linnet.kube.client import Client


@dataclass(slots=True)
class Ports:
    """Where a running istiod listens."""

    http: int = 0
    https: int = 0
    grpc: int = 0
    secure_grpc: int = 0
    monitoring: int = 0
    controls: int = 0


@dataclass(slots=True)
class Istiod:
    """The parts of a running istiod, as its tasks and servers share them."""

    settings: Settings
    client: Client
    validate: Validate
    metrics: Metrics = field(default_factory=Metrics)
    contexts: Contexts = field(default_factory=Contexts)
    ports: Ports = field(default_factory=Ports)
    serving_now: asyncio.Event = field(default_factory=asyncio.Event)
    """Everything is up; `ports` are known."""
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    synced: bool = False
    started: float = field(default_factory=time.time)

    @property
    def ready(self) -> bool:
        """Whether new callers may come."""
        return self.serving_now.is_set() and not self.stopping.is_set()


def about(settings: Settings) -> str:
    """How this istiod names itself in `control_plane.identifier`. Source: Istio."""
    info = {
        "version": settings.version,
        "revision": settings.revision,
        "golang_version": "",
        "status": "Clean",
        "tag": settings.version,
    }
    return json.dumps({"Component": "istiod", "ID": settings.pod, "Info": info})
