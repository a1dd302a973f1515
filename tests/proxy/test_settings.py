"""What an agent is told, and what it makes of it."""

import json
import re

import pytest

from linnet.proxy.bootstrap import arguments, bootstrap, endpoints
from linnet.proxy.drain import LEAST, hook_limit
from linnet.proxy.settings import Prober, Scrape, Unusable, read, seconds

pytestmark = pytest.mark.unit

ENV = {
    "POD_NAME": "cart-1",
    "POD_NAMESPACE": "shop",
    "INSTANCE_IP": "10.244.0.7",
    "SERVICE_ACCOUNT": "cart",
    "HOST_IP": "192.168.0.1",
    "ISTIO_META_CLUSTER_ID": "Kubernetes",
    "ISTIO_META_WORKLOAD_NAME": "cart-v1",
}
FILES = {
    "/etc/istio/pod/labels": 'app="cart"\npod-template-hash="abc"\nistio.io/rev="canary"\n',
    "/etc/istio/pod/annotations": 'note="say \\"hi\\""\n',
}


def settings(*args: str, files: dict[str, str] | None = None, **env: str):
    return read(args, ENV | env, (files or {}).get, version="0.1.0")


def test_the_node_is_istios():
    """Identifier, cluster and metadata as Istio's agent sends them."""
    told = settings("proxy", "sidecar", "--domain", "shop.svc.cluster.local", files=FILES)
    assert told.node_id == "sidecar~10.244.0.7~cart-1.shop~shop.svc.cluster.local"
    assert told.identity == "spiffe://cluster.local/ns/shop/sa/cart"
    assert told.cluster == "cart.shop"
    metadata = told.metadata
    assert metadata["LABELS"] == {"app": "cart", "istio.io/rev": "canary"}
    assert metadata["ANNOTATIONS"] == {"note": 'say "hi"'}
    assert metadata["WORKLOAD_NAME"] == "cart-v1"
    assert metadata["ISTIO_VERSION"] == "0.1.0"
    assert metadata["INSTANCE_IPS"] == "10.244.0.7"
    assert metadata["PROXY_CONFIG"]["discoveryAddress"] == "istiod.istio-system.svc:15012"
    assert metadata["NAMESPACE"] == "shop"


def test_later_sources_of_proxy_config_win():
    """Mesh file < PROXY_CONFIG < annotation."""
    mesh = "defaultConfig:\n  discoveryAddress: istiod-a.istio-system.svc:15012\n  drainDuration: 10s\n"
    files = {
        "/etc/istio/config/mesh": mesh,
        "/etc/istio/pod/annotations": 'proxy.istio.io/config="concurrency: 3"\n',
    }
    told = settings(
        "router", files=files, PROXY_CONFIG=json.dumps({"drainDuration": "1m30s", "concurrency": 5})
    )
    assert (told.discovery, told.drain_seconds, told.concurrency) == ("istiod-a.istio-system.svc", 90, 3)
    assert told.role == "router"


def test_a_gateway_tells_lone_streams_before_its_drain_is_over():
    """Envoy sends GOAWAY between two thirds of the drain time and 5 s before its end."""
    drain = settings("router").drain_seconds
    assert LEAST < drain * 2 / 3 < drain - 5 <= hook_limit({})
    assert settings("sidecar").drain_seconds == 45


def test_the_ca_is_at_the_control_plane_unless_said_otherwise():
    """CA_ADDR, else discoveryAddress; the cluster domain is not part of the name."""
    config = json.dumps({"discoveryAddress": "istiod-b.istio-system.svc.cluster.local:15012"})
    told = settings(PROXY_CONFIG=config)
    assert (told.discovery, told.ca, told.ca_port) == ("istiod-b.istio-system.svc",) * 2 + (15012,)
    assert settings(CA_ADDR="istiod-x.mesh.svc:15012").ca == "istiod-x.mesh.svc"


@pytest.mark.parametrize(
    "address",
    [
        "evil.default.svc:15012",
        "istiod-canary.istio-system:15012",
        "10.0.0.1:15012",
        "istiod.istio-system.svc",
        "istiod-canary.istio-system.svc.evil.example:15012",
        "istiod-.istio-system.svc:15012",
    ],
)
def test_only_control_planes_are_accepted(address):
    """A name that is not an istiod Service is refused, whoever wrote it."""
    with pytest.raises(Unusable, match="does not name a control plane"):
        settings(PROXY_CONFIG=json.dumps({"discoveryAddress": address}))


@pytest.mark.parametrize(
    ("env", "said"),
    [
        ({"POD_NAME": ""}, "POD_NAME is not set"),
        ({"PROXY_CONFIG": "[1]"}, "PROXY_CONFIG must be a mapping"),
        ({"PROXY_CONFIG": "{"}, "PROXY_CONFIG is neither JSON nor YAML"),
        ({"MINIMUM_DRAIN_DURATION": "soon"}, "'soon' is not a duration"),
        ({"ISTIO_KUBE_APP_PROBERS": '{"/app-health/a/readyz": {}}'}, "/app-health/a/readyz has none of"),
    ],
)
def test_what_is_missing_or_malformed_is_named(env, said):
    """The message names the variable."""
    with pytest.raises(Unusable, match=said):
        settings(**env)
    with pytest.raises(Unusable, match="waypoint"):
        settings("waypoint")


def test_who_may_drain_is_the_node():
    """The node's address and the pod's default gateway, as the kubelet speaks from either."""
    routes = "Iface\tDestination\tGateway\nlo\t0000007F\t00000000\neth0\t00000000\t0101F40A\t0003\n"
    told = settings(files={"/proc/net/route": routes})
    assert told.node_addresses == {"192.168.0.1", "10.244.1.1"}


def test_probers_and_metrics_are_read():
    """What injection moved away from the kubelet and from Prometheus."""
    probers = {"/app-health/web/readyz": {"httpGet": {"path": "/", "port": 80}, "timeoutSeconds": 2}}
    scrape = {"scrape": "true", "path": "/m", "port": "9000"}
    told = settings(
        ISTIO_KUBE_APP_PROBERS=json.dumps(probers), ISTIO_PROMETHEUS_ANNOTATIONS=json.dumps(scrape)
    )
    assert told.probers == {"/app-health/web/readyz": Prober("httpGet", {"path": "/", "port": 80}, 2.0)}
    assert told.scrape == Scrape(9000, "/m")
    assert settings(ISTIO_PROMETHEUS_ANNOTATIONS='{"scrape": "false"}').scrape is None


def test_levels_of_components_may_stand_in_either_flag():
    """Istio allows `--proxyLogLevel=warning,misc:error`."""
    argv = arguments(
        settings("sidecar", "--proxyLogLevel=info,rbac:debug", "--proxyComponentLogLevel=misc:error")
    )
    assert argv[argv.index("-l") + 1] == "info"
    assert argv[argv.index("--component-log-level") + 1] == "rbac:debug,misc:error"


def test_durations():
    """Units add up; anything else is refused."""
    assert [seconds(text) for text in ("45s", "1h2m3s", "500ms", "1.5s")] == [45, 3723, 0.5, 1.5]
    for text in ("", "5", "s", "5s5", "5 s"):
        with pytest.raises(Unusable):
            seconds(text)


def test_the_bootstrap_trusts_only_the_name_in_the_file():
    """No hostname in the endpoints file: a name that nobody can have is asked for."""
    made = bootstrap(settings(LINNET_ENVOY_MARK="1337"))
    cluster = made["static_resources"]["clusters"][0]
    tls = cluster["transport_socket"]["typed_config"]
    assert tls["auto_host_sni"] is True
    assert tls["auto_sni_san_validation"] is True
    names = tls["common_tls_context"]["combined_validation_context"]["default_validation_context"]
    assert names["match_typed_subject_alt_names"][0]["matcher"]["exact"].endswith(".invalid")
    assert made["dynamic_resources"]["ads_config"]["api_type"] == "DELTA_GRPC"
    option = made["cluster_manager"]["upstream_bind_config"]["socket_options"][0]
    assert option["int_value"] == 1337
    assert bootstrap(settings())["cluster_manager"] == {}
    assert endpoints("istiod.istio-system.svc", (), 15012) == {"resources": []}


def test_own_listeners_are_on_the_pods_address():
    """A listener on all addresses would answer for other pods' readiness."""
    for listener in bootstrap(settings())["static_resources"]["listeners"]:
        assert listener["address"]["socket_address"]["address"] == "10.244.0.7"


@pytest.mark.parametrize(
    ("role", "kept", "left"), [("sidecar", "inbound", "outbound"), ("router", "outbound", "inbound")]
)
def test_who_answers_requests_counts_them(role: str, kept: str, left: str) -> None:
    """A sidecar those to its application, a gateway those from outside; statuses, resets and times only."""
    patterns = bootstrap(settings("proxy", role))["stats_config"]["stats_matcher"]["inclusion_list"][
        "patterns"
    ]
    regexes = [pattern["safe_regex"]["regex"] for pattern in patterns if "safe_regex" in pattern]

    def counts(name: str) -> bool:
        return any(re.fullmatch(regex, name) for regex in regexes)

    for name in ("downstream_rq_2xx", "downstream_rq_5xx", "downstream_rq_rx_reset", "downstream_rq_time"):
        assert counts(f"http.{kept}_0.0.0.0_8080;.{name}")
        assert not counts(f"http.{left}_0.0.0.0_8080;.{name}")
    assert not counts(f"http.{kept}_0.0.0.0_8080;.downstream_cx_length_ms")
