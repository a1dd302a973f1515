"""`kube-inject` and `x check-inject`: proxies in files, and who would inject a pod."""

import json
from pathlib import Path

import pytest
from tests.cli.test_options import linnet

from linnet.cli.check_inject import verdicts
from linnet.install import documents, pilot
from linnet.install.operator import resolve
from linnet.install.webhooks import default_tag, injector, tag

pytestmark = pytest.mark.unit

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


def test_kube_inject_with_a_broken_template(tmp_path: Path) -> None:
    """Its own message, before any document is touched."""
    plane = resolve([], ["revision=canary"], version="9").plane
    files = {
        "app": APP,
        "config": 'policy: enabled\ntemplates: {sidecar: "spec: {containers: [{}]}"}\n',
        "values": pilot.injection_config(plane)["data"]["values"],
        "mesh": pilot.mesh_config(plane)["data"]["mesh"],
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    done = linnet(
        *("kube-inject", "-f", str(tmp_path / "app"), "--revision", "canary"),
        *("--injectConfigFile", str(tmp_path / "config"), "--valuesFile", str(tmp_path / "values")),
        *("--meshConfigFile", str(tmp_path / "mesh")),
    )
    assert done.returncode == 1
    assert "Error: injection of revision canary: config: templates: sidecar: does not give" in done.stderr
    assert done.stdout == ""
