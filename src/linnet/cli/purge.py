"""`uninstall --purge`: everything of every revision, shared objects, definitions and tags included."""

from collections.abc import Sequence

from linnet.cli import in_use, options
from linnet.cli.faults import FAILED
from linnet.cli.terminal import Progress, confirm
from linnet.install.lock import exclusive
from linnet.install.marks import MANAGER
from linnet.install.recording import forget
from linnet.upgrade.health import Dangling
from linnet.upgrade.look import Seen, look
from linnet.upgrade.retire import left_dangling, remove
from linnet.upgrade.retirement import Item, everything

DETACHED = "Proxies without their control plane keep their last configuration and malfunction in time."


async def purge(namespace: str, *, ask: bool, dry_run: bool, seconds: float) -> Sequence[Dangling] | None:
    """Remove it, who uses it named first; the webhooks that call nobody afterwards. None: a dry run."""
    async with options.client(manager=MANAGER) as client:
        print("All Istio resources will be pruned from the cluster")
        seen = await look(client, namespace)
        if told := in_use.of_mesh(seen.observed, seen.present):
            print("\n".join([*told, DETACHED]))
        if dry_run:
            for item in _all_of(seen):
                print(f"  Not pruning object {item} because of dry run.")
            return None
        if ask and not confirm("Proceed? (y/N)"):
            print("Cancelled.")
            raise SystemExit(FAILED)
        progress = Progress()
        async with exclusive(client, namespace, "uninstall --purge", waiting=progress.working):
            items = _all_of(await look(client, namespace, streams=False))
            await remove(client, items, "", seconds=seconds, report=progress)
            await forget(client, namespace)
            return await left_dangling(client, namespace)


def _all_of(seen: Seen) -> tuple[Item, ...]:
    return everything(seen.objects, (*seen.observed.injectors, *seen.observed.validators))
