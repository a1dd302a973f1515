"""The load client against a server that fails on purpose: every kind of failure is seen, named and placed."""

import asyncio
import json
import socket
import sys
from datetime import UTC, datetime

import pytest
from tests.local.workloads.failing import Http1, patience, seen, serving

from linnet.local.workloads.answers import client_identity
from linnet.local.workloads.record import Latencies

pytestmark = pytest.mark.wired


def url(server: Http1) -> str:
    return f"http://127.0.0.1:{server.port}/"


async def test_a_good_server_gives_a_clean_report():
    """Nothing fails; requests come at the rate that was asked for, over one connection."""
    async with serving(Http1()) as server:
        record = await seen(url(server), duration=0.5)
    elapsed = (datetime.now(UTC) - record.started).total_seconds()
    requests, failed = record.totals()
    assert failed == 0
    assert 0 < requests <= 100 * elapsed + 1
    assert server.connections == 1
    tally = record.report(record.started, running=False)["targets"][0]
    assert tally["pods"] == {"web-1": requests}
    assert tally["versions"] == {"v2": requests}


@pytest.mark.parametrize(
    ("behaviour", "kind", "said"),
    [
        ("unavailable", "status 503", "full"),
        ("close", "broken", "closed before the response, request 2"),
        ("reset", "broken", "request 2 on its connection"),
        ("half", "broken", "closed in the middle of a response"),
        ("rubbish", "malformed", "not an HTTP response"),
        ("silent", "timeout", "no response within 0.5 s"),
    ],
)
async def test_each_failure_is_counted_by_kind_with_its_pod(behaviour, kind, said):
    """One request goes wrong: exactly one failure, of its kind, with the pod that answered before."""
    async with serving(Http1("ok", behaviour)) as server:
        record = await seen(url(server), timeout=patience(behaviour), duration=0.8)
    assert record.totals()[1] == 1
    failure = record.failures[0]
    assert failure["kind"] == kind
    assert said in failure["detail"]
    assert failure["pod"] == "web-1"
    assert failure["at"] >= record.started.isoformat(timespec="milliseconds")


async def test_nobody_listening_is_a_failure_to_connect():
    """Every request fails, and each is counted."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]
    record = await seen(f"http://127.0.0.1:{port}/")
    requests, failed = record.totals()
    assert requests == failed > 10
    assert set(record.tallies[0].failed) == {"connect"}


async def test_connection_close_is_honoured():
    """A server that says goodbye in its response loses no request: the next goes over a new connection."""
    async with serving(Http1("ok", "last", "ok", "last")) as server:
        record = await seen(url(server))
    assert record.totals()[1] == 0
    assert server.connections == 3


async def test_fresh_connections_are_fresh():
    """`--new-connections` opens one for each request."""
    async with serving(Http1()) as server:
        record = await seen(url(server), rate=0.0, new=50.0)
    assert record.totals()[1] == 0
    assert server.connections == server.requests > 10


async def test_chunked_responses_are_whole():
    """The body's end is found without a length."""
    async with serving(Http1("chunked", "chunked")) as server:
        record = await seen(url(server))
    assert record.totals()[1] == 0
    assert server.connections == 1


async def test_what_comes_before_the_first_answer_is_not_counted():
    """With `--wait` the count begins when the target answers."""
    async with serving(Http1("unavailable", "close")) as server:
        record = await seen(url(server), wait=5.0, duration=0.8)
    assert record.totals()[1] == 0
    assert record.totals()[0] > 10


async def test_the_program_reports_and_its_exit_code_tells(tmp_path):
    """A failing run: exit code 1, one line for the failure, a JSON report and one for people."""
    report = tmp_path / "report.json"
    async with serving(Http1("ok", "unavailable")) as server:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "linnet.local.workloads.load",
            "--name",
            "me",
            "--duration",
            "0.3",
            "--target",
            f"http://127.0.0.1:{server.port}/",
            "--report",
            str(report),
            stdout=asyncio.subprocess.PIPE,
        )
        output, _ = await process.communicate()
    text = output.decode()
    assert process.returncode == 1
    assert "FAILED" in text
    assert "1 failed" in text
    written = json.loads(report.read_text())
    assert written["failed"] == 1
    assert written["running"] is False
    assert written["failures"][0]["kind"] == "status 503"


@pytest.mark.unit
def test_quantiles_are_never_below_the_truth():
    """A quantile is at least the value that it names, and at most 15 % above."""
    latencies = Latencies()
    for n in range(1, 101):
        latencies.add(n / 1000)
    assert 0.050 <= latencies.quantile(0.5) <= 0.058
    assert 0.099 <= latencies.quantile(0.99) <= 0.100
    assert latencies.quantile(1.0) == latencies.longest == 0.1


@pytest.mark.unit
def test_the_identity_is_that_of_the_last_hop():
    """Of a forwarded certificate header, the last element counts."""
    header = (
        'By=spiffe://a/b;Hash=0;URI=spiffe://a/first,By=spiffe://a/c;Hash=1;Subject="";URI=spiffe://a/last'
    )
    assert client_identity(header) == "spiffe://a/last"
    assert client_identity("") == ""


async def test_requests_that_found_no_connection_were_never_made():
    """A slow server does not keep the client from ending, and what was not asked is not failed."""
    async with serving(Http1(*["silent"] * 100)) as server:
        record = await seen(url(server), timeout=2.0, duration=0.5)
    assert record.totals() == (1, 1)
    assert record.tallies[0].late > 3
    assert server.requests == 1
