"""The garbage collector: objects whose owners are gone, foreground deletion, orphaning.

It keeps no objects, only who owns whom. Source: Kubernetes, owners and dependents.
"""

import asyncio
from contextlib import aclosing

from msgspec import Struct

from linnet.kube.client import Client
from linnet.kube.errors import Conflict, NotFound
from linnet.kube.kinds import CUSTOM_RESOURCE_DEFINITION, EVENT, LEASE, Kind
from linnet.kube.watch import Applied, Deleted, Listed, follow
from linnet.local.controllers.discovery import deletable
from linnet.local.controllers.owners import Object
from linnet.local.controllers.queue import Queue

FOREGROUND, ORPHAN = "foregroundDeletion", "orphan"
_NEVER_OWN = {EVENT.plural, LEASE.plural}
_GRACE = 0.5  # seconds in which an owner that is not known yet may appear


class Node(Struct, frozen=True):
    """What the collector knows of an object."""

    kind: Kind
    namespace: str
    name: str
    uid: str
    owners: frozenset[tuple[str, bool]]  # (uid, blockOwnerDeletion)
    finalizers: frozenset[str]
    deleting: bool


def node_of(kind: Kind, obj: Object) -> Node:
    """The node of an object."""
    meta = obj["metadata"]
    return Node(
        kind=kind,
        namespace=meta.get("namespace", ""),
        name=meta["name"],
        uid=meta["uid"],
        owners=frozenset(
            (ref["uid"], bool(ref.get("blockOwnerDeletion"))) for ref in meta.get("ownerReferences") or ()
        ),
        finalizers=frozenset(meta.get("finalizers") or ()),
        deleting=bool(meta.get("deletionTimestamp")),
    )


class GarbageCollector:
    """Follows every kind; its queue holds uids."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._nodes: dict[str, Node] = {}
        self._dependents: dict[str, set[str]] = {}
        self._known: set[Kind] = set()
        self.queue: Queue[str] = Queue("garbage", self.reconcile)

    async def run(self) -> None:
        """Follow the kinds that there are, and those that definitions add or take away."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.queue.run())
            following: dict[Kind, asyncio.Task[None]] = {}
            async with aclosing(follow(self._client, CUSTOM_RESOURCE_DEFINITION)) as changes:
                async for _ in changes:
                    wanted = {kind for kind in await deletable(self._client) if kind.plural not in _NEVER_OWN}
                    for kind in wanted - following.keys():
                        following[kind] = tasks.create_task(self._follow(kind))
                    for kind in following.keys() - wanted:
                        following.pop(kind).cancel()
                        self._replace(kind, [])

    async def _follow(self, kind: Kind) -> None:
        async with aclosing(follow(self._client, kind)) as events:
            async for event in events:
                match event:
                    case Listed(items=items):
                        self._replace(kind, items)
                    case Applied(object=obj):
                        self._see(node_of(kind, obj))
                    case Deleted(object=obj):
                        self._forget(obj["metadata"]["uid"])

    def _replace(self, kind: Kind, items: list[Object]) -> None:
        nodes = [node_of(kind, item) for item in items]
        alive = {node.uid for node in nodes}
        for node in [node for node in self._nodes.values() if node.kind == kind and node.uid not in alive]:
            self._forget(node.uid)
        for node in nodes:
            self._see(node)

    def _see(self, node: Node) -> None:
        before = self._nodes.get(node.uid)
        self._nodes[node.uid] = node
        for uid, _ in (before.owners if before else frozenset()) - node.owners:
            self._dependents.get(uid, set()).discard(node.uid)
        for uid, _ in node.owners:
            self._dependents.setdefault(uid, set()).add(node.uid)
        if node.deleting and node.finalizers & {FOREGROUND, ORPHAN}:
            self.queue.add(node.uid)
        if node.owners and not node.deleting and not any(uid in self._nodes for uid, _ in node.owners):
            self.queue.add(node.uid, after=_GRACE)

    def _forget(self, uid: str) -> None:
        node = self._nodes.pop(uid, None)
        for dependent in self._dependents.get(uid, ()):
            self.queue.add(dependent)
        for owner, _ in node.owners if node else ():
            self._dependents.get(owner, set()).discard(uid)
            self.queue.add(owner)
        if not self._dependents.get(uid):
            self._dependents.pop(uid, None)

    async def reconcile(self, uid: str) -> None:
        """Delete what nobody owns any more; finish deletions that wait for dependents."""
        node = self._nodes.get(uid)
        if node is None:
            return
        if node.deleting:
            if ORPHAN in node.finalizers:
                await self._orphan(node)
            elif FOREGROUND in node.finalizers:
                await self._foreground(node)
            return
        if node.owners and not any(owner in self._nodes for owner, _ in node.owners):
            if await self._owner_alive(node):
                self.queue.add(uid, after=_GRACE)
                return
            await self._delete(node, "Background")

    async def _owner_alive(self, node: Node) -> bool:
        """Ask the API server itself: mirrors of different kinds are not equally fresh."""
        try:
            obj = await self._client.get(node.kind, node.name, node.namespace)
        except NotFound:
            return False
        for ref in obj["metadata"].get("ownerReferences") or ():
            group, _, version = ref["apiVersion"].rpartition("/")
            for kind in {found.kind for found in self._nodes.values() if found.kind.name == ref["kind"]}:
                if kind.group != group:
                    continue
                same = Kind(group, version, kind.plural, kind.name, kind.namespaced)
                try:
                    owner = await self._client.get(
                        same, ref["name"], node.namespace if kind.namespaced else ""
                    )
                except NotFound:
                    continue
                if owner["metadata"]["uid"] == ref["uid"]:
                    return True
        return False

    async def _delete(self, node: Node, policy: str) -> None:
        try:
            await self._client.delete(node.kind, node.name, node.namespace, uid=node.uid, propagation=policy)
        except (NotFound, Conflict):
            return

    async def _orphan(self, node: Node) -> None:
        for uid in list(self._dependents.get(node.uid, ())):
            dependent = self._nodes.get(uid)
            if dependent:
                await self._drop_owner(dependent, node.uid)
        await self._drop_finalizer(node, ORPHAN)

    async def _foreground(self, node: Node) -> None:
        dependents = [found for uid in self._dependents.get(node.uid, ()) if (found := self._nodes.get(uid))]
        for dependent in dependents:
            if not dependent.deleting:
                await self._delete(dependent, "Foreground")
        if not any((node.uid, True) in dependent.owners for dependent in dependents):
            await self._drop_finalizer(node, FOREGROUND)

    async def _drop_owner(self, node: Node, owner: str) -> None:
        try:
            obj = await self._client.get(node.kind, node.name, node.namespace)
            refs = [ref for ref in obj["metadata"].get("ownerReferences") or () if ref["uid"] != owner]
            obj["metadata"]["ownerReferences"] = refs
            await self._client.replace(node.kind, obj)
        except NotFound:
            return

    async def _drop_finalizer(self, node: Node, finalizer: str) -> None:
        try:
            obj = await self._client.get(node.kind, node.name, node.namespace)
            if obj["metadata"]["uid"] != node.uid:
                return
            left = [found for found in obj["metadata"].get("finalizers") or () if found != finalizer]
            obj["metadata"]["finalizers"] = left
            await self._client.replace(node.kind, obj)
        except NotFound:
            return
