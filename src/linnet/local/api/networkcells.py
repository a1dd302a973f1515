"""The cells of Services, endpoints and what leads to them.

Source: the printers of Kubernetes; observed with 1.35.
"""

from typing import Any

from linnet.local.api.cellparts import NONE, age, dig, labels, limited, selector

Json = dict[str, Any]
Cells = list[Any]


def service(obj: Json) -> Cells:
    spec = obj.get("spec") or {}
    kind = spec.get("type", "ClusterIP")
    ports = [
        f"{port['port']}"
        + (f":{port['nodePort']}" if port.get("nodePort") else "")
        + f"/{port.get('protocol', 'TCP')}"
        for port in spec.get("ports") or ()
    ]
    return [
        kind,
        spec.get("clusterIP") or NONE,
        _external(kind, obj),
        ",".join(ports) or NONE,
        age(obj),
        labels(spec.get("selector")),
    ]


def _external(kind: str, obj: Json) -> str:
    """The address from outside."""
    spec = obj["spec"]
    given = ",".join(spec.get("externalIPs") or ())
    if kind == "ExternalName":
        return str(spec.get("externalName", ""))
    if kind == "LoadBalancer":
        reported = _ingress_addresses(obj)
        return ",".join(part for part in (reported, given) if part) or "<pending>"
    return given or NONE


def _ingress_addresses(obj: Json) -> str:
    entries = dig(obj, "status", "loadBalancer", "ingress", default=[])
    return ",".join(entry.get("ip") or entry.get("hostname", "") for entry in entries)


def endpoints(obj: Json) -> Cells:
    found = []
    for subset in obj.get("subsets") or ():
        for address in subset.get("addresses") or ():
            ports = subset.get("ports") or ()
            found += [f"{address['ip']}:{port['port']}" for port in ports] or [address["ip"]]
    return [limited(found) or NONE, age(obj)]


def endpoint_slice(obj: Json) -> Cells:
    ports = [str(port.get("port") or "*") for port in obj.get("ports") or ()]
    addresses = [address for one in obj.get("endpoints") or () for address in one.get("addresses") or ()]
    return [
        obj.get("addressType", ""),
        limited(ports) or "<unset>",
        limited(addresses) or "<unset>",
        age(obj),
    ]


def ingress(obj: Json) -> Cells:
    spec = obj.get("spec") or {}
    hosts = [rule["host"] for rule in spec.get("rules") or () if rule.get("host")]
    return [
        spec.get("ingressClassName") or NONE,
        limited(hosts) or "*",
        _ingress_addresses(obj),
        "80, 443" if spec.get("tls") else "80",
        age(obj),
    ]


def ingress_class(obj: Json) -> Cells:
    spec = obj.get("spec") or {}
    parameters = spec.get("parameters")
    shown = NONE
    if parameters:
        group = f".{parameters['apiGroup']}" if parameters.get("apiGroup") else ""
        shown = f"{parameters.get('kind', '')}{group}/{parameters.get('name', '')}"
    return [spec.get("controller", ""), shown, age(obj)]


def network_policy(obj: Json) -> Cells:
    return [selector(dig(obj, "spec", "podSelector")), age(obj)]


def service_cidr(obj: Json) -> Cells:
    return [",".join(dig(obj, "spec", "cidrs", default=[])), age(obj)]


def ip_address(obj: Json) -> Cells:
    ref = dig(obj, "spec", "parentRef", default={})
    group = f".{ref['group']}" if ref.get("group") else ""
    return [f"{ref.get('resource', '')}{group}/{ref.get('namespace', '')}/{ref.get('name', '')}"]
