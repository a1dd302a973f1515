"""A directory whose files change all at once: they are symbolic links through `..data`, which is swapped.

    token -> ..data/token      ..data -> ..2026_11_25_01_02_03.1f2e3d      ..2026_…/token

Source: Kubernetes, layout of configMap, secret, downwardAPI and projected volumes.
"""

import os
import secrets
import shutil
from collections.abc import Mapping
from datetime import UTC, datetime

from linnet.local.node.payload import File

_DATA = "..data"


def write(directory: str, files: Mapping[str, File], group: int | None = None) -> None:
    """Make the directory hold exactly these files. `group` owns them and may read them, if given."""
    os.makedirs(directory, exist_ok=True)
    os.chmod(directory, 0o755)  # noqa: S103 (containers run as any user)
    current = os.path.join(directory, _DATA)
    old = os.readlink(current) if os.path.islink(current) else ""
    new = f"..{datetime.now(UTC):%Y_%m_%d_%H_%M_%S}.{secrets.token_hex(4)}"
    root = os.path.join(directory, new)
    _directory(root, group)
    for path, file in files.items():
        _write_file(root, path, file, group)
    temporary = os.path.join(directory, f"{_DATA}_tmp")
    os.symlink(new, temporary)
    os.rename(temporary, current)
    _link(directory, {path.partition("/")[0] for path in files})
    if old:
        shutil.rmtree(os.path.join(directory, old))


def _write_file(root: str, path: str, file: File, group: int | None) -> None:
    parent = root
    for part in path.split("/")[:-1]:
        parent = os.path.join(parent, part)
        if not os.path.isdir(parent):
            _directory(parent, group)
    target = os.path.join(root, path)
    fd = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        os.fchmod(fd, file.mode if group is None else file.mode | 0o040)
        if group is not None:
            os.fchown(fd, -1, group)
        os.write(fd, file.content)
    finally:
        os.close(fd)


def _directory(path: str, group: int | None) -> None:
    os.mkdir(path)
    os.chmod(path, 0o755 if group is None else 0o2775)
    if group is not None:
        os.chown(path, -1, group)


def _link(directory: str, names: set[str]) -> None:
    """The visible names: links into `..data`; those that are gone are removed."""
    for entry in os.listdir(directory):
        if not entry.startswith("..") and entry not in names:
            os.unlink(os.path.join(directory, entry))
    for name in names:
        link = os.path.join(directory, name)
        if not os.path.islink(link):
            os.symlink(os.path.join(_DATA, name), link)
