"""The ways in which scripts call istioctl: order of arguments, short flags, environment, exit codes."""

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec import Struct
from tests.cli.test_options import linnet

from linnet.cli import options
from linnet.cli.__main__ import main
from linnet.cli.check_inject import verdicts
from linnet.install import documents, pilot
from linnet.install.operator import resolve
from linnet.install.webhooks import default_tag, injector, tag

pytestmark = pytest.mark.unit
REACHED = "no cluster to talk to"  # everything before was understood


class Done(Struct, frozen=True):
    """How a command ended."""

    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[[str], Done]:
    """The program, called as from a shell in a place without a cluster, without its start."""
    for name in ("KUBECONFIG", "KUBERNETES_SERVICE_HOST"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", "/nonexistent")
    monkeypatch.setattr(sys, "stdin", io.StringIO())

    def call(line: str) -> Done:
        monkeypatch.setattr(sys, "argv", ["linnet", *line.split()])
        with pytest.raises(SystemExit) as ended:
            main()
        told = capsys.readouterr()
        return Done(int(ended.value.code or 0), told.out, told.err)

    return call


@pytest.mark.parametrize(
    "line",
    [
        "uninstall --revision 1-0-0",
        "uninstall --revision=1-0-0 -y",
        "uninstall -r 1-0-0 --skip-confirmation",
        "uninstall --set revision=1-0-0",
        "uninstall -s revision=1-0-0",
        "uninstall --set values.revision=1-0-0",
        "uninstall -f manifests/profiles/default.yaml",
        "uninstall --filename manifests/profiles/default.yaml -v",
        "uninstall -f manifests/profiles/default.yaml --revision 1-0-0",
        "uninstall --purge -y",
        "uninstall -r 1-0-0 --dry-run --force -d manifests",
        "uninstall --charts manifests -r 1-0-0",
        "x uninstall --revision 1-0-0",
        "exp uninstall --revision=canary",
        "experimental uninstall --revision=canary",
        "-i istio-system x uninstall --revision 1-0-0",
        "x -i istio-system uninstall --revision 1-0-0",
        "x uninstall --revision 1-0-0 -i istio-system",
        "--context c uninstall -r 1-0-0",
        "uninstall -r 1-0-0 --context c",
        "uninstall -r 1-0-0 --kubeclient-timeout 30s --vklog 1",
        "tag list",
        "tag show",
        "tag list -o json",
        "tag list -o yaml",
        "-n shop tag list",
        "tag -n shop list",
        "tag list -n shop",
        "x tag list",
        "x revision tag list",
        "revision tag list",
        "tag set prod --revision 1-0-0",
        "tag set --revision 1-0-0 prod",
        "tag set prod -r 1-0-0 --overwrite -y",
        "tag set default -r 1-0-0 --overwrite --skip-confirmation",
        "tag set prod -r 1-0-0 --webhook-name mine -d manifests",
        "tag set default -r 1-0-0 --auto-inject-namespaces",
        "x revision tag set prod -r 1-0-0",
        "tag generate prod -r 1-0-0",
        "tag generate prod --revision 1-0-0 --overwrite",
        "tag remove prod",
        "tag remove prod -y",
        "tag delete prod -y",
        "x revision tag remove prod -y",
        "x revision list",
        "x revision list -v -o json",
        "x revision describe canary",
        "revision describe canary -v",
        "revision list",
        "gateway list -o yaml",
        "gateway move --to canary",
        "gateway move istio-ingressgateway edge.edge --to=canary --dry-run",
        "x injector list",
        "x check-inject web -n shop",
        "x check-inject web.shop",
        "x check-inject -n shop -l app=web,istio.io/rev=canary",
        "kube-inject -f examples/app.yaml",
        "kube-inject -f examples/app.yaml -r canary --injectConfigMapName x --meshConfigMapName istio",
        "install -y -r canary",
        "apply --skip-confirmation --revision canary",
        "install --set profile=minimal -s revision=canary -y --verify",
        "ps",
        "proxy-status -r canary",
        "pc cluster web.shop",
    ],
)
def test_understood(called: Callable[[str], Done], line: str) -> None:
    """Every spelling reaches the cluster, of which there is none here: exit code 1, one line on stderr."""
    done = called(line)
    assert (done.returncode, done.stderr.startswith("Error: ")) == (1, True), done.stderr
    assert REACHED in done.stderr


@pytest.mark.parametrize(
    ("line", "code", "told"),
    [
        ("uninstal", 64, "No such command 'uninstal'"),
        ("x uninstal", 64, "No such command 'uninstal'"),
        ("tag", 64, ""),
        ("tag nonsense", 64, "No such command 'nonsense'"),
        ("tag list --nonsense", 64, "No such option"),
        ("uninstall -q", 64, "No such option"),
        ("uninstall extra --revision a", 64, "unexpected extra argument"),
        ("tag set prod", 64, "--revision"),
        ("gateway move", 64, "--to"),
        ("uninstall", 1, "say what to remove"),
        ("uninstall --set profile=demo", 1, "say what to remove"),
        ("uninstall --revision Canary", 1, "invalid revision specified"),
        ("uninstall --revision 1.6.8", 1, "invalid revision specified"),
        ("uninstall --revision=", 1, "invalid revision specified"),
        ("uninstall -f nowhere.yaml", 1, "nowhere.yaml: No such file"),
        ("kube-inject -f nowhere.yaml", 1, "nowhere.yaml: No such file"),
        ("x check-inject", 1, "name a pod"),
        ("x check-inject -l nonsense", 1, "KEY=VALUE"),
    ],
)
def test_mistakes(called: Callable[[str], Done], line: str, code: int, told: str) -> None:
    """64 for flags and commands that do not exist, 1 for everything else; never a traceback."""
    done = called(line)
    assert done.returncode == code, done.stderr
    assert told in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "command",
    [
        "uninstall",
        "tag list",
        "tag set",
        "tag generate",
        "tag remove",
        "revision list",
        "revision describe",
        "gateway list",
        "gateway move",
        "kube-inject",
        "x check-inject",
        "x injector list",
    ],
)
def test_help_teaches(called: Callable[[str], Done], command: str) -> None:
    """Every command's help has an example that can be typed."""
    done = called(f"{command} --help")
    assert done.returncode == 0
    assert "Example" in done.stdout
    name = command.removeprefix("x ")
    assert f"linnet {name}" in done.stdout or f"linnet x {name}" in done.stdout


@pytest.mark.parametrize(
    ("line", "namespace"),
    [
        ("tag list", "mesh"),
        ("tag list -i other", "other"),
        ("-i other tag list", "other"),
        ("tag list --istioNamespace=other", "other"),
    ],
)
def test_namespace_of_the_control_plane(
    called: Callable[[str], Done], monkeypatch: pytest.MonkeyPatch, line: str, namespace: str
) -> None:
    """ISTIOCTL_ISTIONAMESPACE is the default for -i, wherever that stands."""
    kept: list[str] = []
    monkeypatch.setenv("ISTIOCTL_ISTIONAMESPACE", "mesh")
    monkeypatch.setattr(
        options, "run", lambda work: (work.close(), kept.append(options.current().istio_namespace))[0]
    )
    monkeypatch.setattr("linnet.cli.tag._run", lambda work: (options.run(work), ([], []))[1])
    called(line)
    assert kept == [namespace]


def test_environment(tmp_path: Path) -> None:
    """KUBECONFIG, and the flag before it."""
    first, second = tmp_path / "first", tmp_path / "second"
    assert str(first) in linnet("tag", "list", KUBECONFIG=str(first)).stderr
    told = linnet("tag", "list", "-c", str(second), KUBECONFIG=str(first)).stderr
    assert str(second) in told
    assert str(first) not in told
    program = ["install", "--dry-run", "-y"]
    assert linnet(*program, ISTIOCTL_ISTIONAMESPACE="mesh").returncode == 1


APP = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: main, image: linnet/echo}]}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}}
---
apiVersion: batch/v1
kind: CronJob
metadata: {name: nightly}
spec:
  schedule: "0 0 * * *"
  jobTemplate: {spec: {template: {spec: {containers: [{name: main, image: linnet/echo}]}}}}
---
apiVersion: v1
kind: Pod
metadata: {name: bare}
spec: {hostNetwork: true, containers: [{name: main, image: linnet/echo}]}
"""


def test_kube_inject(tmp_path: Path) -> None:
    """Templates get a proxy of the revision; other documents pass; what is skipped is said on stderr."""
    plane = resolve([], ["revision=canary"], version="9").plane
    data = pilot.injection_config(plane)["data"]
    files = {
        "app": APP,
        "config": data["config"],
        "values": data["values"],
        "mesh": pilot.mesh_config(plane)["data"]["mesh"],
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    done = linnet(
        *("kube-inject", "-f", str(tmp_path / "app"), "--revision", "canary"),
        *("--injectConfigFile", str(tmp_path / "config"), "--valuesFile", str(tmp_path / "values")),
        *("--meshConfigFile", str(tmp_path / "mesh")),
    )
    assert done.returncode == 0, done.stderr
    web, service, nightly, bare = documents.load(done.stdout, "output")
    assert service == documents.load(APP, "input")[1]
    assert bare == documents.load(APP, "input")[3]
    assert "===> Skipping injection because the pod uses the host's network: Pod bare" in done.stderr
    for template in (web["spec"]["template"], nightly["spec"]["jobTemplate"]["spec"]["template"]):
        names = [container["name"] for container in template["spec"]["containers"]]
        assert sorted(names) == ["istio-proxy", "main"]
        assert (
            json.loads(template["metadata"]["annotations"]["sidecar.istio.io/status"])["revision"] == "canary"
        )
        assert "ownerReferences" not in template["metadata"]
    assert "deployments/web" in done.stdout
    (tmp_path / "again").write_text(done.stdout)
    again = linnet(
        *("kube-inject", "-f", str(tmp_path / "again"), "-r", "canary"),
        *("--injectConfigFile", str(tmp_path / "config"), "--valuesFile", str(tmp_path / "values")),
        *("--meshConfigFile", str(tmp_path / "mesh"), "-o", str(tmp_path / "out")),
    )
    assert again.returncode == 0, again.stderr
    assert (tmp_path / "out").read_text() == done.stdout


def test_check_inject() -> None:
    """For every webhook whether it injects, and the label that decides."""
    plain, canary = (resolve([], [f"revision={name}"], version="9").plane for name in ("default", "canary"))
    hooks = [injector(plain, active=False), injector(canary), default_tag(plain), tag(canary, "prod")]
    found = verdicts(hooks, {"istio-injection": "enabled"}, {"istio.io/rev": "canary"})
    assert [(name, mark) for name, _, mark, _ in found] == [
        ("istio-revision-tag-default", "✔"),
        ("istio-revision-tag-prod", "✘"),
        ("istio-sidecar-injector", "✘"),
        ("istio-sidecar-injector-canary", "✘"),
    ]
    assert found[0][3] == "Namespace label istio-injection=enabled"
    assert found[2][3] == "deactivated: the default tag injects for it"
    assert found[3][3] == "Namespace label istio-injection=enabled decides"
    (_, prod, _, _) = verdicts(hooks, {"istio.io/rev": "prod"}, {})
    assert prod == ("istio-revision-tag-prod", "canary", "✔", "Namespace label istio.io/rev=prod")
