"""The certificates that Envoy holds, as rows (pure)."""

import base64
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from linnet.cli.envoy import dump as sections
from linnet.cli.envoy.dump import Json

HEADER = ("RESOURCE NAME", "TYPE", "STATUS", "VALID CERT", "SERIAL NUMBER", "NOT AFTER", "NOT BEFORE")


def select(dump: Mapping[str, Any], name: str = "") -> list[tuple[Json, str]]:
    """The secrets and their states, or the one of a name."""
    return [(entry, state) for entry, state in sections.secrets(dump) if name in ("", entry.get("name", ""))]


def rows(found: list[tuple[Json, str]], now: datetime) -> list[tuple[str, ...]]:
    """A line of the table per certificate of a chain or bundle."""
    return [row for entry, state in found for row in _rows(entry, state, now)]


def _rows(entry: Json, state: str, now: datetime) -> Iterator[tuple[str, ...]]:
    from cryptography import x509  # heavy: only where certificates are read

    name, secret = str(entry.get("name", "")), entry.get("secret") or {}
    chain = _pem(secret, ("tls_certificate", "tlsCertificate"), ("certificate_chain", "certificateChain"))
    bundle = _pem(secret, ("validation_context", "validationContext"), ("trusted_ca", "trustedCa"))
    kind = "Cert Chain" if chain else "CA"
    if not chain and not bundle:
        yield name, "-", state, "false", "-", "-", "-"
        return
    for certificate in x509.load_pem_x509_certificates(chain or bundle):
        start, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
        valid = "true" if start <= now <= end else "false"
        serial = f"{certificate.serial_number:x}"
        yield name, kind, state, valid, serial, _time(end), _time(start)


def _pem(secret: Json, outer: tuple[str, str], inner: tuple[str, str]) -> bytes:
    held = secret.get(outer[0]) or secret.get(outer[1]) or {}
    source = held.get(inner[0]) or held.get(inner[1]) or {}
    if text := source.get("inline_string") or source.get("inlineString"):
        return str(text).encode()
    return base64.b64decode(source.get("inline_bytes") or source.get("inlineBytes") or "")


def _time(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
