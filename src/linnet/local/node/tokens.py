"""Service account tokens of pods: asked of the API server, kept, and renewed before they expire.

Source: Kubernetes, "Bound service account tokens": renewed at 80 % of the lifetime, or after a day.
"""

import orjson
from msgspec import Struct

from linnet.kube.client import Client
from linnet.kube.kinds import SERVICE_ACCOUNT
from linnet.local.node.clock import Now, parse
from linnet.local.node.spec import Object, Pod
from linnet.local.node.volume_spec import TokenSource

_DAY = 24 * 3600.0


class _Token(Struct, frozen=True):
    text: str
    renew_at: float  # seconds since the epoch


class PodTokens:
    """The tokens of one pod."""

    def __init__(self, client: Client, now: Now) -> None:
        self._client, self._now = client, now
        self._tokens: dict[TokenSource, _Token] = {}

    async def current(self, pod: Pod, sources: frozenset[TokenSource]) -> dict[TokenSource, str]:
        """A valid token for each source. Raises ApiError."""
        now = self._now().timestamp()
        for source in sources:
            held = self._tokens.get(source)
            if held is None or held.renew_at <= now:
                self._tokens[source] = await self._request(pod, source)
        return {source: self._tokens[source].text for source in sources}

    def seconds_left(self) -> float | None:
        """Until a token has to be renewed; None: there is none."""
        now = self._now().timestamp()
        return min((max(0.0, token.renew_at - now) for token in self._tokens.values()), default=None)

    async def _request(self, pod: Pod, source: TokenSource) -> _Token:
        spec: Object = {
            "expirationSeconds": source.expiration_seconds,
            "boundObjectRef": {
                "kind": "Pod",
                "apiVersion": "v1",
                "name": pod.metadata.name,
                "uid": pod.metadata.uid,
            },
        }
        if source.audience:
            spec["audiences"] = [source.audience]
        path = SERVICE_ACCOUNT.path(pod.metadata.namespace, pod.spec.service_account_name, "token")
        request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
        status = orjson.loads(await self._client.raw("POST", path, body=request))["status"]
        now = self._now().timestamp()
        lifetime = parse(status["expirationTimestamp"]).timestamp() - now
        return _Token(status["token"], now + min(0.8 * lifetime, _DAY))
