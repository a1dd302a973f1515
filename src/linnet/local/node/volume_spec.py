"""What the kubelet reads of a volume of a pod.

Source: Kubernetes API reference, Volume v1.
"""

from typing import Any

from msgspec import Struct, field

from linnet.local.node.container_spec import FieldRef, ResourceRef

Object = dict[str, Any]


class KeyToPath(Struct, frozen=True):
    """One file of a ConfigMap or Secret volume."""

    key: str
    path: str
    mode: int | None = None


class ConfigMapSource(Struct, frozen=True, rename="camel"):
    """Files from a ConfigMap."""

    name: str = ""
    items: tuple[KeyToPath, ...] = ()
    default_mode: int = 0o644
    optional: bool = False


class SecretSource(Struct, frozen=True, rename="camel"):
    """Files from a Secret; volumes name it `secretName`, projections `name`."""

    secret_name: str = ""
    name: str = ""
    items: tuple[KeyToPath, ...] = ()
    default_mode: int = 0o644
    optional: bool = False


class DownwardFile(Struct, frozen=True, rename="camel"):
    """A file with a field of the pod."""

    path: str
    field_ref: FieldRef | None = None
    resource_field_ref: ResourceRef | None = None
    mode: int | None = None


class DownwardSource(Struct, frozen=True, rename="camel"):
    """Files from the pod itself."""

    items: tuple[DownwardFile, ...] = ()
    default_mode: int = 0o644


class TokenSource(Struct, frozen=True, rename="camel"):
    """A token of the pod's service account."""

    path: str
    audience: str = ""
    expiration_seconds: int = 3600


class Projection(Struct, frozen=True, rename="camel"):
    """One source of a projected volume."""

    config_map: ConfigMapSource | None = None
    secret: SecretSource | None = None
    downward_api: DownwardSource | None = field(default=None, name="downwardAPI")
    service_account_token: TokenSource | None = None


class ProjectedSource(Struct, frozen=True, rename="camel"):
    """Files from several sources in one directory."""

    sources: tuple[Projection, ...] = ()
    default_mode: int = 0o644


class EmptyDir(Struct, frozen=True, rename="camel"):
    """A directory that lives as long as the pod; medium `Memory` keeps it off the disk."""

    medium: str = ""
    size_limit: str | int | None = None


class Volume(Struct, frozen=True, rename="camel"):
    """A volume of a pod: exactly one source is set."""

    name: str
    empty_dir: EmptyDir | None = None
    config_map: ConfigMapSource | None = None
    secret: SecretSource | None = None
    downward_api: DownwardSource | None = field(default=None, name="downwardAPI")
    projected: ProjectedSource | None = None
    host_path: Object | None = None
    persistent_volume_claim: Object | None = None
