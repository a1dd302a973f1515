"""DestinationRule: how a service is called, checked so that Envoy takes every cluster.

Source: Istio, DestinationRule.
"""

from linnet.ingest import values
from linnet.ingest.decode import Item, spec_of
from linnet.ingest.names import exports, full_host
from linnet.ingest.report import Report
from linnet.model.policy import (
    Balancer,
    Balancing,
    ClientTls,
    DestinationRule,
    HashKey,
    Keepalive,
    Outlier,
    Pool,
    PortPolicy,
    RetryBudget,
    Subset,
    TlsMode,
    TrafficPolicy,
)
from linnet.model.snapshot import MeshConfig
from linnet.objects import destination_rule as written

_LARGEST = 4_294_967_295
_LARGEST_RING = 8_388_608
_LARGEST_TABLE = 5_000_011
_SIMPLE = {
    "ROUND_ROBIN": Balancing.ROUND_ROBIN,
    "RANDOM": Balancing.RANDOM,
    "PASSTHROUGH": Balancing.PASSTHROUGH,
}


class _Policy:
    """Reads one traffic policy."""

    def __init__(self, path: str, report: Report) -> None:
        self._path, self._report = path, report

    def read(self, held: written.TrafficPolicy) -> TrafficPolicy:
        ports: dict[int, PortPolicy] = {}
        for number, one in enumerate(held.port_level_settings):
            path = f"portLevelSettings[{number}]"
            port = one.port.number if one.port is not None else None
            if port is None or not values.is_port(port):
                self._invalid(f"{path}.port", "is not the number of a port")
            else:
                ports.setdefault(port, _Policy(f"{self._path}.{path}", self._report).port(one, None))
        return TrafficPolicy(self.port(held, held.retry_budget), tuple(sorted(ports.items())))

    def port(
        self, held: written.TrafficPolicy | written.PortPolicy, budget: written.RetryBudget | None
    ) -> PortPolicy:
        """What one port's policy says."""
        return PortPolicy(
            pool=self._pool(held.connection_pool) if held.connection_pool is not None else None,
            balancer=self._balancer(held.load_balancer) if held.load_balancer is not None else None,
            outlier=self._outlier(held.outlier_detection) if held.outlier_detection is not None else None,
            tls=self._tls(held.tls) if held.tls is not None else None,
            retry_budget=self._budget(budget) if budget is not None else None,
        )

    def _invalid(self, field: str, message: str) -> None:
        self._report.invalid(f"{self._path}.{field}", message)

    def _seconds(self, text: str | None, path: str, *, least: float = 0.001) -> float:
        """Seconds; 0 if absent or, with the problem reported, wrong."""
        if text is None:
            return 0
        held = values.seconds(text)
        if held is None or (held and held < least):
            self._invalid(path, f"{text!r} is not a duration from {least} s")
            return 0
        return held

    def _count(self, number: int | None, path: str, largest: int = _LARGEST) -> int:
        """A number from 0 on; 0 if absent or, with the problem reported, wrong."""
        if number is None:
            return 0
        if not 0 <= number <= largest:
            self._invalid(path, f"{number} is not between 0 and {largest}")
            return 0
        return number

    def _pool(self, held: written.ConnectionPool) -> Pool:
        tcp, http = held.tcp or written.ConnectionPoolTcp(), held.http or written.ConnectionPoolHttp()
        at = "connectionPool"
        keepalive = None
        if tcp.tcp_keepalive is not None:
            alive = tcp.tcp_keepalive
            keepalive = Keepalive(
                probes=self._count(alive.probes, f"{at}.tcp.tcpKeepalive.probes"),
                time=round(self._seconds(alive.time, f"{at}.tcp.tcpKeepalive.time", least=1)),
                interval=round(self._seconds(alive.interval, f"{at}.tcp.tcpKeepalive.interval", least=1)),
            )
        retries = http.max_retries
        streams = self._count(http.max_concurrent_streams, f"{at}.http.maxConcurrentStreams", 2**31 - 1)
        return Pool(
            connect_timeout=self._seconds(tcp.connect_timeout, f"{at}.tcp.connectTimeout"),
            max_connections=self._count(tcp.max_connections, f"{at}.tcp.maxConnections"),
            max_pending=self._count(http.http1_max_pending_requests, f"{at}.http.http1MaxPendingRequests"),
            max_requests=self._count(http.http2_max_requests, f"{at}.http.http2MaxRequests"),
            max_retries=self._count(retries, f"{at}.http.maxRetries") if retries is not None else None,
            requests_per_connection=self._count(
                http.max_requests_per_connection, f"{at}.http.maxRequestsPerConnection"
            ),
            concurrent_streams=streams,
            idle_timeout=self._seconds(http.idle_timeout, f"{at}.http.idleTimeout"),
            tcp_idle_timeout=self._seconds(tcp.idle_timeout, f"{at}.tcp.idleTimeout"),
            max_connection_duration=self._seconds(
                tcp.max_connection_duration, f"{at}.tcp.maxConnectionDuration"
            ),
            keepalive=keepalive,
            upgrade=http.h2_upgrade_policy == "UPGRADE",
            client_protocol=bool(http.use_client_protocol),
        )

    def _balancer(self, held: written.LoadBalancer) -> Balancer:
        at = "loadBalancer"
        warmup = self._seconds(held.warmup_duration_secs, f"{at}.warmupDurationSecs")
        aggression = minimum = 0.0
        if held.warmup is not None:
            warmup = self._seconds(held.warmup.duration, f"{at}.warmup.duration")
            aggression = held.warmup.aggression if held.warmup.aggression is not None else 0.0
            if aggression and aggression < 1:
                self._invalid(f"{at}.warmup.aggression", "is less than 1")
                aggression = 0.0
            minimum = held.warmup.minimum_percent if held.warmup.minimum_percent is not None else 10.0
            if not 0 <= minimum <= 100:
                self._invalid(f"{at}.warmup.minimumPercent", f"{minimum} is not between 0 and 100")
                minimum = 10.0
        if held.consistent_hash is not None:
            return self._hashing(held.consistent_hash)
        kind = _SIMPLE.get(held.simple or "", Balancing.LEAST_REQUEST)
        return Balancer(kind, None, 0, warmup, aggression, minimum)

    def _hashing(self, held: written.ConsistentHash) -> Balancer:
        at = "loadBalancer.consistentHash"
        key: HashKey | None = None
        cookie = held.http_cookie
        if held.http_header_name is not None:
            if values.is_header_name(held.http_header_name.lstrip(":")):
                key = HashKey(header=held.http_header_name)
            else:
                self._invalid(f"{at}.httpHeaderName", "is not the name of a header")
        elif cookie is not None:
            if values.is_header_name(cookie.name) and values.is_header_value(cookie.path or ""):
                ttl = values.seconds(cookie.ttl) if cookie.ttl is not None else None
                if cookie.ttl is not None and ttl is None:
                    self._invalid(f"{at}.httpCookie.ttl", f"{cookie.ttl!r} is not a duration")
                key = HashKey(cookie=cookie.name, cookie_path=cookie.path or "", cookie_ttl=ttl)
            else:
                self._invalid(f"{at}.httpCookie", "is not the name and path of a cookie")
        elif held.http_query_parameter_name:
            key = HashKey(query=held.http_query_parameter_name)
        elif held.use_source_ip:
            key = HashKey(source_ip=True)
        if held.maglev is not None:
            size = self._count(held.maglev.table_size, f"{at}.maglev.tableSize", _LARGEST_TABLE)
            if size and not _is_prime(size):
                self._invalid(f"{at}.maglev.tableSize", f"{size} is not a prime number")
                size = 0
            return Balancer(Balancing.MAGLEV, key, size)
        ring = held.ring_hash.minimum_ring_size if held.ring_hash is not None else held.minimum_ring_size
        return Balancer(Balancing.RING_HASH, key, self._count(ring, f"{at}.ringHash", _LARGEST_RING))

    def _outlier(self, held: written.OutlierDetection) -> Outlier:
        at = "outlierDetection"

        def some(text: str | None, name: str) -> float | None:
            return self._seconds(text, f"{at}.{name}") or None

        def percent(number: int | None, name: str) -> int | None:
            return None if number is None else self._count(number, f"{at}.{name}", 100)

        return Outlier(
            consecutive_5xx=held.consecutive5xx_errors,
            consecutive_gateway=held.consecutive_gateway_errors,
            consecutive_local=held.consecutive_local_origin_failures,
            split_local=bool(held.split_external_local_origin_errors),
            interval=some(held.interval, "interval"),
            base_ejection=some(held.base_ejection_time, "baseEjectionTime"),
            max_percent=percent(held.max_ejection_percent, "maxEjectionPercent"),
            min_health_percent=percent(held.min_health_percent, "minHealthPercent") or 0,
        )

    def _tls(self, held: written.ClientTls) -> ClientTls | None:
        mode = TlsMode(held.mode or "DISABLE")
        if held.sni and not values.is_domain(held.sni):
            self._invalid("tls.sni", f"{held.sni!r} is not the name of a host")
        return ClientTls(
            mode=mode,
            sni=held.sni if held.sni and values.is_domain(held.sni) else "",
            names=held.subject_alt_names,
            unverified=bool(held.insecure_skip_verify),
        )

    def _budget(self, held: written.RetryBudget) -> RetryBudget:
        percent = 20.0 if held.percent is None else held.percent
        if not 0 <= percent <= 100:
            self._invalid("retryBudget.percent", f"{percent} is not between 0 and 100")
            percent = 20.0
        least = held.min_retry_concurrency
        return RetryBudget(percent, 3 if least is None else least)


def _is_prime(number: int) -> bool:
    return number > 1 and all(number % divisor for divisor in range(2, int(number**0.5) + 1))


def destination_rule(held: Item, config: MeshConfig, report: Report) -> DestinationRule | None:
    """What an object says; None if it is not readable, or not for every proxy."""
    spec = spec_of(held, written.DestinationRuleSpec, report)
    if spec is None or spec.workload_selector is not None:
        return None
    host = full_host(spec.host, held.namespace, config.domain)
    if not values.is_domain(host):
        report.invalid("spec.host", f"{spec.host!r} is not the name of a host")
        return None
    subsets: dict[str, Subset] = {}
    for number, one in enumerate(spec.subsets):
        path = f"spec.subsets[{number}]"
        if not one.name or "|" in one.name or one.name in subsets:
            report.invalid(f"{path}.name", f"{one.name!r} is empty, has a |, or is there already")
            continue
        policy = one.traffic_policy
        read = _Policy(f"{path}.trafficPolicy", report).read(policy) if policy is not None else None
        subsets[one.name] = Subset(one.name, frozenset((one.labels or {}).items()), read)
    usual = TrafficPolicy()
    if spec.traffic_policy is not None:
        usual = _Policy("spec.trafficPolicy", report).read(spec.traffic_policy)
    return DestinationRule(
        namespace=held.namespace,
        name=held.name,
        created=held.created,
        host=host,
        exported_to=exports(spec.export_to, held.namespace),
        policy=usual,
        subsets=tuple(subsets.values()),
    )
