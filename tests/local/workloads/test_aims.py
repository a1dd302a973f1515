"""Targets as they are written on the command line."""

import subprocess
import sys

import pytest

from linnet.local.workloads.aims import Pace, aim

pytestmark = pytest.mark.unit


def test_a_fragment_is_for_one_target():
    """It overrides what the options say, and is no part of the URL."""
    held = aim("http://web:8080/a?b=c#rate=5&connections=2&new=1.5", Pace(streams=9))
    assert (held.url, held.host, held.port, held.path) == ("http://web:8080/a?b=c", "web", 8080, "/a?b=c")
    assert held.pace == Pace(5.0, 2, 1.5, 9)
    assert not held.long
    stream = aim("tcp://web:9000#streams=3&every=0.5&life=20", Pace())
    assert (stream.protocol, stream.port, stream.long) == ("tcp", 9000, True)
    assert (stream.pace.streams, stream.pace.every, stream.pace.life) == (3, 0.5, 20.0)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("https://web/", "schemes: http, h2c"),
        ("web", "not a URL"),
        ("tcp://web", "names no port"),
        ("http://web/#pace=3", "there is no 'pace' to set; there are rate"),
        ("http://web/#rate=fast", "rate='fast' is not a number"),
        ("tcp://web:1#streams=1.5", "streams='1.5' is not a number"),
    ],
)
def test_what_is_wrong_is_named(text, said):
    """With the remedy."""
    with pytest.raises(ValueError, match=said):
        aim(text, Pace())


def test_the_program_says_so_without_a_traceback():
    """Exit code 2, as for any wrong option."""
    done = subprocess.run(
        [sys.executable, "-m", "linnet.local.workloads.load", "--target", "ftp://x"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "schemes: http, h2c" in done.stderr
    assert "Traceback" not in done.stderr
