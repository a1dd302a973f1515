"""The version policy as tables: which steps are fine, which are said, which are refused."""

import pytest

from linnet.install.skew import Proxy, Running, judge
from linnet.install.versions import parse

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("older", "newer"),
    [
        ("1.9", "1.10"),
        ("1.9.9", "1.10.0"),
        ("1.10.2", "1.10.10"),
        ("1.10.0-rc.1", "1.10.0"),
        ("1.10.0-alpha.abc", "1.10.0"),
        ("0.9.0", "1.0.0"),
        ("v1.2", "1.3-envoy-1.38"),
    ],
)
def test_order(older: str, newer: str) -> None:
    """By number, whatever the letters say."""
    first, second = parse(older), parse(newer)
    assert first is not None
    assert second is not None
    assert first < second


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("1.20.1-0123abc-Clean", "1.20.1"),
        ("0.1.0-envoy-1.38", "0.1.0"),
        ("1.9-distroless", "1.9.0"),
        ("v1.9", "1.9.0"),
        ("1.20.1+build", "1.20.1"),
    ],
)
def test_how_it_was_built_does_not_count(text: str, meant: str) -> None:
    """Variants of a version are that version."""
    assert parse(text) == parse(meant)


@pytest.mark.parametrize("text", ["latest", "", "1", "1-9-0", "canary", "1.x", "one.two"])
def test_no_versions(text: str) -> None:
    """A name is no version."""
    assert parse(text) is None


@pytest.mark.parametrize(
    ("runs", "new", "in_place", "verdict"),
    [
        # revision, its version; new version; in place; what the policy says
        ("1.9.0", "1.9.0", True, ""),
        ("1.9.0", "1.9.3", True, ""),
        ("1.9.0", "1.10.0", True, ""),
        ("1.9.0", "1.11.0", True, "refused"),
        ("1.9.0", "1.10.0", False, ""),
        ("1.9.0", "1.11.0", False, ""),
        ("1.9.0", "1.12.0", False, "refused"),
        ("1.10.0", "1.9.0", True, "warning"),
        ("1.10.0", "1.9.0", False, "warning"),
        ("1.10.3", "1.10.1", True, "warning"),
        ("1.10.0", "1.8.0", True, "refused"),
        ("1.10.0", "1.8.0", False, "refused"),
        ("0.9.0", "1.0.0", True, "refused"),
        ("0.9.0", "1.0.0", False, "refused"),
        ("1.9.0", "latest", True, "warning"),
        ("weird", "1.9.0", True, "warning"),
    ],
)
def test_steps(runs: str, new: str, in_place: bool, verdict: str) -> None:
    """One minor release ahead in place, two beside it, one back."""
    found = judge("a" if in_place else "b", new, [Running("a", runs)], [])
    assert [finding.level for finding in found] == ([verdict] if verdict else [])


@pytest.mark.parametrize(
    ("proxy", "new", "told"),
    [
        ("1.9.0", "1.10.0", ""),
        ("1.10.5", "1.10.0", ""),
        ("1.8.0", "1.10.0", "1 proxy: p.ns (1.8.0) would be more than 1 minor release behind 1.10.0"),
        ("1.10.0", "1.9.0", "1 proxy: p.ns (1.10.0) would be ahead of control plane 1.9.0"),
        ("", "1.10.0", ""),
    ],
)
def test_proxies(proxy: str, new: str, told: str) -> None:
    """In place the revision's own proxies count; beside it they do not."""
    proxies = [Proxy("p.ns", "a", proxy), Proxy("q.ns", "other", "1.1.0")]
    found = judge("a", new, [Running("a", "1.9.0")], proxies)
    refused = [finding.text for finding in found if finding.level == "refused"]
    assert [text.partition(";")[0] for text in refused] in ([], [told], [told + ", which must not be"])
    assert bool(refused) is bool(told)
    assert [f for f in judge("canary", new, [Running("a", "1.9.0")], proxies) if f.level == "refused"] == []


def test_a_refusal_says_the_way() -> None:
    """The next version to install is named."""
    (finding,) = judge("a", "1.12.0", [Running("a", "1.9.0")], [])
    assert "install 1.10 first" in finding.text
    (finding,) = judge("b", "1.12.0", [Running("a", "1.9.0"), Running("a", "1.9.0")], [])
    assert "install 1.11 first" in finding.text


def test_many_proxies_are_counted() -> None:
    """A few by name, the rest by number."""
    proxies = [Proxy(f"p{n}.ns", "a", "1.8.0") for n in range(8)]
    (finding,) = judge("a", "1.10.0", [Running("a", "1.9.0")], proxies)
    assert finding.text.startswith("8 proxies: p0.ns (1.8.0), ")
    assert "p4.ns (1.8.0) and 3 more would be" in finding.text
