"""The environment of containers."""

import base64
from decimal import Decimal
from typing import Any

import pytest
from tests.local.node.pods import UID, pod

from linnet.local.node.environment import Facts, Missing, environment, expand, service_variables
from linnet.local.node.spec import Pod

pytestmark = pytest.mark.unit

KUBERNETES = {
    "metadata": {"namespace": "default", "name": "kubernetes"},
    "spec": {"clusterIP": "10.96.0.1", "ports": [{"name": "https", "port": 443, "protocol": "TCP"}]},
}
WEB = {
    "metadata": {"namespace": "ns", "name": "my-web"},
    "spec": {
        "clusterIP": "10.96.0.7",
        "ports": [{"name": "http-a", "port": 80}, {"name": "b", "port": 53, "protocol": "UDP"}],
    },
}


def facts(of: Pod, **more: Any) -> Facts:
    known: dict[str, Any] = {
        "pod": of,
        "ip": "10.244.0.9",
        "node_name": "node-1",
        "node_ip": "10.244.0.1",
        "allocatable": {"cpu": Decimal(2), "memory": Decimal(8 * 2**30)},
        "config_maps": {"cm": {"data": {"key": "value", "other": "o"}}},
        "secrets": {"s": {"data": {"pass": base64.b64encode(b"word").decode()}}},
        "services": (KUBERNETES, WEB),
    }
    return Facts(**known | more)


def variables(
    container: dict[str, Any], spec: dict[str, Any] | None = None, **metadata: Any
) -> dict[str, str]:
    made = pod({"containers": [{"name": "main", **container}], **(spec or {})}, **metadata)
    return dict(environment(made.spec.containers[0], facts(made), (("PATH", "/bin"),)))


def test_the_variables_of_a_kubelet() -> None:
    """As recorded of a kubelet 1.35 (13-node): host name and the API server, before anything else."""
    found = variables({}, {"enableServiceLinks": False})
    assert found == {
        "PATH": "/bin",
        "HOSTNAME": "p1",
        "KUBERNETES_PORT": "tcp://10.96.0.1:443",
        "KUBERNETES_PORT_443_TCP": "tcp://10.96.0.1:443",
        "KUBERNETES_PORT_443_TCP_ADDR": "10.96.0.1",
        "KUBERNETES_PORT_443_TCP_PORT": "443",
        "KUBERNETES_PORT_443_TCP_PROTO": "tcp",
        "KUBERNETES_SERVICE_HOST": "10.96.0.1",
        "KUBERNETES_SERVICE_PORT": "443",
        "KUBERNETES_SERVICE_PORT_HTTPS": "443",
    }


def test_service_links_name_every_port() -> None:
    """The first port is the service's own; protocols show."""
    found = service_variables(facts(pod()))
    assert found["MY_WEB_SERVICE_HOST"] == "10.96.0.7"
    assert found["MY_WEB_SERVICE_PORT"] == "80"
    assert found["MY_WEB_SERVICE_PORT_HTTP_A"] == "80"
    assert found["MY_WEB_PORT"] == "tcp://10.96.0.7:80"
    assert found["MY_WEB_PORT_53_UDP"] == "udp://10.96.0.7:53"


def test_sources_of_variables() -> None:
    """All forms of valueFrom, in order: later variables see earlier ones."""
    found = variables(
        {
            "resources": {"limits": {"memory": "1Gi"}, "requests": {"cpu": "250m"}},
            "env": [
                {"name": "A", "value": "a"},
                {"name": "B", "value": "$(A)-$(LATER)-$$(A)"},
                {"name": "LATER", "value": "l"},
                {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
                {"name": "UID", "valueFrom": {"fieldRef": {"fieldPath": "metadata.uid"}}},
                {"name": "APP", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['app']"}}},
                {
                    "name": "MEM",
                    "valueFrom": {"resourceFieldRef": {"resource": "limits.memory", "divisor": "1Mi"}},
                },
                {
                    "name": "CPU",
                    "valueFrom": {"resourceFieldRef": {"resource": "requests.cpu", "divisor": "1m"}},
                },
                {"name": "CORES", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}},
                {"name": "K", "valueFrom": {"configMapKeyRef": {"name": "cm", "key": "key"}}},
                {"name": "P", "valueFrom": {"secretKeyRef": {"name": "s", "key": "pass"}}},
                {"name": "NONE", "valueFrom": {"secretKeyRef": {"name": "x", "key": "y", "optional": True}}},
            ],
        },
        labels={"app": "web"},
    )
    expected = {"A": "a", "B": "a-$(LATER)-$(A)", "IP": "10.244.0.9", "UID": UID, "APP": "web", "MEM": "1024"}
    expected |= {"CPU": "250", "CORES": "2", "K": "value", "P": "word"}
    assert {key: found[key] for key in expected} == expected
    assert "NONE" not in found


def test_env_from_takes_all_keys_and_env_wins() -> None:
    """A prefix goes in front; the container's own variables are stronger."""
    found = variables(
        {
            "envFrom": [{"configMapRef": {"name": "cm"}, "prefix": "P_"}, {"secretRef": {"name": "s"}}],
            "env": [{"name": "pass", "value": "mine"}],
        }
    )
    assert (found["P_key"], found["P_other"], found["pass"]) == ("value", "o", "mine")


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ({"configMapKeyRef": {"name": "no", "key": "k"}}, 'configmap "no" not found'),
        ({"configMapKeyRef": {"name": "cm", "key": "k"}}, "couldn't find key k in ConfigMap ns/cm"),
        ({"secretKeyRef": {"name": "s", "key": "k"}}, "couldn't find key k in Secret ns/s"),
        ({"fieldRef": {"fieldPath": "spec.nothing"}}, "unsupported fieldPath: spec.nothing"),
    ],
)
def test_what_is_missing_is_said_as_a_kubelet_says_it(source: dict[str, Any], words: str) -> None:
    """The text goes into the status of the container."""
    with pytest.raises(Missing) as caught:
        variables({"env": [{"name": "X", "valueFrom": source}]})
    assert str(caught.value) == words


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("$(A)", "1"),
        ("$$(A)", "$(A)"),
        ("$(B)", "$(B)"),
        ("$A", "$A"),
        ("$$", "$"),
        ("$(A)$(A)", "11"),
        ("$(", "$("),
    ],
)
def test_expansion(text: str, expected: str) -> None:
    """As in command and args of Kubernetes."""
    assert expand(text, {"A": "1"}) == expected
