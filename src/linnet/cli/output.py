"""How commands print: columns for people, JSON and YAML for programs."""

import json
from collections.abc import Iterable, Sequence
from io import StringIO


def columns(rows: Iterable[Sequence[str]], *, gap: int = 3) -> str:
    """Rows of cells in columns, at least `gap` spaces apart; lines do not end with spaces."""
    held = [tuple(row) for row in rows]
    if not held:
        return ""
    widths = [max(len(row[i]) for row in held) for i in range(len(held[0]))]
    padded = (
        "".join(cell.ljust(width + gap) for cell, width in zip(row, widths, strict=True)) for row in held
    )
    return "\n".join(line.rstrip() for line in padded)


def dump(value: object, form: str) -> str:
    """A value as `json` or `yaml`, without a final newline."""
    if form == "json":
        return json.dumps(value, indent=2)
    from ruamel.yaml import YAML

    stream = StringIO()
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    yaml.dump(value, stream)
    return stream.getvalue().rstrip("\n")
