"""What injection makes of a pod."""

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from linnet.inject.annotations import InjectionError
from linnet.inject.configuration import Configuration, parse
from linnet.inject.pod import injected
from linnet.install.operator import resolve
from linnet.install.pilot import injection_config, mesh_config

pytestmark = pytest.mark.unit

Object = dict[str, Any]
Configure = Callable[..., Configuration]
MakePod = Callable[..., Object]


def container(pod: Object, name: str = "istio-proxy", field: str = "containers") -> Object:
    """A container by name."""
    found: Object = next(c for c in pod["spec"][field] if c["name"] == name)
    return found


def environment(pod: Object) -> dict[str, Any]:
    """The environment of the proxy."""
    return {e["name"]: e.get("value", e.get("valueFrom")) for e in container(pod)["env"]}


def test_the_user_keeps_everything(configuration: Configure, pod: MakePod) -> None:
    """Injection adds; the argument is not changed."""
    user = pod()
    before = copy.deepcopy(user)
    result = injected(user, "shop", configuration())
    assert user == before
    assert [c["name"] for c in result["spec"]["containers"]] == ["istio-proxy", "main"]
    assert [c["name"] for c in result["spec"]["initContainers"]] == ["migrate", "istio-init"]
    assert result["spec"]["volumes"][0] == {"name": "data", "emptyDir": {}}
    assert result["spec"]["serviceAccountName"] == "echo"


@pytest.mark.parametrize(
    ("revision", "name", "address"),
    [
        ("canary", "canary", "istiod-canary.istio-system.svc:15012"),
        ("default", "default", "istiod.istio-system.svc:15012"),
    ],
)
def test_what_ties_a_pod_to_a_revision(
    configuration: Configure, pod: MakePod, revision: str, name: str, address: str
) -> None:
    """Label, annotation, status, discovery and CA address, image."""
    result = injected(pod(), "shop", configuration(revision))
    meta = result["metadata"]
    assert meta["labels"]["istio.io/rev"] == name
    assert meta["annotations"]["istio.io/rev"] == name
    assert json.loads(meta["annotations"]["sidecar.istio.io/status"])["revision"] == name
    assert environment(result)["CA_ADDR"] == address
    config = json.loads(environment(result)["PROXY_CONFIG"])
    assert config.get("discoveryAddress") == (address if revision == "canary" else None)
    assert container(result)["image"] == "linnet/proxyv2:9.9.9"


def test_a_label_of_the_user_is_never_overwritten(configuration: Configure, pod: MakePod) -> None:
    """A pod template that names a tag keeps it; the annotation tells the revision."""
    meta = injected(pod(labels={"istio.io/rev": "prod"}), "shop", configuration())["metadata"]
    assert (meta["labels"]["istio.io/rev"], meta["annotations"]["istio.io/rev"]) == ("prod", "canary")


def test_labels_and_owner(configuration: Configure, pod: MakePod) -> None:
    """Canonical name and revision; the Deployment behind the ReplicaSet."""
    result = injected(pod(labels={"version": "v2"}), "shop", configuration())
    labels = result["metadata"]["labels"]
    assert labels["security.istio.io/tlsMode"] == "istio"
    assert labels["service.istio.io/canonical-name"] == "echo"
    assert labels["service.istio.io/canonical-revision"] == "v2"
    assert environment(result)["ISTIO_META_WORKLOAD_NAME"] == "echo"
    assert (
        environment(result)["ISTIO_META_OWNER"]
        == "kubernetes://apis/apps/v1/namespaces/shop/deployments/echo"
    )
    assert environment(result)["ISTIO_META_APP_CONTAINERS"] == "main"


def test_probes_go_through_the_agent(configuration: Configure, pod: MakePod) -> None:
    """httpGet and tcpSocket are moved, ports by name resolved, exec stays."""
    result = injected(pod(), "shop", configuration())
    main = container(result, "main")
    assert main["readinessProbe"] == {
        "periodSeconds": 3,
        "httpGet": {"path": "/app-health/main/readyz", "port": 15020, "scheme": "HTTP"},
    }
    assert main["livenessProbe"]["httpGet"]["path"] == "/app-health/main/livez"
    assert main["startupProbe"] == {"exec": {"command": ["true"]}}
    assert json.loads(environment(result)["ISTIO_KUBE_APP_PROBERS"]) == {
        "/app-health/main/readyz": {"httpGet": {"path": "/health", "port": 8080}},
        "/app-health/main/livez": {"tcpSocket": {"port": 8080}, "timeoutSeconds": 2},
    }


def test_probe_rewriting_can_be_switched_off(configuration: Configure, pod: MakePod) -> None:
    """By annotation."""
    result = injected(pod({"sidecar.istio.io/rewriteAppHTTPProbers": "false"}), "shop", configuration())
    assert container(result, "main")["readinessProbe"]["httpGet"] == {"path": "/health", "port": "http"}
    assert "ISTIO_KUBE_APP_PROBERS" not in environment(result)


def test_drain_hooks(configuration: Configure, pod: MakePod) -> None:
    """The proxy and each container without a preStop of its own drain; an own hook is kept."""
    containers = [
        {"name": "main", "image": "x"},
        {"name": "own", "image": "x", "lifecycle": {"preStop": {"exec": {"command": ["stop"]}}}},
    ]
    result = injected(pod(containers=containers, terminationGracePeriodSeconds=60), "shop", configuration())
    hook = {"httpGet": {"path": "/drain?grace=60", "port": 15020}}
    assert container(result)["lifecycle"]["preStop"] == hook
    assert container(result, "main")["lifecycle"] == {"preStop": hook}
    assert container(result, "own")["lifecycle"] == {"preStop": {"exec": {"command": ["stop"]}}}


@pytest.mark.parametrize(
    ("grace", "drain"), [(None, None), (10, None), (30, None), (60, "83s"), (3600, "5393s")]
)
def test_envoy_drains_as_long_as_the_pod_may(
    configuration: Configure, pod: MakePod, grace: int | None, drain: str | None
) -> None:
    """Two thirds of its drain time are no less than what the hook takes; what the user says wins."""
    spec = {} if grace is None else {"terminationGracePeriodSeconds": grace}
    result = injected(pod(**spec), "shop", configuration())
    assert json.loads(environment(result)["PROXY_CONFIG"]).get("drainDuration") == drain
    notes = {"proxy.istio.io/config": "drainDuration: 7s"}
    result = injected(pod(notes, **spec), "shop", configuration())
    assert json.loads(environment(result)["PROXY_CONFIG"])["drainDuration"] == "7s"


def test_drain_hooks_can_be_switched_off(configuration: Configure, pod: MakePod) -> None:
    """By annotation."""
    result = injected(pod({"linnet.io/drain": "false"}), "shop", configuration())
    assert "preStop" not in container(result)["lifecycle"]
    assert "lifecycle" not in container(result, "main")


def test_capture(configuration: Configure, pod: MakePod) -> None:
    """The arguments of istio-init, and how annotations change them."""
    plain = container(injected(pod(), "shop", configuration()), "istio-init", "initContainers")
    assert plain["args"][:18] == [
        *("istio-iptables", "-p", "15001", "-z", "15006", "-u", "1337", "-m", "REDIRECT"),
        *("-i", "*", "-x", "", "-b", "*", "-d", "15090,15021,15020", "--log_output_level=default:info"),
    ]
    assert plain["securityContext"]["capabilities"] == {"add": ["NET_ADMIN", "NET_RAW"], "drop": ["ALL"]}
    tuned = {
        "traffic.sidecar.istio.io/includeInboundPorts": "80,81",
        "traffic.sidecar.istio.io/excludeInboundPorts": "9000",
        "traffic.sidecar.istio.io/excludeOutboundPorts": "3306",
        "traffic.sidecar.istio.io/excludeOutboundIPRanges": "10.0.0.0/8",
    }
    args = container(injected(pod(tuned), "shop", configuration()), "istio-init", "initContainers")["args"]
    told = dict(zip(args[1:-1:2], args[2:-1:2], strict=True))
    assert (told["-b"], told["-d"], told["-o"], told["-x"]) == (
        "80,81",
        "15090,15021,15020,9000",
        "3306",
        "10.0.0.0/8",
    )


def test_no_capture(configuration: Configure, pod: MakePod) -> None:
    """Interception mode NONE has no init container."""
    result = injected(pod({"sidecar.istio.io/interceptionMode": "NONE"}), "shop", configuration())
    assert [c["name"] for c in result["spec"]["initContainers"]] == ["migrate"]


def test_user_overrides_win(configuration: Configure, pod: MakePod) -> None:
    """A container istio-proxy of the user's is laid over the injected one; `image: auto` is ours."""
    own = {
        "name": "istio-proxy",
        "image": "auto",
        "resources": {"requests": {"cpu": "1m"}},
        "env": [{"name": "A", "value": "b"}],
    }
    user = pod()
    user["spec"]["containers"].append(own)
    result = injected(user, "shop", configuration())
    proxy = container(result)
    assert proxy["image"] == "linnet/proxyv2:9.9.9"
    assert proxy["resources"]["requests"]["cpu"] == "1m"
    assert environment(result)["A"] == "b"
    assert json.loads(result["metadata"]["annotations"]["proxy.istio.io/overrides"]) == {"containers": [own]}
    assert injected(result, "shop", configuration()) == result


def test_gateway_template(configuration: Configure, pod: MakePod) -> None:
    """A pod that asks for the gateway template: a router, no redirect, no tlsMode."""
    user = pod(
        {"inject.istio.io/templates": "gateway"}, containers=[{"name": "istio-proxy", "image": "auto"}]
    )
    del user["spec"]["initContainers"]
    result = injected(user, "shop", configuration())
    assert container(result)["args"][:2] == ["proxy", "router"]
    assert "initContainers" not in result["spec"]
    assert "security.istio.io/tlsMode" not in result["metadata"]["labels"]
    assert container(result)["image"] == "linnet/proxyv2:9.9.9"
    assert injected(result, "shop", configuration()) == result


def test_metrics_are_merged(configuration: Configure, pod: MakePod) -> None:
    """Scrape annotations move to the agent and come back when the pod is injected again."""
    asked = {"prometheus.io/scrape": "true", "prometheus.io/port": "9090", "prometheus.io/path": "/m"}
    result = injected(pod(asked), "shop", configuration())
    assert result["metadata"]["annotations"]["prometheus.io/port"] == "15020"
    assert json.loads(environment(result)["ISTIO_PROMETHEUS_ANNOTATIONS"]) == {
        "scrape": "true",
        "path": "/m",
        "port": "9090",
    }
    assert injected(result, "shop", configuration()) == result


@pytest.mark.parametrize(
    ("annotations", "told"),
    [
        ({"sidecar.istio.io/interceptionMode": "MAYBE"}, "REDIRECT, TPROXY or NONE"),
        ({"sidecar.istio.io/proxyCPU": "lots"}, "a quantity"),
        ({"traffic.sidecar.istio.io/includeInboundPorts": "http"}, "a list of ports"),
        ({"inject.istio.io/templates": "sidecar,nope"}, "there is no template 'nope'"),
        ({"proxy.istio.io/config": "a: ["}, "not valid YAML"),
        ({"prometheus.io/port": "15090"}, "a port of the proxy"),
        ({"linnet.io/drain": "perhaps"}, "true or false"),
        ({"status.sidecar.istio.io/port": "８"}, "a port number"),  # a digit, but none of ASCII
        ({"sidecar.istio.io/userVolume": '{"a": 5}'}, "a JSON map of volumes"),
        ({"sidecar.istio.io/userVolumeMount": '{"a": null}'}, "a JSON map of mounts"),
        ({"sidecar.istio.io/userVolume": "[" * 100_000}, "a JSON map of volumes"),
        ({"proxy.istio.io/config": "image: 5"}, r"config\.image: Expected"),
        ({"proxy.istio.io/config": "proxyMetadata: {A: [1]}"}, r"proxyMetadata\[\.\.\.\]: Expected"),
        ({"proxy.istio.io/config": "interceptionMode: MAYBE"}, "interceptionMode: Invalid enum value"),
        ({"proxy.istio.io/config": "since: 2020-01-01"}, "date is not JSON"),
        ({"proxy.istio.io/config": "since: 2020-13-41"}, "not valid YAML"),
        ({"proxy.istio.io/config": "share: .nan"}, "not JSON"),
        ({"proxy.istio.io/config": "a: &a [*a]"}, "aliases"),
        ({"proxy.istio.io/config": "a: &a {}\nb: [*a, *a]"}, "aliases"),
        ({"proxy.istio.io/config": "a: " + "[" * 10_000}, "nested too deeply"),
        ({"sidecar.istio.io/status": "5"}, "Expected `object`"),
        ({"sidecar.istio.io/status": '{"containers": 5}'}, r"status\.containers: Expected"),
        ({"sidecar.istio.io/status": "[" * 100_000}, "not valid JSON"),
        (
            {"proxy.istio.io/overrides": '{"containers": [{}]}', "sidecar.istio.io/status": "{}"},
            "missing required field `name`",
        ),
    ],
)
def test_bad_annotations_refuse_the_pod(
    configuration: Configure, pod: MakePod, annotations: dict[str, str], told: str
) -> None:
    """The message names the annotation and what is allowed."""
    with pytest.raises(InjectionError, match=told) as refused:
        injected(pod(annotations), "shop", configuration())
    assert next(iter(annotations)) in str(refused.value)


def test_an_application_starts_when_its_proxy_is_ready(configuration: Configure, pod: MakePod) -> None:
    """The proxy comes first, and its hook waits: what an application calls at once is not refused."""
    result = injected(pod(), "shop", configuration())
    assert [c["name"] for c in result["spec"]["containers"]] == ["istio-proxy", "main"]
    command = container(result)["lifecycle"]["postStart"]["exec"]["command"]
    assert command[:3] == ["linnet", "pilot-agent", "wait"]
    assert injected(result, "shop", configuration()) == result


@pytest.mark.parametrize(
    "notes",
    [
        {"proxy.istio.io/config": '{"holdApplicationUntilProxyStarts": false}'},
        {"status.sidecar.istio.io/port": "0"},  # nobody could say that the proxy is ready
    ],
)
def test_an_application_that_does_not_wait(
    configuration: Configure, pod: MakePod, notes: dict[str, str]
) -> None:
    """Then the proxy comes last, without a hook."""
    result = injected(pod(notes), "shop", configuration())
    assert [c["name"] for c in result["spec"]["containers"]] == ["main", "istio-proxy"]
    assert "postStart" not in (container(result).get("lifecycle") or {})


@pytest.mark.parametrize("field", ["containers", "initContainers", "volumes"])
def test_a_name_is_needed(configuration: Configure, pod: MakePod, field: str) -> None:
    """Kubernetes has not checked the pod yet when a webhook gets it."""
    with pytest.raises(InjectionError, match=rf"spec\.{field}\[0\]: has no name"):
        injected(pod(None, None, **{field: [{"image": "x"}]}), "shop", configuration())


@pytest.mark.parametrize(
    ("containers", "told"),
    [(5, "containers: expected a list"), (["main"], r"containers\[0\]: expected a map")],
)
def test_shapes_that_nobody_has_checked(
    configuration: Configure, pod: MakePod, containers: Any, told: str
) -> None:
    """As a file for `kube-inject` may have them."""
    with pytest.raises(InjectionError, match=told):
        injected(pod(None, None, containers=containers), "shop", configuration())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ISTIO_KUBE_APP_PROBERS", "[1]"),
        ("ISTIO_KUBE_APP_PROBERS", "nope"),
        ("ISTIO_PROMETHEUS_ANNOTATIONS", "nope"),
    ],
)
def test_an_environment_that_no_injection_wrote(
    configuration: Configure, pod: MakePod, name: str, value: str
) -> None:
    """What an earlier injection noted may have been edited: the message names it."""
    proxy = {"name": "istio-proxy", "image": "auto", "env": [{"name": name, "value": value}]}
    edited = pod({"sidecar.istio.io/status": "{}"}, None, containers=[proxy])
    with pytest.raises(InjectionError, match=f"environment {name}"):
        injected(edited, "shop", configuration())


def test_overrides_without_an_injection_mean_nothing(configuration: Configure, pod: MakePod) -> None:
    """The annotation is ours; alone it was copied from somewhere."""
    result = injected(pod({"proxy.istio.io/overrides": "nope"}), "shop", configuration())
    assert result == injected(pod(), "shop", configuration())


def test_a_copy_without_annotations(configuration: Configure, pod: MakePod) -> None:
    """As `kubectl debug --copy-to` makes it: its probes are the agent's already, and still reach the pod."""
    once = injected(pod(), "shop", configuration())
    copied = copy.deepcopy(once)
    copied["metadata"] = {"name": "copy"}
    again = injected(copied, "shop", configuration())
    for name in ("ISTIO_KUBE_APP_PROBERS", "PROXY_CONFIG"):
        assert environment(again)[name] == environment(once)[name]
    assert container(again, "main") == container(once, "main")


def test_volumes_that_the_user_has_too(configuration: Configure, pod: MakePod) -> None:
    """Ours wins, has one source, and stays in its place when the pod is injected again."""
    own = [{"name": "istio-data", "nfs": {"server": "files", "path": "/"}}, {"name": "data", "emptyDir": {}}]
    once = injected(pod(None, None, volumes=own), "shop", configuration())
    assert once["spec"]["volumes"][0] == {"name": "istio-data", "emptyDir": {}}
    assert injected(once, "shop", configuration()) == once


def test_volumes_by_annotation_twice(configuration: Configure, pod: MakePod) -> None:
    """They are ours to take out again."""
    once = injected(
        pod({"sidecar.istio.io/userVolume": '{"more": {"emptyDir": {}}}'}), "shop", configuration()
    )
    assert once["spec"]["volumes"][-1] == {"name": "more", "emptyDir": {}}
    assert injected(once, "shop", configuration()) == once


def test_path_environment(configuration: Configure, pod: MakePod) -> None:
    """What the webhook's path says wins on the proxy, and the network becomes a label."""
    told = {"ISTIO_META_CLUSTER_ID": "C1", "ISTIO_META_NETWORK": "N1"}
    result = injected(pod(), "shop", configuration(), told)
    assert environment(result)["ISTIO_META_CLUSTER_ID"] == "C1"
    assert result["metadata"]["labels"]["topology.istio.io/network"] == "N1"


NAMES = st.sampled_from(["main", "helper", "istio-proxy"])
CONTAINERS = st.lists(
    st.fixed_dictionaries(
        {"name": NAMES, "image": st.sampled_from(["auto", "x"])},
        optional={
            "readinessProbe": st.sampled_from(
                [
                    {"httpGet": {"path": "/", "port": 1}},
                    {"tcpSocket": {"port": 2}},
                    {"grpc": {"port": 3}},
                    {"exec": {}},
                ]
            ),
            "lifecycle": st.sampled_from(
                [
                    {"preStop": {"exec": {}}},
                    {"preStop": {"httpGet": {"path": "/x", "port": 1}}},
                    {"postStart": {"tcpSocket": {"port": 4}}},
                ]
            ),
            "env": st.just([{"name": "A", "value": "b"}]),
        },
    ),
    min_size=1,
    max_size=3,
    unique_by=lambda c: c["name"],
)
ANNOTATIONS = st.dictionaries(
    st.sampled_from(["linnet.io/drain", "sidecar.istio.io/rewriteAppHTTPProbers", "prometheus.io/scrape"]),
    st.sampled_from(["true", "false"]),
)


@pytest.fixture(scope="module")
def canary() -> Configuration:
    """One configuration for all examples of a law."""
    plane = resolve([], ["revision=canary"], version="9").plane
    return parse(
        injection_config(plane)["data"],
        mesh_config(plane)["data"]["mesh"],
        revision="canary",
        namespace="istio-system",
    )


@pytest.mark.laws
@settings(max_examples=200, deadline=None)
@given(containers=CONTAINERS, annotations=ANNOTATIONS)
def test_injecting_twice_is_injecting_once(
    canary: Configuration, containers: list[Object], annotations: dict[str, str]
) -> None:
    """Whatever the pod, a second injection changes nothing."""
    user = {"metadata": {"name": "p", "annotations": annotations}, "spec": {"containers": containers}}
    once = injected(user, "shop", canary)
    assert injected(once, "shop", canary) == once
