"""`describe pod` (and `x describe pod`): the revision, the injector, the ports and the policies of a pod."""

from typing import Any

import click

from linnet.cli import groups, istiods, options, output, pods


class _Describe(groups.Group):
    aliases = groups.names(po="pod")


@click.group(cls=_Describe)
def describe() -> None:
    """Say what the mesh does with a pod: pod."""


@describe.command(
    epilog="""\b
Examples:
  linnet x describe pod web-5f4b6c-abcde.shop
  linnet x describe pod deployment/web -n shop
  linnet x describe pod web-5f4b6c-abcde -n shop -o json"""
)
@click.argument("pod", metavar="POD[.NAMESPACE]")
@click.option("-o", "--output", "form", type=click.Choice(["text", "json", "yaml"]), default="text")
@click.option("--ignoreUnmeshed", is_flag=True, hidden=True, expose_value=False)
@click.option("--proxy-admin-port", type=int, hidden=True, expose_value=False)
def pod(pod: str, form: str) -> None:
    """Who injected it, who serves it, who would inject the next one, its Services, ports and policies."""
    from linnet.cli.described import lines

    held = options.run(_described(pod))
    print("\n".join(lines(held)) if form == "text" else output.dump(held, form))


async def _described(text: str) -> dict[str, Any]:
    from linnet.cli.described import Around, document
    from linnet.kube import kinds
    from linnet.kube.errors import NotFound

    flags = options.current()
    async with options.client() as client:
        namespace, name = await pods.resolve(client, text, flags)
        found = await client.get(kinds.POD, name, namespace)
        policies = []
        for kind in (kinds.PEER_AUTHENTICATION, kinds.REQUEST_AUTHENTICATION, kinds.AUTHORIZATION_POLICY):
            for where in dict.fromkeys((flags.istio_namespace, namespace)):
                try:
                    policies += (await client.list(kind, where)).items
                except NotFound:  # its definition is not installed
                    break
        running = await istiods.running(client, istiods.Chosen(flags.istio_namespace))
        answers = await istiods.ask(client, running, "/debug/syncz", flags.timeout)
        serving = tuple(
            answer.istiod.name
            for answer in answers
            for row in istiods.rows_of(answer)
            if row.get("proxy") == f"{name}.{namespace}"
        )
        around = Around(
            namespace=await client.get(kinds.NAMESPACE, namespace),
            hooks=(await client.list(kinds.MUTATING_WEBHOOK)).items,
            services=(await client.list(kinds.SERVICE, namespace)).items,
            policies=policies,
            istiods=serving,
            root=flags.istio_namespace,
        )
    return document(found, around)
