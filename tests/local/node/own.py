"""Linnet itself, for containers that shall run it."""

import sys
from pathlib import Path

import linnet
from linnet.local.node.runtime import Mount
from linnet.local.node.serve import PRIVATE

# Linnet itself, where a container has a file system of its own in that place: a checkout below /tmp
OWN = tuple(
    Mount(path, path)
    for path in sorted({sys.prefix, sys.base_prefix, str(Path(linnet.__file__).parents[1])})
    if path.startswith(PRIVATE)
)
