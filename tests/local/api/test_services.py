"""Services: what is refused, and what a change of type leaves behind."""

from typing import Any

import pytest

from linnet.local.api import servicechecks

pytestmark = pytest.mark.unit

Json = dict[str, Any]

_IP = "10.96.1.1"


def _service(**spec: Any) -> Json:
    whole = {
        "type": "ClusterIP",
        "clusterIP": _IP,
        "clusterIPs": [_IP],
        "sessionAffinity": "None",
        "ports": [{"port": 80, "protocol": "TCP"}],
        **spec,
    }
    return {"metadata": {"name": "s", "namespace": "d"}, "spec": whole}


@pytest.mark.parametrize(
    ("spec", "wanted"),
    [
        ({}, []),
        (
            {"externalTrafficPolicy": "Local"},
            [
                (
                    'spec.externalTrafficPolicy: Invalid value: "Local": '
                    "may only be set for externally-accessible services"
                )
            ],
        ),
        (
            {"internalTrafficPolicy": "X"},
            ['spec.internalTrafficPolicy: Unsupported value: "X": supported values: "Cluster", "Local"'],
        ),
        (
            {"ipFamilyPolicy": "RequireDualStack"},
            [
                (
                    'spec.ipFamilyPolicy: Invalid value: "RequireDualStack": '
                    "this cluster is not configured for dual-stack services"
                )
            ],
        ),
        (
            {"loadBalancerSourceRanges": ["y"], "externalIPs": ["x"]},
            [
                (
                    'spec.externalIPs[0]: Invalid value: "x": '
                    "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
                ),
                "spec.LoadBalancerSourceRanges: Forbidden: may only be used when `type` is 'LoadBalancer'",
                (
                    'spec.LoadBalancerSourceRanges[0]: Invalid value: "y": '
                    "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"
                ),
            ],
        ),
        (
            {"type": "NodePort", "clusterIP": "None", "clusterIPs": ["None"]},
            ["spec.clusterIPs[0]: Invalid value: \"None\": may not be set to 'None' for NodePort services"],
        ),
        (
            {"ports": [{"port": 80, "protocol": "TCP", "nodePort": 30000}]},
            ["spec.ports[0].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'"],
        ),
        ({"type": "ExternalName", "clusterIP": "", "clusterIPs": []}, ["spec.externalName: Required value"]),
    ],
)
def test_what_is_refused(spec: Json, wanted: list[str]) -> None:
    """Each rule with its text."""
    found = servicechecks.service(_service(**spec), None, "")
    assert [f"{cause.field}: {cause.message}" for cause in found] == wanted


def test_an_address_stays() -> None:
    """The cluster address of a Service cannot be changed."""
    found = servicechecks.service(_service(clusterIP="10.96.2.2", clusterIPs=["10.96.2.2"]), _service(), "")
    assert [f"{cause.field}: {cause.message}" for cause in found] == [
        'spec.clusterIPs[0]: Invalid value: ["10.96.2.2"]: may not change once set'
    ]


def test_a_change_of_type_drops_what_only_the_former_had() -> None:
    """Node ports and policies go when the type does not need them, unless they were set anew."""
    ports = [{"port": 80, "protocol": "TCP", "nodePort": 30000}]
    old = _service(type="NodePort", externalTrafficPolicy="Cluster", ports=ports)
    new = _service(externalTrafficPolicy="Cluster", ports=[dict(ports[0])])
    servicechecks.settled(new, old)
    assert new == _service()
    named = _service(type="ExternalName", externalName="example.com", ports=[])
    servicechecks.settled(named, _service())
    assert "clusterIP" not in named["spec"]
