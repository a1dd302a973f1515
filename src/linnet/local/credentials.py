"""Certificates of the cluster's own parts, and the client configurations made from them."""

from pathlib import Path

from linnet.kube.config import Config
from linnet.local.api.certificates import Pki, Subject, subjects
from linnet.local.node.network import API_IP, NODE_IP
from linnet.local.paths import Paths

NODE = "node-1"
_MASTERS = ("system:masters",)  # all controllers are one program here, so it may do what each of them may
_OWN = (
    Subject("controllers", "system:kube-controller-manager", _MASTERS),
    Subject("network", "system:cloud-controller-manager", _MASTERS),
)


def ensure(paths: Paths) -> None:
    """Make the certificates that are missing. Raises OSError."""
    Pki(Path(paths.pki)).ensure((*subjects(NODE, NODE_IP, API_IP), *_OWN))


def config(paths: Paths, port: int, stem: str) -> Config:
    """How a part (`kubelet`, `controllers`, `network`) reaches the API server."""
    pki = Path(paths.pki)
    return Config(
        server=f"https://127.0.0.1:{port}",
        ca=(pki / "ca.crt").read_bytes(),
        certificate=(pki / f"{stem}.crt").read_bytes(),
        key=(pki / f"{stem}.key").read_bytes(),
    )
