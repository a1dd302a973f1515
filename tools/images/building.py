"""Build a version of Linnet from a commit into an environment of its own."""

import fcntl
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from msgspec import Struct, convert

ROOT = Path(__file__).parent.parent.parent
VERSIONS = Path(__file__).parent / "versions.toml"
BUILT = ROOT / "build" / "images"
_BUILT_FROM = "commit"  # the file in an environment that says which commit it is; written last


class Version(Struct, frozen=True, forbid_unknown_fields=True):
    """A version and the commit that has it."""

    version: str
    commit: str  # 40 hex digits


class NotBuilt(Exception):
    """Why a version cannot be built, with the remedy."""


def versions(file: Path = VERSIONS) -> tuple[Version, ...]:
    """The versions of the file, oldest first. Raises msgspec.ValidationError."""
    return convert(tomllib.loads(file.read_text())["linnet"], tuple[Version, ...])


def place(version: Version, folder: Path = BUILT) -> Path:
    """Where the environment of a version is, whether it is there or not."""
    return folder / version.version


def is_built(version: Version, folder: Path = BUILT) -> bool:
    """Whether the environment is there and whole, and of the commit that is asked for."""
    note = place(version, folder) / _BUILT_FROM
    return note.is_file() and note.read_text().strip() == version.commit


def has_history(version: Version, repository: Path = ROOT) -> bool:
    """Whether the commit can be read here; not in a shallow clone, nor in an archive of the sources."""
    if not shutil.which("git"):
        return False
    asked = ["git", "-C", str(repository), "cat-file", "-e", f"{version.commit}^{{commit}}"]
    return subprocess.run(asked, capture_output=True, check=False).returncode == 0


def build(version: Version, *, repository: Path = ROOT, folder: Path = BUILT) -> Path:
    """Make the environment unless it is there: Python, pinned packages, and Linnet as the commit has it.

    One at a time builds; another one that asks waits and finds it.

    Raises:
        NotBuilt: the commit is not here, its packages cannot be had, or it calls itself something else.
    """
    if not has_history(version, repository):
        raise NotBuilt(
            f"Linnet {version.version} is commit {version.commit[:12]}, which is not here:"
            " this needs a clone with its history (git fetch --unshallow)"
        )
    target = place(version, folder)
    folder.mkdir(parents=True, exist_ok=True)
    with _alone(folder):
        if not is_built(version, folder):
            _make(version, repository, target)
    return target


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    with (folder / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _make(version: Version, repository: Path, target: Path) -> None:
    shutil.rmtree(target, ignore_errors=True)
    source = target / "source"
    # our own pip installs into it: to give it one of its own takes as long as all the rest
    _run(version, [sys.executable, "-m", "venv", "--without-pip", str(target)])
    _extract(version, repository, source)
    pip = [sys.executable, "-m", "pip", "--python", str(target / "bin" / "python"), "install"]
    options = ["--quiet", "--disable-pip-version-check", "-c", str(source / "constraints.txt")]
    _run(version, [*pip, *options, str(source)])
    shutil.rmtree(source)
    told = _run(version, [str(target / "bin" / "linnet"), "version", "--remote=false"]).strip()
    if told.rpartition(" ")[2] != version.version:
        raise NotBuilt(
            f"{VERSIONS.name}: commit {version.commit[:12]} is not {version.version}; it says {told!r}"
        )
    (target / _BUILT_FROM).write_text(version.commit + "\n")


def _extract(version: Version, repository: Path, into: Path) -> None:
    into.mkdir()
    archive = into.with_suffix(".tar")
    _run(version, ["git", "-C", str(repository), "archive", f"--output={archive}", version.commit])
    _run(version, ["tar", "-xf", str(archive), "-C", str(into)])
    archive.unlink()


def _run(version: Version, command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:]
        raise NotBuilt(f"Linnet {version.version}: {' '.join(command[:4])} …: {''.join(last)}")
    return done.stdout
