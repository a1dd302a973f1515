"""What cannot be evaluated denies (law L4)."""

from typing import Any

import pytest

from linnet.envoy.messages import Policy
from linnet.ingest.authorization import authorization_policy
from linnet.ingest.decode import item
from linnet.ingest.report import Report
from linnet.model.policy import AuthorizationPolicy
from linnet.model.problem import Ref
from linnet.translate.authorization import filters_of

pytestmark = pytest.mark.unit


def policy(action: str, *rules: dict[str, Any]) -> AuthorizationPolicy:
    """A policy as users write it."""
    raw = {"metadata": {"name": "p", "namespace": "a"}, "spec": {"action": action, "rules": list(rules)}}
    report = Report(Ref("AuthorizationPolicy", "a", "p"))
    read = authorization_policy(item("AuthorizationPolicy", ("a", "p"), raw), report)
    assert read is not None
    return read


def rules(held: AuthorizationPolicy, *, http: bool) -> list[Policy]:
    """The policies of the only filter."""
    (rbac,) = filters_of((held,), http=http)
    return [rbac.policies[name] for name in sorted(rbac.policies)]


def never(held: Policy) -> bool:
    """Whether nobody can match."""
    return held.principals[0].not_id.any is True and len(held.principals) == 1


UNSEEN = {"when": [{"key": "experimental.envoy.filters.network.x[y]", "values": ["z"]}]}
CLAIM = {"from": [{"source": {"requestPrincipals": ["*"]}}]}
PATH = {"to": [{"operation": {"paths": ["/x"]}}]}


def test_allowed_by_what_cannot_be_seen_is_allowed_to_nobody() -> None:
    """A field without effect keeps its alternative of ALLOW from matching."""
    (held,) = rules(policy("ALLOW", UNSEEN), http=True)
    assert held.principals[0].and_ids.ids[0].not_id.any is True


def test_denied_by_what_cannot_be_seen_is_denied_to_everybody() -> None:
    """A field without effect leaves its alternative of DENY without that condition."""
    (held,) = rules(policy("DENY", UNSEEN), http=True)
    assert held.principals[0].any is True


@pytest.mark.parametrize("rule", [PATH, CLAIM], ids=["path", "token"])
def test_request_on_a_connection(rule: dict[str, Any]) -> None:
    """ALLOW for a path or a token lets no connection through; DENY of one lets none through either."""
    (allow,) = rules(policy("ALLOW", rule), http=False)
    assert never(allow)
    (deny,) = rules(policy("DENY", rule), http=False)
    assert deny.permissions[0].any is True
    assert deny.principals[0].any is True


def test_wrong_value_narrows_allow_and_widens_deny() -> None:
    """A network that is none: the rest of ALLOW stays, `not` of it never matches; DENY goes without it."""
    wrong = {"from": [{"source": {"ipBlocks": ["x", "10.0.0.0/8"]}}]}
    (held,) = rules(policy("ALLOW", wrong), http=True)
    assert len(held.principals[0].and_ids.ids[0].or_ids.ids) == 1
    unless = {"from": [{"source": {"notIpBlocks": ["x", "10.0.0.0/8"]}}]}
    (held,) = rules(policy("ALLOW", unless), http=True)
    assert held.principals[0].and_ids.ids[0].not_id.any is True
    (held,) = rules(policy("DENY", unless), http=True)
    assert held.principals[0].any is True


def test_custom_denies() -> None:
    """Somebody is to be asked and nobody can be: what the rules match is denied."""
    held = policy("CUSTOM", PATH)
    assert held.action == "DENY"


def test_empty_policy_lets_nobody_in_and_empty_rule_everybody() -> None:
    """Without rules nothing matches; a rule without conditions matches everything."""
    (held,) = rules(policy("ALLOW"), http=True)
    assert never(held)
    (held,) = rules(policy("ALLOW", {}), http=True)
    assert held.permissions[0].any is True
    assert held.principals[0].any is True
