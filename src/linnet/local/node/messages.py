"""What the node and the forker say to each other: one msgpack message per packet, with descriptors.

node ──Birth + (report, network)──▶ forker ──fork──▶ init of a pod      node ◀──Born + pidfd── forker
node ──Start + (stdio, report, mounts)──▶ forker ──fork──▶ process      node ◀──Exited── forker
A report socket tells whether it worked: Started, Ready or Failed, and its end.
"""

import socket
from array import array

import msgspec
from msgspec import Struct

from linnet.local.node.runtime import Command


class Layout(Struct, frozen=True):
    """What of this machine a pod sees besides its system directories.

    `hidden` directories are empty, `exposed` ones are visible wherever they are, `private` are the files and
    directories of /etc that pods find empty.
    """

    scratch: str  # an empty directory to build roots on
    hidden: tuple[str, ...] = ()
    exposed: tuple[str, ...] = ()
    private: tuple[str, ...] = ()


class Birth(Struct, frozen=True, tag=True):
    """Fork the init of a pod. Descriptors: the report socket, the pod's network namespace."""

    pod: int  # how the pod is called from now on
    hostname: str
    files: tuple[tuple[str, str], ...]  # of /etc: (name, content)


class Born(Struct, frozen=True, tag=True):
    """The init has been forked. Descriptor: its pidfd."""

    pod: int
    pid: int


class Ready(Struct, frozen=True, tag=True):
    """The root and the namespaces of the pod are made."""


class Started(Struct, frozen=True, tag=True):
    """A process has been forked; when the report socket ends without `Failed`, it runs its program."""

    pid: int


class Failed(Struct, frozen=True, tag=True):
    """A step failed; `number` is the errno."""

    number: int
    text: str


class Place(Struct, frozen=True):
    """Where the next descriptor of a Start message is mounted."""

    target: str
    directory: bool


class Start(Struct, frozen=True, tag=True):
    """Fork a process of a pod. Descriptors: stdin, stdout, stderr, the report socket, one per place."""

    pod: int
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


Request = Birth | Start | Kill
News = Born | Exited
Report = Ready | Started | Failed

encode = msgspec.msgpack.Encoder().encode
decode_request: msgspec.msgpack.Decoder[Request] = msgspec.msgpack.Decoder(Request)
decode_news: msgspec.msgpack.Decoder[News] = msgspec.msgpack.Decoder(News)
decode_report: msgspec.msgpack.Decoder[Report] = msgspec.msgpack.Decoder(Report)

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
