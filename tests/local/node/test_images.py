"""The image catalogue."""

import pytest

from linnet.local.node import images
from linnet.local.node.images import Catalogue, CatalogueError, Hosted, Image

pytestmark = pytest.mark.unit


def catalogue() -> Catalogue:
    mine = images.decode(
        """
        - name: example.test/*
          command: [serve]
          args: [--port, "80"]
          environment: {COLOUR: blue}
        - {name: "example.test/app:1", command: [one]}
        - {name: nginx, command: [web]}
        """,
        "mine.yaml",
    )
    built = images.builtin(
        version="0.1.0", python="/py", path="/bin", envoys={"1.38": "/old/envoy", "1.40": "/new/envoy"}
    )
    return Catalogue((*mine, *built))


@pytest.mark.parametrize(
    ("reference", "command"),
    [
        ("example.test/app:1", ("one",)),
        ("example.test/app:2", ("serve",)),
        ("example.test/deep/er@sha256:00", ("serve",)),
        ("nginx", ("web",)),
        ("nginx:1.27", ("web",)),
        ("docker.io/nginx", ("web",)),
        ("linnet/pilot:0.1.0", ("/py", "-m", "linnet.cli")),
        ("docker.io/linnet/pilot", ("/py", "-m", "linnet.cli")),
        ("registry.corp:5000/linnet/echo:latest", ("/py", "-m", "linnet.local.workloads.echo")),
    ],
)
def test_an_image_is_found_by_tag_without_tag_and_by_glob(reference: str, command: tuple[str, ...]) -> None:
    """Exact names first, then names for any tag, then globs; hubs in front do not matter."""
    found = catalogue().find(reference)
    assert found is not None
    assert found.command == command


@pytest.mark.parametrize(
    "reference", ["registry.invalid/none:1", "linnet/pilot:9", "nginxx", "other/linnet/echo:9"]
)
def test_an_unknown_image_is_not_found(reference: str) -> None:
    """Nothing is guessed."""
    assert catalogue().find(reference) is None


def test_the_proxy_exists_for_each_envoy_and_plainly_for_the_newest() -> None:
    """D10: `TAG` is the newest Envoy, `TAG-envoy-1.38` an older one; only proxyv2 is hosted by the node."""
    newest, older = (
        catalogue().find("linnet/proxyv2:0.1.0"),
        catalogue().find("linnet/proxyv2:latest-envoy-1.38"),
    )
    beside = catalogue().find("linnet/proxyv2-agent:0.1.0")
    assert newest is not None
    assert older is not None
    assert beside is not None
    assert (newest.envoy, newest.hosted) == ("/new/envoy", Hosted.PROXY)
    assert older.envoy == "/old/envoy"
    assert beside.hosted is Hosted.CONTAINER
    assert ("LINNET_ENVOY", "/new/envoy") in beside.environment


@pytest.mark.parametrize(
    ("command", "args", "expected"),
    [
        ((), (), ("serve", "--port", "80")),
        ((), ("x",), ("serve", "x")),
        (("run",), (), ("run",)),
        (("run",), ("x",), ("run", "x")),
    ],
)
def test_command_and_args_replace_what_kubernetes_says_they_replace(
    command: tuple[str, ...], args: tuple[str, ...], expected: tuple[str, ...]
) -> None:
    """The four rows of the Kubernetes table."""
    image = Image("i", ("serve",), ("--port", "80"))
    assert images.argv(image, command, args) == expected


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("- {command: [x]}", "images[0]: Object missing required field `name`"),
        ("- {name: a, comand: [x]}", "comand"),
        ("- {name: a, command: x}", "Expected `array`"),
        ("- {name: ''}", "name is empty"),
        ("name: a", "expected a list of images"),
        ("a: [", "neither YAML nor JSON"),
        ("- {name: a, files: [srv/app]}", "images[0].files[0]: srv/app: not the absolute path"),
        ("- {name: a, files: [/srv/../root]}", "images[0].files[0]"),
    ],
)
def test_a_wrong_catalogue_names_file_entry_and_field(content: str, words: str) -> None:
    """Bad input gets a clear error."""
    with pytest.raises(CatalogueError, match=r"^mine\.yaml") as caught:
        images.decode(content, "mine.yaml")
    assert words in str(caught.value)


@pytest.mark.parametrize("path", ["/state", "/state/pki", "/state/pki/ca.key", "/", "/run/sockets"])
def test_an_image_cannot_show_the_keys(path: str) -> None:
    """What pods must not see cannot be brought in by an image, neither from above nor from inside."""
    with pytest.raises(CatalogueError, match=r"mine\.yaml: a: files: .* would show the keys"):
        images.check_files([Image("a", files=(path,))], ("/state", "/run/sockets"), "mine.yaml")
    images.check_files([Image("a", files=("/srv", "/stateful"))], ("/state", "/run/sockets"), "mine.yaml")


def test_another_version_has_its_own_programs_and_its_own_agents() -> None:
    """Its containers run its Python; the node hosts no agent of another version, and `latest` stays ours."""
    others = images.other(version="0.0.9", python="/old/py", path="/bin", envoys={"1.40": "/new/envoy"})
    both = Catalogue((*catalogue().images, *others))
    pilot, proxy = both.find("linnet/pilot:0.0.9"), both.find("linnet/proxyv2:0.0.9-envoy-1.40")
    assert pilot is not None
    assert pilot.command == ("/old/py", "-m", "linnet.cli")
    assert proxy is not None
    assert (proxy.hosted, proxy.envoy) == (Hosted.CONTAINER, "/new/envoy")
    ours = both.find("linnet/pilot:latest")
    assert ours is not None
    assert ours.command == ("/py", "-m", "linnet.cli")


def test_the_digest_follows_the_content() -> None:
    """Equal entries have equal image IDs."""
    one, two = Image("a", ("x",)), Image("a", ("y",))
    assert one.digest == Image("a", ("x",)).digest
    assert one.digest != two.digest
    assert one.digest.startswith("sha256:")


def test_what_is_added_later_is_found() -> None:
    """The catalogue is read again when an image is missing, and only then; a wrong file keeps the old one."""
    answers = [Catalogue((Image("a", ("1",)),)), Catalogue((Image("a", ("2",)), Image("b", ("b",))))]

    def load() -> Catalogue:
        if not answers:
            raise CatalogueError("mine.yaml: wrong")
        return answers.pop(0)

    known = images.Reread(load)
    assert known.find("a") == Image("a", ("1",))
    assert known.find("b") == Image("b", ("b",))
    assert known.find("c") is None
    assert known.find("a") == Image("a", ("2",))
