"""Sidecar: what the proxies of a workload see. Source: Istio, Sidecar: egress hosts, precedence."""

from collections.abc import Iterable, Sequence

from linnet.ingest import values
from linnet.ingest.decode import Item, spec_of
from linnet.ingest.report import Report
from linnet.model.service import Labels
from linnet.model.sidecar import Sidecar
from linnet.objects import sidecar as written


def sidecar(held: Item, report: Report) -> Sidecar | None:
    """What an object says; hosts that are wrong are left out. None if it is not readable."""
    spec = spec_of(held, written.SidecarSpec, report)
    if spec is None:
        return None
    hosts = [
        pair
        for number, egress in enumerate(spec.egress)
        for pair in _hosts(egress.hosts, f"spec.egress[{number}].hosts", report)
    ]
    labels = spec.workload_selector.labels if spec.workload_selector is not None else None
    policy = spec.outbound_traffic_policy
    return Sidecar(
        namespace=held.namespace,
        name=held.name,
        created=held.created,
        selector=frozenset(labels.items()) if labels else None,
        egress=tuple(dict.fromkeys(hosts)) if spec.egress else None,
        allow_any=policy.mode == "ALLOW_ANY" if policy is not None and policy.mode else None,
    )


def _hosts(texts: Iterable[str], path: str, report: Report) -> Iterable[tuple[str, str]]:
    for number, text in enumerate(texts):
        pair = egress_host(text)
        if pair is None:
            report.invalid(f"{path}[{number}]", f"{text!r} is not NAMESPACE/HOST")
        elif pair[0] != "~":
            yield pair


def egress_host(text: str) -> tuple[str, str] | None:
    """Namespace (or `*`, `.`, `~`) and host of an entry; None if it is none."""
    namespace, slash, host = text.partition("/")
    good = slash and (namespace in {"*", ".", "~"} or values.is_domain(namespace))
    return (namespace, host.lower()) if good and (host == "*" or values.is_domain(host.lower())) else None


def sidecar_of(held: Sequence[Sidecar], namespace: str, labels: Labels, root: str) -> Sidecar | None:
    """The Sidecar of a workload: that selects it, of its namespace, of the mesh; the oldest of each."""
    home = [one for one in held if one.namespace == namespace]
    selecting = (one for one in home if one.selector is not None and one.selector <= labels)
    usual = (one for one in (*home, *_of(held, root)) if one.selector is None)
    return next(selecting, None) or next(usual, None)


def _of(held: Sequence[Sidecar], namespace: str) -> list[Sidecar]:
    return [one for one in held if one.namespace == namespace]
