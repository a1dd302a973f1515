"""The webhooks that the API server calls: injection and validation, over HTTPS.

Deciding is the work of `linnet.inject` and `linnet.admit`; here are the HTTP contract and the counters.

Source: Kubernetes, admission webhooks; Istio, paths `/inject`, `/inject/...` and `/validate`.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import structlog
from aiohttp import web

from linnet.control_plane import http
from linnet.control_plane.metrics import Metrics
from linnet.inject.configuration import Configuration, ConfigurationError, parse
from linnet.inject.trial import check
from linnet.inject.webhook import ReviewError, refused, review

LIMIT = 6 * 1024 * 1024  # bytes of a request; Source: Istio
Object = dict[str, Any]
Validate = Callable[[Object], Object]
"""An AdmissionReview about an Istio object -> the answer; raises ValueError if it is no AdmissionReview."""

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Injection:
    """The injection configuration in force. One that is broken or gone leaves the one before in force."""

    revision: str
    namespace: str
    current: Configuration | None = None
    error: str = "the injection ConfigMap has not been read yet"

    def update(self, injector: Mapping[str, Any] | None, mesh: str) -> None:
        """Take in the ConfigMap (None: it does not exist) and the text of the MeshConfig."""
        if injector is None:
            self.error = f"there is no injection ConfigMap of revision {self.revision} in {self.namespace}"
            log.warning("injection-configuration-missing", error=self.error)
            return
        name = injector["metadata"]["name"]
        try:
            parsed = parse(injector.get("data") or {}, mesh, revision=self.revision, namespace=self.namespace)
            check(parsed)
        except ConfigurationError as error:
            self.error = f"ConfigMap {self.namespace}/{name}: {error}"
            log.warning("injection-configuration-refused", error=self.error)
            return
        self.current, self.error = parsed, ""


@dataclass(slots=True)
class Webhooks:
    """The handlers of port 15017."""

    injection: Injection
    validate: Validate
    metrics: Metrics

    def routes(self) -> http.Routes:
        """Path -> handler."""
        return {
            "/inject": self._inject,
            "/inject/": self._inject,
            "/validate": self._validate,
            "/validate/": self._validate,
        }

    async def _inject(self, request: web.BaseRequest) -> web.StreamResponse:
        body = await _review_body(request)
        configuration = self.injection.current
        self.metrics.injection_requests.add()
        started = time.perf_counter()
        try:
            if configuration is None:
                answer = refused(body, self.injection.revision, self.injection.error)
            else:
                answer = _reviewed(body, configuration, http.clean(request.path))
        except ReviewError as error:
            self.metrics.injection_failure.add()
            return http.text(str(error), status=400)
        self.metrics.injection_time.observe(time.perf_counter() - started)
        response = answer["response"]
        counter = (
            self.metrics.injection_failure
            if not response["allowed"]
            else self.metrics.injection_success
            if "patch" in response
            else self.metrics.injection_skip
        )
        counter.add()
        if not response["allowed"]:
            log.warning("injection-refused", uid=response["uid"], reason=response["status"]["message"])
        return http.json(answer, request)

    async def _validate(self, request: web.BaseRequest) -> web.StreamResponse:
        body = await _review_body(request)
        try:
            answer = self.validate(body)
        except ValueError as error:
            return http.text(str(error), status=400)
        asked = (body.get("request") or {}).get("resource") or {}
        labels = [str(asked.get(key, "")) for key in ("group", "version", "resource")]
        if answer["response"]["allowed"]:
            self.metrics.validation_passed.add(*labels)
        else:
            self.metrics.validation_failed.add(*labels, "invalid_resource")
        return http.json(answer, request)


def _reviewed(body: Object, configuration: Configuration, path: str) -> Object:
    """The answer; a fault of ours refuses the pod with words, not the call with a 500. Raises ReviewError."""
    try:
        return review(body, configuration, path)
    except ReviewError:
        raise
    except Exception as error:
        log.exception("injection-failed")
        return refused(body, configuration.revision, f"internal fault, please report it: {error!r}")


async def _review_body(request: web.BaseRequest) -> Object:
    if request.method != "POST":
        raise web.HTTPMethodNotAllowed(request.method, ["POST"])
    body = await http.json_body(request, LIMIT)
    if not isinstance(body, dict):
        raise web.HTTPBadRequest(text="expected an AdmissionReview\n")
    return body
