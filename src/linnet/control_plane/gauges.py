"""Numbers that are asked for when somebody looks at the metrics."""

import resource
import time

from linnet.control_plane.istiod import Istiod
from linnet.control_plane.proxies import Proxies

Samples = list[tuple[dict[str, str], float]]


def add_gauges(istiod: Istiod, proxies: Proxies) -> None:
    """Show them under Istio's names, and some of our own."""
    version = istiod.settings.version

    def connected() -> Samples:
        counts: dict[str, float] = {}
        for seat in proxies.seats.values():
            name = str(seat.connection.node.metadata.get("ISTIO_VERSION") or "unknown")
            counts[name] = counts.get(name, 0) + 1
        return [({"version": name}, count) for name, count in counts.items()]

    def compared() -> Samples:
        return [({}, proxies.work.compared)]

    gauge = istiod.metrics.gauge
    gauge("pilot_info", "This istiod.", lambda: [({"version": version}, 1)])
    gauge("istio_build", "This istiod.", lambda: [({"component": "pilot", "tag": version}, 1)])
    gauge("istiod_uptime_seconds", "Since the start.", lambda: [({}, int(time.time() - istiod.started))])
    gauge("pilot_xds", "Connected proxies by version.", connected)
    gauge("linnet_resources_compared", "Names looked at to find what to send.", compared)
    gauge("process_resident_memory_bytes", "Resident memory.", _resident)
    gauge("process_cpu_seconds_total", "CPU time.", lambda: [({}, time.process_time())])


def _resident() -> Samples:
    with open("/proc/self/statm") as file:
        pages = int(file.read().split()[1])
    return [({}, pages * resource.getpagesize())]
