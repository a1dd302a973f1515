"""L1: whatever users store, Envoy takes every resource that we send, and every name referred to exists.

Objects are made of good, odd and bad parts; one real Envoy judges each mesh.
"""

import os
import tempfile
from pathlib import Path
from typing import Any

import envoys
import meshes
import pytest
from generated import objects
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from test_golden import missing

from linnet.model.proxy import ProxyClaim, ProxyKind

BASE = meshes.changes(meshes.documents(meshes.HERE / "base.yaml"))
CLIENT = ProxyClaim(ProxyKind.SIDECAR, "client-1", "default")
SERVER = ProxyClaim(ProxyKind.SIDECAR, "reviews-v1-1", "default")
EXAMPLES = int(os.environ.get("LINNET_LAW_EXAMPLES", "40"))
GATEWAY = ProxyClaim(ProxyKind.ROUTER, "gateway-1", "istio-system")


@pytest.mark.laws
@pytest.mark.envoy
# Each step of shrinking costs three Envoys: a failure is shown as it was found.
@settings(
    max_examples=EXAMPLES,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.reuse, Phase.generate],
)
@given(st.lists(objects, min_size=3, max_size=9))
def test_envoy_takes_whatever_users_store(stored: list[tuple[str, str, dict[str, Any]]]) -> None:
    """A wrong object harms only itself: every offer of the mesh is whole and accepted."""
    binary = envoys.newest()
    if binary is None:
        pytest.skip("no Envoy: make setup")
    secret = meshes.documents(meshes.HERE / "gateway-https" / "mesh.yaml")
    held = {**BASE, **meshes.changes([doc for doc in secret if doc.get("kind") == "Secret"])}
    for kind, name, spec in stored:
        held[kind, "default", name] = {
            "kind": kind,
            "metadata": {"name": name, "namespace": "default"},
            "spec": spec,
        }
    mesh = meshes.advance(meshes.empty(meshes.Options()), held)
    with tempfile.TemporaryDirectory() as folder:
        for claim in (CLIENT, SERVER, GATEWAY):
            offer = meshes.Case(mesh, claim).offer()
            assert missing(offer) == set()
            assert envoys.refused(offer, binary, Path(folder)) == ""
