"""proxy-status, version, proxy-config: what they make of what istiod and Envoy answer."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from click.testing import CliRunner

from linnet.cli import istiods, output, pods, proxy_status, version
from linnet.cli.compare import differences
from linnet.cli.discovery import address, settings_of
from linnet.cli.envoy import clusters, endpoints, listeners, routes, secrets
from linnet.cli.faults import UserError
from linnet.cli.proxy_config import proxy_config

pytestmark = pytest.mark.unit

CDS = "type.googleapis.com/envoy.config.cluster.v3.Cluster"


def istiod(name: str, revision: str) -> istiods.Istiod:
    """A running istiod."""
    component = "pilot" if revision == "default" else "istiod"
    return istiods.Istiod(name, "istio-system", revision, component, 15014)


def answer(plane: istiods.Istiod, *rows: dict) -> istiods.Answer:
    """Its /debug/syncz."""
    return istiods.Answer(plane, json.dumps(rows).encode())


SYNCED = {
    "proxy": "web-1.shop",
    "cluster_id": "Kubernetes",
    "istio_version": "0.1.0",
    "cluster_sent": "7",
    "cluster_acked": "7",
    "listener_sent": "9",
    "listener_acked": "8",
    "endpoint_sent": "5",
    "endpoint_acked": "5",
}
CANARY = istiod("istiod-canary-x", "canary")


def test_the_eighth_word_is_the_istiod() -> None:
    """Whatever the states and whatever is missing: `awk '{print $8}'` finds the istiod."""
    poor = {"proxy": "gateway.istio-system"}
    broken = SYNCED | {"proxy": "bad.shop", "resources": {CDS: {"lastError": "no such filter"}}}
    table = proxy_status.table(proxy_status.rows([answer(CANARY, SYNCED, poor, broken)]))
    header, *lines = (line.split() for line in table.splitlines())
    assert header[7] == "ISTIOD"
    assert [line[7] for line in lines] == ["istiod-canary-x"] * 3
    assert lines[0][2] == "ERROR"
    assert lines[1][2:7] == ["NOT_SENT"] * 4 + ["IGNORED"]
    assert lines[2][2:7] == ["SYNCED", "STALE", "SYNCED", "NOT_SENT", "IGNORED"]


def test_columns_are_five_spaces_apart() -> None:
    """As istioctl's."""
    line = proxy_status.table(proxy_status.rows([answer(CANARY, SYNCED)])).splitlines()[1]
    assert "web-1.shop     Kubernetes     SYNCED" in line


def test_namespace_filter() -> None:
    """-n limits the proxies."""
    other = SYNCED | {"proxy": "db.bank"}
    found = proxy_status.rows([answer(CANARY, SYNCED, other)], "bank")
    assert [row.name for row in found] == ["db.bank"]


@pytest.mark.parametrize("form", ["json", "yaml"])
def test_documents(form: str) -> None:
    """States, istiod and details as data."""
    from ruamel.yaml import YAML

    text = output.dump(proxy_status.document(proxy_status.rows([answer(CANARY, SYNCED)])), form)
    (row,) = YAML(typ="safe").load(text)
    assert (row["istiod"], row["states"]["LDS"]) == ("istiod-canary-x", "STALE")


def test_version_of_one_plane() -> None:
    """One line for the control plane; proxies are counted."""
    mesh = version.Mesh(
        planes=((CANARY, "0.1.0"),),
        proxies=({"istio_version": "0.1.0", "revision": "canary"},) * 2,
    )
    assert version.lines(mesh, "0.1.0") == [
        "client version: 0.1.0",
        "control plane version: 0.1.0",
        "data plane version: 0.1.0 (2 proxies)",
    ]


def test_version_of_two_revisions() -> None:
    """A line per control plane, with its revision, and the proxies of each."""
    mesh = version.Mesh(
        planes=((CANARY, "0.2.0"), (istiod("istiod-y", "default"), "0.1.0")),
        proxies=({"istio_version": "0.1.0", "revision": "default"},),
    )
    assert version.lines(mesh, "0.2.0")[1:] == [
        "istiod version: 0.2.0 (revision canary)",
        "pilot version: 0.1.0 (revision default)",
        "data plane version: 0.1.0 (1 proxy)",
        "proxies by revision: canary (0), default (1)",
    ]


@pytest.mark.parametrize(
    ("body", "found"),
    [
        (b"1.20.1-0123abc-Clean\n", "1.20.1"),
        (b"1.2.0-rc.1-unknown-Clean", "1.2.0-rc.1"),
        (b'{"clientVersion": {"version": "1.9.0"}}', "1.9.0"),
    ],
)
def test_answers_of_version(body: bytes, found: str) -> None:
    """Text with dashes, or JSON."""
    assert version.parsed(body) == found


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("web-1", ("pod", "web-1", "default")),
        ("web-1.shop", ("pod", "web-1", "shop")),
        ("deploy/web.shop", ("deployment", "web", "shop")),
        ("svc/web", ("service", "web", "default")),
        ("a.b.shop", ("pod", "a.b", "shop")),
    ],
)
def test_pod_arguments(text: str, parts: tuple[str, str, str]) -> None:
    """Kind, name, namespace; the last dot parts the namespace."""
    assert pods.split(text, "default") == parts


def test_a_kind_without_pods() -> None:
    """Said at once."""
    with pytest.raises(UserError, match="secret"):
        pods.split("secret/x", "default")


CLUSTERS = {
    "@type": "type.googleapis.com/envoy.admin.v3.ClustersConfigDump",
    "static_clusters": [{"cluster": {"name": "xds-grpc", "type": "EDS"}}],
    "dynamic_active_clusters": [
        {
            "cluster": {
                "name": "outbound|80|v1|web.shop.svc.cluster.local",
                "type": "EDS",
                "metadata": {
                    "filter_metadata": {
                        "istio": {
                            "config": "/apis/networking.istio.io/v1/namespaces/shop/destination-rule/web"
                        }
                    }
                },
            }
        }
    ],
}
DUMP = {"configs": [CLUSTERS]}


def test_clusters() -> None:
    """Name parts, destination rule, filters."""
    assert clusters.rows(clusters.select(DUMP, clusters.Filter(port=80))) == [
        ("web.shop.svc.cluster.local", "80", "v1", "outbound", "EDS", "web.shop")
    ]
    assert len(clusters.select(DUMP, clusters.Filter())) == 2


def test_listeners() -> None:
    """A line per filter chain, where it goes, and the type filter."""
    manager = {
        "typed_config": {"@type": "x.HttpConnectionManager", "rds": {"route_config_name": "80"}},
    }
    proxy = {"typed_config": {"@type": "x.TcpProxy", "cluster": "PassthroughCluster"}}
    listener = {
        "address": {"socket_address": {"address": "0.0.0.0", "port_value": 80}},
        "filter_chains": [{"filter_chain_match": {"transport_protocol": "raw_buffer"}, "filters": [manager]}],
        "default_filter_chain": {"filters": [proxy]},
    }
    dump = {
        "configs": [
            {
                "@type": "envoy.admin.v3.ListenersConfigDump",
                "dynamic_listeners": [{"active_state": {"listener": listener}}],
            }
        ]
    }
    assert listeners.rows(listeners.select(dump, listeners.Filter(kind="HTTP+TCP"))) == [
        ("0.0.0.0", "80", "Trans: raw_buffer", "Route: 80"),
        ("0.0.0.0", "80", "ALL", "PassthroughCluster"),
    ]
    assert listeners.select(dump, listeners.Filter(kind="TCP")) == []


def test_routes() -> None:
    """A line per route; many domains are cut short."""
    host = {
        "name": "web:80",
        "domains": ["web", "web.shop", "web.shop.svc"],
        "routes": [{"match": {"prefix": "/"}}, {"match": {"safe_regex": {"regex": "a.*"}}}],
    }
    configuration = {"name": "80", "virtual_hosts": [host]}
    section = {
        "@type": "envoy.admin.v3.RoutesConfigDump",
        "dynamic_route_configs": [{"route_config": configuration}],
    }
    dump = {"configs": [section]}
    assert [row[2:4] for row in routes.rows(routes.select(dump, "80"))] == [
        ("web, web.shop + 1 more...", "/*"),
        ("web, web.shop + 1 more...", "regex a.*"),
    ]


def test_endpoints() -> None:
    """Address, health, outlier check."""
    address_of = {"socket_address": {"address": "10.0.0.1", "port_value": 80}}
    host = {"address": address_of, "health_status": {"failed_outlier_check": True}}
    document = {"cluster_statuses": [{"name": "c", "host_statuses": [host]}]}
    (found,) = endpoints.select(document, endpoints.Filter(port=80))
    assert found.row == ("10.0.0.1:80", "HEALTHY", "FAILED", "c")
    assert endpoints.select(document, endpoints.Filter(status="unhealthy")) == []


def test_secrets() -> None:
    """Valid or not, by the clock that is given."""
    import base64

    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec

    from linnet.ca.issue import pem, self_signed

    now = datetime.now(UTC)
    root = self_signed(
        ec.generate_private_key(ec.SECP256R1()),
        "cluster.local",
        lifetime=timedelta(days=1),
        now=now,
        serial=x509.random_serial_number(),
    )
    inline = {"inline_bytes": base64.b64encode(pem(root).encode()).decode()}
    entry = {"name": "ROOTCA", "secret": {"validation_context": {"trusted_ca": inline}}}
    section = {"@type": "envoy.admin.v3.SecretsConfigDump", "dynamic_active_secrets": [entry]}
    found = secrets.select({"configs": [section]})
    assert [row[:4] for row in secrets.rows(found, now)] == [("ROOTCA", "CA", "ACTIVE", "true")]
    assert secrets.rows(found, now + timedelta(days=2))[0][3] == "false"


def test_comparison_ignores_how_fields_are_spelt() -> None:
    """Envoy's snake_case and protobuf's camelCase are the same; what is of the bootstrap does not count."""
    name = "outbound|80|v1|web.shop.svc.cluster.local"
    section = {"@type": "envoy.admin.v3.ClustersConfigDump"}

    def offered(seconds: str) -> dict:
        cluster = {"name": name, "type": "EDS", "connectTimeout": seconds}
        return {"configs": [section | {"dynamicActiveClusters": [{"cluster": cluster}]}]}

    held = {
        "configs": [
            section
            | {
                "static_clusters": [{"cluster": {"name": "xds-grpc"}}],
                "dynamic_active_clusters": [
                    {"cluster": {"name": name, "type": "EDS", "connect_timeout": "1s"}}
                ],
            }
        ]
    }
    assert dict(differences(held, offered("1s")))["Clusters"] == []
    assert any("2s" in line for line in dict(differences(held, offered("2s")))["Clusters"])


def test_proxy_config_from_a_file(tmp_path) -> None:
    """--file needs no cluster; aliases work."""
    file = tmp_path / "dump.json"
    file.write_text(json.dumps(DUMP))
    result = CliRunner().invoke(proxy_config, ["c", "--file", str(file), "--port", "80"])
    assert result.exit_code == 0, result.output
    assert "web.shop.svc.cluster.local     80" in result.output


FLAGS = {
    "revision": None,
    "namespace": None,
    "cluster": None,
    "domain": "cluster.local",
    "http": ":8080",
    "https": ":15017",
    "grpc": ":15010",
    "secure": ":15012",
    "monitoring": ":15014",
    "controls": 9876,
    "age": 1800.0,
    "shutdown": 10.0,
}


def test_istiod_is_told_by_its_environment() -> None:
    """As an installed pod has it."""
    settings = settings_of(
        FLAGS,
        {
            "REVISION": "canary",
            "POD_NAME": "istiod-canary-1",
            "POD_NAMESPACE": "mesh",
            "PILOT_DEBOUNCE_AFTER": "200ms",
            "ISTIOD_CUSTOM_HOST": "a.example, b.example",
        },
    )
    assert (settings.revision, settings.pod, settings.namespace) == ("canary", "istiod-canary-1", "mesh")
    assert (settings.mesh_config, settings.injector_config) == (
        "istio-canary",
        "istio-sidecar-injector-canary",
    )
    assert (settings.debounce_quiet, settings.custom_hosts) == (0.2, ("a.example", "b.example"))
    assert settings_of(FLAGS, {}).mesh_config == "istio"


@pytest.mark.parametrize(
    "environment", [{"PILOT_DEBOUNCE_AFTER": "soon"}, {"LINNET_PLAINTEXT_XDS": "everybody"}]
)
def test_bad_environment_is_named(environment: dict[str, str]) -> None:
    """The message says which variable."""
    with pytest.raises(UserError, match=next(iter(environment))):
        settings_of(FLAGS, environment)


def test_addresses() -> None:
    """With and without a host."""
    assert (address(":15012", "--x").port, address("[::1]:1", "--x").host) == (15012, "::1")
    with pytest.raises(UserError, match="--grpcAddr"):
        address("15012", "--grpcAddr")
