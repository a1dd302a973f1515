"""What the commands of the thin client do to the cluster; each returns the text to print."""

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Any

import orjson

from linnet.cli.faults import UserError
from linnet.cli.kubectl import show
from linnet.cli.kubectl.kinds import Names, names
from linnet.kube.client import Client, Patch
from linnet.kube.errors import ApiError, NotFound
from linnet.kube.kinds import DEPLOYMENT, NAMESPACE, Kind
from linnet.kube.watch import Deleted, Listed, follow

Object = dict[str, Any]


async def get(
    client: Client,
    *,
    what: tuple[str, ...],
    namespace: str,
    selector: str,
    all_namespaces: bool,
    output: str,
    sort_by: str,
    no_headers: bool,
) -> str:
    """The text of `get`."""
    async with client:
        known = await names(client)
        wanted = _targets(known, what)
        where = "" if all_namespaces else namespace or client.config.namespace
        several = len(wanted) > 1
        texts = []
        for kind, chosen in wanted:
            place = where if kind.namespaced else ""
            if output and output != "wide":
                found = show.ordered(await _objects(client, kind, place, chosen, selector), sort_by)
                texts.append(show.objects(found, output, single=len(chosen) == 1, kind=kind))
                continue
            wide, prefix = output == "wide", _shown(kind, "").rstrip("/") if several else ""
            texts += [
                show.table(
                    document, wide=wide, namespaces=all_namespaces, prefix=prefix, headers=not no_headers
                )
                for document in await _tables(client, kind, place, chosen, selector, sort_by)
                if document.get("rows")
            ]
        if texts or output not in ("", "wide"):
            return ("\n\n" if several else "\n").join(texts)
        scope = "" if all_namespaces or not wanted[0][0].namespaced else f" in {where} namespace."
        raise UserError(f"No resources found{scope}", code=0)


def _targets(known: Names, what: tuple[str, ...]) -> list[tuple[Kind, list[str]]]:
    """`pods`, `pods NAME…`, `pods,svc`, `deploy/NAME` as kinds with the names asked for."""
    if any("/" in word for word in what):
        pairs = [word.split("/", 1) for word in what]
        return [(known.kind(pair[0]), [pair[-1]]) for pair in pairs]
    return [(known.kind(word), list(what[1:])) for word in what[0].split(",")]


async def _objects(
    client: Client, kind: Kind, namespace: str, chosen: list[str], selector: str
) -> list[Object]:
    if chosen:
        return [await client.get(kind, name, namespace) for name in chosen]
    return (await client.list(kind, namespace, labels=selector)).items


async def _tables(
    client: Client, kind: Kind, namespace: str, chosen: list[str], selector: str, sort_by: str
) -> list[Object]:
    params = {"labelSelector": selector} if selector else {}
    if sort_by:
        params["includeObject"] = "Object"
    paths = [kind.path(namespace, name) for name in chosen] or [kind.path(namespace)]
    headers = {"Accept": show.TABLE}
    tables = [orjson.loads(await client.raw("GET", path, headers=headers, params=params)) for path in paths]
    for found in tables:
        found["rows"] = show.ordered(found.get("rows") or [], sort_by, within=".object")
    return tables


async def create_namespace(client: Client, name: str) -> str:
    """Create a namespace."""
    async with client:
        await client.create(NAMESPACE, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    return f"namespace/{name} created"


async def label(client: Client, words: tuple[str, ...], *, namespace: str, overwrite: bool) -> str:
    """Set (`key=value`) and remove (`key-`) labels of one object or more."""
    changes: dict[str, str | None] = {}
    plain = []
    for word in words:
        if "=" in word:
            key, _, value = word.partition("=")
            changes[key] = value
        elif word.endswith("-"):
            changes[word[:-1]] = None
        else:
            plain.append(word)
    if not changes:
        raise UserError("at least one label update is required: key=value sets, key- removes")
    lines = []
    async with client:
        known = await names(client)
        for kind, chosen in _targets(known, tuple(plain)):
            for name in chosen:
                place = (namespace or client.config.namespace) if kind.namespaced else ""
                lines += await _label(client, kind, name, place, changes, overwrite=overwrite)
    return "\n".join(lines)


async def _label(
    client: Client, kind: Kind, name: str, namespace: str, changes: dict[str, str | None], *, overwrite: bool
) -> list[str]:
    obj = await client.get(kind, name, namespace)
    have = obj["metadata"].get("labels") or {}
    lines = [
        f'label "{key}" not found.' for key, value in changes.items() if value is None and key not in have
    ]
    for key, value in changes.items():
        if value is not None and have.get(key, value) != value and not overwrite:
            raise UserError(
                "\n".join([*lines, f"'{key}' already has a value ({have[key]}), and --overwrite is false"])
            )
    after = {key: value for key, value in {**have, **changes}.items() if value is not None}
    if after == have:
        return [*lines, f"{_shown(kind, name)} not labeled"]
    await client.patch(kind, name, namespace, {"metadata": {"labels": changes}})
    removed = all(value is None for value in changes.values())
    return [*lines, f"{_shown(kind, name)} {'unlabeled' if removed else 'labeled'}"]


def _asked(obj: Object) -> Object:
    """An object without what others write meanwhile: a controller's status is no change of ours."""
    rest = {key: value for key, value in obj.items() if key != "status"}
    meta = {**rest.get("metadata", {})}
    for key in ("resourceVersion", "managedFields", "annotations"):
        meta.pop(key, None)
    annotations = {**(obj.get("metadata", {}).get("annotations") or {})}
    annotations.pop("deployment.kubernetes.io/revision", None)
    return {**rest, "metadata": {**meta, "annotations": annotations}}


async def apply(client: Client, documents: list[tuple[str, Object]], namespace: str) -> str:
    """Server-side apply of all documents, in order; the first failure ends it and says what was done."""
    lines: list[str] = []
    async with client:
        for source, document in documents:
            kind = (await names(client)).of(document, source)
            meta = document.setdefault("metadata", {})
            if "name" not in meta:
                raise UserError(f"{source}: metadata.name: required")
            if kind.namespaced:
                meta.setdefault("namespace", namespace or client.config.namespace)
            for field in ("creationTimestamp", "resourceVersion", "uid", "managedFields", "generation"):
                meta.pop(field, None)
            document.pop("status", None)
            try:
                before = await client.get(kind, meta["name"], meta.get("namespace", ""))
            except NotFound:
                before = {}
            after = await client.apply(kind, document, manager="kubectl")
            same = _asked(before) == _asked(after)
            state = "unchanged" if same else "configured" if before else "created"
            lines.append(f"{_shown(kind, meta['name'])} {state}")
    return "\n".join(lines)


async def delete(
    client: Client,
    what: tuple[str, ...],
    documents: list[tuple[str, Object]],
    *,
    namespace: str,
    selector: str,
) -> str:
    """Delete and wait until the objects are gone."""
    async with client:
        known = await names(client)
        place = namespace or client.config.namespace
        doomed = [
            (known.of(doc, source), doc["metadata"]["name"], doc["metadata"].get("namespace") or place)
            for source, doc in documents
        ]
        for kind, chosen in _targets(known, what) if what else ():
            found = chosen
            if not chosen and selector:
                listing = await client.list(kind, place if kind.namespaced else "", labels=selector)
                found = [obj["metadata"]["name"] for obj in listing.items]
            elif not chosen:
                raise UserError("resource(s) were provided, but no name was specified")
            doomed += [(kind, name, place) for name in found]
        lines = []
        for kind, name, where in doomed:
            scope = where if kind.namespaced else ""
            await client.delete(kind, name, scope)
            lines.append(
                f"{_shown(kind, name).replace('/', ' ', 1).replace(name, chr(34) + name + chr(34))} deleted"
            )
        for kind, name, where in doomed:
            await _gone(client, kind, name, where if kind.namespaced else "")
    return "\n".join(lines)


async def _gone(client: Client, kind: Kind, name: str, namespace: str) -> None:
    async with aclosing(follow(client, kind, namespace, fields=f"metadata.name={name}")) as events:
        async for event in events:
            if isinstance(event, Deleted) or (isinstance(event, Listed) and not event.items):
                return


async def restart(client: Client, what: tuple[str, ...], namespace: str) -> str:
    """Stamp the pod template, so that every pod is replaced."""
    stamp = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    annotations = {"kubectl.kubernetes.io/restartedAt": stamp}
    patch = {"spec": {"template": {"metadata": {"annotations": annotations}}}}
    async with client:
        place = namespace or client.config.namespace
        found = await _deployments(client, what, place)
        for name in found:
            await client.patch(DEPLOYMENT, name, place, patch, type=Patch.STRATEGIC)
    return "\n".join(f"deployment.apps/{name} restarted" for name in found)


async def _deployments(client: Client, what: tuple[str, ...], namespace: str) -> list[str]:
    known = await names(client)
    found: list[str] = []
    for kind, chosen in _targets(known, what):
        if kind.name != "Deployment":
            raise UserError(f"{kind.plural}: only deployments can be rolled out here")
        if not chosen:
            chosen = [obj["metadata"]["name"] for obj in (await client.list(DEPLOYMENT, namespace)).items]
        found += chosen
    if not found:
        raise UserError(f"no deployments in namespace {namespace}")
    return found


async def rollout_status(
    client: Client, what: tuple[str, ...], namespace: str, *, timeout: float, say: Callable[[str], None]
) -> None:
    """Return when the Deployments have rolled out. Raises UserError on failure or after `timeout`."""
    try:
        async with asyncio.timeout(timeout or None), client:
            place = namespace or client.config.namespace
            for name in await _deployments(client, what, place):
                await _rolled_out(client, name, place, say)
    except TimeoutError as error:
        raise UserError("timed out waiting for the condition") from error


async def _rolled_out(client: Client, name: str, namespace: str, say: Callable[[str], None]) -> None:
    said = ""
    async with aclosing(follow(client, DEPLOYMENT, namespace, fields=f"metadata.name={name}")) as events:
        async for event in events:
            found = event.items if isinstance(event, Listed) else [event.object]
            if not found or isinstance(event, Deleted):
                raise UserError(f'deployments.apps "{name}" not found')
            waiting = waits_for(found[0])
            if not waiting:
                say(f'deployment "{name}" successfully rolled out')
                return
            if waiting != said:
                say(f'Waiting for deployment "{name}" rollout to finish: {waiting}...')
                said = waiting


def waits_for(deployment: Object) -> str:
    """What a rollout waits for, in kubectl's words; empty at its end. Raises UserError when it failed."""
    status, name = deployment.get("status") or {}, deployment["metadata"]["name"]
    if status.get("observedGeneration", 0) < deployment["metadata"].get("generation", 0):
        return "waiting for deployment spec update to be observed"
    for condition in status.get("conditions") or ():
        if condition.get("reason") == "ProgressDeadlineExceeded":
            raise UserError(f'deployment "{name}" exceeded its progress deadline')
    wanted = deployment["spec"].get("replicas", 1)
    updated, total = status.get("updatedReplicas", 0), status.get("replicas", 0)
    available = status.get("availableReplicas", 0)
    if updated < wanted:
        return f"{updated} out of {wanted} new replicas have been updated"
    if total > updated:
        return f"{total - updated} old replicas are pending termination"
    if available < updated:
        return f"{available} of {updated} updated replicas are available"
    return ""


async def logs(
    client: Client,
    pod: str,
    namespace: str,
    *,
    container: str,
    follow: bool,
    tail: int,
    write: Callable[[bytes], object],
) -> None:
    """Write a container's log as it comes."""
    params = {"container": container} if container else {}
    if follow:
        params["follow"] = "true"
    if tail >= 0:
        params["tailLines"] = str(tail)
    async with client:
        place = namespace or client.config.namespace
        path = f"/api/v1/namespaces/{place}/pods/{pod.removeprefix('pod/')}/log"
        try:
            async for chunk in client.stream("GET", path, params=params):
                write(chunk)
        except ApiError as error:
            if error.reason == "BadRequest":  # kubectl finds this out by itself
                raise UserError(error.message) from error
            raise


def _shown(kind: Kind, name: str) -> str:
    word = f"{kind.name.lower()}.{kind.group}" if kind.group else kind.name.lower()
    return f"{word}/{name}"
