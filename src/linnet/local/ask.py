"""One request to the local cluster's API server, with nothing but the standard library: quick for the CLI."""

import http.client
import json
import ssl
from typing import Any

from linnet.local.paths import Paths

_TIMEOUT = 5.0


def get(paths: Paths, port: int, path: str) -> Any:
    """The decoded answer to a GET as the administrator.

    Raises:
        OSError: no connection, or an answer other than 200.
    """
    context = ssl.create_default_context(cafile=f"{paths.pki}/ca.crt")
    context.load_cert_chain(f"{paths.pki}/admin.crt", f"{paths.pki}/admin.key")
    connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=_TIMEOUT, context=context)
    try:
        connection.request("GET", path, headers={"Accept": "application/json"})
        answer = connection.getresponse()
        body = answer.read()
    except http.client.HTTPException as error:
        raise ConnectionError(f"127.0.0.1:{port}: not an API server: {error!r}") from error
    finally:
        connection.close()
    if answer.status != 200:
        raise ConnectionError(f"127.0.0.1:{port}{path}: {answer.status} {answer.reason}")
    return json.loads(body) if body.startswith((b"{", b"[")) else body.decode(errors="replace")


def answers(paths: Paths, port: int) -> bool:
    """Whether the API server and its node are ready."""
    try:
        get(paths, port, "/readyz")
        node = get(paths, port, "/api/v1/nodes/node-1")
    except OSError:
        return False
    return is_ready(node)


def is_ready(obj: dict[str, Any]) -> bool:
    """Whether an object has the condition Ready."""
    conditions = (obj.get("status") or {}).get("conditions") or ()
    return any(entry["type"] == "Ready" and entry["status"] == "True" for entry in conditions)
