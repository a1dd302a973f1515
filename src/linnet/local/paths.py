"""Where the local cluster keeps its things: everything durable below one directory, sockets below another."""

from msgspec import Struct

MAX_SOCKET = 100  # bytes of a socket's path that we allow; the kernel takes 107


class Paths(Struct, frozen=True):
    """The state directory and the directory of sockets, both the user's own (mode 0700)."""

    state: str
    run: str

    @property
    def pki(self) -> str:
        """Keys and certificates."""
        return f"{self.state}/pki"

    @property
    def kubeconfig(self) -> str:
        """The administrator's."""
        return f"{self.state}/admin.kubeconfig"

    @property
    def logs(self) -> str:
        """One file per process."""
        return f"{self.state}/logs"

    @property
    def node(self) -> str:
        """The node's: pods/<uid>, logs of containers."""
        return f"{self.state}/node"

    @property
    def scratch(self) -> str:
        """An empty directory on which pods build their roots, each in its own mount namespace."""
        return f"{self.state}/node/root"

    @property
    def memory(self) -> str:
        """Where the node process, in its own mount namespace, keeps volumes in memory."""
        return f"{self.state}/node/memory"

    @property
    def images(self) -> str:
        """Programs that were added to the image catalogue; pods can see it."""
        return f"{self.state}/images"

    @property
    def catalogue(self) -> str:
        """The user's catalogue file, as given to the last `up`."""
        return f"{self.state}/images.yaml"

    @property
    def daemon(self) -> str:
        """What the running daemon says about itself."""
        return f"{self.state}/daemon.json"

    @property
    def lock(self) -> str:
        """Held by every process of a running cluster."""
        return f"{self.state}/daemon.lock"

    @property
    def up_lock(self) -> str:
        """Held while `up` or `down` works."""
        return f"{self.state}/up.lock"


def local_paths(state_home: str, runtime_home: str, uid: int = 0) -> Paths:
    """The paths below XDG_STATE_HOME and XDG_RUNTIME_DIR; without the latter, in /tmp."""
    run = f"{runtime_home}/linnet" if runtime_home else f"/tmp/linnet-{uid}"  # noqa: S108
    return Paths(f"{state_home}/linnet/local", run)
