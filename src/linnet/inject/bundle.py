"""Keep the CA bundles of this revision's webhooks current; turn its validators on once they work.

Only objects labelled with the own revision are touched, only when bytes differ: two revisions never fight.
Source: Istio, webhook CA patching and the validation controller.
"""

import asyncio
import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import structlog

from linnet.kube.client import Client, Object, Patch
from linnet.kube.errors import ApiError, NotFound
from linnet.kube.kinds import GATEWAY, MUTATING_WEBHOOK, VALIDATING_WEBHOOK, Kind
from linnet.kube.mirror import Mirror

SUFFIX = "sidecar-injector.istio.io"
PROBE = "invalid-gateway"
REJECT = "internal.istio.io/webhook-always-reject"
_QUICK, _SLOW = 0.1, 60.0  # seconds between attempts; Source: Istio
_QUICK_ATTEMPTS = 5


def stale(obj: Mapping[str, Any], bundle: str, *, verified: bool) -> Object | None:
    """The strategic-merge patch that makes a webhook object current; None when it is (pure).

    `bundle` is base64. `verified`: the validator has been seen to refuse, so its entries may say `Fail`.
    """
    validating = obj.get("kind") == VALIDATING_WEBHOOK.name
    entries = []
    for entry in obj.get("webhooks") or ():
        if not validating and not entry["name"].endswith(SUFFIX):
            continue
        change: Object = {}
        if (entry.get("clientConfig") or {}).get("caBundle") != bundle:
            change["clientConfig"] = {"caBundle": bundle}
        if validating and verified and entry.get("failurePolicy") != "Fail":
            change["failurePolicy"] = "Fail"
        if change:
            entries.append({"name": entry["name"], **change})
    return {"webhooks": entries} if entries else None


def needs_proof(objects: Mapping[Any, Mapping[str, Any]]) -> bool:
    """Whether a validator is not at `Fail` yet (pure)."""
    entries = [entry for obj in objects.values() for entry in obj.get("webhooks") or ()]
    return any(entry.get("failurePolicy") != "Fail" for entry in entries)


def probe_object(revision: str, namespace: str) -> Object:
    """A Gateway that the validator of this revision refuses whatever else it holds (pure)."""
    return {
        "apiVersion": GATEWAY.api_version,
        "kind": GATEWAY.name,
        "metadata": {
            "name": PROBE,
            "namespace": namespace,
            "labels": {"istio.io/rev": revision},
            "annotations": {REJECT: "true"},
        },
        "spec": {},
    }


@dataclass(slots=True)
class Bundles:
    """The task of one istiod. `bundle` gives the PEM bundle that signed its serving certificate now."""

    client: Client
    revision: str  # as labels write it
    namespace: str
    bundle: Callable[[], bytes]
    log: structlog.typing.FilteringBoundLogger
    changed: asyncio.Event = field(default_factory=asyncio.Event)  # set it when `bundle` gives something else
    verified: bool = False

    async def run(self) -> None:
        """Keep them current, for ever."""
        selector = f"istio.io/rev={self.revision}"
        mirrors = [
            Mirror(self.client, kind, labels=selector, on_change=lambda _old, _new: self.changed.set())
            for kind in (MUTATING_WEBHOOK, VALIDATING_WEBHOOK)
        ]
        async with asyncio.TaskGroup() as tasks:
            for mirror in mirrors:
                tasks.create_task(mirror.run())
            tasks.create_task(self._settle(*mirrors))

    async def _settle(self, injectors: Mirror, validators: Mirror) -> None:
        await injectors.synced.wait()
        await validators.synced.wait()
        failures = 0
        while True:
            self.changed.clear()
            done = await self._patch_all(injectors, validators)
            failures = 0 if done else failures + 1
            try:
                async with asyncio.timeout(None if done else _delay(failures)):
                    await self.changed.wait()
            except TimeoutError:
                continue

    async def _patch_all(self, injectors: Mirror, validators: Mirror) -> bool:
        """Whether everything is current afterwards."""
        done = True
        for mirror in (injectors, validators):
            for obj in list(mirror.values()):
                done = await self._patch(mirror.kind, obj) and done
        if not needs_proof(validators):
            return done
        if not self.verified:
            self.verified = done and await self._refuses()
        if self.verified:
            for obj in list(validators.values()):
                done = await self._patch(validators.kind, obj) and done
        return done and self.verified

    async def _patch(self, kind: Kind, obj: Object) -> bool:
        encoded = base64.b64encode(self.bundle()).decode()
        patch = stale({"kind": kind.name, **obj}, encoded, verified=self.verified)
        if patch is None:
            return True
        name = obj["metadata"]["name"]
        try:
            await self.client.patch(kind, name, "", patch, type=Patch.STRATEGIC)
        except NotFound:
            return True
        except OSError as error:
            self.log.warning("webhook-not-patched", name=name, error=str(error))
            return False
        self.log.info("webhook-patched", name=name)
        return True

    async def _refuses(self) -> bool:
        """Whether our validator answers the API server: it must refuse a dry run of the probe."""
        try:
            await self.client.create(GATEWAY, probe_object(self.revision, self.namespace), dry_run=True)
        except NotFound:
            return True  # without the CRD there is nothing to validate
        except ApiError as error:
            if "denied the request" in error.message:
                return True
            self.log.info("validator-not-proven", error=error.message)
        except OSError as error:
            self.log.info("validator-not-proven", error=str(error))
        return False


def _delay(failures: int) -> float:
    return _QUICK * 2 ** (failures - 1) if failures <= _QUICK_ATTEMPTS else min(_SLOW, _QUICK * 2.0**failures)
