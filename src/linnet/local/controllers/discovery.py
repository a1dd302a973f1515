"""Which kinds an API server serves, asked of its discovery."""

import orjson

from linnet.kube.client import Client
from linnet.kube.errors import NotFound
from linnet.kube.kinds import Kind


async def deletable(client: Client) -> list[Kind]:
    """Every kind whose objects can be listed, watched and deleted, in its preferred version."""
    groups = orjson.loads(await client.raw("GET", "/apis"))["groups"]
    versions = [("", "v1")] + [
        (group["name"], group["preferredVersion"]["version"])
        for group in groups
        if group["name"] != "events.k8s.io"
    ]
    kinds = []
    for group, version in versions:
        path = f"/apis/{group}/{version}" if group else f"/api/{version}"
        try:
            resources = orjson.loads(await client.raw("GET", path))["resources"]
        except NotFound:
            continue  # a definition that was deleted meanwhile
        kinds += [
            Kind(group, version, found["name"], found["kind"], found["namespaced"])
            for found in resources
            if "/" not in found["name"] and {"list", "watch", "delete"} <= set(found["verbs"])
        ]
    return kinds
