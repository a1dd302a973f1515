"""The command line of somebody who may do some things on a cluster, and no more."""

import base64
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.e2e.clusters import Cluster

from linnet.kube.client import Client
from linnet.kube.kinds import CLUSTER_ROLE, CLUSTER_ROLE_BINDING, SERVICE_ACCOUNT

SYSTEM = "istio-system"
Rule = dict[str, list[str]]


async def restricted(
    mesh: Cluster, client: Client, name: str, rules: Sequence[Rule], folder: Path
) -> Cluster:
    """The same cluster as a new service account with these rules; its kubeconfig is a file in `folder`."""
    account = {"name": name, "namespace": SYSTEM}
    await client.create(SERVICE_ACCOUNT, {"metadata": account})
    await client.create(CLUSTER_ROLE, {"metadata": {"name": name}, "rules": list(rules)})
    binding: dict[str, Any] = {
        "metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name},
        "subjects": [{"kind": "ServiceAccount", **account}],
    }
    await client.create(CLUSTER_ROLE_BINDING, binding)
    asked = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "metadata": account,
        "spec": {},
    }
    answer = await client.create(SERVICE_ACCOUNT, asked, namespace=SYSTEM, subresource="token")
    authority = base64.b64encode(client.config.ca).decode()
    server = {"server": client.config.server, "certificate-authority-data": authority}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": name,
        "contexts": [{"name": name, "context": {"cluster": "c", "user": name}}],
        "clusters": [{"name": "c", "cluster": server}],
        "users": [{"name": name, "user": {"token": answer["status"]["token"]}}],
    }
    file = folder / f"{name}.kubeconfig"
    file.write_text(json.dumps(config))
    return Cluster(mesh.variables | {"KUBECONFIG": str(file)})
