"""PeerAuthentication: which connections a workload takes.

Source: Istio, PeerAuthentication: a workload's policy before its namespace's, before the mesh's; the oldest.
"""

from collections.abc import Iterable, Mapping

from msgspec import Struct

from linnet.ingest.decode import Item, spec_of
from linnet.ingest.names import order
from linnet.ingest.report import Report
from linnet.ingest.values import is_port
from linnet.model.policy import PeerAuthentication, PeerMode
from linnet.model.service import Labels
from linnet.objects.security import Mtls, PeerAuthenticationSpec


def _mode(held: Mtls | None) -> PeerMode | None:
    if held is None or held.mode in {None, "UNSET"}:
        return None
    return PeerMode(held.mode)


def peer_authentication(held: Item, report: Report) -> PeerAuthentication | None:
    """The policy that an object is, or None if it is not readable."""
    spec = spec_of(held, PeerAuthenticationSpec, report)
    if spec is None:
        return None
    selector = frozenset((spec.selector.match_labels or {}).items()) if spec.selector else frozenset()
    ports: list[tuple[int, PeerMode | None]] = []
    for text, mtls in sorted((spec.port_level_mtls or {}).items()):
        path = f"spec.portLevelMtls[{text}]"
        if not text.isdecimal() or not is_port(int(text)):
            report.invalid(path, "is not the number of a port")
        elif not selector:
            report.invalid(path, "needs a selector: ports belong to workloads")
        else:
            ports.append((int(text), _mode(mtls)))
    return PeerAuthentication(
        held.namespace, held.name, held.created, selector or None, _mode(spec.mtls), tuple(ports)
    )


class Effective(Struct, frozen=True):
    """What a workload takes: `mode`, and on some of its ports something else."""

    mode: PeerMode
    ports: tuple[tuple[int, PeerMode], ...] = ()

    def on(self, port: int) -> PeerMode:
        """The mode of one port."""
        return dict(self.ports).get(port, self.mode)


class Modes(Struct, frozen=True, eq=False):
    """The modes of whole namespaces (`""` is the mesh's), and policies for some workloads by namespace."""

    namespaces: Mapping[str, PeerMode]
    selecting: Mapping[str, tuple[PeerAuthentication, ...]]

    def of_namespace(self, namespace: str) -> PeerMode:
        """The mode of workloads that no policy selects."""
        return self.namespaces.get(namespace) or self.namespaces.get("", PeerMode.PERMISSIVE)

    def of(self, namespace: str, labels: Labels) -> Effective:
        """What one workload takes."""
        inherited = self.of_namespace(namespace)
        for policy in self.selecting.get(namespace, ()):
            if policy.selector is not None and policy.selector <= labels:
                mode = policy.mode or inherited
                return Effective(mode, tuple((port, own or mode) for port, own in policy.ports))
        return Effective(inherited)


NO_MODES = Modes({}, {})


def modes(policies: Iterable[PeerAuthentication], root: str) -> Modes:
    """All policies, put in order; the oldest one of its level wins."""
    namespaces: dict[str, PeerMode] = {}
    selecting: dict[str, list[PeerAuthentication]] = {}
    for policy in sorted(policies, key=order):
        if policy.selector is not None:
            selecting.setdefault(policy.namespace, []).append(policy)
        elif policy.mode is not None:
            namespaces.setdefault("" if policy.namespace == root else policy.namespace, policy.mode)
    return Modes(namespaces, {namespace: tuple(held) for namespace, held in selecting.items()})
