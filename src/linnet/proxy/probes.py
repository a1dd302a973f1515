"""The application's probes and hooks, which the kubelet sends to the agent and the agent sends on.

The kubelet has no certificate of the mesh; the agent is inside the pod and reaches the application directly.
Source: Istio, `ISTIO_KUBE_APP_PROBERS`; Kubernetes, probe semantics (200 to 399 is success).
"""

import asyncio
import ssl
from collections.abc import Mapping
from typing import Any

from linnet.proxy.host import Host
from linnet.proxy.http import Response, ask
from linnet.proxy.settings import Prober, Settings

KEPT = 10 * 1024  # bytes of an answer's body
_NOT_SENT = frozenset({"host", "connection", "accept-encoding", "content-length"})


async def probe(prober: Prober, settings: Settings, host: Host, headers: Mapping[str, str]) -> Response:
    """What the application says: its own status for HTTP, else 200 or 500 with the reason in the body."""
    try:
        match prober.kind:
            case "httpGet":
                return await _http(prober, settings, host, headers)
            case "tcpSocket":
                port = int(prober.spec["port"])
                (await _connect(prober, settings, host, port)).close()
                return Response(200)
            case _:
                return await _grpc(prober, settings, host)
    except (OSError, TimeoutError) as error:
        return Response(500, f"{type(error).__name__}: {error}\n".encode())


async def _http(prober: Prober, settings: Settings, host: Host, headers: Mapping[str, str]) -> Response:
    spec = prober.spec
    port = int(spec["port"])
    sent = {name: value for name, value in headers.items() if name not in _NOT_SENT}
    named = f"{spec.get('host') or settings.ip}:{port}"
    for header in spec.get("httpHeaders") or ():
        if header["name"].lower() == "host":
            named = header["value"]
        else:
            sent[header["name"].lower()] = header["value"]
    path = str(spec.get("path") or "/")
    answer = await ask(
        await _connect(prober, settings, host, port),
        "GET",
        path if path.startswith("/") else f"/{path}",
        host=named,
        headers=sent,
        timeout=prober.timeout,
        limit=KEPT,
        tls=_unverified() if str(spec.get("scheme") or "").upper() == "HTTPS" else None,
    )
    return Response(200 if 300 <= answer.status < 400 else answer.status, answer.body)


async def _connect(prober: Prober, settings: Settings, host: Host, port: int) -> Any:
    where = str(prober.spec.get("host") or settings.ip)
    return await host.connect(port, host=where, timeout=prober.timeout)


def _unverified() -> ssl.SSLContext:
    """Probes do not verify the application's certificate (Source: Kubernetes, HTTPS probes)."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


async def _grpc(prober: Prober, settings: Settings, host: Host) -> Response:
    """A call of grpc.health.v1.Health/Check; SERVING is success."""
    from linnet.proxy.channel import health

    port = int(prober.spec["port"])
    sock = await _connect(prober, settings, host, port)
    async with asyncio.timeout(prober.timeout):
        serving = await health(sock, str(prober.spec.get("service") or ""))
    return Response(200) if serving else Response(500, b"not serving\n")
