"""What is said of revisions that are broken or half there."""

import pytest

from linnet.install.marks import Object
from linnet.install.operator import resolve
from linnet.install.pilot import deployment, injection_config, mesh_config, service
from linnet.install.webhooks import injector, tag, validator
from linnet.kube.kinds import CONFIG_MAP, DEPLOYMENT, MUTATING_WEBHOOK, SERVICE
from linnet.upgrade.look import Seen
from linnet.upgrade.revisions import revisions
from linnet.upgrade.users import Observed

pytestmark = pytest.mark.unit

PLANE = resolve([], ["revision=canary"], version="9").plane
HOOKS = [injector(PLANE), tag(PLANE, "prod")]


def problems(deployments: list[Object], services: list[Object]) -> list[str]:
    """Of the canary, whose webhooks and ConfigMaps are there, and which has no endpoint."""
    observed = Observed(
        "istio-system", injectors=HOOKS, validators=[validator(PLANE)], services=services, slices=[]
    )
    objects = {
        DEPLOYMENT: deployments,
        SERVICE: services,
        CONFIG_MAP: [mesh_config(PLANE), injection_config(PLANE)],
        MUTATING_WEBHOOK: HOOKS,
    }
    (row,) = revisions(Seen(observed, objects, {}))
    return list(row.problems)


def test_only_webhooks_are_left() -> None:
    """One line for all of them: pods are refused, and two ways out."""
    found = problems([], [])
    ways = "linnet install --revision canary, or linnet uninstall --revision canary"
    assert found[:2] == [
        "Deployment istiod-canary is missing",
        f"its webhooks are left without it, so pods that ask for it are refused: {ways}",
    ]
    assert not any("which does not exist" in text for text in found)


def test_scaled_to_nothing() -> None:
    """The remedy is not to look at pods that are not there."""
    made = deployment(PLANE)
    made["spec"]["replicas"] = 0
    found = problems([made], [service(PLANE)])
    scale = "kubectl scale deployment -n istio-system istiod-canary --replicas 1"
    assert f"Deployment istiod-canary is scaled to 0: {scale}" in found
    for name in ("istio-sidecar-injector-canary", "istio-revision-tag-prod"):
        assert any(text.startswith(f"{name}: its Service istiod-canary") for text in found)
    assert not any("no CA bundle" in text for text in found)  # that comes after the endpoint
