"""The volumes of one pod: directories on this machine, kept current, and where containers see them."""

import os
import shutil
from collections.abc import Mapping

from msgspec import Struct

from linnet.local.node import atomic, payload
from linnet.local.node.container_spec import Container, VolumeMount
from linnet.local.node.environment import Facts, Missing, expand
from linnet.local.node.payload import File, Tokens
from linnet.local.node.runtime import Mount
from linnet.local.node.spec import Pod
from linnet.local.node.volume_spec import Volume


class Directories(Struct, frozen=True):
    """Where a pod's things are."""

    pod: str  # everything that needs no memory
    memory: str  # a place in memory, for emptyDir with medium Memory


class Volumes:
    """The volumes of one pod on disk."""

    def __init__(self, directories: Directories) -> None:
        self._directories = directories
        self._written: dict[str, dict[str, File]] = {}

    def refresh(self, pod: Pod, facts: Facts, tokens: Tokens) -> None:
        """Make all volumes hold what they should.

        Raises:
            Missing: something that is not optional does not exist yet, or the volume is of no known kind.
            OSError: the disk.
        """
        for volume in pod.spec.volumes:
            try:
                self._refresh(volume, pod, facts, tokens)
            except Missing as error:
                raise Missing(f'MountVolume.SetUp failed for volume "{volume.name}" : {error}') from error

    def _refresh(self, volume: Volume, pod: Pod, facts: Facts, tokens: Tokens) -> None:
        group = pod.spec.security_context.fs_group
        if payload.projections(volume) is None:
            self._empty(volume, group)
            return
        files = payload.files(volume, facts, tokens)
        if self._written.get(volume.name) != files:
            atomic.write(self._path(volume), files, group)
            self._written[volume.name] = files

    def _empty(self, volume: Volume, group: int | None) -> None:
        if not volume.empty_dir:
            kind = "hostPath" if volume.host_path else "this kind of"
            raise Missing(
                f"{kind} volume is not offered by the local cluster; "
                "use emptyDir, configMap, secret, downwardAPI or projected"
            )
        path = self._path(volume)
        if not os.path.isdir(path):
            os.makedirs(path)
            os.chmod(path, 0o777 if group is None else 0o2777)
            if group is not None:
                os.chown(path, -1, group)

    def _path(self, volume: Volume) -> str:
        kind = "empty-dir" if volume.empty_dir else "files"
        memory = volume.empty_dir and volume.empty_dir.medium == "Memory"
        root = self._directories.memory if memory else self._directories.pod
        return os.path.join(root, "volumes", kind, volume.name)

    def mounts(self, pod: Pod, container: Container, variables: Mapping[str, str]) -> tuple[Mount, ...]:
        """What a container sees of the volumes; outer directories before inner ones.

        Raises:
            Missing: a mount names no volume, or a sub path does not exist.
        """
        volumes = {volume.name: volume for volume in pod.spec.volumes}
        found = []
        for mount in container.volume_mounts:
            volume = volumes.get(mount.name)
            if volume is None:
                raise Missing(f'volume "{mount.name}" of container "{container.name}" not found')
            read_only = mount.read_only or volume.empty_dir is None
            found.append(Mount(self._source(volume, mount, variables), mount.mount_path, read_only))
        return tuple(sorted(found, key=lambda mount: mount.target.rstrip("/").count("/")))

    def _source(self, volume: Volume, mount: VolumeMount, variables: Mapping[str, str]) -> str:
        path = self._path(volume)
        sub_path = expand(mount.sub_path_expr, variables) if mount.sub_path_expr else mount.sub_path
        if not sub_path:
            return path
        if sub_path.startswith("/") or ".." in sub_path.split("/"):
            raise Missing(f'subPath "{sub_path}" must be relative and stay in its volume')
        wanted = os.path.join(path, sub_path)
        if volume.empty_dir and not os.path.exists(wanted):
            os.makedirs(wanted)
            os.chmod(wanted, 0o777)  # noqa: S103 (containers run as any user)
        resolved = os.path.realpath(wanted)
        if os.path.commonpath((resolved, os.path.realpath(path))) != os.path.realpath(path):
            raise Missing(f'subPath "{sub_path}" leads out of volume "{volume.name}"')
        if not os.path.exists(resolved):
            raise Missing(f'subPath "{sub_path}" does not exist in volume "{volume.name}"')
        return resolved

    def remove(self) -> None:
        """Delete all volumes; logs stay."""
        for root in (self._directories.memory, os.path.join(self._directories.pod, "volumes")):
            if os.path.isdir(root):
                shutil.rmtree(root)
