"""Golden cases: a mesh as YAML, and what a proxy of it receives as YAML."""

import io
from functools import cache
from pathlib import Path
from typing import Any

from envoys import message
from msgspec import Struct
from ruamel.yaml import YAML

from linnet.ingest.mesh import Change, Mesh, Options, advance, empty
from linnet.ingest.proxies import view
from linnet.model.proxy import ProxyClaim, ProxyKind
from linnet.model.resource import CLUSTER, ENDPOINTS, LISTENER, ROUTES, SECRET, Offer
from linnet.translate.offers import Translator

HERE = Path(__file__).parent
FILES = {
    CLUSTER: "clusters.yaml",
    ENDPOINTS: "endpoints.yaml",
    LISTENER: "listeners.yaml",
    ROUTES: "routes.yaml",
    SECRET: "secrets.yaml",
}
AS_IN_BASE = "as in plain-services"
BASE = "plain-services"


class Case(Struct, frozen=True):
    """A mesh and one proxy of it."""

    mesh: Mesh
    claim: ProxyClaim

    def offer(self) -> Offer:
        """What the proxy receives."""
        return Translator().offer(view(self.claim, self.mesh), self.mesh.snapshot)


def names() -> list[str]:
    """All cases."""
    return sorted(path.parent.name for path in HERE.glob("*/mesh.yaml"))


def documents(path: Path) -> list[dict[str, Any]]:
    """The documents of a YAML file."""
    return [doc for doc in YAML(typ="safe", pure=True).load_all(path.read_text()) if doc]


def changes(objects: list[dict[str, Any]]) -> dict[Change, dict[str, Any]]:
    """Objects as changes of a mesh."""
    return {(o["kind"], o["metadata"].get("namespace", ""), o["metadata"]["name"]): o for o in objects}


@cache
def case(name: str) -> Case:
    """A case by its name."""
    held = [*documents(HERE / "base.yaml"), *documents(HERE / name / "mesh.yaml")]
    usual = {"kind": "sidecar", "pod": "client-1", "namespace": "default"}
    proxy = next((doc["proxy"] for doc in held if "proxy" in doc), usual)
    objects = [doc for doc in held if "proxy" not in doc]
    claim = ProxyClaim(ProxyKind(proxy["kind"]), proxy["pod"], proxy["namespace"])
    return Case(advance(empty(Options()), changes(objects)), claim)


def written(name: str) -> dict[str, str]:
    """File name -> text of everything that is golden; what is as in the first case is not repeated."""
    held = case(name)
    base = case(BASE).offer()
    texts: dict[str, str] = {}
    for type_url, file in FILES.items():
        shown: dict[str, Any] = {}
        for key, one in sorted(held.offer().of(type_url).items()):
            same = base.of(type_url).get(key)
            repeated = name != BASE and same is not None and same.version == one.version
            shown[key] = AS_IN_BASE if repeated else message(one)
        if shown:
            texts[file] = dump(shown)
    refs = sorted(held.mesh.problems, key=lambda ref: (ref.kind, ref.namespace, ref.name))
    problems = [
        {
            "about": f"{ref.kind}/{ref.namespace}/{ref.name}",
            "reason": problem.reason,
            "path": problem.path,
            "message": problem.message,
        }
        for ref in refs
        for problem in held.mesh.problems[ref]
    ]
    if problems:
        texts["problems.yaml"] = dump(problems)
    return texts


def dump(value: Any) -> str:
    """YAML, always the same for the same value."""
    stream = io.StringIO()
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.width = 150
    yaml.dump(value, stream)
    return stream.getvalue()
