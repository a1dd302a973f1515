"""Older versions of Linnet from the project's own history."""

import subprocess
import tomllib
from pathlib import Path

import pytest
from tools.images.building import ROOT, NotBuilt, Version, build, has_history, is_built, place, versions

pytestmark = pytest.mark.unit
NOWHERE = Version("9.9.9", "0" * 40)


@pytest.mark.parametrize("version", versions(), ids=lambda version: version.version)
def test_the_commits_are_what_the_file_says(version: Version) -> None:
    """No version is invented: the package at that commit has it."""
    if not has_history(version):
        pytest.skip("this clone has no history: git fetch --unshallow")
    show = ["git", "-C", str(ROOT), "show", f"{version.commit}:pyproject.toml"]
    text = subprocess.run(show, capture_output=True, text=True, check=True).stdout
    assert tomllib.loads(text)["project"]["version"] == version.version


def test_none_of_them_is_the_current_one() -> None:
    """An older version is another version."""
    current = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert current not in {version.version for version in versions()}


def test_history_that_is_missing(tmp_path: Path) -> None:
    """In a shallow clone, or without git's folder: said, with the remedy, and nothing is made."""
    assert not has_history(NOWHERE)
    assert not has_history(versions()[0], tmp_path)
    with pytest.raises(NotBuilt, match="git fetch --unshallow"):
        build(NOWHERE, folder=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_built_is_what_was_built_from_that_commit(tmp_path: Path) -> None:
    """Half an environment, or one of another commit, does not count."""
    there = place(NOWHERE, tmp_path)
    there.mkdir()
    assert not is_built(NOWHERE, tmp_path)
    (there / "commit").write_text("1" * 40 + "\n")
    assert not is_built(NOWHERE, tmp_path)
    (there / "commit").write_text(NOWHERE.commit + "\n")
    assert is_built(NOWHERE, tmp_path)
