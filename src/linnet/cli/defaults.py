"""Defaults of flags: `$HOME/.istioctl/config.yaml`, or the file that ISTIOCONFIG names, and ISTIOCTL_<KEY>.

A flag wins over the environment, the environment over the file.

Source: Istio, `istioctl x config list`: keys, names of variables, place of the file.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct

from linnet.cli.faults import UserError

FILE = "ISTIOCONFIG"
PREFIX = "ISTIOCTL_"
BOOLEANS = {
    **dict.fromkeys(("1", "t", "T", "true", "TRUE", "True"), True),
    **dict.fromkeys(("0", "f", "F", "false", "FALSE", "False"), False),
}  # as Go reads them
_NO_XDS = "no effect: istiods are asked through the API server, with your rights there"


class Key(Struct, frozen=True):
    """A key of the file; `effect` says what it does here."""

    name: str
    kind: type[str] | type[int] | type[bool]
    usual: str
    effect: str

    @property
    def variable(self) -> str:
        """The environment variable that sets it."""
        return PREFIX + self.name.replace("-", "_").upper()


KEYS = (
    Key("authority", str, "", _NO_XDS),
    Key("cert-dir", str, "", _NO_XDS),
    Key("insecure", bool, "", _NO_XDS),
    Key("istioNamespace", str, "istio-system", "the namespace of the control plane (-i)"),
    Key("plaintext", bool, "", _NO_XDS),
    Key("prefer-experimental", bool, "", "no effect: a command and its experimental form are the same"),
    Key("xds-address", str, "", _NO_XDS),
    Key("xds-port", int, "15012", _NO_XDS),
)


class Value(Struct, frozen=True):
    """What holds for a key. `source`: `default`, `$VARIABLE`, or the path of the file."""

    key: Key
    text: str
    source: str

    @property
    def given(self) -> bool:
        """Whether somebody set it."""
        return self.source != "default"


def load(environment: Mapping[str, str]) -> dict[str, Value]:
    """What holds for every key.

    Raises:
        UserError: the file cannot be read, or a value is of the wrong kind; the message names both.
    """
    path, held = _held(environment)
    found = {}
    for key in KEYS:
        if text := environment.get(key.variable):
            found[key.name] = Value(key, _checked(key, text, key.variable), f"${key.variable}")
        elif key.name.lower() in held:
            written = held[key.name.lower()]
            found[key.name] = Value(key, _checked(key, written, f"{path}: {key.name}"), str(path))
        else:
            found[key.name] = Value(key, key.usual, "default")
    return found


def _held(environment: Mapping[str, str]) -> tuple[Path, dict[str, Any]]:
    """The path of the file and what it says, keys in lower case; nothing if there is no file."""
    named = environment.get(FILE, "")
    path = Path(named or Path(environment.get("HOME", "/")) / ".istioctl" / "config.yaml")
    try:
        text = path.read_text()
    except (FileNotFoundError, NotADirectoryError) as error:
        if named:
            raise UserError(f"{FILE}={named}: there is no such file; unset {FILE} to go without") from error
        return path, {}
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise UserError(f"{path}: {why}") from error
    return path, {str(key).lower(): value for key, value in _parsed(path, text).items()}


def _parsed(path: Path, text: str) -> dict[Any, Any]:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        document = YAML(typ="safe", pure=True).load(text)
    except YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" line {mark.line + 1}:" if mark else ""
        raise UserError(f"{path}:{where} not valid YAML: {getattr(error, 'problem', error)}") from error
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise UserError(f"{path}: expected KEY: VALUE lines; keys are {', '.join(key.name for key in KEYS)}")
    return document


def _checked(key: Key, value: object, where: str) -> str:
    """The value as text.

    Raises:
        UserError: it is of the wrong kind.
    """
    expected = {str: "text", int: "a port number", bool: "true or false"}[key.kind]
    text = str(value).lower() if isinstance(value, bool) else str(value)
    good = {
        str: isinstance(value, str),
        int: not isinstance(value, bool) and text.isdecimal() and 0 < int(text) < 65536,
        bool: text in BOOLEANS,
    }[key.kind]
    if not good:
        raise UserError(f"{where}: {value!r} is not {expected}")
    return text
