"""Why the API server cannot call a webhook whose Service is there: no endpoint, no port, no trust (pure).

A Service that does not exist is the business of `upgrade.health`.
"""

import base64
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from msgspec import Struct

from linnet.install.marks import DEACTIVATED, REV, TAG_LABEL
from linnet.install.plane import NAME
from linnet.upgrade.users import calls

_CERTIFICATE = re.compile("-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
_HTTPS = 443  # what a webhook calls unless it names a port
ROOT, ROOT_KEY = "istio-ca-root-cert", "root-cert.pem"  # the ConfigMap with the mesh's roots
SERVICE_NAME = "kubernetes.io/service-name"  # label of EndpointSlices

Object = Mapping[str, Any]


class Uncallable(Struct, frozen=True, order=True):
    """A webhook object that cannot be called. `why`: what is wrong, `remedy`: what mends it."""

    webhook: str
    why: str
    blocks: bool  # its failurePolicy is Fail: what it matches is refused
    remedy: str = ""

    def __str__(self) -> str:
        """A sentence."""
        effect = "what it matches is refused" if self.blocks else "what it matches is not looked at"
        return f"{self.webhook}: {self.why}, so {effect}"


class Targets(Struct, frozen=True):
    """What webhooks can call: Services, their EndpointSlices, and the roots (PEM; empty: not known)."""

    services: Sequence[Object]
    slices: Sequence[Object]
    roots: str = ""


def uncallable(hooks: Iterable[Object], targets: Targets, namespace: str) -> list[Uncallable]:
    """The webhooks that call istiods of this namespace in vain, once each, by name."""
    services = {(s["metadata"].get("namespace", ""), s["metadata"]["name"]): s for s in targets.services}
    found = []
    for hook in hooks:
        for entry in hook.get("webhooks") or ():
            service = services.get(calls(entry))
            ours = calls(entry)[0] == namespace and entry["name"].endswith(".istio.io")
            if service is None or not ours or _rests(entry):
                continue
            if fault := next(_faults(hook, entry, service, targets), None):
                blocks = entry.get("failurePolicy", "Fail") == "Fail"
                found.append(Uncallable(hook["metadata"]["name"], fault[0], blocks, fault[1]))
                break
    return sorted(found)


def _rests(entry: Object) -> bool:
    """Whether it matches nothing, because the default tag does its work."""
    return DEACTIVATED in ((entry.get("namespaceSelector") or {}).get("matchLabels") or {})


def _faults(hook: Object, entry: Object, service: Object, targets: Targets) -> Iterator[tuple[str, str]]:
    """What is wrong, and the remedy; the first is what the API server meets first."""
    client = entry["clientConfig"]
    namespace, name = calls(entry)
    number = client["service"].get("port") or _HTTPS
    ports = (service.get("spec") or {}).get("ports") or ()
    port = next((p for p in ports if p.get("port") == number), None)
    if port is None:
        yield f"its Service {name}.{namespace} has no port {number}", _anew(hook, number)
    elif not _ready(service, port, targets.slices):
        look = f"kubectl describe service,deployment -n {namespace} {name}"
        yield f"its Service {name}.{namespace} has no endpoint that is ready", f"bring its istiod up: {look}"
    bundle = _certificates(_decoded(client.get("caBundle") or ""))
    if not bundle:
        yield "it has no CA bundle", "its istiod writes it, when it runs: see the istiod's log"
    elif (roots := _certificates(targets.roots)) and not bundle & roots:
        why = "its CA bundle is none of the mesh's roots, by which its istiod is known"
        yield why, "its istiod writes it, when it runs: see the istiod's log"


def _anew(hook: Object, number: int) -> str:
    """What makes the Service, or the webhook that calls a port which it never had, as it should be."""
    labels = hook["metadata"].get("labels") or {}
    revision, tag = labels.get(REV, NAME), labels.get(TAG_LABEL)
    if tag and number != _HTTPS:
        return f"linnet tag set {tag} --revision {revision} --overwrite"
    return f"linnet install --revision {revision}"


def _ready(service: Object, port: Object, slices: Sequence[Object]) -> bool:
    """Whether an endpoint is ready that has this port of the Service."""
    meta = service["metadata"]
    return any(
        (endpoint.get("conditions") or {}).get("ready", True)
        for found in slices
        if found["metadata"].get("namespace") == meta.get("namespace")
        and (found["metadata"].get("labels") or {}).get(SERVICE_NAME) == meta["name"]
        and any((one.get("name") or "") == (port.get("name") or "") for one in found.get("ports") or ())
        for endpoint in found.get("endpoints") or ()
    )


def _decoded(bundle: str) -> str:
    try:
        return base64.b64decode(bundle).decode(errors="replace")
    except ValueError:
        return ""


def _certificates(text: str) -> set[str]:
    """The certificates of a PEM text, without their line ends."""
    return {"".join(found.split()) for found in _CERTIFICATE.findall(text)}
