"""What injection follows: ConfigMaps `istio-sidecar-injector-REV` and `istio-REV`, compiled (pure)."""

import json
from collections.abc import Mapping
from functools import cached_property
from typing import Any

from msgspec import Struct

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


def parse(data: Mapping[str, str], mesh: str, *, revision: str, namespace: str) -> Configuration:
    """The configuration in the data of an injection ConfigMap and the text of a MeshConfig.

    `revision` is as labels write it (`default` for none).

    Raises:
        ConfigurationError: a key is missing, or is neither YAML nor JSON, or a template does not compile.
    """
    config = read_mapping(data.get("config"), "config")
    try:
        values = json.loads(data.get("values") or "{}")
    except json.JSONDecodeError as error:
        raise ConfigurationError(f"values: not valid JSON: {error}") from error
    if config.get("policy") not in ("enabled", "disabled"):
        raise ConfigurationError(f"config: policy: {config.get('policy')!r} is neither enabled nor disabled")
    templates = {
        name: read_mapping(text, f"config: templates: {name}")
        for name, text in (config.get("templates") or {}).items()
    }
    result = Configuration(
        revision=revision,
        namespace=namespace,
        policy=config["policy"],
        default_templates=tuple(config.get("defaultTemplates") or ("sidecar",)),
        aliases=config.get("aliases") or {},
        always=tuple(config.get("alwaysInjectSelector") or ()),
        never=tuple(config.get("neverInjectSelector") or ()),
        annotations=config.get("injectedAnnotations") or {},
        templates=templates,
        values=values,
        mesh=read_mapping(mesh, "mesh"),
    )
    try:
        assert result.compiled is not None
    except TemplateError as error:
        raise ConfigurationError(f"config: templates: {error}") from error
    return result


def read_mapping(text: str | None, where: str) -> dict[str, Any]:
    """The mapping that a YAML text holds; `where` names it in errors. Raises ConfigurationError."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    if text is None:
        raise ConfigurationError(f"{where}: missing")
    try:
        value = YAML(typ="safe", pure=True).load(text) or {}
    except YAMLError as error:
        raise ConfigurationError(f"{where}: not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(value, dict):
        raise ConfigurationError(f"{where}: expected a mapping")
    return value
