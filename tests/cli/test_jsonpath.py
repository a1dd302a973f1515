"""JSONPath templates as people write them for kubectl."""

import pytest

from linnet.cli.kubectl.jsonpath import TemplateError, render

pytestmark = pytest.mark.unit
PODS = {
    "items": [
        {
            "metadata": {"name": "a", "labels": {"istio.io/rev": "canary"}},
            "status": {"phase": "Running", "n": 1},
        },
        {"metadata": {"name": "b"}, "status": {"phase": "Pending", "n": 2}},
    ]
}


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{.items..metadata.name}", "a b"),
        ("{.items[*].metadata.name}", "a b"),
        ("{.items[0].metadata.name}", "a"),
        ("{.items[-1].metadata.name}", "b"),
        ("{.items[0:1].metadata.name}", "a"),
        ("{.items[0].metadata.labels.istio\\.io/rev}", "canary"),
        ("{.items[0].metadata.labels['istio.io/rev']}", "canary"),
        ('{.items[?(@.status.phase=="Pending")].metadata.name}', "b"),
        ('{range .items[*]}{.metadata.name}{"\\t"}{.status.n}{"\\n"}{end}', "a\t1\nb\t2\n"),
        ("{range .nothing[*]}{.x}{end}done", "done"),
        ("n={.items[1].status.n}", "n=2"),
        ("{.items[0].status}", '{"phase":"Running","n":1}'),
        ("{.missing}", ""),
    ],
)
def test_render(template, text):
    """Paths, slices, filters, ranges and literals give what kubectl prints."""
    assert render(template, PODS) == text


@pytest.mark.parametrize("template", ["{.items[}", "{range .items[*]}{.x}", "{.a b}"])
def test_what_cannot_be_read_is_an_error(template):
    """A broken template is refused."""
    with pytest.raises(TemplateError):
        render(template, PODS)
