"""Pages of the docs are scripts."""

import pytest
from demo.guide import PAGE, Command, Step, section, shows
from demo.shell import Shell

pytestmark = pytest.mark.unit
TEXT = """# Page

## One

```bash
echo hello
# a comment
install
# answer: y
```

```text
NAME AGE
web-<hash> <age>
```

## Two

```bash
other
```
"""


def test_a_section_is_a_script(tmp_path):
    """Commands are typed in order, with answers; the text block is what they must show."""
    page = tmp_path / "page.md"
    page.write_text(TEXT)
    assert section("One", page) == (
        Step((Command("echo hello"), Command("install", "y")), "NAME AGE\nweb-<hash> <age>\n"),
    )
    assert section("Two", page) == (Step((Command("other"),)),)
    with pytest.raises(KeyError):
        section("Three", page)


@pytest.mark.parametrize(
    ("expected", "printed", "shown"),
    [
        ("NAME AGE\nweb-<hash> <age>", "x\nNAME       AGE\nweb-abc    5s\n", True),
        ("NAME AGE\nweb-<hash> <age>", "NAME AGE\nweb-abc\n", False),
        ("a\n...\nz", "a\nb\nc\nz", True),
        ("IP <none>", "IP 1.2.3.4", False),
    ],
)
def test_shows(expected, printed, shown):
    """Placeholders stand for one word, dots for any lines, blanks are folded."""
    assert shows(expected, printed) is shown


def test_the_guide_has_its_scripts():
    """The page that the tests and the demo type is there."""
    assert PAGE.exists()
    assert len(section("Forward")) > 5


def test_a_shell_keeps_its_variables_and_tells_codes(tmp_path):
    """What one command sets, the next one sees; prompts get the answer or end of input."""
    with Shell({"PATH": "/usr/bin:/bin"}, directory=str(tmp_path), echo=None) as shell:
        assert shell.type("x=1; false").code == 1
        assert shell.type("echo $x").output == "1\n"
        assert shell.type("read line && echo got $line", answer="y").output == "got y\n"
        assert shell.type("read line").code == 1
        assert shell.type("echo a; echo b >&2").output == "a\nb\n"
