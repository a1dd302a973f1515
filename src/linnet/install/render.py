"""A plane becomes the ordered objects of its components (pure): the same values give the same bytes.

Components are applied in order, each when the one before is ready: Base, Pilot, gateways.
"""

from collections.abc import Sequence

from msgspec import Struct

from linnet.install import gateways, pilot
from linnet.install.marks import OWNER, REV, Object, labels, made
from linnet.install.plane import EGRESS, INGRESS, GatewaySpec, Plane
from linnet.install.webhooks import default_tag, default_validator

TITLES = {  # component: (what istioctl calls it, its sign)
    "Base": ("Istio core", "⛵️"),
    "Pilot": ("Istiod", "🧠"),
    INGRESS: ("Ingress gateways", "🛬"),
    EGRESS: ("Egress gateways", "🛫"),
}


class Component(Struct, frozen=True):
    """Objects that are applied together and must be ready before the next component begins."""

    name: str
    objects: tuple[Object, ...]

    @property
    def title(self) -> str:
        """Its name in progress lines."""
        return TITLES[self.name][0]


def components(plane: Plane, crds: Sequence[Object], *, active: bool = True) -> tuple[Component, ...]:
    """All enabled components, in order. `active` as in `pilot.objects`: off where the default tag injects."""
    found = []
    if plane.enabled("base"):
        found.append(Component("Base", tuple(base(plane, crds))))
    if plane.enabled("pilot"):
        found.append(Component("Pilot", tuple(pilot.objects(plane, active=active))))
    return (*found, *gateway_components(plane, plane.gateways))


def gateway_components(plane: Plane, served: Sequence[GatewaySpec]) -> tuple[Component, ...]:
    """The gateways as `plane` serves them: ingress, then egress."""
    found = []
    for kind in (INGRESS, EGRESS):
        objects = [
            obj for gateway in served if gateway.component == kind for obj in gateways.objects(plane, gateway)
        ]
        if objects:
            found.append(Component(kind, tuple(objects)))
    return tuple(found)


def base(plane: Plane, crds: Sequence[Object]) -> list[Object]:
    """What all revisions share: the CRDs and the reader's account. It outlives every revision."""
    marked = _of_nobody(labels(plane, "Base", {"app": "istio-reader"}, shared=True))
    reader = made("v1", "ServiceAccount", "istio-reader-service-account", marked, namespace=plane.namespace)
    return [*(_kept(plane, crd) for crd in crds), reader]


def _of_nobody(marked: dict[str, str]) -> dict[str, str]:
    """Without the labels that would change with each revision: it belongs to none."""
    return {key: value for key, value in marked.items() if key not in (REV, OWNER)}


def _kept(plane: Plane, crd: Object) -> Object:
    meta = crd["metadata"]
    return {
        **crd,
        "metadata": {
            **meta,
            "labels": (meta.get("labels") or {})
            | _of_nobody(labels(plane, "Base", {"app": "istio-pilot"}, shared=True)),
            "annotations": (meta.get("annotations") or {}) | {"helm.sh/resource-policy": "keep"},
        },
    }


def default_objects(plane: Plane) -> list[Object]:
    """What makes a plane the default: tag Service, injector for what names no revision, validator."""
    return [pilot.tag_service(plane), default_tag(plane), default_validator(plane)]


def namespace(plane: Plane) -> Object:
    """The control plane's namespace; made when it is missing, never changed."""
    obj: Object = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": plane.namespace}}
    if network := plane.value("global.network"):
        obj["metadata"]["labels"] = {"topology.istio.io/network": str(network)}
    return obj
