"""Webhooks, as the way of a write sees them: what they change, and what they refuse."""

from typing import Any

from linnet.local.api.admission import Admission, Denied, Review
from linnet.local.api.refusals import Refused
from linnet.local.api.registry import Resource
from linnet.local.api.writeoptions import Options

Json = dict[str, Any]


class Reviewer:
    """Asks the webhooks; their refusals are Statuses."""

    def __init__(self, admission: Admission) -> None:
        self._admission = admission

    async def mutated(self, asked: Review, options: Options) -> Json | None:
        """The object as the mutating webhooks leave it.

        Raises: Refused.
        """
        try:
            return await self._admission.mutated(asked, options.warn)
        except Denied as error:
            raise _refused(error) from error

    async def validated(self, asked: Review, options: Options) -> None:
        """Return if no validating webhook objects.

        Raises: Refused.
        """
        try:
            await self._admission.validated(asked, options.warn)
        except Denied as error:
            raise _refused(error) from error

    async def deletion(self, resource: Resource, namespace: str, live: Json, options: Options) -> None:
        """Ask whether an object may be deleted.

        Raises: Refused.
        """
        asked = review("DELETE", resource, namespace, None, live, options, "")
        await self.mutated(asked, options)
        await self.validated(asked, options)


def review(
    operation: str,
    resource: Resource,
    namespace: str,
    obj: Json | None,
    old: Json | None,
    options: Options,
    subresource: str,
) -> Review:
    """What the webhooks are shown of a write."""
    named = obj or old or {}
    kind = {"CREATE": "CreateOptions", "UPDATE": "UpdateOptions"}.get(operation, "DeleteOptions")
    return Review(
        operation=operation,
        group=resource.group,
        version=resource.version,
        kind=resource.kind,
        plural=resource.plural,
        namespaced=resource.namespaced,
        namespace=namespace if resource.namespaced else "",
        name=named.get("metadata", {}).get("name", ""),
        subresource=subresource,
        user=options.user.info(),
        obj=obj,
        old=old,
        options=options.admission(kind),
        dry_run=options.dry_run,
    )


def _refused(denied: Denied) -> Refused:
    return Refused(denied.code, denied.reason, denied.message, denied.details)
