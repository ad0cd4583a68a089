"""The HTTP side: what is open, what needs the token, what a browser may do."""

from __future__ import annotations

import asyncio
import json
import socket

import pytest
from starlette.testclient import TestClient
from tests.app.scene import scene

from opencarrier.access.model import Metrics
from opencarrier.app.daemon import _bound
from opencarrier.app.http import Web, allowed_hosts, make_app
from opencarrier.app.http_once import KEY_MAX

TOKEN = "the token"
AUTH = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    with scene(tmp_path_factory.mktemp("http"), one_sided_window_s=0) as found:
        found.use("one", octets=5_000_000, grant=found.authorise())
        yield found


@pytest.fixture(scope="module")
def web(made):
    metrics = Metrics()
    metrics.accepts = 7
    metrics.rejects["no_agreement"] += 2
    return Web(made.place, lambda: metrics, token=TOKEN)


@pytest.fixture(scope="module")
def client(web):
    return TestClient(make_app(web), base_url="http://127.0.0.1")


def test_health_and_readiness_differ(client, web):
    """A process that runs is not yet one that takes traffic."""
    assert client.get("/healthz").text == "ok\n"
    assert client.get("/readyz").status_code == 503
    web.ready = True
    assert client.get("/readyz").text == "ready\n"


def test_metrics_are_prometheus_text(client):
    text = client.get("/metrics").text
    assert "opencarrier_radius_accepts_total 7\n" in text
    assert 'opencarrier_radius_rejects_total{reason="no_agreement"} 2\n' in text
    for line in text.splitlines():
        assert line.startswith("# ") or line.split()[-1].isdigit()


def test_the_page_is_drawn_and_locked_down(client):
    """No script but ours, no frame, no other origin; names are escaped."""
    page = client.get("/")
    assert page.status_code == 200
    assert "Visited" in page.text
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert client.get("/static/../http.py").status_code == 404
    assert client.get("/static/seal.key").status_code == 404


def test_nobody_enrols_where_phones_were_told_no_address(client):
    assert client.get("/enrol/" + "x" * 43).status_code == 404


def test_a_rebound_name_gets_nothing(client):
    """A page of another site that points its name at us is turned away."""
    assert client.get("/v1/status", headers={"Host": "evil.example"}).status_code == 400
    rpc = {"jsonrpc": "2.0", "id": 1, "method": "eth_chainId", "params": []}
    headers = {"Host": "evil.example"}
    assert client.post("/rpc", json=rpc, headers=headers).status_code >= 400
    assert client.post("/rpc", json=rpc, headers={"Host": "127.0.0.1"}).json()["result"] == "0x7a69"


def test_who_binds_elsewhere_is_reached_there():
    """The bound address is a name of ours; bound to all, the proxy in front knows the names."""
    assert "192.0.2.1" in allowed_hosts("192.0.2.1")
    assert "*" not in allowed_hosts("192.0.2.1")
    assert allowed_hosts("0.0.0.0") == ("*",)


def test_closing_needs_the_token_and_a_key(client):
    """Who may not, or gives no Idempotency-Key, gets a problem and moves nothing."""
    refused = client.post("/v1/cycles/close", headers={"Idempotency-Key": "a"})
    assert refused.status_code == 401
    assert refused.headers["content-type"] == "application/problem+json"
    assert client.post("/v1/cycles/close", headers=AUTH).status_code == 400
    long = {**AUTH, "Idempotency-Key": "k" * (KEY_MAX + 1)}
    assert client.post("/v1/cycles/close", headers=long).status_code == 400


def test_the_same_key_is_the_same_close(client, made):
    """Asked twice under one key, a cycle closes once and both answers are equal."""
    made.clock.set(made.clock.now_us() + 3_600_000_000)
    headers = {**AUTH, "Idempotency-Key": "first"}
    one = client.post("/v1/cycles/close", headers=headers)
    two = client.post("/v1/cycles/close", headers=headers)
    assert one.status_code == two.status_code == 200
    assert one.json() == two.json()
    assert one.json()["state"] == "final"


def test_a_receipt_is_for_who_holds_the_token(client):
    usage_id = client.get("/v1/status", headers=AUTH).json()["cycles"][0]
    assert usage_id["state"] == "final"
    headers = {**AUTH, "Idempotency-Key": "first"}
    wanted = client.post("/v1/cycles/close", headers=headers)
    assert wanted.status_code == 200
    assert client.get("/v1/receipts/0x00").status_code == 401
    assert client.get("/v1/receipts/0x00", headers=AUTH).status_code == 422
    unknown = client.get("/v1/receipts/0x" + "ab" * 32, headers=AUTH)
    assert unknown.status_code == 404


def test_the_manifest_is_public(client, made):
    assert json.loads(client.get("/v1/manifest").text)["domain"] == made.place.manifest.domain


def test_the_api_describes_itself(client):
    paths = client.get("/openapi.json").json()["paths"]
    assert {"/healthz", "/readyz", "/metrics", "/v1/status", "/v1/cycles/close"} <= set(paths)


async def test_an_answer_does_not_wait_for_an_acknowledgement():
    """What is accepted has TCP_NODELAY, which asyncio sets only where a socket says it is TCP."""
    with _bound("127.0.0.1", 0) as listener:
        accepted: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            found = writer.get_extra_info("socket")
            accepted.set_result(found.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
            writer.close()

        async with await asyncio.start_server(serve, sock=listener):
            _, writer = await asyncio.open_connection(*listener.getsockname())
            assert await accepted
            writer.close()
