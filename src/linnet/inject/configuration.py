"""What injection follows: ConfigMaps `istio-sidecar-injector-REV` and `istio-REV`, compiled (pure)."""

import json
from collections.abc import Mapping
from functools import cached_property
from typing import Any, TypeVar

import msgspec
from msgspec import Struct, field

from linnet.ingest.report import shape_fault
from linnet.inject.template import Render, TemplateError, compile_template


class ConfigurationError(ValueError):
    """An injection ConfigMap that cannot be used; the message names the key."""


class Configuration(Struct, frozen=True, dict=True):
    """The injection of one revision. Compare two by their `source`."""

    revision: str  # as labels write it
    namespace: str
    policy: str
    default_templates: tuple[str, ...]
    aliases: Mapping[str, Any]
    always: tuple[Mapping[str, Any], ...]
    never: tuple[Mapping[str, Any], ...]
    annotations: Mapping[str, str]
    templates: Mapping[str, Any]
    values: Mapping[str, Any]
    mesh: Mapping[str, Any]

    @cached_property
    def compiled(self) -> Mapping[str, Render]:
        """The templates, compiled."""
        return {name: compile_template(template) for name, template in self.templates.items()}

    @property
    def discovery_address(self) -> str:
        """Where injected proxies connect."""
        suffix = "" if self.revision == "default" else f"-{self.revision}"
        configured = (self.mesh.get("defaultConfig") or {}).get("discoveryAddress")
        return str(configured or f"istiod{suffix}.{self.namespace}.svc:15012")


class _Global(Struct):
    """What injection reads of `values.global`."""

    hub: str
    tag: str | int | float
    proxy: dict[str, Any]
    proxy_init: dict[str, Any] | None = None
    logging: dict[str, Any] | None = None
    multiCluster: dict[str, Any] | None = None  # noqa: N815 (Istio's name)
    imagePullSecrets: list[str] | None = None  # noqa: N815


class _Values(Struct):
    """What injection reads of `values`."""

    everywhere: _Global = field(name="global")
    sidecarInjectorWebhook: dict[str, Any] | None = None  # noqa: N815
    gateways: dict[str, Any] | None = None


class _Config(Struct):
    """The shape of `config`."""

    policy: str
    defaultTemplates: list[str] | None = None  # noqa: N815
    aliases: dict[str, str | list[str]] | None = None
    alwaysInjectSelector: list[dict[str, Any]] | None = None  # noqa: N815
    neverInjectSelector: list[dict[str, Any]] | None = None  # noqa: N815
    injectedAnnotations: dict[str, str | int | float | bool] | None = None  # noqa: N815
    templates: dict[str, str] | None = None


def parse(data: Mapping[str, str], mesh: str, *, revision: str, namespace: str) -> Configuration:
    """The configuration in the data of an injection ConfigMap and the text of a MeshConfig.

    `revision` is as labels write it (`default` for none).

    Raises:
        ConfigurationError: a key is missing or of another shape, is neither YAML nor JSON, or a template
            does not compile.
    """
    read = read_mapping(data.get("config"), "config")
    try:
        values = json.loads(data.get("values") or "{}")
    except json.JSONDecodeError as error:
        raise ConfigurationError(f"values: not valid JSON: {error}") from error
    config = _shaped(read, _Config, "config")
    _shaped(values, _Values, "values")
    if config.policy not in ("enabled", "disabled"):
        raise ConfigurationError(f"config: policy: {config.policy!r} is neither enabled nor disabled")
    templates = {
        name: read_mapping(text, f"config: templates: {name}")
        for name, text in (config.templates or {}).items()
    }
    aliases = config.aliases or {}
    wanted = tuple(config.defaultTemplates or ("sidecar",))
    for name in wanted:
        if name not in templates and name not in aliases:
            raise ConfigurationError(f"config: defaultTemplates: there is no template {name!r}")
    result = Configuration(
        revision=revision,
        namespace=namespace,
        policy=config.policy,
        default_templates=wanted,
        aliases=aliases,
        always=tuple(config.alwaysInjectSelector or ()),
        never=tuple(config.neverInjectSelector or ()),
        annotations={key: str(value) for key, value in (config.injectedAnnotations or {}).items()},
        templates=templates,
        values=values,
        mesh=read_mapping(mesh, "mesh"),
    )
    try:
        assert result.compiled is not None
    except TemplateError as error:
        raise ConfigurationError(f"config: templates: {error}") from error
    return result


Shape = TypeVar("Shape")


def _shaped(value: Any, shape: type[Shape], where: str) -> Shape:
    try:
        return msgspec.convert(value, shape)
    except msgspec.ValidationError as fault:
        path, message = shape_fault(fault)
        raise ConfigurationError(f"{where}{path.removeprefix('spec')}: {message}") from fault


def read_mapping(text: str | None, where: str, *, aliases: bool = True) -> dict[str, Any]:
    """The mapping that a YAML text holds; `where` names it in errors. Raises ConfigurationError.

    Without `aliases` those of YAML are refused: by them a short text is a very long value.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError
    from ruamel.yaml.events import AliasEvent

    if text is None:
        raise ConfigurationError(f"{where}: missing")
    try:
        yaml = YAML(typ="safe", pure=True)
        if not aliases and "*" in text and any(isinstance(event, AliasEvent) for event in yaml.parse(text)):
            raise ConfigurationError(f"{where}: aliases (*name) are not allowed")
        value = yaml.load(text) or {}
    except RecursionError as error:
        raise ConfigurationError(f"{where}: nested too deeply") from error
    except (YAMLError, ValueError, TypeError) as error:
        if isinstance(error, ConfigurationError):
            raise
        raise ConfigurationError(f"{where}: not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(value, dict):
        raise ConfigurationError(f"{where}: expected a mapping")
    return value
