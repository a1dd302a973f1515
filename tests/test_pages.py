"""What the pages claim is there: every test that docs/hazards.md names, every hazard, every scenario."""

import ast
import re
from pathlib import Path

import pytest

pytestmark = pytest.mark.unit
ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "hazards.md").read_text()


def functions(path: Path) -> set[str]:
    """The tests in a file."""
    tree = ast.parse(path.read_text())
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return {node.name for node in tree.body if isinstance(node, kinds) and node.name.startswith("test_")}


@pytest.mark.parametrize("named", sorted(set(re.findall(r"`(tests/[^`]+)`", PAGE)) - {"tests/test_pages.py"}))
def test_a_named_test_is_there(named: str) -> None:
    """The file, and in it the test."""
    file, _, test = named.partition("::")
    assert (ROOT / file).exists()
    assert not test or test in functions(ROOT / file)


def test_every_hazard_has_a_test_or_a_reason() -> None:
    """H1 to H29, in order; where no test is named, the line says why it cannot occur."""
    rows = re.findall(r"^\| H(\d+) \|(.*)\|(.*)\|$", PAGE, re.MULTILINE)
    assert [int(number) for number, _, _ in rows] == list(range(1, 30))
    assert [
        number for number, text, tests in rows if "tests/" not in tests and "Cannot occur" not in text
    ] == []


def test_every_scenario_has_a_test() -> None:
    """1 to 17, in order."""
    rows = re.findall(r"^\| (\d+) \|.*\|(.*)\|$", PAGE, re.MULTILINE)
    assert [int(number) for number, _ in rows] == list(range(1, 18))
    assert all("tests/" in tests for _, tests in rows)


def test_tests_of_hazards_are_on_the_page() -> None:
    """None is forgotten."""
    found = functions(ROOT / "tests" / "e2e" / "test_hazards.py")
    assert {test for test in found if f"::{test}`" not in PAGE} == set()
