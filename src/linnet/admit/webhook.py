"""AdmissionReview in, AdmissionReview out, for validation (pure). Source: Istio, `/validate`."""

from collections.abc import Mapping
from typing import Any

from linnet.admit.check import check

VERSIONS = ("admission.k8s.io/v1", "admission.k8s.io/v1beta1")

Object = dict[str, Any]


class ReviewError(ValueError):
    """A body that is no AdmissionReview; the HTTP answer is 400."""


def review(body: Mapping[str, Any]) -> Object:
    """The answer to an AdmissionReview about an Istio object.

    Raises:
        ReviewError: no AdmissionReview with a request.
    """
    version, request = body.get("apiVersion"), body.get("request")
    if version not in VERSIONS or not isinstance(request, Mapping):
        raise ReviewError(f"expected an AdmissionReview of {' or '.join(VERSIONS)} with a request")
    return {
        "apiVersion": version,
        "kind": "AdmissionReview",
        "response": {"uid": request.get("uid", ""), **_answer(request)},
    }


def _answer(request: Mapping[str, Any]) -> Object:
    obj = request.get("object")
    if request.get("operation") not in ("CREATE", "UPDATE") or not isinstance(obj, Mapping):
        return {"allowed": True}
    problems = check(obj)
    if not problems:
        return {"allowed": True}
    told = "; ".join(f"{problem.path}: {problem.message}" for problem in problems)
    message = f"configuration is invalid: {told}"
    return {"allowed": False, "status": {"code": 400, "reason": "BadRequest", "message": message}}
