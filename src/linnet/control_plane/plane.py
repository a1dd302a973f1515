"""The mesh as istiod knows it now, and what proxies are offered of it."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from linnet.control_plane.metrics import Metrics
from linnet.control_plane.watching import Change
from linnet.ingest.mesh import Mesh, advance
from linnet.ingest.proxies import Views
from linnet.ingest.revisions import label_of
from linnet.model.problem import Problem, Ref
from linnet.model.proxy import ProxyClaim, ProxyView
from linnet.model.resource import Offer
from linnet.translate.offers import Translator


@dataclass(slots=True)
class Plane:
    """The one writer of the mesh; `linnet.control_plane.proxies.Source` for the proxies."""

    mesh: Mesh
    metrics: Metrics
    translator: Translator = field(default_factory=Translator)
    views: Views = field(default_factory=Views)

    def advance(self, changes: Mapping[Change, Any]) -> None:
        """Take in what changed."""
        self.mesh = advance(self.mesh, changes)

    def end_push(self) -> None:
        """Forget what nobody asked for since the last push."""
        self.views.end_push()
        self.translator.end_push()

    def mesh_text(self) -> str:
        """The text of the MeshConfig; empty if there is none."""
        options = self.mesh.options
        found = self.mesh.objects.get("ConfigMap", {}).get((options.namespace, options.config_map))
        return str(((found or {}).get("data") or {}).get("mesh") or "")

    def known(
        self, *, named: bool
    ) -> tuple[Mapping[Ref, tuple[Problem, ...]], Callable[[Ref], dict[str, Any] | None]]:
        """What is wrong with objects, and how to find them.

        With `named` those that name us by revision or tag, else those that every revision reads or nobody.
        """
        mesh, objects = self.mesh, self.mesh.objects

        def chosen(ref: Ref) -> bool:
            raw = objects.get(ref.kind, {}).get((ref.namespace, ref.name))
            label = label_of(raw) if raw is not None else ""
            return (label in mesh.revisions.ours) is named

        def find(ref: Ref) -> dict[str, Any] | None:
            found = objects.get(ref.kind, {}).get((ref.namespace, ref.name))
            return dict(found) if found is not None else None

        return {ref: found for ref, found in mesh.problems.items() if chosen(ref)}, find

    # -- linnet.control_plane.proxies.Source --------------------------------

    def view(self, claim: ProxyClaim) -> ProxyView:
        """What a proxy may see."""
        return self.views.view(claim, self.mesh)

    def offer(self, view: ProxyView) -> Offer:
        """What proxies with this view shall hold."""
        started = time.perf_counter()
        offer = self.translator.offer(view, self.mesh.snapshot)
        self.metrics.push_time.observe(time.perf_counter() - started)
        return offer

    def pod(self, namespace: str, name: str) -> Mapping[str, Any] | None:
        """The pod of this name."""
        found: Mapping[str, Any] | None = self.mesh.objects.get("Pod", {}).get((namespace, name))
        return found
