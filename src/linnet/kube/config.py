"""How to reach an API server: from a kubeconfig as people have it, or from inside a pod."""

import base64
import json
import os
import ssl
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from msgspec import Struct

SERVICE_ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
Entry = tuple[dict[str, Any], Path]  # an entry of a kubeconfig, and the file that it is from
Sections = dict[str, dict[str, Entry]]  # clusters, users, contexts: entries by name


class ConfigError(OSError):
    """A kubeconfig that cannot be used; the message names the file, the entry and the remedy."""


class ExecPlugin(Struct, frozen=True):
    """A credential program of a kubeconfig (`users[].user.exec`)."""

    command: str
    args: tuple[str, ...]
    env: tuple[tuple[str, str], ...]
    api_version: str


class Impersonation(Struct, frozen=True):
    """Whom requests are made as: a user, or an account `system:serviceaccount:NAMESPACE:NAME`."""

    user: str
    uid: str = ""
    groups: tuple[str, ...] = ()

    def headers(self) -> list[tuple[str, str]]:
        """The headers of a request; that of groups is repeated."""
        held = [("Impersonate-User", self.user)]
        if self.uid:
            held.append(("Impersonate-Uid", self.uid))
        return held + [("Impersonate-Group", group) for group in self.groups]


class Config(Struct, frozen=True, dict=True):
    """An API server and the credentials for it. PEM material is kept in memory, never written out."""

    server: str
    ca: bytes = b""
    certificate: bytes = b""
    key: bytes = b""
    token: str = ""
    token_file: str = ""
    exec_plugin: ExecPlugin | None = None
    namespace: str = "default"
    insecure: bool = False
    tls_server_name: str = ""
    proxy_url: str = ""
    impersonate: Impersonation | None = None

    @cached_property
    def tls(self) -> ssl.SSLContext | None:
        """The TLS context for `server`; None for plain HTTP."""
        if not self.server.startswith("https:"):
            return None
        context = ssl.create_default_context(cadata=self.ca.decode() if self.ca else None)
        if self.insecure:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        certificate, key = self.certificate, self.key
        if self.exec_plugin and self._exec_status.get("clientCertificateData"):
            certificate = self._exec_status["clientCertificateData"].encode()
            key = self._exec_status["clientKeyData"].encode()
        if certificate:
            load_certificate(context, certificate, key)
        return context

    @cached_property
    def _exec_status(self) -> dict[str, Any]:
        assert self.exec_plugin is not None
        plugin = self.exec_plugin
        request = {"kind": "ExecCredential", "apiVersion": plugin.api_version, "spec": {"interactive": False}}
        environment = dict(os.environ, **dict(plugin.env), KUBERNETES_EXEC_INFO=json.dumps(request))
        try:
            answer = subprocess.run(
                [plugin.command, *plugin.args],
                env=environment,
                stdout=subprocess.PIPE,
                check=True,
                timeout=60,
            ).stdout
            status = json.loads(answer).get("status") or {}
        except (subprocess.SubprocessError, ValueError) as error:
            raise ConfigError(f"credential plug-in {plugin.command!r} failed: {error}") from error
        assert isinstance(status, dict)
        return status

    def bearer(self) -> str:
        """The bearer token to send now; empty without one. Token files are read again each time."""
        if self.token_file:
            return Path(self.token_file).read_text().strip()
        if self.token:
            return self.token
        if self.exec_plugin:
            expiry = self._exec_status.get("expirationTimestamp")
            if expiry and datetime.fromisoformat(expiry) <= datetime.now(UTC):
                self.__dict__.pop("_exec_status", None)
            return str(self._exec_status.get("token") or "")
        return ""


def load_certificate(context: ssl.SSLContext, certificate: bytes, key: bytes) -> None:
    """Load a PEM chain and key into a context without a file on disk."""
    with memory_file(certificate + b"\n" + key) as path:
        context.load_cert_chain(path)


class memory_file:  # noqa: N801 (reads like the function that it is)
    """A context manager: the path of an anonymous file with this content, for this process only."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._fd = -1

    def __enter__(self) -> str:
        self._fd = os.memfd_create("pem", os.MFD_CLOEXEC)
        os.write(self._fd, self._content)
        return f"/proc/self/fd/{self._fd}"

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)


def in_cluster(environment: Mapping[str, str], directory: str = SERVICE_ACCOUNT) -> Config:
    """The configuration of a pod: its service account, KUBERNETES_SERVICE_HOST and _PORT of `environment`.

    Raises:
        ConfigError: this is no pod.
    """
    host, port = environment.get("KUBERNETES_SERVICE_HOST"), environment.get("KUBERNETES_SERVICE_PORT", "443")
    if not host or not os.path.exists(f"{directory}/token"):
        raise ConfigError("not inside a pod: KUBERNETES_SERVICE_HOST or the service account token is missing")
    return Config(
        server=f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}",
        ca=Path(f"{directory}/ca.crt").read_bytes(),
        token_file=f"{directory}/token",
        namespace=Path(f"{directory}/namespace").read_text().strip(),
    )


def from_kubeconfig(paths: str, context: str = "") -> Config:
    """The configuration of a context (the current one by default). `paths`: one, or several joined by `:`.

    Files are merged as kubectl does: the first file that names an entry wins.

    Raises:
        ConfigError: no file, no such context, cluster or user.
    """
    merged, current = _merged(paths)
    name = context or current
    if not name:
        raise ConfigError(f"{paths}: no current-context; pass --context ({_names(merged['contexts'])})")
    chosen, path = _entry(merged, "contexts", name)
    cluster, cluster_path = _entry(merged, "clusters", chosen.get("cluster", ""))
    user, user_path = _entry(merged, "users", chosen["user"]) if chosen.get("user") else ({}, path)
    if not cluster.get("server"):
        raise ConfigError(f"{cluster_path}: cluster {chosen.get('cluster')!r} has no server")
    return Config(
        server=cluster["server"].rstrip("/"),
        ca=_material(cluster, "certificate-authority", cluster_path),
        certificate=_material(user, "client-certificate", user_path),
        key=_material(user, "client-key", user_path),
        token=user.get("token", ""),
        token_file=str(user_path.parent / user["tokenFile"]) if user.get("tokenFile") else "",
        exec_plugin=_exec_plugin(user["exec"]) if user.get("exec") else None,
        namespace=chosen.get("namespace") or "default",
        insecure=bool(cluster.get("insecure-skip-tls-verify")),
        tls_server_name=cluster.get("tls-server-name", ""),
        proxy_url=cluster.get("proxy-url", ""),
        impersonate=Impersonation(user["as"], user.get("as-uid", ""), tuple(user.get("as-groups") or ()))
        if user.get("as")
        else None,
    )


def _merged(paths: str) -> tuple[Sections, str]:
    """The entries of all files, and the current context."""
    merged: Sections = {"clusters": {}, "users": {}, "contexts": {}}
    current, found = "", False
    for path in map(Path, filter(None, paths.split(":"))):
        if not path.exists():
            continue
        found = True
        document = _document(path)
        current = current or document.get("current-context") or ""
        for section, entries in merged.items():
            for entry in document.get(section) or ():
                if not isinstance(entry, dict) or not entry.get("name"):
                    raise ConfigError(f"{path}: an entry of {section} has no name")
                entries.setdefault(entry["name"], (entry.get(section[:-1]) or {}, path))
    if not found:
        raise ConfigError(f"no kubeconfig at {paths or 'KUBECONFIG'}: set KUBECONFIG or pass --kubeconfig")
    return merged, current


def _document(path: Path) -> dict[str, Any]:
    from ruamel.yaml import YAML  # heavy: only the CLI reads kubeconfigs
    from ruamel.yaml.error import YAMLError

    try:
        document = YAML(typ="safe").load(path.read_text()) or {}
    except YAMLError as error:
        raise ConfigError(f"{path}: not valid YAML: {error}") from error
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise ConfigError(f"{path}: {why}") from error
    if not isinstance(document, dict):
        raise ConfigError(f"{path}: not a kubeconfig: expected clusters, users and contexts")
    return document


def _exec_plugin(plugin: Mapping[str, Any]) -> ExecPlugin:
    return ExecPlugin(
        command=plugin["command"],
        args=tuple(plugin.get("args") or ()),
        env=tuple((pair["name"], pair["value"]) for pair in plugin.get("env") or ()),
        api_version=plugin.get("apiVersion", "client.authentication.k8s.io/v1"),
    )


def _names(entries: Mapping[str, object]) -> str:
    return "there are: " + ", ".join(sorted(entries)) if entries else "there are none"


def _entry(merged: Sections, section: str, name: str) -> Entry:
    if name not in merged[section]:
        raise ConfigError(f"kubeconfig: no {section[:-1]} {name!r} ({_names(merged[section])})")
    return merged[section][name]


def _material(entry: dict[str, Any], key: str, path: Path) -> bytes:
    if entry.get(f"{key}-data"):
        return base64.b64decode(entry[f"{key}-data"])
    if entry.get(key):
        file = path.parent / entry[key]
        if not file.exists():
            raise ConfigError(f"{path}: {key} names {file}, which does not exist")
        content: bytes = file.read_bytes()
        return content
    return b""
