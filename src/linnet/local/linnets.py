"""Other versions of Linnet in the image catalogue: whole environments, copied to where pods can see them."""

import os
import re
import shutil
import subprocess

from linnet.local import added
from linnet.local.paths import Paths

_INTERPRETER = re.compile(rb"#![^\n]*/python[\d.]*\n|#!/bin/sh\n'''exec'[^\n]*\n' '''\n")
_ASK = "import importlib.metadata as m; print(m.version('linnet'))"


class CannotAdd(OSError):
    """An environment that cannot be an image; the message says why."""


def linnets(paths: Paths) -> dict[str, str]:
    """Version -> the Python that has it, of every version that was added."""
    folder = added.folder(paths, "linnet")
    pythons = {name: f"{folder}/{name}/bin/python" for name in added.versions(paths, "linnet")}
    return {name: python for name, python in pythons.items() if os.path.exists(python)}


def add(paths: Paths, version: str, source: str) -> str:
    """Copy a virtual environment that has this version of Linnet into the catalogue; gives its Python.

    Raises:
        CannotAdd: the folder is no virtual environment, or has another version.
    """
    source = os.path.abspath(source)
    python = f"{source}/bin/python"
    if not os.path.exists(f"{source}/pyvenv.cfg") or not os.path.exists(python):
        raise CannotAdd(f"{source} is no virtual environment: make images builds some")
    asked = subprocess.run([python, "-I", "-c", _ASK], capture_output=True, text=True, check=False)
    found = asked.stdout.strip()
    if found != version:
        has = f"Linnet {found}" if found else "no Linnet"
        raise CannotAdd(f"{source} has {has}, not {version}")
    target, unfinished = added.make_places(paths, "linnet", version)
    shutil.rmtree(unfinished, ignore_errors=True)
    try:
        shutil.copytree(source, unfinished, symlinks=True, ignore=_unneeded)
        _move_scripts(f"{unfinished}/bin", f"{target}/bin/python")
        shutil.rmtree(target, ignore_errors=True)
        os.rename(unfinished, target)
    except OSError:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise
    return f"{target}/bin/python"


def _unneeded(folder: str, names: list[str]) -> set[str]:
    """What a container never runs: the installer."""
    if os.path.basename(folder) != "site-packages":
        return set()
    return {name for name in names if name == "pip" or name.startswith(("pip-", "setuptools"))}


def _move_scripts(folder: str, python: str) -> None:
    """Scripts name their interpreter by its path: let them name the new one.

    Written as pip writes them for long paths, since the kernel reads only the begin of a first line.
    """
    head = f"#!/bin/sh\n'''exec' \"{python}\" \"$0\" \"$@\"\n' '''\n".encode()
    for name in os.listdir(folder):
        path = f"{folder}/{name}"
        if os.path.islink(path) or not os.path.isfile(path):
            continue
        with open(path, "r+b") as file:
            content = file.read()
            if found := _INTERPRETER.match(content):
                file.seek(0)
                file.write(head + content[found.end() :])
                file.truncate()
