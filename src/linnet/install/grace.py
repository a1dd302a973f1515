"""A gateway's pods use their whole grace period, whatever a user made it (pure).

The preStop hook tells the agent how long it may wait for connections to end, and Envoy's drain time is such
that the last third of it, in which long streams are told to go, is over when the hook is.
"""

import json
from copy import deepcopy

from linnet.install.marks import Object

DRAIN_PATH = "/drain"
_USUAL, _RESERVE = 30, 5  # seconds: of Kubernetes, and of it left when the hook gives up
_CONTAINER = "istio-proxy"


def in_time(deployment: Object) -> Object:
    """The Deployment with its drain fitted to `terminationGracePeriodSeconds`; unchanged if that is 30."""
    grace = deployment["spec"]["template"]["spec"].get("terminationGracePeriodSeconds")
    if grace in (None, _USUAL):
        return deployment
    fitted = deepcopy(deployment)
    for container in fitted["spec"]["template"]["spec"]["containers"]:
        if container["name"] != _CONTAINER:
            continue
        hook = ((container.get("lifecycle") or {}).get("preStop") or {}).get("httpGet") or {}
        if hook.get("path") == DRAIN_PATH:
            hook["path"] = f"{DRAIN_PATH}?grace={grace}"
        env = {entry["name"]: entry for entry in container.setdefault("env", [])}
        entry = env.get("PROXY_CONFIG") or {"name": "PROXY_CONFIG", "value": "{}"}
        config = {"drainDuration": f"{drain_seconds(int(grace))}s"} | json.loads(entry["value"])
        env["PROXY_CONFIG"] = {**entry, "value": json.dumps(config, sort_keys=True)}
        container["env"] = list(env.values())
    return fitted


def drain_seconds(grace: int) -> int:
    """Envoy's drain time in a gateway: a fifth more than its hook may take, as 30 s is for 25 s."""
    return max(1, -(-6 * (grace - _RESERVE) // 5))
