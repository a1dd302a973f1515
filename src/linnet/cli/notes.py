"""What commands about revisions say beside their answer."""

from collections.abc import Sequence


def unknown_namespaces(found: Sequence[tuple[str, str]]) -> list[str]:
    """A line for each label that names nobody; `found` are namespaces with their label (pure)."""
    by_label: dict[str, list[str]] = {}
    for namespace, label in found:
        by_label.setdefault(label, []).append(namespace)
    return [
        f"Note: there is no revision or tag {label}; pods get no proxy in namespace {', '.join(names)}"
        for label, names in sorted(by_label.items())
    ]
