"""The control planes of a cluster as commands see them: istiod pods, and what each says about itself."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from linnet.cli.faults import UserError

if TYPE_CHECKING:
    from linnet.kube.client import Client

Object = dict[str, Any]
MONITORING = 15014


class Istiod(Struct, frozen=True):
    """A running istiod pod. `revision` as labels write it; `component` is its `istio` label."""

    name: str
    namespace: str
    revision: str
    component: str
    port: int

    @classmethod
    def of(cls, pod: Object) -> "Istiod":
        """From the pod object."""
        meta = pod["metadata"]
        labels = meta.get("labels") or {}
        return cls(
            name=meta["name"],
            namespace=meta["namespace"],
            revision=labels.get("istio.io/rev", "default"),
            component=labels.get("istio", "istiod"),
            port=int((meta.get("annotations") or {}).get("prometheus.io/port") or MONITORING),
        )


class Answer(Struct, frozen=True):
    """What one istiod answered, or why it did not."""

    istiod: Istiod
    body: bytes = b""
    fault: str = ""


class Chosen(Struct, frozen=True):
    """Which istiods are asked, and how long each may take; empty: any. `labels`: a selector."""

    namespace: str
    revision: str = ""
    labels: str = ""
    seconds: float = 30.0

    def __str__(self) -> str:
        of = f" of revision {self.revision!r}" if self.revision else ""
        return f"istiod{of}" + (f" with labels {self.labels}" if self.labels else "")


async def running(client: "Client", chosen: Chosen) -> list[Istiod]:
    """The istiod pods that run and are not going away, by revision and name."""
    from linnet.kube.kinds import POD

    parts = ("app=istiod", f"istio.io/rev={chosen.revision}" if chosen.revision else "", chosen.labels)
    listing = await client.list(POD, chosen.namespace, labels=",".join(filter(None, parts)))
    pods = (pod for pod in listing.items if serves(pod))
    return sorted((Istiod.of(pod) for pod in pods), key=lambda pod: (pod.revision, pod.name))


def serves(pod: Object) -> bool:
    """Whether an istiod pod can be asked: it runs and is not being deleted."""
    running_now = (pod.get("status") or {}).get("phase") == "Running"
    return running_now and not pod["metadata"].get("deletionTimestamp")


async def ask(client: "Client", istiods: Sequence[Istiod], path: str, seconds: float) -> list[Answer]:
    """What each istiod answers to a GET of `path`; those that do not answer have a fault instead."""
    from linnet.upgrade.observe import fetch

    async def one(istiod: Istiod) -> Answer:
        try:
            async with asyncio.timeout(seconds):
                return Answer(istiod, await fetch(client, istiod.namespace, istiod.name, istiod.port, path))
        except TimeoutError:
            return Answer(istiod, fault=f"no answer within {seconds:g} s")
        except OSError as error:
            return Answer(istiod, fault=str(error))

    async with asyncio.TaskGroup() as tasks:
        asked = [tasks.create_task(one(istiod)) for istiod in istiods]
    return [task.result() for task in asked]


def required(found: Sequence[Istiod], chosen: Chosen) -> Sequence[Istiod]:
    """The istiods, of which there must be at least one.

    Raises:
        UserError: there is none.
    """
    if found:
        return found
    raise UserError(
        f"no running {chosen} in namespace {chosen.namespace}: "
        "install one (istioctl install), or name the namespace with -i"
    )


def rows_of(answer: Answer) -> list[Mapping[str, Any]]:
    """The rows of an istiod's `/debug/syncz`; none if it did not answer."""
    if answer.fault:
        return []
    try:
        rows = json.loads(answer.body)
    except ValueError as error:
        raise UserError(f"{answer.istiod.name}: /debug/syncz is not valid JSON: {error}") from error
    return rows if isinstance(rows, list) else []
