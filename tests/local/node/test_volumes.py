"""Volumes on disk."""

import base64
import os
import stat
from pathlib import Path
from typing import Any

import pytest
from tests.local.node.pods import pod
from tests.local.node.test_environment import facts

from linnet.local.node.environment import Missing
from linnet.local.node.payload import references
from linnet.local.node.runtime import Mount
from linnet.local.node.spec import Pod
from linnet.local.node.volumes import Directories, Volumes

pytestmark = pytest.mark.unit


def volumes(tmp_path: Path) -> Volumes:
    return Volumes(Directories(str(tmp_path / "pod"), str(tmp_path / "memory")))


def made(volume: dict[str, Any], mount: dict[str, Any] | None = None, **metadata: Any) -> Pod:
    container = {"name": "main", "volumeMounts": [{"name": "v", "mountPath": "/data", **(mount or {})}]}
    return pod({"containers": [container], "volumes": [{"name": "v", **volume}]}, **metadata)


def content(directory: str) -> dict[str, str]:
    return {
        name: Path(directory, name).read_text(encoding="utf-8")
        for name in os.listdir(directory)
        if not name.startswith("..")
    }


def test_files_change_all_at_once_behind_a_link(tmp_path: Path) -> None:
    """A reader that holds `..data` open sees one version or the other; what is gone is removed."""
    held, of = volumes(tmp_path), made({"configMap": {"name": "cm"}})
    held.refresh(of, facts(of), {})
    [mount] = held.mounts(of, of.spec.containers[0], {})
    assert content(mount.source) == {"key": "value", "other": "o"}
    before = os.readlink(f"{mount.source}/..data")
    held.refresh(of, facts(of), {})
    assert os.readlink(f"{mount.source}/..data") == before, "nothing changed, so nothing is written"
    held.refresh(of, facts(of, config_maps={"cm": {"data": {"key": "new"}}}), {})
    assert content(mount.source) == {"key": "new"}
    assert os.readlink(f"{mount.source}/key") == "..data/key"
    assert not Path(mount.source, before).exists()
    assert mount.read_only


def test_items_choose_paths_and_modes(tmp_path: Path) -> None:
    """A key may become a file in a directory of the volume, with a mode of its own."""
    items = [{"key": "pass", "path": "deep/er", "mode": 0o400}]
    held, of = volumes(tmp_path), made({"secret": {"secretName": "s", "items": items}})
    held.refresh(of, facts(of), {})
    [mount] = held.mounts(of, of.spec.containers[0], {})
    path = Path(mount.source, "deep", "er")
    assert path.read_text(encoding="utf-8") == "word"
    assert stat.S_IMODE(path.stat().st_mode) == 0o400


def test_a_projected_volume_joins_its_sources(tmp_path: Path) -> None:
    """The volume that every pod gets: token, CA, namespace; labels as quoted lines."""
    sources = [
        {"serviceAccountToken": {"path": "token", "expirationSeconds": 3607, "audience": "istio-ca"}},
        {"configMap": {"name": "cm", "items": [{"key": "key", "path": "ca.crt"}]}},
        {
            "downwardAPI": {
                "items": [
                    {"path": "namespace", "fieldRef": {"fieldPath": "metadata.namespace"}},
                    {"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}},
                ]
            }
        },
    ]
    held, of = volumes(tmp_path), made({"projected": {"sources": sources}}, labels={"b": 'q"', "a": "1"})
    token = of.spec.volumes[0].projected
    assert token is not None
    asked = token.sources[0].service_account_token
    assert asked is not None
    assert (asked.audience, asked.expiration_seconds) == ("istio-ca", 3607)
    held.refresh(of, facts(of), {asked: "t0k"})
    [mount] = held.mounts(of, of.spec.containers[0], {})
    assert content(mount.source) == {
        "token": "t0k",
        "ca.crt": "value",
        "namespace": "ns",
        "labels": 'a="1"\nb="q\\""',
    }


def test_empty_dirs_are_writable_for_everybody_and_may_be_in_memory(tmp_path: Path) -> None:
    """Containers run as any user."""
    held, of = volumes(tmp_path), made({"emptyDir": {"medium": "Memory"}})
    held.refresh(of, facts(of), {})
    [mount] = held.mounts(of, of.spec.containers[0], {})
    assert mount.source.startswith(str(tmp_path / "memory"))
    assert stat.S_IMODE(os.stat(mount.source).st_mode) == 0o777
    assert not mount.read_only
    held.remove()
    assert not (tmp_path / "memory").exists()


def test_a_sub_path_is_a_directory_or_file_of_the_volume(tmp_path: Path) -> None:
    """In an emptyDir it is made; variables may name it; it cannot lead out."""
    held = volumes(tmp_path)
    of = made({"emptyDir": {}}, {"subPathExpr": "$(POD)/x"})
    held.refresh(of, facts(of), {})
    assert held.mounts(of, of.spec.containers[0], {"POD": "p"})[0].source.endswith("/v/p/x")
    out = made({"emptyDir": {}}, {"subPath": "../../etc"})
    with pytest.raises(Missing, match="must be relative and stay in its volume"):
        held.mounts(out, out.spec.containers[0], {})
    Path(held.mounts(of, of.spec.containers[0], {"POD": "p"})[0].source, "link").symlink_to("/etc")
    link = made({"emptyDir": {}}, {"subPath": "p/x/link"})
    with pytest.raises(Missing, match="leads out of volume"):
        held.mounts(link, link.spec.containers[0], {})


def test_inner_mounts_come_after_outer_ones(tmp_path: Path) -> None:
    """Whatever the order in the pod."""
    mounts = [{"name": "v", "mountPath": "/data/inner"}, {"name": "v", "mountPath": "/data"}]
    of = pod(
        {"containers": [{"name": "m", "volumeMounts": mounts}], "volumes": [{"name": "v", "emptyDir": {}}]}
    )
    held = volumes(tmp_path)
    held.refresh(of, facts(of), {})
    found: tuple[Mount, ...] = held.mounts(of, of.spec.containers[0], {})
    assert [mount.target for mount in found] == ["/data", "/data/inner"]


@pytest.mark.parametrize(
    ("volume", "words"),
    [
        ({"configMap": {"name": "no"}}, 'MountVolume.SetUp failed for volume "v" : configmap "no" not found'),
        ({"secret": {"secretName": "no"}}, 'MountVolume.SetUp failed for volume "v" : secret "no" not found'),
        (
            {"configMap": {"name": "cm", "items": [{"key": "no", "path": "x"}]}},
            'MountVolume.SetUp failed for volume "v" : references non-existent config key: no',
        ),
        ({"hostPath": {"path": "/etc"}}, "hostPath volume is not offered by the local cluster"),
    ],
)
def test_what_is_missing_keeps_a_pod_waiting(tmp_path: Path, volume: dict[str, Any], words: str) -> None:
    """The words are those of the event FailedMount."""
    of = made(volume)
    with pytest.raises(Missing) as caught:
        volumes(tmp_path).refresh(of, facts(of), {})
    assert words in str(caught.value)


def test_optional_sources_may_be_missing(tmp_path: Path) -> None:
    """Then the directory is empty, and filled when they come."""
    held, of = volumes(tmp_path), made({"configMap": {"name": "later", "optional": True}})
    held.refresh(of, facts(of), {})
    [mount] = held.mounts(of, of.spec.containers[0], {})
    assert content(mount.source) == {}
    binary = {"binaryData": {"b": base64.b64encode(b"\xff").decode()}}
    held.refresh(of, facts(of, config_maps={"later": binary}), {})
    assert Path(mount.source, "b").read_bytes() == b"\xff"


def test_everything_that_a_pod_names_is_watched() -> None:
    """Volumes, projections, envFrom and single keys."""
    of = pod(
        {
            "containers": [
                {
                    "name": "m",
                    "envFrom": [{"secretRef": {"name": "s1"}}],
                    "env": [{"name": "X", "valueFrom": {"configMapKeyRef": {"name": "c1", "key": "k"}}}],
                }
            ],
            "volumes": [
                {"name": "a", "secret": {"secretName": "s2"}},
                {
                    "name": "b",
                    "projected": {"sources": [{"configMap": {"name": "c2"}}, {"secret": {"name": "s3"}}]},
                },
            ],
        }
    )
    assert {(kind.name, space, name) for kind, space, name in references(of)} == {
        ("Secret", "ns", "s1"),
        ("Secret", "ns", "s2"),
        ("Secret", "ns", "s3"),
        ("ConfigMap", "ns", "c1"),
        ("ConfigMap", "ns", "c2"),
    }
