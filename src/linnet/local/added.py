"""Where programs that were added to the image catalogue are: `images/KIND/VERSION` in the state directory."""

import os

from linnet.local.paths import Paths

_UNFINISHED = ".unfinished"


def folder(paths: Paths, kind: str) -> str:
    """The folder of all versions of `envoy` or `linnet`."""
    return f"{paths.images}/{kind}"


def versions(paths: Paths, kind: str) -> list[str]:
    """What is there whole."""
    if not os.path.isdir(folder(paths, kind)):
        return []
    return sorted(name for name in os.listdir(folder(paths, kind)) if not name.endswith(_UNFINISHED))


def make_places(paths: Paths, kind: str, version: str) -> tuple[str, str]:
    """Where a version shall be, and where it may be put together; nobody but us sees what is beside it."""
    os.makedirs(paths.state, mode=0o700, exist_ok=True)
    os.makedirs(folder(paths, kind), mode=0o755, exist_ok=True)
    os.chmod(paths.images, 0o755)  # noqa: S103 (programs that containers run, as whatever user)
    target = f"{folder(paths, kind)}/{version}"
    return target, target + _UNFINISHED
