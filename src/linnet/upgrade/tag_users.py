"""Which workloads follow a tag by a label of their own (pure)."""

from linnet.upgrade.injection import decides, labels_of
from linnet.upgrade.users import Observed, tagged
from linnet.upgrade.workloads import workloads


def templates_of(observed: Observed, tag: str) -> list[str]:
    """`kind/NAME.NAMESPACE` of the workloads whose own label asks for this tag, scaled to nothing or not."""
    if not tagged(observed, tag):
        return []
    spaces = {space["metadata"]["name"]: labels_of(space) for space in observed.namespaces}
    found = []
    for made in workloads(observed.workloads):
        who, asks = decides(spaces.get(made.namespace, {}), made.template_labels)
        injected = made.template_labels.get("sidecar.istio.io/inject") != "false"
        if who == "pod" and asks == tag and injected:
            found.append(f"{made.kind.lower()}/{made.name}.{made.namespace}")
    return sorted(found)
