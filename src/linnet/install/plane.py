"""A control plane to be: the merged values of an installation, and the names that follow from its revision.

Source: Istio, naming of revisioned resources; a revision is part of every name, `default` stands for none.
"""

import re
from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from linnet.install.tree import lookup, overlay, without_nulls

NAME = "default"  # how labels and environments write the empty revision
MAX_REVISION = 56  # `istiod-` and the revision make a Service name of at most 63 characters
INGRESS, EGRESS = "IngressGateways", "EgressGateways"


class RevisionError(ValueError):
    """A revision name that Kubernetes would refuse; the message says why."""


def revision_of(text: str) -> str:
    """The revision that a user means; empty for `default`.

    Raises:
        RevisionError: no lower-case DNS label of at most 56 characters.
    """
    if text == NAME:
        return ""
    if not re.fullmatch(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?", text):
        raise RevisionError(
            f'invalid revision specified: "{text}": use lower-case letters, digits and "-", beginning and '
            "ending with a letter or digit (1-6-8 for version 1.6.8): names of Kubernetes objects contain it"
        )
    if len(text) > MAX_REVISION:
        raise RevisionError(
            f'invalid revision specified: "{text}": it has {len(text)} characters, '
            f"and at most {MAX_REVISION} fit into the name of its Service"
        )
    return text


def suffixed(name: str, revision: str) -> str:
    """`NAME-REV`, or `NAME` for the empty revision."""
    return f"{name}-{revision}" if revision else name


class GatewaySpec(Struct, frozen=True):
    """One gateway of an installation; `component` is IngressGateways or EgressGateways."""

    name: str
    namespace: str
    component: str
    labels: Mapping[str, str]
    k8s: Mapping[str, Any]
    values: Mapping[str, Any]  # values.gateways.<name>


class Plane(Struct, frozen=True):
    """What rendering may know. `spec` is the merged IstioOperator spec, `version` the package's."""

    spec: Mapping[str, Any]
    version: str
    owner: str = "unknown"  # metadata.name of the IstioOperator input
    original: Mapping[str, Any] = {}  # what the user gave, without the profile

    def value(self, path: str, default: Any = None) -> Any:
        """A value below `values`, such as `global.proxy.logLevel`."""
        return lookup(self.spec, f"values.{path}", default)

    def component(self, path: str, default: Any = None) -> Any:
        """A value below `components`, such as `pilot.k8s`."""
        return lookup(self.spec, f"components.{path}", default)

    @property
    def profile(self) -> str:
        """The profile on which it is based."""
        return str(self.spec.get("profile") or NAME)

    @property
    def revision(self) -> str:
        """The revision; empty for an un-revisioned plane."""
        return revision_of(str(self.spec.get("revision") or self.value("revision") or NAME))

    @property
    def revision_name(self) -> str:
        """The revision as labels write it."""
        return self.revision or NAME

    @property
    def namespace(self) -> str:
        """The namespace of the control plane."""
        return str(self.value("global.istioNamespace") or self.spec.get("namespace") or "istio-system")

    @property
    def hub(self) -> str:
        """The registry and path before image names."""
        return str(self.spec.get("hub") or self.value("global.hub") or "linnet")

    @property
    def tag(self) -> str:
        """The tag of all images."""
        return str(self.spec.get("tag") or self.value("global.tag") or self.version)

    @property
    def pilot_tag(self) -> str:
        """The tag of istiod's image: an ending `-envoy-X.Y` is about proxies, istiod has no Envoy."""
        own = self.component("pilot.tag") or self.value("pilot.tag")
        return str(own) if own else re.sub(r"-envoy-\d+\.\d+$", "", self.tag)

    def named(self, name: str) -> str:
        """`NAME-REV`, or `NAME` for the empty revision."""
        return suffixed(name, self.revision)

    @property
    def service(self) -> str:
        """The Service (and Deployment, and ServiceAccount) of istiod."""
        return self.named("istiod")

    @property
    def discovery_address(self) -> str:
        """Where this plane's proxies get configuration and certificates: `istiod-REV.NS.svc:15012`."""
        return f"{self.service}.{self.namespace}.svc:15012"

    @property
    def cluster_domain(self) -> str:
        """The DNS domain of the cluster."""
        return str(self.value("global.proxy.clusterDomain", "cluster.local"))

    def image(self, name: str, *, hub: str = "", tag: str = "") -> str:
        """`HUB/NAME:TAG`; a name with a slash is already a whole image."""
        return name if "/" in name else f"{hub or self.hub}/{name}:{tag or self.tag}"

    def enabled(self, component: str) -> bool:
        """Whether `base` or `pilot` is part of the installation."""
        return bool(self.component(f"{component}.enabled", False))

    @property
    def gateways(self) -> tuple[GatewaySpec, ...]:
        """The enabled gateways, ingress before egress."""
        return tuple(
            self._gateway(entry, component)
            for key, component in (("ingressGateways", INGRESS), ("egressGateways", EGRESS))
            for entry in self.component(key) or ()
            if entry.get("enabled")
        )

    def _gateway(self, entry: Mapping[str, Any], component: str) -> GatewaySpec:
        name = str(
            entry.get("name") or "istio-" + ("ingressgateway" if component == INGRESS else "egressgateway")
        )
        labels = {"app": name, "istio": name.removeprefix("istio-")} | dict(entry.get("label") or {})
        return GatewaySpec(
            name=name,
            namespace=str(entry.get("namespace") or self.namespace),
            component=component,
            labels=labels,
            k8s=entry.get("k8s") or {},
            values=self.value("gateways", {}).get(name) or {},
        )

    def mesh(self) -> dict[str, Any]:
        """The MeshConfig of the ConfigMap `istio-REV`: defaults with the user's values on top."""
        defaults: dict[str, Any] = {
            "defaultConfig": {"discoveryAddress": self.discovery_address},
            "defaultProviders": {"metrics": ["prometheus"]},
            "enablePrometheusMerge": True,
            "rootNamespace": self.namespace,
            "trustDomain": "cluster.local",
        }
        users = overlay(self.value("meshConfig") or {}, self.spec.get("meshConfig") or {})
        return without_nulls(overlay(defaults, users))

    def named_like(self, revision: str) -> "Plane":
        """This plane under another revision's name (as labels write it): what differs is what it is."""
        own = "" if revision == NAME else revision
        spec: dict[str, Any] = overlay(self.spec, {"revision": own, "values": {"revision": own}})
        return Plane(spec=spec, version=self.version, owner=self.owner, original=self.original)
