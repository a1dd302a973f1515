"""Who writes, and how."""

from collections.abc import Callable
from typing import Any

from msgspec import Struct

from linnet.local.api.users import User

Json = dict[str, Any]


class Options(Struct, frozen=True):
    """Who writes, and how."""

    user: User
    manager: str
    warn: Callable[[str], None]
    dry_run: bool = False
    validation: str = "Warn"  # Strict, Warn, Ignore: what becomes of unknown fields
    force: bool = False  # apply takes over fields of other managers

    def admission(self, kind: str) -> Json:
        """The options object that webhooks see."""
        options: Json = {"kind": kind, "apiVersion": "meta.k8s.io/v1"}
        if self.manager:
            options["fieldManager"] = self.manager
        if self.dry_run:
            options["dryRun"] = ["All"]
        return options
