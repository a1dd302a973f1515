"""AdmissionReview in, AdmissionReview out, for injection (pure).

Source: Kubernetes, admission.k8s.io v1 and v1beta1; Istio, path forms of `/inject`.
"""

import base64
import json
from collections.abc import Mapping
from typing import Any

from linnet.inject.annotations import InjectionError
from linnet.inject.configuration import Configuration
from linnet.inject.merge import difference
from linnet.inject.pod import injected
from linnet.inject.policy import decide, never_injected
from linnet.inject.template import TemplateError

VERSIONS = ("admission.k8s.io/v1", "admission.k8s.io/v1beta1")
_KEYS = {"cluster": "ISTIO_META_CLUSTER_ID", "net": "ISTIO_META_NETWORK"}

Object = dict[str, Any]


class ReviewError(ValueError):
    """A body that is no AdmissionReview; the HTTP answer is 400."""


def review(body: Mapping[str, Any], configuration: Configuration, path: str = "/inject") -> Object:
    """The answer to an AdmissionReview about a pod. A pod that cannot be injected is refused with the reason.

    Raises:
        ReviewError: no AdmissionReview with a request.
    """
    request = _request(body)
    return _reviewed(body, {"uid": request.get("uid", ""), **_answer(request, configuration, path)})


def refused(body: Mapping[str, Any], revision: str, reason: str) -> Object:
    """The answer where no pod can be injected: a pod that asks for it is refused with the reason.

    Raises:
        ReviewError: no AdmissionReview with a request.
    """
    request = _request(body)
    spared = never_injected(request["object"], _namespace(request))
    answer = {"allowed": True} if spared else _refusal(revision, reason)
    return _reviewed(body, {"uid": request.get("uid", ""), **answer})


def _request(body: Mapping[str, Any]) -> Mapping[str, Any]:
    request = body.get("request")
    if (
        body.get("apiVersion") not in VERSIONS
        or not isinstance(request, Mapping)
        or not isinstance(request.get("object"), Mapping)
    ):
        raise ReviewError(f"expected an AdmissionReview of {' or '.join(VERSIONS)} with a request.object")
    return request


def _namespace(request: Mapping[str, Any]) -> str:
    metadata = request["object"].get("metadata") or {}
    return str(request.get("namespace") or metadata.get("namespace") or "default")


def _reviewed(body: Mapping[str, Any], response: Object) -> Object:
    return {"apiVersion": body["apiVersion"], "kind": "AdmissionReview", "response": response}


def _refusal(revision: str, reason: str) -> Object:
    message = f"sidecar injection of revision {revision}: {reason}"
    return {"allowed": False, "status": {"code": 400, "reason": "BadRequest", "message": message}}


def _answer(request: Mapping[str, Any], configuration: Configuration, path: str) -> Object:
    pod = request["object"]
    namespace = _namespace(request)
    decision = decide(pod, namespace, configuration)
    answer: Object = {"allowed": True}
    if decision.warnings:
        answer["warnings"] = list(decision.warnings)
    if not decision.inject:
        return answer
    try:
        patch = difference(pod, injected(pod, namespace, configuration, environment_of(path)))
    except (InjectionError, TemplateError) as error:
        return _refusal(configuration.revision, str(error))
    if patch:
        encoded = base64.b64encode(json.dumps(patch).encode()).decode()
        answer |= {"patchType": "JSONPatch", "patch": encoded}
    return answer


def environment_of(path: str) -> dict[str, str]:
    """The environment that a webhook path sets: `/inject/cluster/C1/net/N1`, or `/inject/:ENV:k=v`."""
    rest = path.removeprefix("/inject").strip("/")
    if rest.startswith(":ENV:"):
        pairs = [part.partition("=") for part in rest.split(":ENV:") if part]
        return {_KEYS.get(key, key): value for key, _, value in pairs}
    parts = rest.split("/") if rest else []
    return {
        _KEYS.get(key, key.upper()): value.replace("--slash--", "/")
        for key, value in zip(parts[::2], parts[1::2], strict=False)
    }
