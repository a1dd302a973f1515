"""The syntax of names, labels and annotations, with Kubernetes' explanations. Each check returns complaints.

Source: Kubernetes, `apimachinery/pkg/util/validation`.
"""

from __future__ import annotations

import re

_LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN = _LABEL + r"(\." + _LABEL + ")*"
_LABEL_1035 = r"[a-z]([-a-z0-9]*[a-z0-9])?"
_NAME = r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_VALUE = r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?"
_PERCENT = re.compile(r"[0-9]+%")

_ENDS = "and must start and end with an alphanumeric character"
_SUBDOMAIN_RULE = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', " + _ENDS
)
_LABEL_RULE = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', " + _ENDS
_LABEL_1035_RULE = (
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', "
    "start with an alphabetic character, and end with an alphanumeric character"
)
_NAME_RULE = "name part must consist of alphanumeric characters, '-', '_' or '.', " + _ENDS
_VALUE_RULE = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', " + _ENDS
)
_KEY_RULE = "a valid config key must consist of alphanumeric characters, '-', '_' or '.'"
_PERCENT_RULE = (
    "a valid percent string must be a numeric string followed by an ending '%' "
    "(e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')"
)

# text, examples, regular expression
_RULES = (
    (_SUBDOMAIN_RULE, ("example.com",), _SUBDOMAIN),
    (_LABEL_RULE, ("my-name", "123-abc"), _LABEL),
    (_LABEL_1035_RULE, ("my-name", "abc-123"), _LABEL_1035),
    (_NAME_RULE, ("MyName", "my.name", "123-abc"), _NAME),
    (_VALUE_RULE, ("MyValue", "my_value", "12345"), _VALUE),
    (_KEY_RULE, ("key.name", "KEY_NAME", "key-name"), r"[-._a-zA-Z0-9]+"),
)


def _explained(rule: int) -> str:
    text, examples, expression = _RULES[rule]
    shown = " or ".join(f"'{example}', " for example in examples)
    return f"{text} (e.g. {shown}regex used for validation is '{expression}')"


def _checked(rule: int, value: str, most: int) -> list[str]:
    found = [f"must be no more than {most} bytes"] if len(value) > most else []
    if not re.fullmatch(_RULES[rule][2], value):
        found.append(_explained(rule))
    return found


def dns_subdomain(value: str) -> list[str]:
    """Names of most objects."""
    return _checked(0, value, 253)


def dns_label(value: str) -> list[str]:
    """Names of namespaces, ports, containers."""
    return _checked(1, value, 63)


def dns_label_1035(value: str) -> list[str]:
    """Names of services."""
    return _checked(2, value, 63)


def qualified(value: str) -> list[str]:
    """Keys of labels and annotations: `prefix/name` or `name`."""
    prefix, slash, name = value.rpartition("/")
    if "/" in prefix:
        text = _explained(3).replace("name part must", "a valid label key must", 1)
        return [
            text.replace("a valid label key", "a qualified name") + " with an optional DNS subdomain prefix"
        ]
    found: list[str] = []
    if slash and not prefix:
        found.append("prefix part must be non-empty")
    elif prefix:
        found += [f"prefix part {why}" for why in dns_subdomain(prefix)]
    if not name:
        found.append("name part must be non-empty")
    elif len(name) > 63:
        found.append("name part must be no more than 63 bytes")
    if not re.fullmatch(_NAME, name):
        found.append(_explained(3))
    return found


def label_value(value: str) -> list[str]:
    """Values of labels."""
    return _checked(4, value, 63)


def config_key(value: str) -> list[str]:
    """Keys of ConfigMaps and Secrets."""
    found = ["must be no more than 253 bytes"] if len(value) > 253 else []
    if not re.fullmatch(_RULES[5][2], value):
        found.append(_explained(5))
    if value == ".":
        found.append("must not be '.'")
    elif value.startswith(".."):
        found.append("must not be '..'" if value == ".." else "must not start with '..'")
    return found


def path_segment(value: str) -> list[str]:
    """Names that only have to fit into a URL (RBAC)."""
    if value in (".", ".."):
        return [f"may not be '{value}'"]
    return [f"may not contain '{part}'" for part in ("/", "%") if part in value]


def percent(value: str) -> list[str]:
    """`25%`."""
    return [] if _PERCENT.fullmatch(value) else [_PERCENT_RULE]


def port_name(value: str) -> list[str]:
    """Names of container ports, as services refer to them."""
    found = [] if len(value) <= 15 else ["must be no more than 15 characters"]
    if not re.fullmatch(r"[-a-z0-9]+", value):
        found.append("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)")
    if not re.search(r"[a-z]", value):
        found.append("must contain at least one letter (a-z)")
    if "--" in value:
        found.append("must not contain consecutive hyphens")
    if value[:1] == "-" or value[-1:] == "-":
        found.append("must not begin or end with a hyphen")
    return found
