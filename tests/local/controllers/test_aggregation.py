"""Rules that a ClusterRole collects."""

from typing import Any

import pytest

from linnet.local.controllers.aggregation import collected

pytestmark = pytest.mark.unit

Object = dict[str, Any]


def _role(name: str, *verbs: str, **labels: str) -> Object:
    return {"metadata": {"name": name, "labels": labels}, "rules": [{"verbs": [verb]} for verb in verbs]}


def test_selected_rules_in_order_of_names_and_once() -> None:
    """Roles that no selector wants, the role itself, and a selector without meaning add nothing."""
    selectors = [
        {"matchLabels": {"part": "yes"}},
        {"matchExpressions": [{"key": "part", "operator": "Nonsense", "values": ["x"]}]},
    ]
    role = {**_role("whole", "own", part="yes"), "aggregationRule": {"clusterRoleSelectors": selectors}}
    others = [
        _role("b", "get", "list", part="yes"),
        role,
        _role("a", "get", part="yes"),
        _role("c", "delete"),
    ]
    assert collected(role, others) == [{"verbs": ["get"]}, {"verbs": ["list"]}]
