"""What Go says about text that is no JSON; clients show these words.

Source: Go, `encoding/json`, the scanner.
"""

from __future__ import annotations

_SPACE = " \t\r\n"
_LITERALS = {"t": "true", "f": "false", "n": "null"}
_ESCAPES = '"\\/bfnrt'
_END = "unexpected end of JSON input"


class _Bad(Exception):
    """Carries the complaint."""


def complaint(body: bytes) -> str:
    """The scanner's complaint about a body, "" if it is JSON."""
    scanner = _Scanner(body.decode(errors="replace"))
    try:
        scanner.document()
    except _Bad as bad:
        return str(bad)
    except RecursionError:
        return "exceeded max depth"
    return ""


class _Scanner:
    """Walks the text until something is wrong."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def document(self) -> None:
        """One value and nothing else."""
        self._value()
        self._skip()
        if self._at < len(self._text):
            self._fail("after top-level value")

    def _skip(self) -> None:
        while self._at < len(self._text) and self._text[self._at] in _SPACE:
            self._at += 1

    def _peek(self) -> str:
        if self._at >= len(self._text):
            raise _Bad(_END)
        return self._text[self._at]

    def _fail(self, where: str) -> None:
        char = self._peek()
        quoted = {"'": r"'\''", '"': "'\"'"}.get(char, f"'{char}'")
        raise _Bad(f"invalid character {quoted} {where}")

    def _value(self) -> None:
        self._skip()
        char = self._peek()
        if char == "{":
            self._object()
        elif char == "[":
            self._array()
        elif char == '"':
            self._string()
        elif char in _LITERALS:
            self._literal(_LITERALS[char])
        elif char == "-" or char.isdecimal():
            self._number()
        else:
            self._fail("looking for beginning of value")

    def _literal(self, word: str) -> None:
        for expected in word:
            if self._peek() != expected:
                self._fail(f"in literal {word} (expecting '{expected}')")
            self._at += 1

    def _string(self) -> None:
        self._at += 1
        while (char := self._peek()) != '"':
            if char < " ":
                self._fail("in string literal")
            self._at += 1
            if char == "\\":
                self._escape()
        self._at += 1

    def _escape(self) -> None:
        if self._peek() == "u":
            for _ in range(4):
                self._at += 1
                if self._peek() not in "0123456789abcdefABCDEF":
                    self._fail("in \\u hexadecimal character escape")
        elif self._peek() not in _ESCAPES:
            self._fail("in string escape code")
        self._at += 1

    def _number(self) -> None:
        if self._peek() == "-":
            self._at += 1
        if self._peek() == "0":
            self._at += 1
        else:
            self._digits("in numeric literal")
        if self._more("."):
            self._digits("after decimal point in numeric literal")
        if self._more("eE"):
            self._more("+-")
            self._digits("in exponent of numeric literal")

    def _more(self, chars: str) -> bool:
        found = self._at < len(self._text) and self._text[self._at] in chars
        self._at += found
        return found

    def _digits(self, where: str) -> None:
        if not self._peek().isdecimal():
            self._fail(where)
        while self._at < len(self._text) and self._text[self._at].isdecimal():
            self._at += 1

    def _object(self) -> None:
        self._at += 1
        self._skip()
        if self._peek() == "}":
            self._at += 1
            return
        while True:
            self._skip()
            if self._peek() != '"':
                self._fail("looking for beginning of object key string")
            self._string()
            self._skip()
            if self._peek() != ":":
                self._fail("after object key")
            self._at += 1
            self._value()
            if self._closed("}", "after object key:value pair"):
                return

    def _array(self) -> None:
        self._at += 1
        self._skip()
        if self._peek() == "]":
            self._at += 1
            return
        while True:
            self._value()
            if self._closed("]", "after array element"):
                return

    def _closed(self, bracket: str, where: str) -> bool:
        """Whether the container ends here; if not, a comma is skipped."""
        self._skip()
        char = self._peek()
        if char not in (bracket, ","):
            self._fail(where)
        self._at += 1
        return char == bracket
