"""Who vouches for servers outside the mesh: the CAs that this machine trusts."""

import ssl
from pathlib import Path

_USUAL = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem")


def system_roots() -> bytes:
    """PEM of the trusted CAs; empty if this machine has none."""
    told = ssl.get_default_verify_paths().cafile
    for path in map(Path, filter(None, (told, *_USUAL))):
        if path.is_file():
            return path.read_bytes()
    return b""
