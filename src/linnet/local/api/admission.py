"""Admission webhooks: who is asked, in which order, and what becomes of their answers.

Source: Kubernetes, `apiserver/pkg/admission/plugin/webhook`; texts observed with 1.35.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec
import orjson

from linnet.local.api import policies
from linnet.local.api.gojson import complaint
from linnet.local.api.hookcalls import Answer, Caller, CallFailed, target
from linnet.local.api.hookmatching import Denied as Denied
from linnet.local.api.hookmatching import (
    Lookup,
    Versions,
    conditions_hold,
    exempt,
    matched_version,
    request,
    selects,
)
from linnet.local.api.hookmatching import Review as Review
from linnet.local.api.patching import PatchError, json_patch

if TYPE_CHECKING:
    from collections.abc import Iterable

    from linnet.local.api.hookcalls import Dial

Json = dict[str, Any]
Warn = Callable[[str], None]

_MUTATING = "mutatingwebhookconfigurations"
_VALIDATING = "validatingwebhookconfigurations"
_POLICIES = "validatingadmissionpolicies"
_BINDINGS = "validatingadmissionpolicybindings"
_DEFAULT_SECONDS = 10
_GO_STRUCT = (
    'struct { APIVersion string "json:\\"apiVersion,omitempty\\""; Kind string "json:\\"kind,omitempty\\"" }'
)
_GO_KINDS = {str: "string", bool: "bool", int: "number", float: "number", list: "array"}


class _Invalid(Exception):
    """An answer that is not an answer."""


class _Hook(msgspec.Struct, frozen=True):
    """A webhook that wants to see a request, and in which version."""

    config: Json
    version: str
    kind: str

    @property
    def name(self) -> str:
        name: str = self.config["name"]
        return name

    @property
    def optional(self) -> bool:
        """Whether the request goes on when the webhook fails."""
        return bool(self.config.get("failurePolicy") == "Ignore")


def _no_versions(_group: str, _plural: str) -> Iterable[tuple[str, str]]:
    return ()


class Admission:
    """Calls the registered webhooks. One per server; `close` it."""

    def __init__(
        self,
        *,
        configurations: Callable[[str], Iterable[Json]],
        lookup: Lookup,
        dial: Dial | None = None,
        versions: Versions = _no_versions,
    ) -> None:
        """Reads the cluster through functions.

        `configurations(plural)` lists stored `mutatingwebhookconfigurations`,
        `validatingwebhookconfigurations`, `validatingadmissionpolicies` and
        `validatingadmissionpolicybindings`;
        `lookup(plural, namespace, name)` finds `namespaces` and `services`;
        `dial(address, port)` connects into the pod network (None: plain TCP);
        `versions(group, plural)` lists versions and kinds of a custom resource (`matchPolicy: Equivalent`).
        """
        self._configurations = configurations
        self._lookup = lookup
        self._versions = versions
        self._caller = Caller(dial)

    async def mutated(self, review: Review, warn: Warn) -> Json | None:
        """The object after the mutating webhooks (the same one if nothing changed). Raises: Denied."""
        if exempt(review):
            return review.obj
        ran: list[Json] = []  # may be called again when a later one changes the object
        again: list[Json] = []
        for config in self._listed(_MUTATING):
            changed = await self._mutate(config, review, warn)
            if changed is not review.obj:
                review = msgspec.structs.replace(review, obj=changed)
                again = [*ran]
            if config.get("reinvocationPolicy") == "IfNeeded":
                ran.append(config)
        for config in again:
            changed = await self._mutate(config, review, warn)
            review = msgspec.structs.replace(review, obj=changed)
        return review.obj

    async def validated(self, review: Review, warn: Warn) -> None:
        """Returns if policies and validating webhooks allow the request. Raises: Denied."""
        if exempt(review):
            return
        policies.check(
            review,
            self._configurations(_POLICIES),
            self._configurations(_BINDINGS),
            lookup=self._lookup,
            versions=self._versions,
            warn=warn,
        )
        hooks = [hook for config in self._listed(_VALIDATING) if (hook := self._matched(config, review))]
        if not hooks:
            return
        async with asyncio.TaskGroup() as tasks:
            asked = [tasks.create_task(self._refusal(hook, review, warn)) for hook in hooks]
        for task in asked:
            if (refusal := task.result()) is not None:
                raise refusal

    async def close(self) -> None:
        """Close idle connections."""
        await self._caller.close()

    def _listed(self, plural: str) -> list[Json]:
        """Every webhook of a kind of configuration, by the configuration's name and then in its order."""
        configurations = sorted(self._configurations(plural), key=lambda config: config["metadata"]["name"])
        return [hook for config in configurations for hook in config.get("webhooks") or ()]

    def _matched(self, config: Json, review: Review) -> _Hook | None:
        equivalent = config.get("matchPolicy", "Equivalent") == "Equivalent"
        found = matched_version(
            review, config.get("rules") or (), equivalent=equivalent, versions=self._versions
        )
        if found is None or not selects(config, review, self._lookup) or not conditions_hold(config, review):
            return None
        return _Hook(config, *found)

    async def _refusal(self, hook: _Hook, review: Review, warn: Warn) -> Denied | None:
        """What a validating webhook says against a request."""
        try:
            await self._asked(hook, review, warn)
        except Denied as denied:
            return denied
        return None

    async def _mutate(self, config: Json, review: Review, warn: Warn) -> Json | None:
        """The object after one mutating webhook."""
        hook = self._matched(config, review)
        if hook is None:
            return review.obj
        response = await self._asked(hook, review, warn)
        patch = (response or {}).get("patch")
        if not patch or review.obj is None:
            return review.obj
        try:
            operations = orjson.loads(base64.b64decode(patch))
            shown = _shown(review.obj, hook, review)
            assert shown is not None
            changed = json_patch(shown, operations)
        except (PatchError, orjson.JSONDecodeError, binascii.Error) as error:
            raise _internal(str(error)) from error
        if changed == shown:
            return review.obj
        if "apiVersion" in review.obj:
            changed["apiVersion"] = review.obj["apiVersion"]
        return changed

    async def _asked(self, hook: _Hook, review: Review, warn: Warn) -> Json | None:
        """The webhook's response that allows the request; None if it failed and may. Raises: Denied."""
        if review.dry_run and hook.config.get("sideEffects") not in ("None", "NoneOnDryRun"):
            message = f'admission webhook "{hook.name}" does not support dry run'
            raise Denied(400, "BadRequest", message)
        uid = str(uuid.uuid4())
        seconds = hook.config.get("timeoutSeconds") or _DEFAULT_SECONDS
        client = hook.config["clientConfig"]
        try:
            where = target(client, seconds, self._lookup)
            body = orjson.dumps(_review_body(hook, review, uid))
            answer = await self._caller.post(where, client.get("caBundle") or "", body, seconds)
            response = _response(answer, uid)
        except (CallFailed, _Invalid) as error:
            if hook.optional:
                return None
            raise _internal(f'failed calling webhook "{hook.name}": {_called(error)}') from error
        for warning in response.get("warnings") or ():
            warn(warning)
        if not response.get("allowed"):
            raise _denial(hook.name, response.get("status"))
        return response


def _called(error: Exception) -> str:
    text = str(error)
    if isinstance(error, _Invalid) or text.startswith("could not get REST client"):
        return text
    return f"failed to call webhook: {text}"


def _internal(message: str) -> Denied:
    details = {"causes": [{"message": message}]}
    return Denied(500, "InternalError", f"Internal error occurred: {message}", details)


def _denial(name: str, status: Json | None) -> Denied:
    status = status or {}
    code = status.get("code") or 0
    reason = status.get("reason") or ""
    text = f'admission webhook "{name}" denied the request'
    if why := status.get("message") or reason:
        text += f": {why}"
    else:
        text += " without explanation"
    return Denied(max(code, 400), reason, text, status.get("details"))


def _shown(obj: Json | None, hook: _Hook, review: Review) -> Json | None:
    """An object in the version that the webhook asked for."""
    if obj is None or hook.version == review.version:
        return obj
    group = f"{review.group}/" if review.group else ""
    return {**obj, "apiVersion": f"{group}{hook.version}", "kind": hook.kind}


def _review_body(hook: _Hook, review: Review, uid: str) -> Json:
    asked = request(review, uid)
    asked["kind"] = {**asked["kind"], "version": hook.version, "kind": hook.kind}
    asked["resource"] = {**asked["resource"], "version": hook.version}
    asked["object"] = _shown(review.obj, hook, review)
    asked["oldObject"] = _shown(review.old, hook, review)
    return {"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "request": asked}


def _response(answer: Answer, uid: str) -> Json:
    """The `response` of an AdmissionReview. Raises: CallFailed, _Invalid."""
    if answer.status != 200:
        text = answer.body.decode(errors="replace").strip() if answer.content_type.startswith("text/") else ""
        raise CallFailed(
            f'an error on the server ("{text or "unknown"}") has prevented the request from succeeding'
        )
    try:
        review = orjson.loads(answer.body)
    except orjson.JSONDecodeError as error:
        raise CallFailed(f"couldn't get version/kind; json parse error: {complaint(answer.body)}") from error
    if not isinstance(review, dict):
        kind = _GO_KINDS.get(type(review), "null")
        why = f"json: cannot unmarshal {kind} into Go value of type {_GO_STRUCT}"
        raise CallFailed(f"couldn't get version/kind; json parse error: {why}")
    if review.get("apiVersion") != "admission.k8s.io/v1" or review.get("kind") != "AdmissionReview":
        group, _, version = str(review.get("apiVersion", "")).rpartition("/")
        got = f"{group}/{version}, Kind={review.get('kind', '')}"
        wanted = "admission.k8s.io/v1, Kind=AdmissionReview"
        raise _Invalid(f"received invalid webhook response: expected webhook response of {wanted}, got {got}")
    response = review.get("response")
    if not isinstance(response, dict):
        raise _Invalid("received invalid webhook response: webhook response was absent")
    if response.get("uid") != uid:
        got = response.get("uid") or ""
        raise _Invalid(f'received invalid webhook response: expected response.uid="{uid}", got "{got}"')
    if response.get("patch") and response.get("patchType") != "JSONPatch":
        kind = response.get("patchType") or ""
        raise _Invalid(f'received invalid webhook response: invalid response.patchType="{kind}"')
    return response
