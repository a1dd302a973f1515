"""The files of one pod on this node, beside its volumes: logs, last words, what hosted programs need."""

import os
import shutil

from linnet.local.node.container_spec import Container
from linnet.local.node.logs import rotated
from linnet.local.node.runtime import Mount

_LAST_WORDS = 4096  # bytes


class PodFolder:
    """A directory that goes with the pod; no container sees it as a whole."""

    def __init__(self, path: str) -> None:
        self.path = path

    def make(self) -> None:
        """Make it unless it is there."""
        os.makedirs(self.path, mode=0o700, exist_ok=True)

    def remove(self) -> None:
        """Forget everything."""
        shutil.rmtree(self.path, ignore_errors=True)

    def scratch(self, container: Container) -> str:
        """A directory that no container sees."""
        return os.path.join(self.path, "hosted", container.name)

    def last_words(self, container: Container) -> Mount:
        """A fresh file for the termination message, that any user of the container may write."""
        path = self._message_path(container)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            os.fchmod(file.fileno(), 0o666)
        return Mount(path, container.termination_message_path, read_only=False)

    def termination_message(self, container: Container) -> bytes:
        """What the container left as its last words."""
        try:
            with open(self._message_path(container), "rb") as file:
                return file.read(_LAST_WORDS)
        except FileNotFoundError:
            return b""

    def log_path(self, container: Container, instance: int) -> str:
        """Where an instance writes its log; logs older than the previous instance's are deleted."""
        directory = os.path.join(self.path, "logs", container.name)
        path = os.path.join(directory, f"{instance}.log")
        old = os.path.join(directory, f"{instance - 2}.log")
        if os.path.exists(old):
            for file in (old, *rotated(old)):
                os.unlink(file)
        return path

    def _message_path(self, container: Container) -> str:
        return os.path.join(self.path, "messages", container.name)
