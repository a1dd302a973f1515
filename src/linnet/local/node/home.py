"""What a container needs of its pod."""

from typing import Protocol

from linnet.local.node.clock import Now
from linnet.local.node.container_spec import Container
from linnet.local.node.container_states import ContainerState
from linnet.local.node.images import Image
from linnet.local.node.pipes import Output
from linnet.local.node.runtime import Command, Process, Sandbox, Stdio
from linnet.local.node.spec import Pod


class Home(Protocol):
    """What a container needs of its pod."""

    now: Now

    @property
    def pod(self) -> Pod:
        """The pod as last seen."""
        ...

    @property
    def sandbox(self) -> Sandbox:
        """Where it runs."""
        ...

    def image(self, reference: str) -> Image | None:
        """The entry of the catalogue."""
        ...

    async def command(self, container: Container, image: Image) -> Command:
        """What is started. Raises Missing."""
        ...

    async def launch(
        self, container: Container, image: Image, command: Command, stdio: Stdio, output: Output
    ) -> Process:
        """Start it, in the sandbox or on its behalf; `output` takes what is said for it. Raises OSError."""
        ...

    def say(self, reason: str, message: str, *, warning: bool = False, about: ContainerState) -> None:
        """Tell the user."""
        ...

    def changed(self) -> None:
        """The state of a container is not what it was."""
        ...

    def log_path(self, container: Container, instance: int) -> str:
        """Where an instance of a container writes its log."""
        ...

    def termination_message(self, container: Container) -> bytes:
        """What the container left as its last words."""
        ...
