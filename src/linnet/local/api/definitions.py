"""The OpenAPI definitions of Kubernetes 1.35, as component schemas by name.

Source: PyPI package kubernetes-validate 1.35.0; `tools/build_api_data.py` writes the compressed file.
"""

import gzip
from importlib.resources import files
from typing import Any

import orjson

Definitions = dict[str, dict[str, Any]]


def packed(name: str) -> Any:
    """The value of a committed data file of this package."""
    return orjson.loads(gzip.decompress(files("linnet.local.api").joinpath("data", name).read_bytes()))


def definitions() -> Definitions:
    """All definitions; references have the form `#/components/schemas/<name>`."""
    loaded: Definitions = packed("definitions.json.gz")
    return loaded
