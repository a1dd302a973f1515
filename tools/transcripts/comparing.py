"""Compare recorded and actual output token by token; placeholders bind to what they stand for.

Runs of blanks count as one. Numbered placeholders keep identity inside one transcript.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache

_PLACEHOLDER = re.compile(r"<([a-z]+(?:-[a-z]+)*)(?:-(\d+))?>")
_TIME = r"(?:[A-Z][a-z]{2}, )?[0-9][^\"<>|]*?"
_PATTERNS = {
    "age": r"(?:(?:[0-9]+[smhdy])+|<unknown>|<invalid>|[0-9.]+(?:s|ms))(?: \(x\d+ over \S+\))?",
    "timestamp": _TIME + r"|[A-Z][a-z]{2}, [^\"]+?",
    "date": r"<date>|.+?",
    "rv": r"\d+",
    "uid": r"[0-9a-f]{8}-[0-9a-f-]{27}",
    "hash": r"[a-z0-9]{5,10}",
    "suffix": r"[a-z0-9]{5}",
    "event": r"[0-9a-z.]+",
    "cluster-ip": r"[0-9a-f.:]+",
    "pod-ip": r"[0-9a-f.:]+",
    "node-port": r"\d+",
    "server-port": r"\d+",
    "n": r"\d+",
    "random": r"[A-Za-z0-9_-]+",
    "token": r"\S+",
    "base64": r"[A-Za-z0-9+/=]+",
    "digest": r"\S+",
    "closed-address": r"\S+",
    "pem": r"<pem>|\S+",
    "kernel": r".+?",
    "host": r"\S+?",
    "klog": r".+?",
    "tmp": r"/\S+?",
    "server": r".+?",
    "api-address": r"[0-9a-f.:]+",
    "server-address": r"\S+?",
    "id": r"\S+?",
    "container-id": r"[0-9a-z:/]+",
    "machine-id": r"\S+?",
    "netns": r"\S+?",
    "ca-bundle": r"\S+?",
    "hook-server": r"https://[^/\s\"]+",
    "closed-port": r"https://[^/\s\"]+",
}
_ESCAPE = re.compile(r"\x1b\[[0-9;]*m")
_PEM = re.compile(r"-----BEGIN [A-Z ]+-----.*?-----END [A-Z ]+-----", re.DOTALL)
_BLANKS = re.compile(r"[ \t]+")
# progress, and what client-go logs when a command's time runs out within a second
_TIMING = re.compile(r"Waiting for (?:deployment|daemon set|\d+ pods|partitioned)|W\d{4} .*very short watch")
_ENDING = re.compile(r"^(?:pod/)?\S+ \d+/\d+ Terminating ")
_RANDOM = ("<suffix", "<hash", "<event", "<random", "<pod-ip", "<uid", "<age>", "<cluster-ip")


@dataclass(slots=True)
class Bindings:
    """What the placeholders of one transcript stand for."""

    known: dict[str, str] = field(default_factory=dict)

    def copy(self) -> Bindings:
        return Bindings(dict(self.known))


def settled(lines: list[str]) -> list[str]:
    """The lines without pods on their way out: how long they are seen depends on timing."""
    return [line for line in lines if not _ENDING.search(line)]


def normal(text: str) -> list[str]:
    """The lines of an output with blanks collapsed, without what depends on timing."""
    text = _PEM.sub("<pem>", _ESCAPE.sub("", text))
    lines = [_BLANKS.sub(" ", line).strip() for line in text.split("\n")]
    while lines and not lines[-1]:
        lines.pop()
    return [line for line in lines if not _TIMING.match(line)]


@lru_cache(maxsize=4096)
def _parts(line: str) -> tuple[tuple[str, str], ...]:
    """The literals and placeholders of a recorded line: ("", literal) or (class, name)."""
    found = []
    at = 0
    for match in _PLACEHOLDER.finditer(line):
        if match[1] not in _PATTERNS:
            continue
        found.append(("", line[at : match.start()]))
        found.append((match[1], match[0] if match[2] else ""))
        at = match.end()
    found.append(("", line[at:]))
    return tuple(found)


def match_line(expected: str, actual: str, bindings: Bindings) -> Bindings | None:
    """The bindings after a recorded line was found in an actual one; None if it differs."""
    if expected == actual:
        return bindings
    expression = ""
    fresh: dict[str, str] = {}
    for kind, text in _parts(expected):
        if not kind:
            expression += re.escape(text)
        elif text and text in bindings.known:
            expression += re.escape(bindings.known[text])
        elif text and text in fresh:
            expression += f"(?P={fresh[text]})"
        elif text:
            fresh[text] = f"p{len(fresh)}"
            expression += f"(?P<{fresh[text]}>{_PATTERNS[kind]})"
        else:
            expression += f"(?:{_PATTERNS[kind]})"
    found = re.fullmatch(expression, actual)
    if found is None:
        return None
    return Bindings({**bindings.known, **{name: found[group] for name, group in fresh.items()}})


def match_block(
    expected: list[str], actual: list[str], bindings: Bindings, *, unordered: bool = False
) -> Bindings | None:
    """The bindings after a whole output was found; lines with random names may come in any order."""
    if len(expected) != len(actual):
        return None
    ordered = bindings
    for want, got in zip(expected, actual, strict=True):
        found = match_line(want, got, ordered)
        if found is None:
            break
        ordered = found
    else:
        return ordered
    if not unordered and not any(mark in line for line in expected for mark in _RANDOM):
        return None
    return _any_order(expected, actual, bindings, budget=[20_000])


def _any_order(
    expected: list[str], actual: list[str], bindings: Bindings, budget: list[int]
) -> Bindings | None:
    """A pairing of the lines as sets, by backtracking; the most literal lines first."""
    if not expected:
        return bindings
    pool = list(actual)
    rest = []
    for line in expected:  # literal lines leave no choice
        if _PLACEHOLDER.search(line) is None:
            if line not in pool:
                return None
            pool.remove(line)
        else:
            rest.append(line)
    return _pair(rest, pool, bindings, budget)


def _pair(expected: list[str], actual: list[str], bindings: Bindings, budget: list[int]) -> Bindings | None:
    if not expected:
        return bindings
    budget[0] -= 1
    if budget[0] < 0:
        return None
    first, rest = expected[0], expected[1:]
    tried: set[str] = set()
    for at, line in enumerate(actual):
        if line in tried:
            continue
        tried.add(line)
        bound = match_line(first, line, bindings)
        if bound is None:
            continue
        done = _pair(rest, actual[:at] + actual[at + 1 :], bound, budget)
        if done is not None:
            return done
    return None


# Texts in which kubectl 1.33 and 1.35 differ; they are looked at only if a command differs otherwise.
_VERSIONS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r'(" deleted) from \S+ namespace'), r"\1"),
    (re.compile(r"(\d+/(?:TCP|UDP|SCTP)) \([a-z0-9-]+\)"), r"\1"),
    (re.compile(r"must be no more than (\d+) bytes"), r"must be no more than \1 characters"),
    (re.compile(r"^WARNING: version difference .*"), ""),
    (re.compile(r"^Error: "), "error: "),
    (re.compile(r'^E\d{4} .* run\.go:\d+\] "command failed" err="(.*)"$'), r"error: \1"),
    (re.compile(r'\\"'), '"'),
    (re.compile(r"^ConfigMapOptional: <nil>"), "Optional: false"),
    (re.compile(r'^"?creationTimestamp"?: null,?$'), ""),
    (re.compile(r"(Client Version: v).*"), r"\1"),
    (re.compile(r"(Kustomize Version: v).*"), r"\1"),
)


def without_version(lines: list[str]) -> list[str]:
    """The lines as a kubectl of any version would print them."""
    out = []
    for original in lines:
        line = original
        for expression, replacement in _VERSIONS:
            line = expression.sub(replacement, line)
        if line or not original:
            out.append(line)
    return out
