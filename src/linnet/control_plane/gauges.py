"""Numbers that are asked for when somebody looks at the metrics."""

import resource
import time
from datetime import datetime

from linnet.ca.authority import Authority
from linnet.ca.server import CertificateService
from linnet.control_plane.istiod import Istiod
from linnet.control_plane.proxies import Proxies
from linnet.control_plane.webhooks import Injection

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


def add_injection_gauge(istiod: Istiod, injection: Injection) -> None:
    """Whether the injection ConfigMap of this revision is there and can be used."""

    def usable() -> Samples:
        return [({}, 0 if injection.error else 1)]

    istiod.metrics.gauge(
        "linnet_injection_config_usable", "1: the ConfigMap as it is now is in force.", usable
    )


def add_authority_gauges(istiod: Istiod, authority: Authority, service: CertificateService) -> None:
    """What the certificate authority does, and how long its root lasts. Source: Istio, `citadel_server_*`."""

    def until(moment: datetime) -> Samples:
        return [({}, round(moment.timestamp() - time.time()))]

    gauge = istiod.metrics.gauge
    gauge("citadel_server_csr_count", "Requests.", lambda: [({}, service.issued + service.refused)])
    gauge(
        "citadel_server_success_cert_issuance_count", "Certificates issued.", lambda: [({}, service.issued)]
    )
    gauge(
        "citadel_server_root_cert_expiry_seconds",
        "Until the signing certificate expires.",
        lambda: until(authority.signer.certificate.not_valid_after_utc),
    )
