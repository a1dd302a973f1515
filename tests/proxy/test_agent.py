"""An agent with a real Envoy: ready when configured, known by its certificate, ended gently."""

import asyncio
import json
import signal
import time

import pytest

pytestmark = pytest.mark.envoy


async def test_ready_within_the_limit_over_mtls(start, control_plane):
    """Key, CSR, CA, SDS, delta ADS over mTLS and no configuration yet: ready, and known by its SPIFFE ID."""
    running = await start()
    seconds = await running.until_ready()
    assert seconds < 1.5
    assert control_plane.seen == [
        ("sidecar~127.0.0.1~cart-1.shop~shop.svc.cluster.local", ("spiffe://cluster.local/ns/shop/sa/cart",))
    ]
    assert running.agent.ready.is_set()
    status, text = await running.get(running.settings.prometheus_port, "/stats/prometheus")
    assert status == 200
    assert "envoy_server_live" in text
