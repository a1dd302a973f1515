"""Which revisions and tags there are, and which of their names mean this control plane.

They are read from the injection webhooks: the label `istio.io/rev` says whose an object is, `istio.io/tag`
makes it a tag. So `istio.io/rev` means the same on a namespace, a pod and an Istio object.
Source: Istio, revision tags; Istio itself does not resolve tags on its own objects.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from msgspec import Struct

from linnet.model.problem import Problem, Ref

REVISION, TAG = "istio.io/rev", "istio.io/tag"
WEBHOOKS = "MutatingWebhookConfiguration"
DEFAULT = "default"
Raw = Mapping[str, Any]


class Revisions(Struct, frozen=True):
    """`ours` are the names that mean us, `known` all names there are; empty if no webhook is to be seen."""

    ours: frozenset[str]
    known: frozenset[str] = frozenset()
    default: str = ""
    """The revision of the tag `default`; empty without one."""

    def owns(self, raw: Raw) -> bool:
        """Whether we read an object: it says nothing of revisions, or names us."""
        label = label_of(raw)
        return not label or label in self.ours

    def nobodys(self, raw: Raw) -> bool:
        """Whether an object names a revision or tag that there is not."""
        label = label_of(raw)
        return bool(label and self.known) and label not in self.known | self.ours

    def orphan(self, ref: Ref, raw: Raw) -> Problem:
        """The problem of such an object."""
        message = (
            f"{REVISION} {label_of(raw)!r} is neither a revision nor a tag, so nobody reads this object; "
            f"there are: {', '.join(sorted(self.known))}"
        )
        return Problem(ref, "NotFound", "metadata.labels", message)


def label_of(raw: Raw) -> str:
    """The revision or tag that an object names; empty for none."""
    labels = (raw.get("metadata") or {}).get("labels")
    return str(labels.get(REVISION) or "") if isinstance(labels, Mapping) else ""


def revisions(own: str, webhooks: Iterable[Raw]) -> Revisions:
    """What the injection webhooks say. A tag that has the name of a revision has it alone."""
    names: set[str] = set()
    tags: dict[str, str] = {}
    for raw in webhooks:
        revision = label_of(raw)
        tag = str(((raw.get("metadata") or {}).get("labels") or {}).get(TAG) or "")
        if revision:
            names.add(revision)
            if tag:
                tags.setdefault(tag, revision)
    ours = {tag for tag, revision in tags.items() if revision == own}
    if tags.get(own, own) == own:
        ours.add(own)
    return Revisions(frozenset(ours), frozenset(names | tags.keys()), tags.get(DEFAULT, ""))
