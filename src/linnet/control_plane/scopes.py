"""How much istiod logs, told and changed while it runs: what `istioctl admin log` speaks to.

Only processes of this pod, and port-forwards, reach it.
Source: Istio, ControlZ: `/scopej/` lists scopes, PUT `/scopej/NAME` changes one.
"""

from aiohttp import web

from linnet.control_plane import http, logs

_LIMIT = 64 * 1024  # bytes of a request
_PATH = "/scopej/"
_DESCRIPTION = "Everything that istiod logs."


def routes() -> http.Routes:
    """Path -> handler."""
    return {"/scopej": _handle, _PATH: _handle}


def _shown() -> dict[str, object]:
    return {
        "name": logs.SCOPE,
        "description": _DESCRIPTION,
        "output_level": logs.level(),
        "stack_trace_level": "none",
        "log_callers": False,
    }


async def _handle(request: web.BaseRequest) -> web.StreamResponse:
    name = http.clean(request.path).removeprefix("/scopej").strip("/")
    if name not in ("", logs.SCOPE):
        return http.text(f"unknown scope {name!r}; there is only {logs.SCOPE!r}", status=404)
    if request.method == "GET":
        return http.json(_shown() if name else [_shown()], request)
    if request.method != "PUT" or not name:
        raise web.HTTPMethodNotAllowed(request.method, ["GET", "PUT"])
    body = await http.json_body(request, _LIMIT, kinds=("application/json", ""))
    wanted = body.get("output_level") if isinstance(body, dict) else None
    if wanted is not None and not logs.set_level(str(wanted)):
        return http.text(f"{wanted!r} is not a level: {', '.join(logs.LEVELS)}", status=400)
    return web.Response(status=202)
