"""The CA of one istiod at work: it stays current, and what depends on it follows when its signer changes."""

from collections.abc import Coroutine, Mapping
from typing import Any

import structlog

from linnet.ca import roots
from linnet.ca.authority import Authority
from linnet.ca.rotate import keep_current
from linnet.control_plane.certificates import renew_in_time, renew_serving
from linnet.control_plane.istiod import Istiod
from linnet.inject.bundle import Bundles

log = structlog.get_logger(__name__)


class Signing:
    """Serves with a certificate of the authority from its making on; `tasks` keep all of it current."""

    def __init__(self, istiod: Istiod, authority: Authority) -> None:
        settings, client = istiod.settings, istiod.client
        self._istiod, self.authority = istiod, authority
        self._bundles = Bundles(
            client, settings.revision, settings.namespace, lambda: authority.roots.encode(), log
        )
        self.distributor = roots.Distributor(client, lambda: authority.roots)  # runs under a lock
        self._certificate = renew_serving(istiod, authority)

    def tasks(self) -> Mapping[str, Coroutine[Any, Any, None]]:
        """What runs in every istiod, by name."""
        istiod, authority = self._istiod, self.authority
        namespace = istiod.settings.namespace
        return {
            "ca": keep_current(authority, istiod.client, namespace, self._signer_changed),
            "serving": renew_in_time(istiod, authority, self._certificate),
            "bundles": self._bundles.run(),
        }

    def _signer_changed(self) -> None:
        renew_serving(self._istiod, self.authority)
        self._bundles.changed.set()
        self.distributor.wake()
