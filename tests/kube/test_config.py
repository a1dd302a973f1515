"""Kubeconfigs as people have them."""

import base64

import pytest

from linnet.kube.config import Config, ConfigError, from_kubeconfig, in_cluster

pytestmark = pytest.mark.unit

FIRST = """
apiVersion: v1
kind: Config
current-context: here
clusters:
- name: local
  cluster: {server: 'https://127.0.0.1:6443/', certificate-authority-data: %s, tls-server-name: api}
users:
- name: me
  user: {token: secret}
contexts:
- name: here
  context: {cluster: local, user: me, namespace: shop}
- name: broken
  context: {cluster: nowhere, user: me}
"""
SECOND = """
contexts:
- name: here
  context: {cluster: local, user: other}
- name: there
  context: {cluster: local, user: plug}
users:
- name: plug
  user:
    exec:
      apiVersion: client.authentication.k8s.io/v1
      command: sh
      args: [-c, 'echo "{\\"status\\": {\\"token\\": \\"minted\\"}}"']
"""


@pytest.fixture
def paths(tmp_path):
    """Two kubeconfigs joined as in KUBECONFIG."""
    (tmp_path / "one").write_text(FIRST % base64.b64encode(b"PEM").decode())
    (tmp_path / "two").write_text(SECOND)
    return f"{tmp_path}/one:{tmp_path}/two:{tmp_path}/missing"


def test_current_context(paths):
    """The current context gives server, CA, credentials and namespace."""
    assert from_kubeconfig(paths) == Config(
        server="https://127.0.0.1:6443", ca=b"PEM", token="secret", namespace="shop", tls_server_name="api"
    )


def test_exec_plugin(paths):
    """A credential program of a later file mints the token."""
    assert from_kubeconfig(paths, "there").bearer() == "minted"


@pytest.mark.parametrize(
    ("context", "words"), [("nobody", "no context 'nobody'"), ("broken", "no cluster 'nowhere'")]
)
def test_what_is_missing_is_named(paths, context, words):
    """A context or cluster that does not exist is named, with those that do."""
    with pytest.raises(ConfigError, match=words):
        from_kubeconfig(paths, context)


def test_no_file_at_all(tmp_path):
    """Without any file the remedy is told."""
    with pytest.raises(ConfigError, match="set KUBECONFIG"):
        from_kubeconfig(f"{tmp_path}/nothing")


def test_in_cluster(tmp_path):
    """A pod's account: the token file is read anew each time."""
    for name, text in (("token", "one\n"), ("ca.crt", "CA"), ("namespace", "mine\n")):
        (tmp_path / name).write_text(text)
    config = in_cluster({"KUBERNETES_SERVICE_HOST": "10.96.0.1"}, str(tmp_path))
    assert (config.server, config.namespace, config.bearer()) == ("https://10.96.0.1:443", "mine", "one")
    (tmp_path / "token").write_text("two")
    assert config.bearer() == "two"
    with pytest.raises(ConfigError):
        in_cluster({}, str(tmp_path))
