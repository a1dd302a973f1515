"""Whether the webhooks of the mesh can be called, and by whom they would be missed (pure)."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from msgspec import Struct

from linnet.upgrade.users import calls

Object = Mapping[str, Any]


class Dangling(Struct, frozen=True, order=True):
    """A webhook entry that calls a Service which does not exist."""

    webhook: str
    entry: str
    service: str  # NAME.NAMESPACE
    blocks: bool  # its failurePolicy is Fail: what it matches is refused

    def __str__(self) -> str:
        """A sentence."""
        effect = "so what it matches is refused" if self.blocks else "so what it matches is not looked at"
        return f"{self.webhook}: {self.entry} calls Service {self.service}, which does not exist, {effect}"


def dangling(hooks: Iterable[Object], services: Sequence[Object], namespace: str) -> list[Dangling]:
    """All entries of Istio's, or into the control plane's namespace, that call a missing Service."""
    there = {(obj["metadata"].get("namespace", ""), obj["metadata"]["name"]) for obj in services}
    return sorted(
        Dangling(
            hook["metadata"]["name"],
            entry["name"],
            f"{called[1]}.{called[0]}",
            entry.get("failurePolicy", "Fail") == "Fail",
        )
        for hook in hooks
        for entry in hook.get("webhooks") or ()
        if (called := calls(entry)) != ("", "")
        and (called[0] == namespace or entry["name"].endswith(".istio.io"))
        and called not in there
    )
