"""A private pool with the descriptors that were read out of Envoy (`tools/envoy_messages`).

Private, because the process-wide pool of protobuf belongs to whoever registers first: another library that
brings its own copy of an Envoy file would make ours unloadable, or the other way round.
"""

import gzip
import json
from functools import cache
from importlib.resources import files

from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool


@cache
def pool() -> DescriptorPool:
    """The pool; give it to `json_format` as `descriptor_pool`, so that it resolves `Any`."""
    held = DescriptorPool()
    packed = files("linnet.envoy").joinpath("descriptors.gz").read_bytes()
    for file in FileDescriptorSet.FromString(gzip.decompress(packed)).file:
        held.AddSerializedFile(file.SerializeToString())
    return held


@cache
def full_names() -> dict[str, str]:
    """Name in `linnet.envoy.messages` -> Envoy's full name."""
    names: dict[str, str] = json.loads(files("linnet.envoy").joinpath("names.json").read_bytes())
    return names
