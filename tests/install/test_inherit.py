"""`--from-revision`: what was asked for is asked for again, with what people edited since."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from linnet.install import documents, pilot
from linnet.install.inherit import InheritError, Source, inherit
from linnet.install.operator import resolve
from linnet.install.plane import Plane

pytestmark = pytest.mark.unit
Make = Callable[..., Plane]
Object = dict[str, Any]


def owned(obj: Object, **managers: str) -> Object:
    """A ConfigMap as the API server shows it; `managers`: who wrote a key, the installer unless said."""
    fields = [
        {"manager": managers.get(key, "istio-operator"), "fieldsV1": {"f:data": {f"f:{key}": {}}}}
        for key in obj["data"]
    ]
    return {**obj, "metadata": {**obj["metadata"], "managedFields": fields}}


def source(plane: Plane) -> Source:
    """The ConfigMaps of a plane as they were installed."""
    maps = (pilot.values_record(plane), pilot.mesh_config(plane), pilot.injection_config(plane))
    return Source(plane.revision_name, *(owned(obj) for obj in maps))


def edited(source: Source, **mesh: Any) -> Source:
    """The same after `kubectl edit` of the mesh configuration; None removes a key."""
    assert source.mesh is not None
    now = {key: value for key, value in (source.mesh_now | mesh).items() if value is not None}
    data = {**source.mesh["data"], "mesh": documents.dump(now)}
    return Source(
        source.revision,
        source.record,
        owned({**source.mesh, "data": data}, mesh="kubectl-edit"),
        source.injection,
    )


def canary(source: Source, *sets: str) -> Plane:
    """A canary that inherits."""
    return resolve([], list(sets), version="9.9.9", revision="canary", inherited=inherit(source).asked).plane


def test_what_was_asked_for_is_inherited(plane: Make) -> None:
    """Values, mesh settings and the profile; not the revision."""
    old = plane("old", "profile=demo", "values.pilot.autoscaleMax=9", "meshConfig.accessLogFile=/x", "hub=h")
    new = canary(source(old))
    assert (new.revision, new.profile, new.hub) == ("canary", "demo", "h")
    assert new.value("pilot.autoscaleMax") == 9
    assert new.mesh()["accessLogFile"] == "/x"
    assert new.mesh()["defaultConfig"]["discoveryAddress"] == "istiod-canary.istio-system.svc:15012"


def test_own_flags_win(plane: Make) -> None:
    """This command's --set is on top of what is inherited."""
    old = plane("old", "values.pilot.autoscaleMax=9", "meshConfig.accessLogFile=/x")
    new = canary(source(old), "values.pilot.autoscaleMax=3")
    assert (new.value("pilot.autoscaleMax"), new.mesh()["accessLogFile"]) == (3, "/x")


def test_edits_of_the_mesh_are_inherited(plane: Make) -> None:
    """What was added, changed or removed by hand; the address of the old istiod is not."""
    old = edited(
        source(plane("old")),
        accessLogFile="/y",
        enablePrometheusMerge=None,
        defaultConfig={"discoveryAddress": "istiod-old.other:15012", "concurrency": 3},
    )
    mesh = canary(old).mesh()
    assert mesh["accessLogFile"] == "/y"
    assert "enablePrometheusMerge" not in mesh
    assert mesh["defaultConfig"] == {
        "discoveryAddress": "istiod-canary.istio-system.svc:15012",
        "concurrency": 3,
    }
    (note,) = inherit(old).notes
    assert note.endswith("mesh configuration: accessLogFile, defaultConfig, enablePrometheusMerge")


def test_a_default_of_the_old_version_is_no_edit(plane: Make) -> None:
    """What differs from today's defaults but was written by the installer is not inherited."""
    old = source(plane("old"))
    assert old.mesh is not None
    data = {**old.mesh["data"], "mesh": documents.dump(old.mesh_now | {"enableTracing": False})}
    untouched = Source("old", old.record, owned({**old.mesh, "data": data}), old.injection)
    assert "enableTracing" not in canary(untouched).mesh()
    assert inherit(untouched).notes == ()


def test_an_inheritance_can_be_inherited(plane: Make) -> None:
    """The third revision has what the first was edited to."""
    second = canary(edited(source(plane("old")), accessLogFile="/y", enablePrometheusMerge=None))
    third = inherit(source(second))
    mesh = resolve([], [], version="9", revision="third", inherited=third.asked).plane.mesh()
    assert mesh["accessLogFile"] == "/y"
    assert "enablePrometheusMerge" not in mesh


def test_versions_are_not_inherited(plane: Make) -> None:
    """The canary is of its own version, and says so."""
    old = source(plane("old", "tag=1.0", "values.global.tag=1.1"))
    assert canary(old).tag == "9.9.9"
    assert inherit(old).notes == (
        "tag 1.0 is not inherited, this installs its own",
        "values.global.tag 1.1 is not inherited, this installs its own",
    )


def test_edited_values_are_inherited_and_templates_are_not(plane: Make) -> None:
    """Values of injection mean the same in the next version; a template belongs to its own."""
    old = source(plane("old"))
    assert old.injection is not None
    values = old.values_now
    values["global"]["proxy"]["logLevel"] = "debug"
    data = {**old.injection["data"], "values": json.dumps(values)}
    touched = owned({**old.injection, "data": data}, values="kubectl-edit", config="kubectl-edit")
    found = inherit(Source("old", old.record, old.mesh, touched))
    assert found.asked["values"] == {"global": {"proxy": {"logLevel": "debug"}}}
    assert [note.partition(" ")[0] for note in found.notes] == ["with", "its"]


def test_another_tools_revision(plane: Make) -> None:
    """Without our record: mesh and values as they are now, never another product's images."""
    old = source(plane("old", "values.global.hub=docker.io/istio", "meshConfig.accessLogFile=/z"))
    new = canary(Source("old", None, old.mesh, old.injection))
    assert (new.hub, new.mesh()["accessLogFile"], new.mesh()["rootNamespace"]) == (
        "linnet",
        "/z",
        "istio-system",
    )
    record = {"metadata": {"name": "values-old"}, "data": {"original-values": "pilot:\n  autoscaleMax: 7\n"}}
    assert canary(Source("old", record, old.mesh, old.injection)).value("pilot.autoscaleMax") == 7


def test_no_such_revision() -> None:
    """Nothing to inherit is an error that names what is missing."""
    with pytest.raises(InheritError, match="no revision old: it has no ConfigMap istio-old"):
        inherit(Source("old"))


def test_unreadable_mesh(plane: Make) -> None:
    """YAML that was broken by hand is named with its place."""
    old = edited(source(plane("old")), x=1)
    assert old.mesh is not None
    broken = owned({**old.mesh, "data": {"mesh": "a: [", "meshNetworks": ""}}, mesh="kubectl-edit")
    with pytest.raises(InheritError, match="ConfigMap istio-old, key mesh: not valid YAML"):
        inherit(Source("old", old.record, broken, old.injection))
