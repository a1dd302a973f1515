"""What a cluster is started with: decided by the command line, inherited by every process."""

from msgspec import Struct

from linnet.local.paths import Paths


class Settings(Struct, frozen=True):
    """The settings of one run."""

    paths: Paths
    homes: tuple[str, ...]  # directories that pods shall not see, besides the state
    environment: tuple[str, ...]  # Linnet's own: Python, its packages, the source tree
    version: str
    api_port: int = 6443
    verbose: bool = False
