"""Applications of which the requests fail, and a gateway that rejects what it is sent: by real causes."""

import json

from tests.e2e.clusters import Cluster

# ECHO answers on port 8080; TARGET is the port that its Service names: with another one nobody listens there,
# and the proxy beside it answers 503.
SERVED = """\
apiVersion: v1
kind: Service
metadata: {name: shop, labels: {app: shop}}
spec:
  selector: {app: shop}
  ports: [{name: http, port: 80, targetPort: TARGET}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: shop}
spec:
  selector: {matchLabels: {app: shop}}
  template:
    metadata: {labels: {app: shop}}
    spec:
      containers: [{name: echo, image: linnet/echo, args: ["--name=shop"]}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: caller}
spec:
  selector: {matchLabels: {app: caller}}
  template:
    metadata: {labels: {app: caller}}
    spec:
      containers:
      - {name: load, image: linnet/load, args: ["--target=http://shop/", "--rate=50", "--connections=2"]}
"""
# Another container of the pod has the port already: Envoy cannot bind it, and rejects the listener.
TAKEN = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: door}
spec:
  selector: {matchLabels: {istio: door}}
  template:
    metadata:
      annotations: {inject.istio.io/templates: gateway}
      labels: {istio: door, sidecar.istio.io/inject: "true", istio.io/rev: REV}
    spec:
      containers:
      - {name: istio-proxy, image: auto}
      - {name: taken, image: linnet/echo, args: ["--port=9999"]}
"""
GATEWAY = """\
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: door}
spec:
  selector: {istio: door}
  servers: [{port: {number: 9999, name: http, protocol: HTTP}, hosts: ["*"]}]
"""


def apply(mesh: Cluster, namespace: str, text: str) -> None:
    """Apply a manifest."""
    done = mesh.attempt("kubectl", "apply", "-n", namespace, "-f", "-", answer=text)
    assert done.returncode == 0, done.stdout + done.stderr


def serve(mesh: Cluster, namespace: str, *, well: bool) -> None:
    """An application and a steady caller; or one whose requests fail."""
    apply(mesh, namespace, SERVED.replace("TARGET", "8080" if well else "8081"))


def reject(mesh: Cluster, namespace: str, revision: str) -> None:
    """A gateway of a revision that rejects its listener."""
    apply(mesh, namespace, TAKEN.replace("REV", revision))
    mesh.linnet("kubectl", "rollout", "status", "-n", namespace, "deployment/door", "--timeout=200s")
    apply(mesh, namespace, GATEWAY)


def scorecard(mesh: Cluster, *args: str) -> dict[str, dict]:
    """What `revision status` says of each revision."""
    return {
        one["revision"]: one for one in json.loads(mesh.linnet("revision", "status", "-o", "json", *args))
    }


def verdicts(card: dict) -> dict[str, tuple[str, str]]:
    """Subject -> verdict, and who does better."""
    return {one["about"]: (one["verdict"], one["than"]) for one in card["judgement"]}
