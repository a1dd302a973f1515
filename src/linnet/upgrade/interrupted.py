"""Whether a command that finds nothing to do was interrupted after its last write."""

from linnet.install import history, lock, recording
from linnet.kube.client import Client
from linnet.kube.errors import NotFound
from linnet.kube.kinds import LEASE


async def completed(client: Client, namespace: str, purpose: str) -> bool:
    """Whether the same command was begun, did not come to its end, and nothing was done since.

    Its Lease tells, or that of one who took over; or the record, once that was written.
    """
    try:
        held = await client.get(LEASE, lock.NAME, namespace)
    except NotFound:
        pass
    else:
        now = (held["metadata"].get("annotations") or {}).get(lock.PURPOSE)
        if purpose in (now, *(one.command for one in lock.dead(held))):
            return True
    entries = await recording.read(client, namespace)
    return bool(entries) and (entries[-1].command, entries[-1].result) in {
        (purpose, history.INTERRUPTED),
        (purpose, history.FAILED),
    }
