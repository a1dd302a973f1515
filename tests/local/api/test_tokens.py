"""Service account tokens: signed, dated, and refused when anything is changed."""

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from linnet.local.api.tokens import ISSUER, BadToken, Signer

pytestmark = pytest.mark.unit

ACCOUNT = {"metadata": {"name": "sa", "uid": "u-1"}}


def signer() -> Signer:
    return Signer(ec.generate_private_key(ec.SECP256R1()))


def issued(by: Signer, now: int = 1_000, seconds: int = 600) -> str:
    return by.issue(
        namespace="ns", account=ACCOUNT, audiences=[ISSUER], now=now, seconds=seconds, bound=None, jti="j"
    )


def test_a_token_says_who_it_is() -> None:
    """The claims name the account, its namespace and the audience."""
    mine = signer()
    claims = mine.claims(issued(mine), now=1_100)
    assert claims["sub"] == "system:serviceaccount:ns:sa"
    assert claims["aud"] == [ISSUER]
    assert claims["kubernetes.io"]["serviceaccount"] == {"name": "sa", "uid": "u-1"}


def test_expired_and_foreign_tokens_are_refused() -> None:
    """Too old, signed by somebody else, altered, or no token at all."""
    mine, other = signer(), signer()
    token = issued(mine)
    head, body, signature = token.split(".")
    with pytest.raises(BadToken, match="expired"):
        mine.claims(token, now=1_600)
    for bad in (issued(other), f"{head}.{body}x.{signature}", f"{head}.{body}.AAAA", "no token", ""):
        with pytest.raises(BadToken):
            mine.claims(bad, now=1_100)
