"""A collector that is not ours (rotel) takes our spans, and hands them on as it understood them."""

from __future__ import annotations

import gzip
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from time import monotonic, sleep

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from tests.app.collecting import Server, collector, noted

from opencarrier.app import otlp
from opencarrier.app.config import Settings
from opencarrier.app.doctor.collector import collector_findings
from opencarrier.app.doctor.model import Health
from opencarrier.app.system import SystemEntropy
from opencarrier.spine.spans import Kind, Root, Within, step

pytestmark = pytest.mark.peer
ROOT = Path(__file__).parents[2]
WAIT_S = 30


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def until(true) -> None:
    ends = monotonic() + WAIT_S
    while not true():
        assert monotonic() < ends, "it did not come to that"
        sleep(0.02)


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def behind() -> Iterator[Server]:
    with Server() as server:
        yield server


@pytest.fixture
def rotel(behind: Server) -> Iterator[str]:
    places = (ROOT / ".peers" / "rotel").glob("lib/python*/site-packages/rotel/rotel-agent")
    found = next(places, None)
    if found is None:
        pytest.skip("rotel is missing: ./dev peers installs it")
    port = free_port()
    command = [
        *(str(found), "start"),
        *("--otlp-http-endpoint", f"127.0.0.1:{port}"),
        *("--otlp-grpc-endpoint", f"127.0.0.1:{free_port()}"),
        *("--exporter", "otlp", "--otlp-exporter-protocol", "http"),
        *("--otlp-exporter-endpoint", behind.url, "--batch-timeout", "50ms"),
    ]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        try:
            until(lambda: answers(port) or process.poll() is not None)
            assert process.poll() is None, "it began"
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


def test_a_real_collector_understands_what_it_is_sent(rotel: str, behind: Server) -> None:
    (finding,) = collector_findings(Settings(otlp_endpoint=rotel), {})
    assert finding.health is Health.GOOD, finding
    spans = otlp.recorder_for(collector(rotel + "/v1/traces"), SystemEntropy())
    begun = spans.begin(Root.HTTP, "GET /v1/status", Kind.SERVER)
    assert begun is not None
    with Within(begun):
        begun.note("http.response.status_code", 503)
        begun.fail("503")
        with step("database read"):
            pass
    spans.close()
    assert spans.counts == {"exported": 2}
    until(lambda: behind.seen)
    told = ExportTraceServiceRequest.FromString(gzip.decompress(behind.seen[0][1]))
    (resource,) = told.resource_spans
    assert noted(resource.resource)["service.name"] == "venue"
    named = {span.name: span for scope in resource.scope_spans for span in scope.spans}
    outer, inner = named["GET /v1/status"], named["database read"]
    assert outer.kind == outer.SPAN_KIND_SERVER
    assert noted(outer) == {"http.response.status_code": 503, "error.type": "503"}
    assert outer.status.code == outer.status.STATUS_CODE_ERROR
    assert inner.parent_span_id == outer.span_id
    assert outer.trace_id.hex() == begun.trace_id
    assert not outer.parent_span_id
