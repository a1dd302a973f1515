"""What differs between a revision as it is and an installation to be (pure).

The installation is rendered under the other revision's name, so that only what it does differs, not its name.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from msgspec import Struct

from linnet.inject.annotations import InjectionError
from linnet.inject.configuration import Configuration, ConfigurationError, parse
from linnet.inject.pod import injected
from linnet.inject.template import TemplateError
from linnet.inject.trial import check
from linnet.install import gateways, pilot
from linnet.install.difference import Difference, differences
from linnet.install.inherit import InheritError, Source
from linnet.install.marks import Object
from linnet.install.plane import Plane

SHOWN = 12  # differences of a section that are shown, unless all are asked for
_INSTALLED = frozenset({"Deployment", "HorizontalPodAutoscaler", "PodDisruptionBudget", "Service"})


class Section(Struct, frozen=True):
    """What differs in one respect; `fault`: why that cannot be told."""

    title: str
    differences: tuple[Difference, ...] = ()
    fault: str = ""


def consequences(source: Source, plane: Plane) -> tuple[Section, ...]:
    """What differs between the revision `source` and `plane`."""
    new = plane.named_like(source.revision)
    return (
        _section("mesh configuration", lambda: differences(source.mesh_now, new.mesh())),
        _section("values of injection", lambda: differences(source.values_now, pilot.injection_values(new))),
        _section("istiod", lambda: differences(_of_istiod(_known(source)), _of_istiod(new))),
        _section("gateways", lambda: differences(_of_gateways(_known(source)), _of_gateways(new))),
        _section(
            "a pod that is injected",
            lambda: differences(_sample(_live(source, new.namespace)), _sample(_rendered(new))),
        ),
    )


def differ(sections: Sequence[Section]) -> bool:
    """Whether anything differs, or may."""
    return any(section.differences or section.fault for section in sections)


def lines(sections: Sequence[Section], *, everything: bool) -> Iterator[str]:
    """The sections for people, those without a difference in one line."""
    same = [section.title for section in sections if not section.differences and not section.fault]
    for section in sections:
        if section.fault:
            yield f"  {section.title}: cannot be compared: {section.fault}"
        elif section.differences:
            yield f"  {section.title}:"
            shown = section.differences if everything else section.differences[:SHOWN]
            yield from (f"    {difference}" for difference in shown)
            if more := len(section.differences) - len(shown):
                yield f"    … and {more} more (--dry-run shows all)"
    if same:
        yield f"  the same: {', '.join(same)}"


def document(sections: Sequence[Section]) -> list[dict[str, Any]]:
    """The sections as data."""
    return [
        {
            "what": section.title,
            "differences": [{"path": d.path, "old": d.old, "new": d.new} for d in section.differences],
            **({"fault": section.fault} if section.fault else {}),
        }
        for section in sections
    ]


def _section(title: str, compare: Callable[[], list[Difference]]) -> Section:
    try:
        return Section(title, tuple(compare()))
    except (InheritError, ConfigurationError, InjectionError, TemplateError) as error:
        return Section(title, fault=str(error))


def _known(source: Source) -> Plane:
    plane = source.plane
    if plane is None:
        raise InheritError(f"revision {source.revision} was not installed by Linnet")
    return plane


def _of_istiod(plane: Plane) -> dict[str, Any]:
    return {obj["kind"]: obj["spec"] for obj in pilot.objects(plane) if obj["kind"] in _INSTALLED}


def _of_gateways(plane: Plane) -> dict[str, Any]:
    return {
        f"{obj['metadata']['name']} {obj['kind']}": obj["spec"]
        for gateway in plane.gateways
        for obj in gateways.objects(plane, gateway)
        if obj["kind"] in _INSTALLED
    }


def _live(source: Source, namespace: str) -> Configuration:
    if source.injection is None or source.mesh is None:
        raise InheritError(f"revision {source.revision} has no configuration of injection")
    mesh = (source.mesh.get("data") or {}).get("mesh") or ""
    data = source.injection.get("data") or {}
    live = parse(data, mesh, revision=source.revision, namespace=namespace)
    check(live)  # somebody may have edited it
    return live


def _rendered(plane: Plane) -> Configuration:
    data = pilot.injection_config(plane)["data"]
    mesh = pilot.mesh_config(plane)["data"]["mesh"]
    return parse(data, mesh, revision=plane.revision_name, namespace=plane.namespace)


def sample() -> Object:
    """A pod as most are: one container with a probe and a port, and metrics that are scraped."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": "sample-1",
            "namespace": "sample",
            "labels": {"app": "sample"},
            "annotations": {"prometheus.io/scrape": "true", "prometheus.io/port": "9090"},
        },
        "spec": {
            "containers": [
                {
                    "name": "main",
                    "image": "sample",
                    "ports": [{"containerPort": 8080}],
                    "readinessProbe": {"httpGet": {"path": "/ready", "port": 8080}},
                }
            ]
        },
    }


def _sample(configuration: Configuration) -> Mapping[str, Any]:
    pod = injected(sample(), "sample", configuration)
    return {"metadata": pod["metadata"], "spec": pod["spec"]}
