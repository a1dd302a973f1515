"""The guide: its commands, typed verbatim into a shell with the real kubectl, under load; nothing fails."""

from collections.abc import Iterator

import pytest
from demo.play import play
from demo.shell import Shell
from tests.e2e.clusters import NEEDS_KUBECTL, NEEDS_ROOT, typed

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600), NEEDS_ROOT, NEEDS_KUBECTL]


@pytest.fixture
def shell() -> Iterator[Shell]:
    """A shell on a fresh local cluster of its own."""
    with typed() as made:
        yield made.shell


@pytest.mark.parametrize(
    "title", ["Forward", "Back", "From a plane without a revision", "From a revision label", "With a tag"]
)
def test_the_guide_loses_nothing(shell: Shell, title: str) -> None:
    """Each script does what the page says, and no client sees a failed request."""
    played = play(shell, title, print)
    print(played.gateway.text)
    assert played.gateway.requests > 0
    assert played.callers
    assert {pod: report.failed for pod, report in played.callers.items() if report.failed} == {}
    assert played.gateway.failed == 0, played.gateway.text
