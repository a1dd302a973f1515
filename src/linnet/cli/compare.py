"""What a pod's Envoy has against what istiod offers it.

Source: Istio, `istioctl proxy-status POD`: the lines that it prints.
"""

import asyncio
import difflib
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from linnet.cli import istiods, options
from linnet.cli.envoy import dump as sections
from linnet.cli.faults import UserError
from linnet.cli.options import Globals

Json = dict[str, Any]
_KINDS: tuple[tuple[str, Callable[[Mapping[str, Any]], Iterator[Json]]], ...] = (
    ("Clusters", sections.clusters),
    ("Listeners", sections.listeners),
    ("Routes", sections.routes),
)


async def compare_pod(pod: str, flags: Globals, chosen: istiods.Chosen, admin: int, file: str | None) -> None:
    """Print what matches and what does not. `file`: a dump of Envoy's configuration, instead of asking it.

    Raises:
        UserError: the pod's Envoy or its istiod does not answer, or they differ.
    """
    from linnet.cli.pods import resolve
    from linnet.upgrade.observe import fetch

    async with options.client(flags) as client:
        namespace, name = await resolve(client, pod, flags)
        proxy = f"{name}.{namespace}"
        found = istiods.required(await istiods.running(client, chosen), chosen)
        path = f"/debug/config_dump?proxyID={proxy}-"
        answers = await istiods.ask(client, found, path, chosen.seconds)
        offered = next((answer for answer in answers if not answer.fault), None)
        if offered is None:
            raise UserError(f"{proxy} is connected to none of: {', '.join(pod.name for pod in found)}")
        try:
            held = (
                await asyncio.to_thread(Path(file).read_bytes)
                if file
                else await fetch(client, namespace, name, admin, "/config_dump")
            )
        except OSError as error:
            raise UserError(f"{proxy}: Envoy's admin port {admin} does not answer: {error}") from error
    differs = False
    for kind, difference in differences(json.loads(held), json.loads(offered.body)):
        click.echo(f"{kind} Don't Match" if difference else f"{kind} Match")
        if difference:
            differs = True
            click.echo("\n".join(difference))
    if differs:
        raise UserError(f"{proxy} does not have what {offered.istiod.name} offers")


def differences(held: Json, offered: Json) -> Iterator[tuple[str, list[str]]]:
    """Per kind the unified difference from what istiod offers to what Envoy has (pure).

    What Envoy has of its own (its bootstrap) does not count.
    """
    for kind, of in _KINDS:
        wanted = {str(resource.get("name")): resource for resource in of(offered)}
        has = {str(resource.get("name")): resource for resource in of(held)}
        dynamic = {name: has[name] for name in has if name in wanted or _dynamic(held, kind, name)}
        yield (
            kind,
            list(difflib.unified_diff(_lines(wanted), _lines(dynamic), "istiod", "envoy", lineterm="", n=7)),
        )


def _dynamic(held: Json, kind: str, name: str) -> bool:
    """Whether Envoy got a resource from a control plane."""
    section = sections.section(held, f"{kind}ConfigDump")
    for key, inner in (
        ("dynamic_active_clusters", "cluster"),
        ("dynamic_listeners", ""),
        ("dynamic_route_configs", "route_config"),
    ):
        for entry in section.get(key) or ():
            if str((entry.get(inner) or {} if inner else entry).get("name")) == name:
                return True
    return False


def _lines(resources: Mapping[str, Json]) -> list[str]:
    return [
        line
        for name in sorted(resources)
        for line in json.dumps(_camel(resources[name]), indent=1, sort_keys=True).splitlines()
    ]


def _camel(value: Any) -> Any:
    """Field names as protobuf's JSON has them; Envoy writes those of the messages."""
    if isinstance(value, dict):
        return {_json_name(key): _camel(held) for key, held in value.items()}
    if isinstance(value, list):
        return [_camel(item) for item in value]
    return value


def _json_name(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part[:1].upper() + part[1:] for part in rest)
