"""What a new cluster contains, and what its users need to reach it."""

import asyncio
import base64
import ipaddress
import os
import platform
from collections.abc import Iterable
from typing import Any
from uuid import uuid4

import orjson

from linnet.local.api import roles
from linnet.local.api.certificates import Pki
from linnet.local.api.cluster import Cluster, timestamp
from linnet.local.api.options import VERSION, Options
from linnet.local.api.users import SERVER
from linnet.local.api.writeoptions import Options as WriteOptions
from linnet.local.api.writing import Writer

Json = dict[str, Any]

_NAMESPACES = ("default", "kube-node-lease", "kube-public", "kube-system")
_USERS = ("admin", "controller-manager", "scheduler", "kubelet")
_CLUSTER_CRITICAL = (
    "Used for system critical pods that must run in the cluster, "
    "but can be moved to another node if necessary."
)
_PRIORITIES = (
    (
        "system-cluster-critical",
        2_000_000_000,
        _CLUSTER_CRITICAL,
    ),
    (
        "system-node-critical",
        2_000_001_000,
        "Used for system critical pods that must not be moved from their current node.",
    ),
)


def version() -> Json:
    """The answer to `/version`."""
    major, minor, _ = VERSION.removeprefix("v").split(".")
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    return {
        "major": major,
        "minor": minor,
        "emulationMajor": major,
        "emulationMinor": minor,
        "minCompatibilityMajor": major,
        "minCompatibilityMinor": str(int(minor) - 1),
        "gitVersion": VERSION,
        "gitCommit": "",
        "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": f"python{platform.python_version()}",
        "compiler": platform.python_implementation().lower(),
        "platform": f"linux/{machine}",
    }


async def objects(writer: Writer, cluster: Cluster, pki: Pki, network: ipaddress.IPv4Network) -> None:
    """Make what is missing; what users changed stays as it is."""
    await _store(cluster, _raw())
    address = str(network[1])
    await _store(cluster, _service_parts(address))
    write = WriteOptions(SERVER, "kube-apiserver", lambda _warning: None)
    for obj in (_service(address), _authentication(pki), _network(network)):
        group, _, _ = obj["apiVersion"].rpartition("/")
        found = [
            one
            for one in cluster.registry.resources.values()
            if (one.group, one.kind) == (group, obj["kind"])
        ]
        resource = found[0]
        namespace = obj["metadata"].get("namespace", "")
        if cluster.store.latest(resource.key(namespace, obj["metadata"]["name"])) is None:
            await writer.create(resource, namespace, obj, write)


async def _store(cluster: Cluster, wanted: Iterable[Json]) -> None:
    """Put complete objects into the store, all in one go."""
    by_kind = {(one.group, one.kind): one for one in cluster.registry.resources.values()}
    async with asyncio.TaskGroup() as tasks:
        for obj in wanted:
            group, _, _ = obj["apiVersion"].rpartition("/")
            resource = by_kind[group, obj["kind"]]
            metadata = obj["metadata"]
            key = resource.key(metadata.get("namespace", ""), metadata["name"])
            if cluster.store.latest(key) is None:
                system = {"uid": str(uuid4()), "creationTimestamp": timestamp()}
                stored = {**obj, "metadata": {**metadata, **system}}
                tasks.create_task(cluster.store.put(key, stored, None))


def _raw() -> list[Json]:
    """Namespaces, roles, priority classes."""
    namespaces = [
        {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {"name": name, "labels": {"kubernetes.io/metadata.name": name}},
            "spec": {"finalizers": ["kubernetes"]},
            "status": {"phase": "Active"},
        }
        for name in _NAMESPACES
    ]
    priorities = [
        {
            "apiVersion": "scheduling.k8s.io/v1",
            "kind": "PriorityClass",
            "metadata": {"name": name, "generation": 1},
            "value": value,
            "description": description,
            "preemptionPolicy": "PreemptLowerPriority",
        }
        for name, value, description in _PRIORITIES
    ]
    return [*namespaces, *priorities, *roles.objects()]


def _service(address: str) -> Json:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": "kubernetes",
            "namespace": "default",
            "labels": {"component": "apiserver", "provider": "kubernetes"},
        },
        "spec": {
            "clusterIP": address,
            "ports": [{"name": "https", "port": 443, "protocol": "TCP", "targetPort": 443}],
            "sessionAffinity": "None",
            "type": "ClusterIP",
        },
    }


def _service_parts(address: str) -> list[Json]:
    """The endpoints of the API: the server listens on the service's own address in the pod network."""
    labels = {"endpointslice.kubernetes.io/skip-mirror": "true"}
    port = {"name": "https", "port": 443, "protocol": "TCP"}
    endpoints = {
        "apiVersion": "v1",
        "kind": "Endpoints",
        "metadata": {"name": "kubernetes", "namespace": "default", "labels": labels},
        "subsets": [{"addresses": [{"ip": address}], "ports": [port]}],
    }
    piece = {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": "kubernetes",
            "namespace": "default",
            "generation": 1,
            "labels": {"kubernetes.io/service-name": "kubernetes"},
        },
        "addressType": "IPv4",
        "endpoints": [{"addresses": [address], "conditions": {"ready": True}}],
        "ports": [port],
    }
    return [endpoints, piece]


def _authentication(pki: Pki) -> Json:
    """The CA of client certificates, for those who check them themselves."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "extension-apiserver-authentication", "namespace": "kube-system"},
        "data": {"client-ca-file": pki.text("ca.crt")},
    }


def _network(network: ipaddress.IPv4Network) -> Json:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "ServiceCIDR",
        "metadata": {"name": "kubernetes"},
        "spec": {"cidrs": [str(network)]},
    }


def kubeconfigs(options: Options, pki: Pki) -> None:
    """Write `<user>.kubeconfig` for the administrator, the controllers and the node."""
    host, port = options.sockets[0].getsockname()[:2]
    for user in _USERS:
        path = options.state / f"{user}.kubeconfig"
        content = orjson.dumps(
            _kubeconfig(options, pki, f"https://{host}:{port}", user), option=orjson.OPT_INDENT_2
        )
        fresh = path.with_suffix(".new")
        with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(content + b"\n")
        fresh.replace(path)


def _kubeconfig(options: Options, pki: Pki, server: str, user: str) -> Json:
    """JSON is YAML."""

    def encoded(name: str) -> str:
        return base64.b64encode(pki.path(name).read_bytes()).decode()

    name = options.context
    credentials = {
        "client-certificate-data": encoded(f"{user}.crt"),
        "client-key-data": encoded(f"{user}.key"),
    }
    entry = name if user == "admin" else user
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {
                "name": name,
                "cluster": {"server": server, "certificate-authority-data": encoded("ca.crt")},
            }
        ],
        "users": [{"name": entry, "user": credentials}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": entry, "namespace": "default"}}],
        "current-context": name,
    }
