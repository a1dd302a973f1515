"""Nodes: an event says that one has come.

Source: Kubernetes, the node life cycle controller.
"""

from linnet.kube.client import Client
from linnet.kube.mirror import Key, Mirror
from linnet.local.controllers.events import Recorder
from linnet.local.controllers.queue import Queue


class NodeController:
    """Announces every node that it sees for the first time."""

    def __init__(self, client: Client, nodes: Mirror) -> None:
        self._nodes = nodes
        self._events = Recorder(client, "node-controller")
        self._announced: set[str] = set()
        self.queue: Queue[Key] = Queue("nodes", self.reconcile)

    async def reconcile(self, key: Key) -> None:
        """Announce one node, unless that was done."""
        node = self._nodes.get(key)
        if node is None or node["metadata"]["uid"] in self._announced:
            return
        name = node["metadata"]["name"]
        text = f"Node {name} event: Registered Node {name} in Controller"
        await self._events.record(node, "RegisteredNode", text)
        self._announced.add(node["metadata"]["uid"])
