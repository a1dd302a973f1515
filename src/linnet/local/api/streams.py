"""pods/log, exec, attach and port-forward: between what kubectl speaks and the kubelet of the pod's node."""

from typing import Any

from aiohttp import web
from multidict import MultiMapping

from linnet.local.api import channels, portforward, refusals
from linnet.local.api.cluster import Cluster
from linnet.local.api.kubelet import Kubelet, KubeletFailed
from linnet.local.api.paths import Target, true
from linnet.local.api.refusals import Refused
from linnet.local.api.registry import Resource

Json = dict[str, Any]

_LOG_OPTIONS = (
    "follow",
    "tailLines",
    "timestamps",
    "sinceSeconds",
    "sinceTime",
    "limitBytes",
    "previous",
    "stream",
)
_EXEC_OPTIONS = ("stdin", "stdout", "stderr", "tty")


class Streams:
    """Serves the streaming subresources of pods."""

    def __init__(self, cluster: Cluster, kubelet: Kubelet) -> None:
        self._cluster = cluster
        self._kubelet = kubelet

    async def serve(self, request: web.BaseRequest, resource: Resource, target: Target) -> web.StreamResponse:
        """Answer a request for a stream.

        Raises: Refused.
        """
        pod = self._cluster.find("pods", target.namespace, target.name)
        if pod is None:
            raise refusals.not_found(resource, target.name)
        try:
            match target.subresource:
                case "log":
                    return await self._log(request, pod)
                case "portforward":
                    return await portforward.serve(request, pod, self._kubelet)
            return await self._run(request, pod, target.subresource)
        except KubeletFailed as error:
            raise _refusal(error) from error

    async def _log(self, request: web.BaseRequest, pod: Json) -> web.StreamResponse:
        query = request.query
        metadata = pod["metadata"]
        container = _container(pod, query, wanted_for="log")
        if not pod["spec"].get("nodeName"):
            return web.Response(text="")
        state = _waiting(pod, container)
        if state and not true(query.get("previous", "")):
            name = f'container "{container}" in pod "{metadata["name"]}" is waiting to start: {state}'
            raise Refused(400, "BadRequest", name)
        options = [(name, query[name]) for name in _LOG_OPTIONS if name in query]
        path = f"/containerLogs/{metadata['namespace']}/{metadata['name']}/{container}"
        source = await self._kubelet.get(pod, path, options)
        try:
            response = web.StreamResponse(headers={"Content-Type": "text/plain; charset=utf-8"})
            response.enable_chunked_encoding()
            await response.prepare(request)
            async for piece in source.content.iter_any():
                await response.write(piece)
            await response.write_eof()
        except ConnectionError:
            pass  # the reader has gone
        finally:
            source.close()
        return response

    async def _run(self, request: web.BaseRequest, pod: Json, what: str) -> web.StreamResponse:
        """exec and attach."""
        query = request.query
        metadata = pod["metadata"]
        container = _container(pod, query, wanted_for=what)
        if (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed"):
            phase = pod["status"]["phase"]
            raise Refused(
                400,
                "BadRequest",
                f"cannot exec into a container in a completed pod; current phase is {phase}",
            )
        options = [(name, "1") for name in _EXEC_OPTIONS if true(query.get(name, ""))]
        options += [("command", part) for part in query.getall("command", ())]
        path = f"/{what}/{metadata['namespace']}/{metadata['name']}/{container}"
        return await channels.serve(
            request, options, lambda: self._kubelet.connect(pod, path, options, (channels.V5,))
        )


def _container(pod: Json, query: MultiMapping[str], *, wanted_for: str) -> str:
    """The container of a request. Raises: Refused 400 if it must be named, or does not exist."""
    spec, name = pod["spec"], pod["metadata"]["name"]
    main = [one["name"] for one in spec.get("containers") or ()]
    init = [one["name"] for one in spec.get("initContainers") or ()]
    ephemeral = [one["name"] for one in spec.get("ephemeralContainers") or ()]
    wanted = query.get("container", "")
    if not wanted:
        if len(main) == 1:
            return str(main[0])
        if wanted_for != "log":
            return _default(pod, main)
        choice = f"[{' '.join(main)}]"
        text = f"a container name must be specified for pod {name}, choose one of: {choice}"
        if init:
            text += f" or one of the init containers: [{' '.join(init)}]"
        raise Refused(400, "BadRequest", text)
    if wanted not in (*main, *init, *ephemeral):
        raise Refused(400, "BadRequest", f"container {wanted} is not valid for pod {name}")
    return wanted


def _default(pod: Json, main: list[str]) -> str:
    annotations = pod["metadata"].get("annotations") or {}
    return str(annotations.get("kubectl.kubernetes.io/default-container") or main[0])


def _waiting(pod: Json, container: str) -> str:
    """Why a container has not started yet, "" if it has."""
    status = pod.get("status") or {}
    reported = [*(status.get("containerStatuses") or ()), *(status.get("initContainerStatuses") or ())]
    for one in reported:
        if one["name"] != container:
            continue
        waiting = (one.get("state") or {}).get("waiting")
        if not waiting or one.get("lastState"):
            return ""
        reason = waiting.get("reason", "")
        if reason in ("ErrImagePull", "ImagePullBackOff"):
            return "trying and failing to pull image"
        if reason in ("ContainerCreating", "PodInitializing", "CreateContainerConfigError", ""):
            return str(reason or "ContainerCreating")
    return ""


def _refusal(error: KubeletFailed) -> Refused:
    """What the kubelet said, as a Status."""
    match error.code:
        case 400:
            return Refused(400, "BadRequest", error.text)
        case 404:
            return Refused(404, "NotFound", error.text or "the kubelet does not know the container")
    return Refused(500, "InternalError", f"Internal error occurred: {error.text}")
