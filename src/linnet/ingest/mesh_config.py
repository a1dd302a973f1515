"""The mesh's configuration: a ConfigMap whose key `mesh` holds YAML.

Source: Istio, MeshConfig.
"""

from typing import Any

import msgspec

from linnet.ingest.report import Report, shape_fault
from linnet.ingest.values import seconds
from linnet.model.snapshot import MeshConfig
from linnet.objects.parts import Part


class _OutboundTrafficPolicy(Part, frozen=True):
    mode: str | None = None


class _MeshConfig(Part, frozen=True):
    """What we read of it."""

    trust_domain: str | None = None
    trust_domain_aliases: tuple[str, ...] = ()
    root_namespace: str | None = None
    outbound_traffic_policy: _OutboundTrafficPolicy | None = None
    enable_auto_mtls: bool | None = None
    connect_timeout: str | None = None
    access_log_file: str | None = None
    access_log_encoding: str | None = None


_READ = frozenset(field.encode_name for field in msgspec.structs.fields(_MeshConfig))
# These concern others: the injector (which moves scrape annotations), the agent, the installation.
_ELSEWHERE = {"defaultConfig", "defaultProviders", "enablePrometheusMerge", "extensionProviders"}


def mesh_config(text: str, usual: MeshConfig, report: Report) -> MeshConfig:
    """The configuration in a YAML document, over what is usual; what is wrong with it stays as usual."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        held: Any = YAML(typ="safe", pure=True).load(text) or {}
        read = msgspec.convert(held, _MeshConfig, strict=False)
    except YAMLError as fault:
        report.invalid("data.mesh", f"is not YAML: {fault}".splitlines()[0])
        return usual
    except msgspec.ValidationError as fault:
        path, message = shape_fault(fault)
        report.invalid(path.replace("spec", "data.mesh", 1), message)
        return usual
    for name in sorted(set(held) - _READ - _ELSEWHERE):
        report.not_honoured(f"data.mesh.{name}")
    timeout = seconds(read.connect_timeout) if read.connect_timeout else usual.connect_timeout
    if timeout is None:
        report.invalid("data.mesh.connectTimeout", "is not a duration")
    policy = read.outbound_traffic_policy
    return MeshConfig(
        trust_domain=read.trust_domain or usual.trust_domain,
        trust_domain_aliases=read.trust_domain_aliases,
        domain=usual.domain,
        root_namespace=read.root_namespace or usual.root_namespace,
        allow_any=policy is None or policy.mode != "REGISTRY_ONLY",
        auto_mtls=read.enable_auto_mtls is not False,
        connect_timeout=timeout or usual.connect_timeout,
        access_log=read.access_log_file or "",
        access_log_json=read.access_log_encoding == "JSON",
        system_roots=usual.system_roots,
    )
