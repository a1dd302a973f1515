"""Paths that are not resources: health, version, discovery, OpenAPI."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from linnet.local.api import discovery
from linnet.local.api.discovery import Document
from linnet.local.api.openapi import OpenApi, second_version
from linnet.local.api.refusals import PageNotFound, Refused, no_such_path, not_allowed
from linnet.local.api.registry import Registry
from linnet.local.api.tokens import ISSUER, Signer

Json = dict[str, Any]

_OPENAPI_V2 = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"
_OPENAPI_V2_TYPE = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"  # no @ in a media type
_HEALTH = ("/healthz", "/livez", "/readyz")
_AGGREGATED = re.compile(
    r"application/json;(?=[^,]*as=APIGroupDiscoveryList)(?=[^,]*g=apidiscovery\.k8s\.io)"
    r"(?=[^,]*v=(v2(?:beta1)?)(?:;|,|$))"
)


@dataclass(slots=True)
class Pages:
    """Answers from the registry."""

    registry: Registry
    openapi: OpenApi
    signer: Signer
    version: Json

    def find(
        self, path: str, method: str, headers: Mapping[str, str], query: Mapping[str, str], host: str
    ) -> Document | Json | str:
        """A document, a JSON value or plain text.

        Raises: PageNotFound; Refused.
        """
        parts = [part for part in path.split("/") if part]
        found: Document | Json | str | None = self._fixed(path, query)
        if found is None and parts:
            match parts[0]:
                case "api" | "apis":
                    found = self._discovery(parts, headers.get("Accept", ""), host)
                case "openapi":
                    found = self._openapi(parts, headers.get("Accept", ""))
        if found is None:
            raise PageNotFound
        if method not in ("GET", "HEAD"):
            raise not_allowed()
        return found

    def _fixed(self, path: str, query: Mapping[str, str]) -> Json | str | None:
        match path:
            case "/version":
                return self.version
            case "/healthz" | "/livez" | "/readyz":
                return f"[+]ping ok\n{path[1:]} check passed\n" if "verbose" in query else "ok"
            case "/livez/ping" | "/readyz/ping" | "/healthz/ping":
                return "ok"
            case "/":
                return {"paths": self._index()}
            case "/.well-known/openid-configuration":
                return {
                    "issuer": ISSUER,
                    "jwks_uri": f"{ISSUER}/openid/v1/jwks",
                    "response_types_supported": ["id_token"],
                    "subject_types_supported": ["public"],
                    "id_token_signing_alg_values_supported": ["ES256"],
                }
            case "/openid/v1/jwks":
                return self.signer.jwks()
        return None

    def _index(self) -> list[str]:
        found = ["/.well-known/openid-configuration", "/api", "/api/v1", "/apis"]
        for group in self.registry.groups():
            if group:
                found.append(f"/apis/{group}")
                found += [f"/apis/{group}/{version}" for version in self.registry.versions(group)]
        return sorted([*found, *_HEALTH, "/openapi/v3", "/openid/v1/jwks", "/version"])

    def _discovery(self, parts: list[str], accept: str, host: str) -> Document | Json | None:
        if len(parts) == 1:
            wanted = _AGGREGATED.search(accept)
            if wanted:
                return discovery.aggregated(self.registry, core=parts[0] == "api", version=wanted[1])
            if parts[0] == "api":
                return discovery.api_versions(host)
            return discovery.group_list(self.registry)
        group, version = ("", parts[1]) if parts[0] == "api" else (parts[1], "".join(parts[2:3]))
        if group not in self.registry.groups():
            return None
        if not version:
            return discovery.group(self.registry, group)
        if version not in self.registry.versions(group):
            raise no_such_path() if group else PageNotFound
        return discovery.resource_list(self.registry, group, version)

    def _openapi(self, parts: list[str], accept: str) -> Document | Json | None:
        if parts == ["openapi", "v2"]:
            if _OPENAPI_V2 in accept:
                body = second_version(self.version["gitVersion"])
                return Document(body, f'"{self.version["gitVersion"]}"', _OPENAPI_V2_TYPE)
            raise Refused(
                406,
                "NotAcceptable",
                "OpenAPI v2 is not served by this cluster; clients since Kubernetes 1.29 use /openapi/v3",
            )
        if parts == ["openapi", "v3"]:
            return self.openapi.index()
        match parts[2:]:
            case ["api", version]:
                return self.openapi.document("", version)
            case ["apis", group, version]:
                return self.openapi.document(group, version)
        return None
