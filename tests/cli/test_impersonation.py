"""`--as`, `--as-uid`, `--as-group`: who may do what is the API server's to say, on every kind of request."""

from pathlib import Path

import pytest
from msgspec.structs import replace
from ruamel.yaml import YAML
from tests.cli.calls import Call, Done, called

from linnet.kube.client import Client
from linnet.kube.config import Impersonation, from_kubeconfig
from linnet.kube.errors import Forbidden
from linnet.kube.kinds import CLUSTER_ROLE, CLUSTER_ROLE_BINDING, NAMESPACE

pytestmark = pytest.mark.wired
__all__ = ["called"]


@pytest.fixture
def run(called: Call, api_server: str) -> Call:
    """The program on an API server."""

    def call(line: str, **environment: str) -> Done:
        return called(line, **{"KUBECONFIG": api_server, **environment})

    return call


ADMINS = "system:masters"


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("tag list --as jane", 'User "jane" cannot list resource "mutatingwebhookconfigurations"'),
        ("--as jane tag list", 'User "jane" cannot list'),
        ("--as jane tag list --as joe", 'User "joe" cannot list'),
        ("proxy-status --as jane", 'User "jane" cannot list resource "pods"'),
        ("install -y --as jane", 'User "jane" cannot'),
        ("uninstall --purge -y --as jane", 'User "jane" cannot'),
        ("tag list --as system:serviceaccount:a:b", 'User "system:serviceaccount:a:b" cannot list'),
        ("tag list --as jane --as-group a --as-group b", 'User "jane" cannot list'),
    ],
)
def test_refused(run: Call, line: str, told: str) -> None:
    """One message that names the user and what is lacking; exit code 1."""
    done = run(line)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1), done.stderr
    assert done.stderr.startswith("Error: ")
    assert told in done.stderr


@pytest.mark.parametrize(
    "line",
    [
        f"tag list --as jane --as-group {ADMINS}",
        f"tag list --as jane --as-group a --as-group {ADMINS} --as-uid 7",
        f"--as-group {ADMINS} tag list --as jane --as-group b",
        f"--as=jane --as-group={ADMINS} revision list",
    ],
)
def test_groups_count(run: Call, line: str) -> None:
    """Every group is sent, from before and after the command's name."""
    done = run(line)
    assert done.returncode == 0, done.stderr


def test_groups_alone(run: Call) -> None:
    """A group without a user is a mistake of the call."""
    for line in ("tag list --as-group a", "tag list --as-uid 7"):
        done = run(line)
        assert (done.returncode, done.stderr) == (64, "Error: --as-group and --as-uid go with --as USER\n")


def test_kubeconfig_impersonates(run: Call, api_server: str, tmp_path: Path) -> None:
    """`as` and `as-groups` of the kubeconfig's user hold; flags replace them."""
    yaml = YAML(typ="safe")
    held = yaml.load(Path(api_server).read_text())
    held["users"][0]["user"] |= {"as": "jane", "as-groups": ["a"], "as-uid": "7"}
    own = tmp_path / "kubeconfig"
    with own.open("w") as stream:
        yaml.dump(held, stream)
    found = from_kubeconfig(str(own)).impersonate
    assert found == Impersonation("jane", "7", ("a",))
    assert 'User "jane" cannot list' in run("tag list", KUBECONFIG=str(own)).stderr
    assert 'User "joe" cannot list' in run("tag list --as joe", KUBECONFIG=str(own)).stderr
    assert run(f"tag list --as-group {ADMINS}", KUBECONFIG=str(own)).returncode == 0


async def test_watches(api_server: str) -> None:
    """A watch is refused like a list, and runs for who may."""
    administrator = from_kubeconfig(api_server)
    jane = replace(administrator, impersonate=Impersonation("jane", groups=("watchers",)))
    async with Client(administrator) as admin, Client(jane) as client:
        with pytest.raises(Forbidden, match='User "jane" cannot watch resource "namespaces"'):
            await anext(client.watch(NAMESPACE, since="0"))
        rule = {"apiGroups": [""], "resources": ["namespaces"], "verbs": ["watch"]}
        await admin.create(CLUSTER_ROLE, {"metadata": {"name": "watchers"}, "rules": [rule]})
        binding = {
            "metadata": {"name": "watchers"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "watchers"},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "watchers"}],
        }
        await admin.create(CLUSTER_ROLE_BINDING, binding)
        since = (await admin.list(NAMESPACE)).resource_version
        await admin.create(NAMESPACE, {"metadata": {"name": "seen"}})
        event = await anext(client.watch(NAMESPACE, since=since))
        assert (event["type"], event["object"]["metadata"]["name"]) == ("ADDED", "seen")
