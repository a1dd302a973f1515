"""The values that built-in kinds get when the user leaves them out.

Source: Kubernetes 1.35, the `SetDefaults_*` functions, observed behaviour.
"""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]


def defaulted(group: str, version: str, kind: str, obj: Json) -> Json:
    """The object with its defaults; the given one is not changed. Other kinds come back as they are.

    Addresses, node ports, names and other allocations are not defaults: the REST layer makes them.
    """
    raise NotImplementedError
