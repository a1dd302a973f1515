"""What the node, the forker and the inits of pods say to each other: one msgpack message per packet.

node ──Birth + (control, network)──▶ forker ──fork──▶ init        node ◀──Born + pidfd── forker
node ──Start + (stdio, report, mounts)──▶ init ──fork──▶ process  node ◀──Ready, Failed, Exited── init
"""

import socket
from array import array

import msgspec
from msgspec import Struct

from linnet.local.node.runtime import Command


class Layout(Struct, frozen=True):
    """What of this machine a pod sees: `hidden` directories are empty, `exposed` ones are visible still."""

    scratch: str  # an empty directory to build roots on
    hidden: tuple[str, ...] = ()
    exposed: tuple[str, ...] = ()


class Birth(Struct, frozen=True, tag=True):
    """Fork the init of a pod. Descriptors: its control socket, its network namespace."""

    hostname: str
    files: tuple[tuple[str, str], ...]  # of /etc: (name, content)


class Born(Struct, frozen=True, tag=True):
    """The init runs. Descriptor: its pidfd."""

    pid: int


class Failed(Struct, frozen=True, tag=True):
    """A step failed; `number` is the errno."""

    number: int
    text: str


class Ready(Struct, frozen=True, tag=True):
    """The root and the namespaces of the pod are made."""


class Place(Struct, frozen=True):
    """Where the next descriptor of a Start message is mounted."""

    target: str
    directory: bool


class Start(Struct, frozen=True, tag=True):
    """Fork a process. Descriptors: stdin, stdout, stderr, the report socket, then one per place."""

    number: int  # how this process is called from now on
    command: Command
    places: tuple[Place, ...] = ()
    like: int = 0  # the number of the process whose mounts it shares


class Kill(Struct, frozen=True, tag=True):
    """Send a signal to a process."""

    number: int
    signal: int


class Exited(Struct, frozen=True, tag=True):
    """A process has ended; `code` as in `runtime.Process.wait`."""

    number: int
    code: int


FromInit = Ready | Failed | Exited
ToInit = Start | Kill
FromForker = Born | Failed

encode = msgspec.msgpack.Encoder().encode
decode_birth = msgspec.msgpack.Decoder(Birth).decode
decode_from_init: msgspec.msgpack.Decoder[FromInit] = msgspec.msgpack.Decoder(FromInit)
decode_to_init: msgspec.msgpack.Decoder[ToInit] = msgspec.msgpack.Decoder(ToInit)
decode_from_forker: msgspec.msgpack.Decoder[FromForker] = msgspec.msgpack.Decoder(FromForker)

MAX_MESSAGE = 1 << 18
MAX_DESCRIPTORS = 200


def receive(control: socket.socket, descriptors: int) -> tuple[bytes, list[int]]:
    """One packet and the descriptors that came with it, which no program inherits.

    `socket.recv_fds` of Python 3.11 ignores its flags, so they would be inherited.
    """
    space = socket.CMSG_LEN(descriptors * array("i").itemsize)
    data, ancillary, _, _ = control.recvmsg(MAX_MESSAGE, space, socket.MSG_CMSG_CLOEXEC)
    given = array("i")
    for level, kind, content in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            given.frombytes(content[: len(content) - len(content) % given.itemsize])
    return data, list(given)
