"""The webhook's contract: versions, skips, refusals, paths; and who is injected at all."""

import base64
import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from linnet.inject.configuration import Configuration, ConfigurationError, parse
from linnet.inject.policy import decide
from linnet.inject.trial import check
from linnet.inject.webhook import ReviewError, environment_of, refused, review

pytestmark = pytest.mark.unit

VALUES = '{"global": {"hub": "linnet", "tag": "1", "proxy": {}}}'
Object = dict[str, Any]
Configure = Callable[..., Configuration]
MakePod = Callable[..., Object]


def asked(pod: Object, version: str = "v1") -> Object:
    """An AdmissionReview about a pod."""
    request = {"uid": "u-1", "namespace": "shop", "object": pod}
    return {"apiVersion": f"admission.k8s.io/{version}", "kind": "AdmissionReview", "request": request}


@pytest.mark.parametrize("version", ["v1", "v1beta1"])
def test_answer(configuration: Configure, pod: MakePod, version: str) -> None:
    """Same version and uid; a JSON patch in base64."""
    answer = review(asked(pod(), version), configuration())
    assert answer["apiVersion"] == f"admission.k8s.io/{version}"
    assert answer["response"]["uid"] == "u-1"
    assert answer["response"]["allowed"] is True
    assert answer["response"]["patchType"] == "JSONPatch"
    steps = json.loads(base64.b64decode(answer["response"]["patch"]))
    assert {"op": "add", "path": "/spec/containers/-"}.items() <= next(
        step for step in steps if step["path"].startswith("/spec/containers/-")
    ).items()


def test_skipped(configuration: Configure, pod: MakePod) -> None:
    """A pod that is not injected is allowed without a patch."""
    answer = review(asked(pod(hostNetwork=True)), configuration())
    assert answer["response"] == {"uid": "u-1", "allowed": True}


def test_refused(configuration: Configure, pod: MakePod) -> None:
    """A pod that cannot be injected is refused with the reason."""
    answer = review(asked(pod({"sidecar.istio.io/proxyCPU": "lots"})), configuration())
    assert answer["response"]["allowed"] is False
    assert "sidecar.istio.io/proxyCPU: 'lots'" in answer["response"]["status"]["message"]


@pytest.mark.parametrize(
    "body", [{}, {"apiVersion": "v1", "request": {}}, {"apiVersion": "admission.k8s.io/v1"}]
)
def test_not_a_review(configuration: Configure, body: Object) -> None:
    """Anything else is an error of the caller."""
    with pytest.raises(ReviewError):
        review(body, configuration())


@pytest.mark.parametrize(
    ("path", "environment"),
    [
        ("/inject", {}),
        ("/inject/", {}),
        ("/inject/cluster/C1/net/N1", {"ISTIO_META_CLUSTER_ID": "C1", "ISTIO_META_NETWORK": "N1"}),
        ("/inject/net/a--slash--b/", {"ISTIO_META_NETWORK": "a/b"}),
        ("/inject/foo/bar/odd", {"FOO": "bar"}),
        ("/inject/:ENV:cluster=C1:ENV:FOO=x", {"ISTIO_META_CLUSTER_ID": "C1", "FOO": "x"}),
    ],
)
def test_paths(path: str, environment: dict[str, str]) -> None:
    """Keys and values alternate; the legacy form lists them."""
    assert environment_of(path) == environment


@pytest.mark.parametrize(
    ("namespace", "labels", "annotations", "spec", "inject"),
    [
        ("shop", {}, {}, {}, True),
        ("shop", {}, {}, {"hostNetwork": True}, False),
        ("shop", {}, {}, {"os": {"name": "windows"}}, False),
        ("shop", {}, {}, {"nodeSelector": {"kubernetes.io/os": "windows"}}, False),
        ("shop", {}, {}, {"os": {"name": "linux"}}, True),
        ("kube-system", {"sidecar.istio.io/inject": "true"}, {}, {}, False),
        ("shop", {"sidecar.istio.io/inject": "false"}, {}, {}, False),
        ("shop", {}, {"sidecar.istio.io/inject": "false"}, {}, False),
        ("shop", {"sidecar.istio.io/inject": "true"}, {"sidecar.istio.io/inject": "false"}, {}, True),
        ("shop", {"sidecar.istio.io/inject": "maybe"}, {}, {}, True),
        ("shop", {"never": "x"}, {}, {}, False),
    ],
)
def test_policy(
    configuration: Configure,
    pod: MakePod,
    namespace: str,
    labels: dict[str, str],
    annotations: dict[str, str],
    spec: Object,
    inject: bool,
) -> None:
    """The first rule that decides wins."""
    never = 'values.sidecarInjectorWebhook.neverInjectSelector=[{"matchLabels": {"never": "x"}}, {}]'
    made = pod(annotations, labels, **spec)
    assert decide(made, namespace, configuration("canary", never)).inject is inject


def test_policy_disabled(configuration: Configure, pod: MakePod) -> None:
    """With policy disabled only pods that ask, or that alwaysInjectSelector names, are injected."""
    config = configuration(
        "canary",
        "values.global.proxy.autoInject=disabled",
        'values.sidecarInjectorWebhook.alwaysInjectSelector=[{"matchLabels": {"x": "1"}}]',
    )
    assert not decide(pod(), "shop", config).inject
    assert decide(pod(labels={"x": "1"}), "shop", config).inject
    assert decide(pod(labels={"sidecar.istio.io/inject": "true"}), "shop", config).inject


def test_warnings(configuration: Configure, pod: MakePod) -> None:
    """Doubtful settings are told, not refused."""
    doubtful = pod(
        {"sidecar.istio.io/nativeSidecar": "true"}, {"sidecar.istio.io/inject": "maybe"}, dnsPolicy="None"
    )
    assert len(review(asked(doubtful), configuration())["response"]["warnings"]) == 3


@pytest.mark.parametrize(
    ("data", "told"),
    [
        ({}, "config: missing"),
        (
            {"config": "policy: enabled\ndefaultTemplates: [a]\ntemplates: {a: 'x: ['}", "values": VALUES},
            "config: templates: a: not valid YAML",
        ),
        ({"config": "policy: perhaps", "values": VALUES}, "neither enabled nor disabled"),
        ({"config": "policy: enabled", "values": "{"}, "values: not valid JSON"),
        ({"config": "policy: enabled", "values": "{}"}, "values: .*missing required field `global`"),
        ({"config": "policy: enabled", "values": '{"global": 1}'}, "values.global: .*got `int`"),
        (
            {"config": "policy: enabled", "values": '{"global": {"tag": "1", "proxy": {}}}'},
            "values.global: .*missing required field `hub`",
        ),
        ({"config": "policy: enabled\ntemplates: [a]", "values": VALUES}, "config.templates: Expected"),
        ({"config": "policy: enabled", "values": VALUES}, "defaultTemplates: there is no template 'sidecar'"),
        (
            {"config": "policy: enabled\ntemplates: {sidecar: '{$if: [1]}'}", "values": VALUES},
            "expected a path",
        ),
    ],
)
def test_unusable_configuration(data: dict[str, str], told: str) -> None:
    """The message names the key of the ConfigMap."""
    with pytest.raises(ConfigurationError, match=told):
        parse(data, "{}", revision="default", namespace="istio-system")


@pytest.mark.parametrize(
    ("template", "told"),
    [
        ("spec: {containers: [{name: a, image: '${valeus.global.hub}'}]}", "sidecar: .*no 'valeus'"),
        ("spec: 5", "sidecar: does not give a part of a pod"),
        ("spec: {containers: [{image: nameless}]}", "sidecar: does not give a part of a pod"),
    ],
)
def test_a_template_that_injects_nothing(template: str, told: str) -> None:
    """What only shows when a pod is made is found before there is one."""
    config = f'policy: enabled\ntemplates: {{sidecar: "{template}"}}'
    made = parse({"config": config, "values": VALUES}, "{}", revision="default", namespace="istio-system")
    with pytest.raises(ConfigurationError, match=told):
        check(made)


def test_what_is_installed_is_usable(configuration: Configure) -> None:
    """Every template of an installation passes its trial."""
    check(configuration())


def test_without_a_configuration(pod: MakePod) -> None:
    """Pods are refused with the reason, except those that no configuration would inject."""
    answer = refused(asked(pod()), "canary", "there is no ConfigMap")["response"]
    assert answer["allowed"] is False
    assert answer["status"]["message"] == "sidecar injection of revision canary: there is no ConfigMap"
    assert refused(asked(pod(hostNetwork=True)), "canary", "x")["response"] == {"uid": "u-1", "allowed": True}


def test_cost(configuration: Configure, pod: MakePod) -> None:
    """A review takes far less than 10 ms of CPU."""
    config, body = configuration(), asked(pod())
    review(body, config)
    started = time.process_time()
    for _ in range(100):
        review(body, config)
    assert (time.process_time() - started) / 100 < 0.005
