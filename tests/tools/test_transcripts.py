"""Reading transcripts and comparing outputs."""

from pathlib import Path

import pytest
from tools.transcripts.comparing import Bindings, match_block, match_line, normal, without_version
from tools.transcripts.reading import Command, File, Malformed, read

pytestmark = pytest.mark.unit

_TEXT = """@@ scenario a title
@@ note something
@@ file x.yaml
a: 1
@@ cmd kubectl diff -f - <<'X'
@@+ b
@@+ X
@@ rc 1
@@ stdout
@@ -1,2 +1,2 @@
-a
+b
@@ stderr
warning
@@ no-final-newline
@@ end
"""


def test_a_transcript_is_read(tmp_path: Path) -> None:
    """Files, continued commands, outputs; hunks of diffs are no markers."""
    path = tmp_path / "01-x.txt"
    path.write_text(_TEXT)
    transcript = read(path)
    assert (transcript.title, transcript.note) == ("a title", "something")
    assert transcript.steps == [
        File("x.yaml", "a: 1\n"),
        Command(5, "kubectl diff -f - <<'X'\nb\nX", 1, "@@ -1,2 +1,2 @@\n-a\n+b\n", "warning"),
    ]


def test_a_cut_transcript_is_refused(tmp_path: Path) -> None:
    """A file without its end is no transcript."""
    path = tmp_path / "x.txt"
    path.write_text(_TEXT.replace("@@ end\n", ""))
    with pytest.raises(Malformed):
        read(path)


def test_placeholders_keep_identity() -> None:
    """A numbered placeholder stands for one text in the whole transcript."""
    bound = match_line("pod/app-<hash-1>-<suffix-1>", "pod/app-abc123-xyz12", Bindings())
    assert bound is not None
    assert bound.known == {"<hash-1>": "abc123", "<suffix-1>": "xyz12"}
    assert match_line("rs/app-<hash-1>", "rs/app-abc123", bound) is not None
    assert match_line("rs/app-<hash-1>", "rs/app-other1", bound) is None


@pytest.mark.parametrize(
    ("recorded", "actual", "same"),
    [
        ("x 1/1 Running 0 <age>", "x 1/1 Running 0 12s", True),
        ("x 1/1 Running 0 <age>", "x 1/1 Running 0 3m2s", True),
        ("x 1/1 Running 0 <age>", "x 0/1 Running 0 12s", False),
        ('time: "<timestamp>"', 'time: "2026-01-01T00:00:00Z"', True),
        ("Start Time: <timestamp>", "Start Time: Wed, 25 Nov 2026 01:00:00 +0000", True),
        ("uid: <uid-1>", "uid: 71e00467-1c59-4900-8b81-3aa5a3fca861", True),
        ("uid: <uid-1>", "uid: nothing", False),
        ("Labels: <none>", "Labels: <none>", True),
    ],
)
def test_lines(recorded: str, actual: str, same: bool) -> None:
    """Placeholders match what they stand for, and only that."""
    assert (match_line(recorded, actual, Bindings()) is not None) is same


def test_lines_with_random_names_come_in_any_order() -> None:
    """Sets are compared as sets, with consistent names; other lines keep their order."""
    recorded = ["NAME", "a-<suffix-1> 1", "a-<suffix-2> 2"]
    assert match_block(recorded, ["NAME", "a-zzzzz 2", "a-bbbbb 1"], Bindings()) is not None
    assert match_block(recorded, ["NAME", "a-zzzzz 2", "a-bbbbb 2"], Bindings()) is None
    assert match_block(["a", "b"], ["b", "a"], Bindings()) is None
    assert match_block(["a", "b"], ["b", "a"], Bindings(), unordered=True) is not None


def test_what_depends_on_time_or_kubectl_is_left_out() -> None:
    """Progress lines vanish; texts of different kubectl versions become the same."""
    assert normal('Waiting for deployment "x" rollout to finish: 0 of 1\ndone   now \n\n') == ["done now"]
    assert without_version(['pod "x" deleted from d7 namespace', "creationTimestamp: null"]) == [
        'pod "x" deleted'
    ]
