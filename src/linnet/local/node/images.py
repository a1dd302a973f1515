"""The image catalogue: which program of this machine stands behind the name of an image.

An image is an entry: what a container of it runs (`command` for its entrypoint, `args` for its arguments),
the environment it brings, and the files and directories of this machine that it has: containers see those
and the system's programs, read-only. A container's own `command` replaces both, its `args` replace the
entry's arguments, as with images of a container engine.
Names are exact, without a tag (any tag), or globs (`example.test/*`).
"""

import fnmatch
import hashlib
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import StrEnum
from itertools import chain
from typing import Any

import msgspec
import structlog
from msgspec import Struct

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_HUBS = ("docker.io/", "index.docker.io/", "registry-1.docker.io/")
_OURS = "linnet/"

log = structlog.get_logger()


class CatalogueError(ValueError):
    """A catalogue file that cannot be used; the message names the file, the entry and the remedy."""


class Hosted(StrEnum):
    """Who runs the program of an image: its container, or the node process on its behalf."""

    CONTAINER = ""
    PROXY = "proxy"  # arguments `proxy …`: Envoy in the container, the agent in the node process


class Image(Struct, frozen=True):
    """One entry of the catalogue."""

    name: str
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    environment: tuple[tuple[str, str], ...] = ()
    hosted: Hosted = Hosted.CONTAINER
    envoy: str = ""  # path of the Envoy binary, for images of proxies
    files: tuple[str, ...] = ()  # paths of this machine that its containers see where they are, read-only

    @property
    def digest(self) -> str:
        """A content hash in the form of image IDs."""
        return "sha256:" + hashlib.sha256(msgspec.json.encode(self)).hexdigest()


class Catalogue(Struct, frozen=True):
    """Entries in the order in which they are asked: the user's before the built-in ones."""

    images: tuple[Image, ...]

    def find(self, reference: str) -> Image | None:
        """The entry for an image reference of a container; None: unknown."""
        wanted = normalise(reference)
        tagged = {reference, wanted, *_ours(wanted)}
        untagged = {name.rpartition(":")[0] for name in (wanted, *_ours(wanted))}
        exact = (image for image in self.images if image.name in tagged)
        any_tag = (image for image in self.images if image.name in untagged)
        globs = (
            image
            for image in self.images
            if any(fnmatch.fnmatchcase(known, image.name) for known in tagged | untagged)
        )
        return next(chain(exact, any_tag, globs), None)


class Reread:
    """A catalogue that is read again when it lacks an image: what users add is found without a restart."""

    def __init__(self, load: Callable[[], Catalogue]) -> None:
        self._load = load
        self.catalogue = load()

    def find(self, reference: str) -> Image | None:
        """The entry for an image reference; None: unknown, or the files that were added are wrong."""
        found = self.catalogue.find(reference)
        if found is None:
            try:
                self.catalogue = self._load()
            except CatalogueError as error:
                log.warning("image catalogue not read", error=str(error))
            found = self.catalogue.find(reference)
        return found


def normalise(reference: str) -> str:
    """`name:tag` without a public hub in front and without a digest; no tag means `latest`."""
    name = reference.partition("@")[0]
    for hub in _HUBS:
        name = name.removeprefix(hub)
    return name if ":" in name.rpartition("/")[2] else f"{name}:latest"


def _ours(reference: str) -> tuple[str, ...]:
    """`registry.example/linnet/echo:1` also as `linnet/echo:1`: a mirror of our images is still ours."""
    host, _, rest = reference.partition("/")
    return (rest,) if rest.startswith(_OURS) and ("." in host or ":" in host) else ()


class _Entry(Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    environment: dict[str, str] = {}
    files: tuple[str, ...] = ()


def decode(content: str, origin: str) -> tuple[Image, ...]:
    """The entries of a catalogue file: a list, or a mapping with the list under `images`; YAML or JSON.

    Raises:
        CatalogueError: it is not such a list; names `origin`, the entry and the field.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        loaded: Any = YAML(typ="safe").load(content)
    except YAMLError as error:
        raise CatalogueError(f"{origin}: neither YAML nor JSON: {error}") from error
    entries = loaded.get("images") if isinstance(loaded, dict) else loaded
    if not isinstance(entries, list):
        raise CatalogueError(f"{origin}: expected a list of images, each with name, command and environment")
    return tuple(_image(entry, f"{origin}: images[{index}]") for index, entry in enumerate(entries))


def _image(entry: object, where: str) -> Image:
    try:
        read = msgspec.convert(entry, _Entry)
    except msgspec.ValidationError as error:
        raise CatalogueError(f"{where}: {error}") from error
    if not read.name:
        raise CatalogueError(f"{where}: name is empty; give an image name or a glob such as example.test/*")
    for index, path in enumerate(read.files):
        if not path.startswith("/") or os.path.normpath(path) != path or path == "/":
            raise CatalogueError(
                f"{where}.files[{index}]: {path}: not the absolute path of a file or directory"
            )
    environment = {"PATH": PATH, **read.environment}
    return Image(read.name, read.command, read.args, tuple(environment.items()), files=read.files)


def check_files(images: Iterable[Image], kept: Iterable[str], origin: str) -> None:
    """Refuse images that would show what no pod may see. Raises CatalogueError."""
    for image in images:
        for path in map(os.path.realpath, image.files):
            for secret in map(os.path.realpath, kept):
                if f"{path}/".startswith(f"{secret}/") or f"{secret}/".startswith(path.rstrip("/") + "/"):
                    why = f"{path} would show the keys of the cluster, in {secret}"
                    raise CatalogueError(f"{origin}: {image.name}: files: {why}")


def builtin(*, version: str, python: str, path: str, envoys: Mapping[str, str]) -> tuple[Image, ...]:
    """This Linnet's own images, as tags `version` and `latest`.

    `python` is the interpreter that has Linnet, `path` the PATH of the containers, `envoys` maps an Envoy
    version (`1.40`) to its binary, the newest last.
    """
    return _images((version, "latest"), python, path, envoys, Hosted.PROXY)


def other(*, version: str, python: str, path: str, envoys: Mapping[str, str]) -> tuple[Image, ...]:
    """The images of another version of Linnet: its agents run in their containers, the node has only ours."""
    return _images((version,), python, path, envoys, Hosted.CONTAINER)


def _images(
    tags: tuple[str, ...], python: str, path: str, envoys: Mapping[str, str], proxies: Hosted
) -> tuple[Image, ...]:
    environment = (("PATH", path),)
    module = (python, "-m", "linnet.cli")
    programs = {
        "pilot": Image("", module, ("discovery",), environment),
        "echo": Image("", (python, "-m", "linnet.local.workloads.echo"), (), environment),
        "load": Image("", (python, "-m", "linnet.local.workloads.load"), (), environment),
        "host": Image("", (), (), environment),
    }
    found = [
        msgspec.structs.replace(image, name=f"{_OURS}{name}:{tag}")
        for name, image in programs.items()
        for tag in tags
    ]
    return (*found, *_proxies(tags, module, environment, envoys, proxies))


def _proxies(
    tags: tuple[str, ...],
    module: tuple[str, ...],
    environment: tuple[tuple[str, str], ...],
    envoys: Mapping[str, str],
    proxies: Hosted,
) -> Iterable[Image]:
    """`proxyv2` with the newest Envoy, and `-envoy-X.Y` for each."""
    for minor, binary in envoys.items():
        newest = binary == list(envoys.values())[-1]
        for name, hosted in (("proxyv2", proxies), ("proxyv2-agent", Hosted.CONTAINER)):
            variables = (*environment, ("LINNET_ENVOY", binary))
            image = Image("", module, ("proxy", "sidecar"), variables, hosted, binary)
            for tag in tags:
                for suffix in (f"-envoy-{minor}", *([""] if newest else [])):
                    yield msgspec.structs.replace(image, name=f"{_OURS}{name}:{tag}{suffix}")


def argv(image: Image, command: Sequence[str], args: Sequence[str]) -> tuple[str, ...]:
    """What a container of the image runs; empty when neither names a program.

    Source: Kubernetes, "Define a Command and Arguments for a Container".
    """
    if command:
        return (*command, *args)
    return (*image.command, *(args or image.args))


def unknown(reference: str) -> str:
    """The words for an image that the catalogue does not have."""
    return (
        f'image "{reference}" is not in the image catalogue of this machine; '
        "see linnet local images, add it with linnet local up --images FILE"
    )
