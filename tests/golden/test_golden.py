"""What Envoy receives for a mesh, compared with files, and loaded by real Envoys.

`make golden` writes the files anew; the difference is what a change of the code does to the mesh.
"""

import os
from pathlib import Path

import envoys
import meshes
import pytest

from linnet.model.resource import CLUSTER, ENDPOINTS, LISTENER, ROUTES, SECRET, Offer

WRITE = os.environ.get("LINNET_GOLDEN") == "write"


@pytest.mark.golden
@pytest.mark.parametrize("name", meshes.names())
def test_proxy_receives_what_is_written_down(name: str) -> None:
    """A mesh gives exactly the resources and problems in the case's files."""
    folder = meshes.HERE / name
    texts = meshes.written(name)
    known = {path.name: path for path in folder.glob("*.yaml") if path.name != "mesh.yaml"}
    if WRITE:
        for path in known.values():
            path.unlink()
        for file, text in texts.items():
            (folder / file).write_text(text)
        return
    assert {file: path.read_text() for file, path in known.items()} == texts


@pytest.mark.golden
@pytest.mark.parametrize("name", meshes.names())
def test_same_mesh_gives_the_same_bytes(name: str) -> None:
    """Objects that arrive one by one, in another order, lead to the same offer as all at once."""
    held = [*meshes.documents(meshes.HERE / "base.yaml"), *meshes.documents(meshes.HERE / name / "mesh.yaml")]
    objects = meshes.changes([doc for doc in held if "proxy" not in doc])
    mesh = meshes.empty(meshes.Options())
    for change, raw in sorted(objects.items(), reverse=True):
        mesh = meshes.advance(mesh, {change: raw})
    slowly = meshes.Case(mesh, meshes.case(name).claim)
    assert bodies(slowly.offer()) == bodies(meshes.case(name).offer())
    assert mesh.problems == meshes.case(name).mesh.problems


@pytest.mark.golden
@pytest.mark.parametrize("name", meshes.names())
def test_every_name_that_is_referred_to_exists(name: str) -> None:
    """No route, filter, cluster or TLS context names something that the offer does not hold."""
    assert missing(meshes.case(name).offer()) == set()


@pytest.mark.envoy
@pytest.mark.parametrize(
    "envoy", [pytest.param(envoys.newest, id="1.40"), pytest.param(envoys.older, id="1.38")]
)
@pytest.mark.parametrize("name", meshes.names())
def test_envoy_takes_all_of_it(name: str, envoy: object, tmp_path: Path) -> None:
    """Stock Envoy loads the whole offer."""
    assert callable(envoy)
    binary = envoy()
    if binary is None:
        pytest.skip("not here: make golden gets it")
    assert envoys.refused(meshes.case(name).offer(), binary, tmp_path) == ""


@pytest.mark.envoy
def test_envoy_is_a_judge(tmp_path: Path) -> None:
    """The check can fail: a route table with one domain twice is refused."""
    from linnet.envoy.messages import RouteConfiguration, VirtualHost
    from linnet.translate.wire import resource

    binary = envoys.newest()
    if binary is None:
        pytest.skip("no Envoy: make setup")
    offer = meshes.case(meshes.BASE).offer()
    twice = [VirtualHost(name=name, domains=["same"]) for name in "ab"]
    broken = resource("80", RouteConfiguration(name="80", virtual_hosts=twice))
    resources = {**offer.resources, ROUTES: {**offer.of(ROUTES), "80": broken}}
    assert "same" in envoys.refused_resources(resources, binary, tmp_path)


def bodies(offer: Offer) -> dict[str, dict[str, bytes]]:
    """The bytes of an offer."""
    return {url: {name: one.body for name, one in held.items()} for url, held in offer.resources.items()}


def missing(offer: Offer) -> set[str]:
    """Names that are referred to and not there."""
    wanted: dict[str, set[str]] = {CLUSTER: set(), ROUTES: set(), SECRET: set(), ENDPOINTS: set()}
    for url in (LISTENER, ROUTES, CLUSTER):
        for one in offer.of(url).values():
            collect(envoys.message(one), wanted)
    there = {CLUSTER: {"sds-grpc"}, SECRET: {"default", "ROOTCA"}}
    return {
        name for url, names in wanted.items() for name in names - set(offer.of(url)) - there.get(url, set())
    }


def collect(held: object, wanted: dict[str, set[str]]) -> None:
    """Find references in a message, by the names of fields that hold them."""
    if isinstance(held, list):
        for one in held:
            collect(one, wanted)
    elif isinstance(held, dict):
        for key, value in held.items():
            if key in {"cluster", "cluster_name"} and isinstance(value, str):
                wanted[CLUSTER].add(value)
            elif key == "route_config_name":
                wanted[ROUTES].add(value)
            elif key == "eds_cluster_config":
                wanted[ENDPOINTS].add(value["service_name"])
            elif key == "tls_certificate_sds_secret_configs":
                wanted[SECRET].update(one["name"] for one in value)
            elif key == "validation_context_sds_secret_config":
                wanted[SECRET].add(value["name"])
            elif key == "weighted_clusters":
                wanted[CLUSTER].update(one["name"] for one in value["clusters"])
            if key != "load_assignment":
                collect(value, wanted)
