"""Groups of commands: other names, commands of istioctl that are not here, and what was probably meant."""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from types import MappingProxyType

import click

ABSENT: dict[str, str] = {
    # what istioctl has and we have not: what to do instead
    "ecds": "see proxy-config all POD -o json",
    "rootca-compare": "see proxy-config secret POD -o json of both pods",
    "log": "kubectl port-forward POD 15000, then POST /logging; see proxy-config bootstrap",
    "analyze": "see x precheck, and the condition linnet.io/Honoured in the status of Istio objects",
    "authz": "see proxy-config listeners POD -o json, where the policies of a proxy are",
    "bug-report": "see revision describe REV, proxy-status -o json, and kubectl logs",
    "create-remote-secret": "a mesh is one cluster; see gateway list",
    "dashboard": "kubectl port-forward reaches every page: istiod has 15014, a proxy 15000; see proxy-status",
    "envoy-stats": "kubectl exec POD -c istio-proxy -- curl -s localhost:15000/stats; see proxy-config",
    "internal-debug": "kubectl port-forward ISTIOD 15014, then /debug/syncz and its like; see proxy-status",
    "metrics": "Envoy's own are at port 15020 of each pod, istiod's at 15014; see proxy-status",
    "operator": "nothing runs in the cluster for installations; see install",
    "remote-clusters": "a mesh is one cluster; see version",
    "translate": "there are no Helm charts; see manifest generate",
    "validate": "the cluster checks: kubectl apply --dry-run=server -f FILE; see x precheck",
    "wait": "see proxy-status: STALE becomes SYNCED",
    "service": "see describe pod of one of its pods, and proxy-config routes POD",
    "waypoint": "there is no ambient mode; see gateway list",
    "workload": "there are no virtual machines; see kube-inject",
    "ztunnel-config": "there is no ambient mode; see proxy-config",
}
SAME = {
    "ec": "ecds",
    "o": "log",
    "rc": "rootca-compare",
    "svc": "service",
    "analyse": "analyze",
    "d": "dashboard",
    "dash": "dashboard",
    "es": "envoy-stats",
    "m": "metrics",
    "v": "validate",
    "zc": "ztunnel-config",
}


def names(**aliases: str) -> Mapping[str, str]:
    """Further names of commands: `names(l="log")`."""
    return MappingProxyType(aliases)


class Group(click.Group):
    """A group whose commands have further names, and which says what became of those that it lacks."""

    aliases: Mapping[str, str] = MappingProxyType({})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of any of its names."""
        return super().get_command(ctx, self.aliases.get(cmd_name, cmd_name))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that the arguments begin with.

        Raises:
            click.UsageError: there is none; the message says what to do instead.
        """
        name = args[0]
        if not name.startswith("-") and not ctx.resilient_parsing and self.get_command(ctx, name) is None:
            raise click.UsageError(unknown(name, [*self.list_commands(ctx), *self.aliases]), ctx)
        return super().resolve_command(ctx, args)


def unknown(name: str, names: Sequence[str]) -> str:
    """What to say of a command that is not there; `names` are those that are."""
    absent = SAME.get(name, name)
    if absent in ABSENT:
        return f"No such command '{name}': istioctl has it, Linnet does not; {ABSENT[absent]}."
    near = get_close_matches(name, names, n=2, cutoff=0.6)
    return f"No such command '{name}'." + (f" Did you mean {' or '.join(near)}?" if near else "")
