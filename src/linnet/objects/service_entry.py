"""ServiceEntry and WorkloadEntry: services and workloads that Kubernetes does not know.

Source: Istio's CustomResourceDefinitions, version v1; every field that they know is here.
"""

from typing import Annotated, Literal

from msgspec import Meta

from linnet.objects.parts import Part, UInt32


class WorkloadEntrySpec(Part, frozen=True):
    address: Annotated[str, Meta(max_length=256)] | None = None
    labels: Annotated[dict[str, str], Meta(max_length=256)] | None = None
    locality: Annotated[str, Meta(max_length=2048)] | None = None
    network: Annotated[str, Meta(max_length=2048)] | None = None
    ports: dict[str, UInt32] | None = None
    service_account: Annotated[str, Meta(max_length=253)] | None = None
    weight: UInt32 | None = None


class EntryPort(Part, frozen=True):
    name: Annotated[str, Meta(max_length=256)]
    number: UInt32
    protocol: Annotated[str, Meta(max_length=256)] | None = None
    target_port: UInt32 | None = None


class EntrySelector(Part, frozen=True):
    labels: Annotated[dict[str, Annotated[str, Meta(max_length=63)]], Meta(max_length=256)] | None = None


class ServiceEntrySpec(Part, frozen=True):
    hosts: Annotated[tuple[str, ...], Meta(min_length=1, max_length=256)]
    addresses: Annotated[tuple[Annotated[str, Meta(max_length=64)], ...], Meta(max_length=256)] = ()
    endpoints: Annotated[tuple[WorkloadEntrySpec, ...], Meta(max_length=4096)] = ()
    export_to: tuple[str, ...] = ()
    location: Literal["MESH_EXTERNAL", "MESH_INTERNAL"] | None = None
    ports: tuple[EntryPort, ...] = ()
    resolution: Literal["NONE", "STATIC", "DNS", "DNS_ROUND_ROBIN", "DYNAMIC_DNS"] | None = None
    subject_alt_names: tuple[str, ...] = ()
    workload_selector: EntrySelector | None = None
