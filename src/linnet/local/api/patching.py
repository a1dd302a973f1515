"""JSON patch, JSON merge patch and strategic merge patch, as an API server applies them."""

from __future__ import annotations

from typing import Any

from linnet.local.api.jsonpatch import PatchError as PatchError
from linnet.local.api.jsonpatch import json_patch as json_patch
from linnet.local.api.strategic import strategic_patch as strategic_patch

Json = dict[str, Any]


def merge_patch(doc: Any, patch: Any) -> Any:
    """The document after the merge; `doc` is not changed. Source: RFC 7396."""
    if not isinstance(patch, dict):
        return patch
    out = dict(doc) if isinstance(doc, dict) else {}
    for key, value in patch.items():
        if value is None:
            out.pop(key, None)
        else:
            out[key] = merge_patch(out.get(key), value)
    return out
