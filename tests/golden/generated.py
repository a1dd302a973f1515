"""Strategies for Istio objects made of good, odd and bad parts."""

from typing import Any

from hypothesis import strategies as st


def mostly(good: st.SearchStrategy[Any], bad: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Good four times of five: an object with one wrong part shows more than one that is all wrong."""
    return st.integers(0, 4).flatmap(lambda chosen: bad if chosen == 0 else good)


odd_texts = st.one_of(
    st.sampled_from(
        [
            "",
            "a",
            "x-user",
            "*",
            "a b",
            "/a",
            "/a*",
            "%",
            "%%",
            "%REQ(x)%",
            "\n",
            "é",
            "a..b",
            ":path",
            "Host",
            "(",
            "a{1001}",
            "(?=a)",
            "\\1",
            "[",
            "*.a",
            "\0",
            "-",
            "a|b",
            "reviews",
            "x" * 300,
        ]
    ),
    st.text(max_size=8),
)
good_texts = st.sampled_from(
    ["a", "x-user", "/a", "/api/v1", "/a*", "*a", "GET", "v1", "^/v[0-9]+$", "cluster.local/ns/a/sa/b"]
)
texts = mostly(good_texts, odd_texts)
services = st.sampled_from(["reviews", "ratings", "db", "reviews.default.svc.cluster.local", "a.example.com"])
odd_hosts = st.sampled_from(
    [
        *("*", "*.example.com", "A.Example.com", "nowhere", "*.svc.cluster.local", "*a", "a.b.*", "10.0.0.1"),
        *(
            "::1",
            "reviews.default",
            "b.example.com",
            "_x.example.com",
            "a.example.com.",
            "*.com",
            "*-a.example.com",
        ),
    ]
)
hosts = mostly(services, st.one_of(odd_hosts, texts))
numbers = st.sampled_from(
    [0, 1, 2, 80, 81, 100, 251, 301, 404, 443, 503, 3306, 8080, 15006, 65535, 65536, 2**31]
)
signed = st.one_of(numbers, st.just(-1))
durations = mostly(
    st.sampled_from(["1s", "1.5s", "1ms", "1h30m", "10s"]),
    st.sampled_from(["", "0s", "1us", "-1s", "x", "999999999h", "5", "1ns", "1e3s"]),
)
percents = mostly(st.sampled_from([0, 0.5, 50, 100]), st.sampled_from([-1, 101, 1e9]))
networks = mostly(
    st.sampled_from(["10.0.0.0/8", "10.0.0.1", "10.1.2.3/8", "192.0.2.1"]),
    st.sampled_from(["x", "::1/128", "0.0.0.0/0", "", "fd00::1"]),
)


def some(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """A mapping with up to three of the fields."""
    names = st.lists(st.sampled_from(sorted(fields)), max_size=3, unique=True)
    return names.flatmap(lambda chosen: st.fixed_dictionaries({name: fields[name] for name in chosen}))


def one_or_more(each: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Any]]:
    """A short list that is not empty."""
    return st.lists(each, min_size=1, max_size=2)


def few(each: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Any]]:
    """A short list."""
    return st.lists(each, max_size=3)


match = st.one_of(
    *(st.fixed_dictionaries({kind: texts}) for kind in ("exact", "prefix", "regex")), st.just({})
)
headers = st.dictionaries(texts, match, max_size=2)
changes = some(
    set=st.dictionaries(texts, texts, max_size=2),
    add=st.dictionaries(texts, texts, max_size=2),
    remove=few(texts),
)
destination = st.fixed_dictionaries(
    {"host": mostly(services, hosts)},
    optional={
        "subset": st.sampled_from(["v1", "v2", "x"]),
        "port": st.fixed_dictionaries({"number": st.sampled_from([80, 3306, 443, 0])}),
    },
)
share = st.fixed_dictionaries(
    {"destination": destination},
    optional={"weight": signed, "headers": some(request=changes, response=changes)},
)
_http_rule = some(
    name=texts,
    match=few(
        some(
            name=texts,
            uri=match,
            headers=headers,
            withoutHeaders=headers,
            queryParams=headers,
            method=match,
            authority=match,
            scheme=match,
            port=numbers,
            ignoreUriCase=st.booleans(),
            statPrefix=texts,
            sourceLabels=st.dictionaries(
                st.sampled_from(["app"]), st.sampled_from(["client", "x"]), max_size=1
            ),
            gateways=few(st.sampled_from(["mesh", "gw", "default/gw"])),
        )
    ),
    route=one_or_more(share),
    redirect=some(
        uri=texts, authority=texts, scheme=texts, port=numbers, redirectCode=numbers, prefixRewrite=texts
    ),
    directResponse=st.fixed_dictionaries(
        {"status": numbers}, optional={"body": some(string=texts, bytes=texts)}
    ),
    rewrite=some(uri=texts, authority=texts, uriRegexRewrite=some(match=texts, rewrite=texts)),
    timeout=durations,
    retries=some(attempts=signed, perTryTimeout=durations, retryOn=texts, backoff=durations),
    fault=some(
        delay=some(fixedDelay=durations, percentage=some(value=percents), percent=numbers),
        abort=some(httpStatus=signed, grpcStatus=texts, percentage=some(value=percents)),
    ),
    mirror=destination,
    mirrorPercentage=some(value=percents),
    corsPolicy=some(
        allowOrigins=few(match),
        allowMethods=few(texts),
        allowHeaders=few(texts),
        maxAge=durations,
        allowCredentials=st.booleans(),
    ),
    headers=some(request=changes, response=changes),
)
http_rule = st.tuples(_http_rule, one_or_more(share)).map(lambda pair: {"route": pair[1], **pair[0]})
tls_rule = st.fixed_dictionaries(
    {
        "match": few(
            st.fixed_dictionaries(
                {"sniHosts": one_or_more(hosts)},
                optional={"destinationSubnets": few(networks), "port": numbers},
            )
        )
    },
    optional={"route": one_or_more(share)},
)
tcp_rule = st.fixed_dictionaries(
    {"route": one_or_more(share)},
    optional={"match": few(some(destinationSubnets=few(networks), port=numbers))},
)
_virtual_service = some(
    gateways=few(st.sampled_from(["mesh", "gw", "default/gw"])),
    http=few(http_rule),
    tls=few(tls_rule),
    tcp=few(tcp_rule),
    exportTo=few(st.sampled_from(["*", ".", "~", "default"])),
)
virtual_service = st.tuples(_virtual_service, one_or_more(hosts), one_or_more(http_rule)).map(
    lambda parts: {"hosts": parts[1], "http": parts[2], **parts[0]}
)
policy = some(
    connectionPool=some(
        tcp=some(
            maxConnections=signed,
            connectTimeout=durations,
            idleTimeout=durations,
            maxConnectionDuration=durations,
            tcpKeepalive=some(probes=numbers, time=durations, interval=durations),
        ),
        http=some(
            http1MaxPendingRequests=signed,
            http2MaxRequests=signed,
            maxRequestsPerConnection=signed,
            maxRetries=signed,
            idleTimeout=durations,
            maxConcurrentStreams=signed,
            useClientProtocol=st.booleans(),
            h2UpgradePolicy=st.sampled_from(["DEFAULT", "UPGRADE"]),
        ),
    ),
    loadBalancer=some(
        simple=st.sampled_from(["RANDOM", "PASSTHROUGH", "ROUND_ROBIN", "LEAST_REQUEST", "LEAST_CONN"]),
        warmup=st.fixed_dictionaries(
            {"duration": durations}, optional={"aggression": percents, "minimumPercent": percents}
        ),
        consistentHash=some(
            httpHeaderName=texts,
            httpCookie=st.fixed_dictionaries({"name": texts}, optional={"ttl": durations, "path": texts}),
            useSourceIp=st.booleans(),
            httpQueryParameterName=texts,
            maglev=some(tableSize=numbers),
            ringHash=some(minimumRingSize=numbers),
        ),
    ),
    outlierDetection=some(
        consecutive5xxErrors=numbers,
        consecutiveGatewayErrors=numbers,
        interval=durations,
        baseEjectionTime=durations,
        maxEjectionPercent=signed,
        minHealthPercent=signed,
        splitExternalLocalOriginErrors=st.booleans(),
        consecutiveLocalOriginFailures=numbers,
    ),
    tls=some(
        mode=st.sampled_from(["DISABLE", "SIMPLE", "MUTUAL", "ISTIO_MUTUAL"]),
        sni=texts,
        subjectAltNames=few(texts),
        caCertificates=texts,
        insecureSkipVerify=st.booleans(),
    ),
    retryBudget=some(percent=percents, minRetryConcurrency=numbers),
)
destination_rule = st.fixed_dictionaries(
    {"host": hosts},
    optional={
        "trafficPolicy": policy,
        "subsets": few(
            st.fixed_dictionaries(
                {"name": st.sampled_from(["v1", "v2", "a|b", ""])},
                optional={
                    "labels": st.dictionaries(st.just("version"), texts, max_size=1),
                    "trafficPolicy": policy,
                },
            )
        ),
    },
)
_gateway = some(
    selector=st.sampled_from([{}, {"istio": "ingressgateway"}]),
    servers=few(
        st.fixed_dictionaries(
            {
                "port": st.fixed_dictionaries(
                    {
                        "number": numbers,
                        "name": texts,
                        "protocol": st.sampled_from(
                            ["HTTP", "HTTPS", "TLS", "TCP", "GRPC", "HTTP2", "UDP", "x"]
                        ),
                    }
                ),
                "hosts": one_or_more(st.one_of(hosts, hosts.map(lambda host: f"./{host}"))),
            },
            optional={
                "bind": networks,
                "tls": some(
                    mode=st.sampled_from(
                        ["PASSTHROUGH", "SIMPLE", "MUTUAL", "ISTIO_MUTUAL", "OPTIONAL_MUTUAL"]
                    ),
                    credentialName=st.sampled_from(["shop-cert", "missing", ""]),
                    httpsRedirect=st.booleans(),
                    minProtocolVersion=st.sampled_from(["TLSV1_3", "TLSV1_0"]),
                    subjectAltNames=few(texts),
                    maxProtocolVersion=st.sampled_from(["TLSV1_2", "TLS_AUTO"]),
                    cipherSuites=few(texts),
                ),
            },
        )
    ),
)
gateway = _gateway.map(lambda held: {"selector": {"istio": "ingressgateway"}, **held})
service_entry = st.fixed_dictionaries(
    {"hosts": one_or_more(hosts)},
    optional={
        "addresses": few(networks),
        "ports": few(
            st.fixed_dictionaries(
                {"number": numbers, "name": texts},
                optional={
                    "protocol": st.sampled_from(["HTTP", "TCP", "TLS", "GRPC", "x"]),
                    "targetPort": numbers,
                },
            )
        ),
        "resolution": st.sampled_from(["NONE", "STATIC", "DNS", "DNS_ROUND_ROBIN", "DYNAMIC_DNS"]),
        "location": st.sampled_from(["MESH_INTERNAL", "MESH_EXTERNAL"]),
        "endpoints": few(
            some(
                address=st.one_of(networks, hosts),
                ports=st.dictionaries(texts, numbers, max_size=1),
                weight=signed,
                locality=texts,
            )
        ),
        "subjectAltNames": few(texts),
    },
)
values = few(texts)
source = some(
    principals=values,
    notPrincipals=values,
    namespaces=values,
    notNamespaces=values,
    ipBlocks=few(networks),
    notIpBlocks=few(networks),
    remoteIpBlocks=few(networks),
    serviceAccounts=values,
    trustDomains=values,
    requestPrincipals=values,
)
operation = some(
    hosts=values,
    methods=values,
    notMethods=values,
    paths=values,
    notPaths=values,
    ports=values,
    notPorts=values,
)
keys = st.one_of(
    texts,
    st.sampled_from(
        [
            "request.headers[x]",
            "request.headers[a b]",
            "source.ip",
            "destination.port",
            "connection.sni",
            "request.auth.claims[a]",
            "source.namespace",
            "destination.ip",
        ]
    ),
)
authorization = some(
    action=st.sampled_from(["ALLOW", "DENY", "AUDIT", "CUSTOM"]),
    rules=few(
        some(
            **{"from": few(some(source=source)), "to": few(some(operation=operation))},
            when=few(st.fixed_dictionaries({"key": keys}, optional={"values": values, "notValues": values})),
        )
    ),
)
peer = some(
    mtls=some(mode=st.sampled_from(["STRICT", "PERMISSIVE", "DISABLE", "UNSET"])),
    selector=st.just({"matchLabels": {"app": "reviews"}}),
    portLevelMtls=st.dictionaries(
        st.sampled_from(["8080", "80", "x", "0", "99999"]), some(mode=st.sampled_from(["STRICT", "DISABLE"]))
    ),
)
locations = st.sampled_from(
    [
        *("https://a.example.com/keys", "http://reviews.default.svc.cluster.local/keys", "http://db:3306/"),
        *(
            "https://10.0.0.1:8443/k",
            "http://[::1]/k",
            "ftp://a/",
            "https://",
            "http://a:99999/",
            "http://*.a/",
        ),
        *("https://A.Example.com/é", "https://user@a.example.com/ k", "http://nowhere:0/", "http://a_b/"),
    ]
)
key_sets = st.sampled_from(
    [
        '{"keys": [{"kty": "OKP", "crv": "Ed25519", "x": "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"}]}',
        '{"keys": [{"kty": "RSA", "n": "AQAB", "e": "AQAB"}]}',
        *("{", "[]", '{"keys": {}}', '{"keys": [1, null]}', ""),
    ]
)
tokens = some(
    jwtRules=few(
        some(
            issuer=mostly(good_texts, odd_texts),
            audiences=values,
            jwks=key_sets,
            jwksUri=locations,
            timeout=st.sampled_from(["1s", "0s", "soon", "1h", ""]),
            fromHeaders=few(st.fixed_dictionaries({"name": texts}, optional={"prefix": texts})),
            fromParams=values,
            fromCookies=values,
            forwardOriginalToken=st.booleans(),
            outputPayloadToHeader=texts,
            outputClaimToHeaders=few(st.fixed_dictionaries({"claim": texts, "header": texts})),
            spaceDelimitedClaims=values,
            presence=st.sampled_from(["REQUIRED", "OPTIONAL"]),
        )
    )
)
sidecar = some(
    egress=few(
        some(
            hosts=few(
                st.sampled_from(
                    [
                        "./*",
                        "*/*",
                        "~/*",
                        "default/reviews.default.svc.cluster.local",
                        "*/*.example.com",
                        "x",
                        "/",
                        "a/b/c",
                    ]
                )
            )
        )
    ),
    outboundTrafficPolicy=some(mode=st.sampled_from(["REGISTRY_ONLY", "ALLOW_ANY"])),
)
objects = st.one_of(
    *(
        st.tuples(st.just(kind), st.sampled_from(names), spec)
        for kind, names, spec in (
            ("VirtualService", ["vs", "vs-b"], virtual_service),
            ("DestinationRule", ["dr", "dr-b"], destination_rule),
            ("Gateway", ["gw", "gw-b"], gateway),
            ("ServiceEntry", ["se", "se-b"], service_entry),
            ("AuthorizationPolicy", ["ap", "ap-b"], authorization),
            ("PeerAuthentication", ["pa"], peer),
            ("RequestAuthentication", ["ra", "ra-b"], tokens),
            ("Sidecar", ["sc"], sidecar),
        )
    )
)
