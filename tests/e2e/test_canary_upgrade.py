"""The guide: its commands, typed verbatim into a shell with the real kubectl, under load; nothing fails."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from demo.play import ROOT, environment, play
from demo.shell import Shell

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(600),
    pytest.mark.skipif(os.geteuid() != 0, reason="the local cluster makes network namespaces: run as root"),
    pytest.mark.skipif(
        not shutil.which("kubectl"),
        reason="needs the real kubectl: install kubernetes-client or google-cloud-cli-kubectl",
    ),
]


@pytest.fixture
def shell() -> Iterator[Shell]:
    """A shell on a fresh local cluster of its own."""
    home = Path(tempfile.mkdtemp(prefix="lt-"))  # short: sockets have paths of at most 107 bytes
    with Shell(environment(home / "s", home / "r"), directory=str(ROOT)) as shell:
        try:
            for command in ("linnet local up", 'eval "$(linnet local env)"'):
                outcome = shell.type(command)
                assert outcome.code == 0, outcome.output
            yield shell
        finally:
            down = shell.type("linnet local down --purge")
            shutil.rmtree(home, ignore_errors=True)
            assert down.code == 0, down.output


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
