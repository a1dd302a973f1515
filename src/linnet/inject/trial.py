"""Whether a configuration can inject at all: each template is tried on a small pod (pure).

What a template refers to is known only when it is rendered. A configuration that fails here would refuse
every pod that is created, so it is refused itself, and the one before stays in force.
"""

from typing import Any

from linnet.inject import annotations as notes
from linnet.inject.configuration import Configuration, ConfigurationError
from linnet.inject.pod import injected

_POD: dict[str, Any] = {
    "metadata": {"name": "trial"},
    "spec": {"containers": [{"name": "main", "image": "none"}]},
}


def check(configuration: Configuration) -> None:
    """Try every template.

    Raises:
        ConfigurationError: naming the template that cannot be used, and why.
    """
    for name in configuration.templates:
        metadata = {**_POD["metadata"], "annotations": {notes.TEMPLATES: name}}
        try:
            injected({**_POD, "metadata": metadata}, "default", configuration)
        except (AssertionError, AttributeError, LookupError, TypeError, ValueError) as error:
            raise ConfigurationError(f"config: templates: {name}: {_told(error)}") from error


def _told(error: Exception) -> str:
    """A sentence; errors of the language itself say what they are."""
    if isinstance(error, ValueError):
        return str(error)
    return f"does not give a part of a pod ({type(error).__name__}: {error})"
