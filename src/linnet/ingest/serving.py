"""Which Gateways are served where, and which Secrets are missing there.

Credentials come from the namespace of the gateway's pods, which only their labels tell. A server without its
Secrets is left out, since its listener would wait for them, and its Gateway says so.
Source: Istio, `credentialName`.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType

from msgspec import Struct

from linnet.ingest.credentials import usable
from linnet.ingest.decode import Key
from linnet.ingest.draft import Draft
from linnet.ingest.workloads import Workload
from linnet.model.gateway import Gateway
from linnet.model.problem import Problem, Ref
from linnet.model.snapshot import Credential

Problems = Mapping[Ref, tuple[Problem, ...]]


class Serving(Struct, frozen=True, eq=False):
    """Pods that serve Gateways which need Secrets. `gateways` is what it was made for."""

    gateways: Sequence[Gateway] = ()
    of_pod: Mapping[Key, frozenset[Key]] = MappingProxyType({})


def serving(
    before: Serving,
    gateways: Sequence[Gateway],
    workloads: Mapping[Key, Workload],
    changed: Iterable[Key],
) -> Serving:
    """After changes: only the changed pods are looked at, unless the Gateways are others."""
    held: Draft[Key, frozenset[Key]] = Draft(before.of_pod)
    needy = [one for one in gateways if one.selector and any(_needs(one))]
    if gateways is not before.gateways:
        held = Draft(MappingProxyType({}))
        changed = workloads if needy else ()
    for key in changed:
        pod = workloads.get(key)
        found = (one for one in needy if pod is not None and one.selector <= pod.labels)
        held.put(key, frozenset((one.namespace, one.name) for one in found) or None)
    of_pod = held.result()
    same = gateways is before.gateways and of_pod is before.of_pod
    return before if same else Serving(gateways, of_pod)


def missing(held: Serving, credentials: Mapping[Key, Credential], own: Problems) -> Problems:
    """What Gateways lack where they are served. `own` are the problems of the Secrets themselves."""
    homes: dict[Key, set[str]] = {}
    for (namespace, _), served in held.of_pod.items():
        for gateway in served:
            homes.setdefault(gateway, set()).add(namespace)
    there = {home: usable(credentials, home) for found in homes.values() for home in found}
    told: dict[Ref, tuple[Problem, ...]] = {}
    for one in held.gateways:
        about = Ref("Gateway", one.namespace, one.name)
        found = [
            Problem(about, "NotFound", path, _reason(home, name, own))
            for home in sorted(homes.get((one.namespace, one.name), ()))
            for path, name in _needs(one)
            if name not in there[home]
        ]
        if found:
            told[about] = tuple(found)
    return told


def _needs(one: Gateway) -> Iterator[tuple[str, str]]:
    """Path and name of each Secret."""
    for server in one.servers:
        for name in server.tls.secrets if server.tls is not None else ():
            yield f"spec.servers[{server.index}].tls", name


def _reason(namespace: str, name: str, own: Problems) -> str:
    names = dict.fromkeys((name, name.removesuffix("-cacert")))
    faults = [problem for one in names for problem in own.get(Ref("Secret", namespace, one), ())]
    where = f"Secret {' or '.join(f'{namespace}/{one}' for one in names)}"
    if faults:
        return f"{where} {faults[0].message}: the server is left out until that is mended"
    what = "CA certificate" if len(names) > 1 else "certificate"
    return f"there is no {what} in {where}: the server is left out until there is"
