"""Planes and what they render to."""

from collections.abc import Callable
from typing import Any

import pytest

from linnet.install.operator import resolve
from linnet.install.plane import Plane
from linnet.install.render import components, default_objects

Object = dict[str, Any]


@pytest.fixture
def plane() -> Callable[..., Plane]:
    """The default profile with a revision and further `--set`s."""

    def make(revision: str = "", *sets: str) -> Plane:
        return resolve([], [f"revision={revision or 'default'}", *sets], version="9.9.9").plane

    return make


@pytest.fixture
def rendered() -> Callable[[Plane], dict[str, Object]]:
    """All objects of a plane by `Kind/name`."""

    def render(made: Plane) -> dict[str, Object]:
        objects = [obj for component in components(made, []) for obj in component.objects]
        return {f"{o['kind']}/{o['metadata']['name']}": o for o in (*objects, *default_objects(made))}

    return render
