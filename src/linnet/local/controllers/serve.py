"""The controllers as one program: mirrors feed queues, queues feed reconcilers."""

import asyncio
from collections.abc import Callable

from linnet.kube.client import Client
from linnet.kube.config import Config
from linnet.kube.kinds import (
    CLUSTER_ROLE,
    DEPLOYMENT,
    ENDPOINT_SLICE,
    ENDPOINTS,
    NAMESPACE,
    NODE,
    POD,
    POD_DISRUPTION_BUDGET,
    REPLICA_SET,
    SERVICE,
    Kind,
)
from linnet.kube.mirror import Mirror, key_of
from linnet.local.controllers.aggregation import AggregationController
from linnet.local.controllers.deployment import DeploymentController
from linnet.local.controllers.disruption import DisruptionController
from linnet.local.controllers.endpoint_slice import EndpointSliceController
from linnet.local.controllers.garbage import GarbageCollector
from linnet.local.controllers.namespace import FURNITURE, NamespaceController
from linnet.local.controllers.nodes import NodeController
from linnet.local.controllers.owners import Object
from linnet.local.controllers.replica_set import ReplicaSetController
from linnet.local.controllers.scheduler import Scheduler

OnChange = Callable[[Object | None, Object | None], None]


async def serve(config: Config, *, ca: str) -> None:
    """Run all controllers for ever. `ca`: the PEM that each namespace's `kube-root-ca.crt` shall hold.

    Raises:
        ApiError: the API server refuses the credentials.
    """
    async with Client(
        config, user_agent="kube-controller-manager", manager="kube-controller-manager"
    ) as client:
        await _Controllers(client, ca).run()


class _Controllers:
    """The wiring: which change of which kind concerns which controller."""

    def __init__(self, client: Client, ca: str) -> None:
        def mirror(kind: Kind, on_change: OnChange | None = None) -> Mirror:
            return Mirror(client, kind, on_change=on_change)

        self._pods = mirror(POD, self._pod)
        self._services = mirror(SERVICE, self._service)
        self._slices, self._endpoints = mirror(ENDPOINT_SLICE, self._slice), mirror(ENDPOINTS)
        self._deployments, self._sets = mirror(DEPLOYMENT, self._deployment), mirror(REPLICA_SET, self._set)
        self._namespaces = mirror(NAMESPACE, self._namespace)
        self._furniture = [
            Mirror(client, kind, fields=f"metadata.name={name}", on_change=self._furnishing)
            for kind, name in FURNITURE
        ]
        self._nodes = mirror(NODE, self._node)
        self._roles = mirror(CLUSTER_ROLE, lambda _old, _new: self._aggregation.role_changed())
        self._aggregation = AggregationController(client, self._roles)
        self._budgets = mirror(POD_DISRUPTION_BUDGET, self._budget)
        self._namespace_controller = NamespaceController(client, self._namespaces, ca=ca)
        self._deployment_controller = DeploymentController(client, self._deployments, self._sets)
        self._set_controller = ReplicaSetController(client, self._sets, self._pods)
        self._slice_controller = EndpointSliceController(
            client, self._services, self._pods, self._slices, self._endpoints
        )
        self._scheduler = Scheduler(client, self._pods, self._nodes)
        self._node_controller = NodeController(client, self._nodes)
        self._disruption = DisruptionController(client, self._budgets, self._pods)
        self._garbage = GarbageCollector(client)

    async def run(self) -> None:
        mirrors = [
            self._pods,
            self._services,
            self._slices,
            self._endpoints,
            self._deployments,
            self._sets,
            self._namespaces,
            self._nodes,
            self._budgets,
            self._roles,
            *self._furniture,
        ]
        async with asyncio.TaskGroup() as tasks:
            for mirror in mirrors:
                tasks.create_task(mirror.run())
            tasks.create_task(self._garbage.run())
            for mirror in mirrors:
                await mirror.synced.wait()  # nobody decides on half of what there is
            tasks.create_task(self._namespace_controller.queue.run())
            tasks.create_task(self._deployment_controller.queue.run())
            tasks.create_task(self._set_controller.queue.run())
            tasks.create_task(self._slice_controller.queue.run())
            tasks.create_task(self._scheduler.queue.run())
            tasks.create_task(self._disruption.queue.run())
            tasks.create_task(self._node_controller.queue.run())
            tasks.create_task(self._aggregation.queue.run())

    def _pod(self, old: Object | None, new: Object | None) -> None:
        self._set_controller.pod_changed(old, new)
        self._slice_controller.pod_changed(old, new)
        if new is not None:
            self._scheduler.pod_changed(new)
        for pod in (old, new):
            if pod is not None:
                self._disruption.pod_changed(pod)

    def _node(self, _old: Object | None, new: Object | None) -> None:
        self._scheduler.node_changed()
        if new is not None:
            self._node_controller.queue.add(key_of(new))

    def _service(self, old: Object | None, new: Object | None) -> None:
        changed = new or old
        assert changed is not None
        self._slice_controller.queue.add(key_of(changed))

    def _slice(self, old: Object | None, new: Object | None) -> None:
        # somebody else deleted or edited a slice: its service looks again
        changed = new or old
        assert changed is not None
        name = (changed["metadata"].get("labels") or {}).get("kubernetes.io/service-name")
        if name:
            self._slice_controller.queue.add((changed["metadata"]["namespace"], name))

    def _deployment(self, _old: Object | None, new: Object | None) -> None:
        if new is not None:
            self._deployment_controller.queue.add(key_of(new))

    def _set(self, old: Object | None, new: Object | None) -> None:
        if new is not None:
            self._set_controller.queue.add(key_of(new))
        self._deployment_controller.replica_set_changed(old, new)

    def _namespace(self, _old: Object | None, new: Object | None) -> None:
        if new is not None:
            self._namespace_controller.queue.add(new["metadata"]["name"])

    def _furnishing(self, old: Object | None, new: Object | None) -> None:
        # what every namespace has comes back when somebody deletes it
        if new is None and old is not None:
            self._namespace_controller.queue.add(old["metadata"]["namespace"])

    def _budget(self, _old: Object | None, new: Object | None) -> None:
        if new is not None:
            self._disruption.queue.add(key_of(new))
