"""EndpointSlices and the pods behind them become endpoints.

Source: Istio, EndpointSlice handling: readiness, merging of slices, TLS mode of a pod.
"""

from collections.abc import Callable, Iterable

from linnet.ingest.workloads import Workload
from linnet.model.policy import PeerMode
from linnet.model.service import NO_BACKENDS, Backends, Endpoint
from linnet.objects.core import Conditions, EndpointSlice, SliceEndpoint

SERVICE_NAME = "kubernetes.io/service-name"
Lookup = Callable[[str, str], Workload | None]  # namespace, pod
ModeOf = Callable[[Workload, int], PeerMode]  # of a workload's port


def _ready(conditions: Conditions | None) -> bool:
    """Whether new connections may go there; what is not said counts as ready."""
    return conditions is None or conditions.ready is None or conditions.ready


def _last_resort(conditions: Conditions | None) -> bool:
    """Whether an endpoint that is not ready still answers: its pod ends, and serves until then."""
    return conditions is not None and bool(conditions.serving) and bool(conditions.terminating)


def pods_of(held: EndpointSlice) -> frozenset[str]:
    """Names of the pods that a slice refers to."""
    refs = (endpoint.target_ref for endpoint in held.endpoints or ())
    return frozenset(ref.name for ref in refs if ref is not None and ref.kind == "Pod" and ref.name)


def _workload(held: SliceEndpoint, namespace: str, lookup: Lookup) -> tuple[bool, Workload | None]:
    """Whether the endpoint may be used yet, and its pod: one that names an unknown pod waits for it."""
    ref = held.target_ref
    if ref is None or ref.kind != "Pod" or not ref.name:
        return True, None
    found = lookup(ref.namespace or namespace, ref.name)
    return found is not None, found


def endpoints(slices: Iterable[EndpointSlice], lookup: Lookup, mode_of: ModeOf) -> tuple[Endpoint, ...]:
    """The endpoints of one service that may be called, ordered; what several slices hold counts once.

    Those are the ready ones; for a port without any, those that end and still serve.
    Source: Kubernetes, terminating endpoints of a Service.
    """
    found: dict[tuple[str, str], Endpoint] = {}
    ending: dict[tuple[str, str], Endpoint] = {}
    for held in slices:
        if held.address_type == "FQDN":
            continue
        for backend in held.endpoints or ():
            usable, pod = _workload(backend, held.metadata.namespace, lookup)
            if not usable or not (_ready(backend.conditions) or _last_resort(backend.conditions)):
                continue
            held_as = found if _ready(backend.conditions) else ending
            for address in backend.addresses:
                for port in held.ports or ():
                    if port.port is not None and port.protocol != "UDP":
                        endpoint = _endpoint(address, port.port, port.name or "", pod, mode_of)
                        held_as.setdefault((address, endpoint.port_name), endpoint)
    served = {port for _, port in found}
    found |= {key: endpoint for key, endpoint in ending.items() if key[1] not in served}
    return tuple(sorted(found.values(), key=lambda e: (e.address, e.port_name, e.port)))


def _endpoint(address: str, port: int, name: str, pod: Workload | None, mode_of: ModeOf) -> Endpoint:
    if pod is None:
        return Endpoint(address, port, name)
    return Endpoint(
        address=address,
        port=port,
        port_name=name,
        labels=pod.labels,
        principal=pod.principal,
        meshed=pod.meshed and mode_of(pod, port) is not PeerMode.DISABLE,
        locality=pod.locality,
        workload=pod.identity,
        hostname=pod.hostname,
    )


def backends(held: tuple[Endpoint, ...], *, headless: bool) -> Backends:
    """What clusters and listeners need to know of the endpoints."""
    if not held:
        return NO_BACKENDS
    return Backends(
        principals=tuple(sorted({e.principal for e in held if e.principal})),
        all_meshed=all(e.meshed for e in held),
        addresses=tuple(sorted({e.address for e in held})) if headless else (),
    )
