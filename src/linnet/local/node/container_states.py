"""What is known of the containers of a pod on this node."""

from dataclasses import dataclass
from datetime import datetime

from msgspec import Struct

from linnet.local.node.container_spec import Container


class Waiting(Struct, frozen=True):
    """Not started yet, or between two tries."""

    reason: str
    message: str = ""


class Running(Struct, frozen=True):
    """Since when."""

    started_at: datetime


class Terminated(Struct, frozen=True):
    """How an instance of a container ended."""

    exit_code: int
    reason: str
    finished_at: datetime
    started_at: datetime | None = None
    container_id: str = ""
    message: str = ""


State = Waiting | Running | Terminated
CREATING = Waiting("ContainerCreating")


@dataclass(slots=True)
class ContainerState:
    """What is known of one container; its life changes it, `pod_status` reads it."""

    spec: Container
    init: bool = False
    state: State = CREATING
    last: Terminated | None = None
    ready: bool = False
    started: bool = False
    restarts: int = 0
    container_id: str = ""
    image_id: str = ""

    @property
    def finished(self) -> bool:
        """Whether it has run, and does not now."""
        return isinstance(self.state, Terminated)

    @property
    def succeeded(self) -> bool:
        """Whether it ended well."""
        return isinstance(self.state, Terminated) and self.state.exit_code == 0
