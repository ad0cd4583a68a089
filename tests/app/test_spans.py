"""Spans: what a collector is told, what it is never told, and that it holds up nobody."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from socket import create_server
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from tests.app.collecting import Server, collector, noted
from tests.app.scene import IMSI, OPC, K, Scene, scene, taken
from tests.seen import PARENT, Seen

from opencarrier.access.model import Metrics
from opencarrier.access.wire.dictionary import AcctStatus
from opencarrier.app import daemon, exchanging, otlp
from opencarrier.app.bootstrap.installation import Real
from opencarrier.app.collector import (
    ATTRIBUTES_MAX,
    HEADERS_OCTETS_MAX,
    CollectorError,
    collector_of,
    exporting,
    read_attributes,
    read_headers,
)
from opencarrier.app.config import Settings, load
from opencarrier.app.doctor.collector import collector_findings
from opencarrier.app.doctor.model import Health
from opencarrier.app.exchanger import Exchanger
from opencarrier.app.http_spans import asked_of
from opencarrier.app.metrics import exposition
from opencarrier.app.spanning import TracedFormatter, method_of
from opencarrier.app.system import SystemClock, SystemEntropy
from opencarrier.chain.contracts import StableToken
from opencarrier.sim.eap_peer import AkaPrimePeer
from opencarrier.sim.radio import Attached, Radio, RadioSettings, Rejected, Report
from opencarrier.sim.usim import Usim
from opencarrier.spine.spans import Kind, Root, Within, current, step
from opencarrier.usage.model import Totals
from opencarrier.webhooks.model import INSTALLATION

REALM = "wlan.mnc093.mcc208.3gppnetwork.org"
SECRET = b"a secret of this test"
STATION = "02-00-5E-00-53-AA"
STRANGER = "208930000000099"
SESSION = "session-of-ada"
PPM = 1_000_000
NOTHING = Totals(
    sessions=0,
    sessions_open=0,
    observations=0,
    observations_pending=0,
    usages=0,
    cuts=0,
    estimated=False,
)


@contextmanager
def kept(**named: object) -> Iterator[tuple[otlp.Exporting, InMemorySpanExporter]]:
    memory = InMemorySpanExporter()
    spans = otlp.recorder_of(collector(**named), SystemEntropy(), otlp.Queue(memory, every_s=0.01))
    yield spans, memory
    spans.close()


# A whole story, over the wire, to protobufs that are not ours


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory):
    """Play people, pages, money and machines of an installation with all of it recorded."""
    folder = tmp_path_factory.mktemp("spans")
    ports = {"radius_port": 0, "acct_port": 0, "http_port": 0}
    settings = Settings(otlp_radius_ppm=PPM, otlp_http_ppm=PPM)
    with Server() as takes, Server(204) as hook:
        settings = replace(settings, otlp_endpoint=takes.url, otlp_service="venue")
        with (
            exporting(settings, {}, SystemEntropy()) as spans,
            scene(folder, spans=spans, webhook_networks="127.0.0.0/8", **ports) as made,
        ):
            made.place.base.real = Real(SystemClock(), made.place.base.entropy)
            told = asyncio.run(_play(made, hook))
        yield takes, hook, {**told, "counts": spans.counts}


async def _play(made: Scene, hook: Server) -> dict[str, object]:
    base = made.place.base
    with base.store.write() as unit:
        taken(
            base.identity.clients.add(
                unit, prefix="127.0.0.1/32", secret=SECRET, operator=made.visited.party_id
            )
        )
        taken(base.webhooks.add(unit, INSTALLATION, hook.url + "/in?key=quiet", (), plain=True))
    async with daemon.serving(made.place) as served:
        served.web.ready = True
        token, http = served.web.token, served.running.http
        await _roam(made, served.auth, served.acct)
        made.clock.set(made.clock.now_us() + 3_600_000_000)
        auth = {"Authorization": f"Bearer {token}"}
        told = {"token": token, "class": SECRET.decode()}
        told |= await asyncio.to_thread(_look, http, auth, made)
        for _ in range(100):
            if hook.seen:
                break
            await asyncio.sleep(0.05)
    return {**told, "parties": [made.subscriber.party_id, made.home.party_id, made.home.address]}


async def _roam(made: Scene, auth: tuple[str, int], acct: tuple[str, int]) -> None:
    settings = RadioSettings(
        nas_identifier=made.node.nas_identifier, secret=SECRET, auth=auth, acct=acct
    )
    radio = await Radio.open(settings, SystemEntropy())
    try:
        phone = AkaPrimePeer(Usim(imsi=IMSI, k=K, opc=OPC), REALM)
        attached = await radio.attach(phone, STATION)
        assert isinstance(attached, Attached)
        for status, octets in ((AcctStatus.START, 0), (AcctStatus.STOP, 5_000_000)):
            used = Report(status=status, acct_session_id=SESSION, octets_in=octets)
            await radio.report(used, attached)
        stranger = AkaPrimePeer(Usim(imsi=STRANGER, k=K, opc=OPC), REALM)
        assert isinstance(await radio.attach(stranger, STATION), Rejected)
    finally:
        radio.close()


def _look(http: str, auth: dict[str, str], made: Scene) -> dict[str, object]:
    party = made.subscriber.party_id
    status, _ = _ask(f"{http}/v1/status?who={IMSI}", auth)
    assert status == 200
    _, page = _ask(f"{http}/v1/subscribers/{party}?name=Ada", {**auth, "traceparent": PARENT})
    status, problem = _ask(f"{http}/v1/receipts/0x{'ab' * 32}?imsi={IMSI}", auth)
    assert status == 404
    assert _ask(f"{http}/nowhere/{IMSI}", auth)[0] == 404
    close = Request(
        f"{http}/v1/cycles/close", b"", {**auth, "Idempotency-Key": "once"}, method="POST"
    )
    with urlopen(close) as answer:
        closed = json.load(answer)
    assert closed["state"] == "final"
    made.errands.drive()  # as the scheduler does each second
    usage = closed["usage_ids"][0]
    assert _ask(f"{http}/v1/receipts/{usage}", auth)[0] == 200
    return {"problem": json.loads(problem), "usage": usage, "page": page}


def _ask(url: str, headers: dict[str, str]) -> tuple[int, bytes]:
    try:
        with urlopen(Request(url, headers=headers)) as answer:
            return answer.status, answer.read()
    except HTTPError as error:
        return error.code, error.read()


def test_a_request_is_named_by_its_route_and_joins_the_trace_it_was_asked_in(story):
    takes, _, told = story
    found = {span.name: span for span in takes.spans() if span.kind == span.SPAN_KIND_SERVER}
    status = found["GET /v1/status"]
    assert noted(status) == {
        "http.request.method": "GET",
        "http.route": "/v1/status",
        "http.response.status_code": 200,
    }
    joined = found["GET /v1/subscribers/{party}"]
    assert f"00-{joined.trace_id.hex()}-{joined.parent_span_id.hex()}-01" == PARENT
    assert noted(found["GET"])["http.response.status_code"] == 404, "an unknown path has no name"
    lost = found["GET /v1/receipts/{usage_id}"]
    inner = [one for one in takes.spans() if one.parent_span_id == status.span_id]
    assert {one.name for one in inner} == {"database read"}
    assert told["problem"]["trace_id"] in {
        one.trace_id.hex() for one in takes.spans() if one.name == lost.name
    }


def test_a_phone_that_gets_on_is_a_trace_and_so_is_its_accounting(story):
    takes, _, _ = story
    rounds = [one for one in takes.spans() if one.name == "Access-Request"]
    replies = [noted(one)["opencarrier.radius.reply"] for one in rounds]
    assert replies.count("Access-Accept") == replies.count("Access-Reject") == 1
    assert "subscriber_unknown" in {noted(one).get("opencarrier.reason") for one in rounds}
    assert len({one.trace_id for one in rounds}) == 2, "one trace a conversation"
    stored = [noted(one) for one in takes.spans() if one.name == "Accounting-Request"]
    assert [one["opencarrier.accounting"] for one in stored] == ["start", "stop"]
    assert {one["opencarrier.radius.reply"] for one in stored} == {"Accounting-Response"}


def test_a_cycles_close_shows_its_steps_its_transaction_and_the_wait(story):
    takes, _, _ = story
    (close,) = (one for one in takes.spans() if one.name == "cycle close")
    trace = {one.name: one for one in takes.spans() if one.trace_id == close.trace_id}
    steps = {"cut", "rate", "positions", "net and tree", "rewards tree", "finish"}
    assert {*steps, "POST /v1/cycles/close", "chain eth_sendRawTransaction"} <= set(trace)
    assert noted(close)["opencarrier.cycle.usages"] == 1
    wait = trace["cycle settle"]
    assert (wait.parent_span_id, noted(wait)["opencarrier.cycle.state"]) == (close.span_id, "final")
    assert wait.end_time_unix_nano > close.end_time_unix_nano
    settle = trace["chain ClearingHouse.settle"]
    assert noted(settle)["opencarrier.chain.state"] == "final"
    assert settle.kind == settle.SPAN_KIND_CLIENT
    assert "receipt" in {one.name for one in takes.spans()}


def test_a_webhook_tells_its_receiver_the_trace(story):
    takes, hook, _ = story
    sent = {one.span_id.hex(): one for one in takes.spans() if one.name == "POST webhook"}
    headers, _ = hook.seen[0]
    version, trace_id, span_id, flags = headers["traceparent"].split("-")
    assert (version, flags) == ("00", "01")
    assert sent[span_id].trace_id.hex() == trace_id
    assert noted(sent[span_id])["http.response.status_code"] == 204


def test_what_is_exported_names_nobody(story):
    """No octet of it tells who or what somebody is; were one of them there, it would be found."""
    takes, _, told = story
    names = [IMSI, STRANGER, "Ada", REALM, STATION, SESSION, "node-1", "quiet", "127.0.0.1"]
    names += [*told["parties"], told["usage"], told["token"], told["class"], K.hex(), "ab" * 32]
    octets = takes.octets.lower()
    assert b"cycle close" in octets, "what is exported is read as it stands"
    for name in names:
        plain = str(name).lower().removeprefix("0x")
        assert plain.encode() not in octets, name
        if len(plain) % 2 == 0 and all(one in "0123456789abcdef" for one in plain):
            assert bytes.fromhex(plain) not in takes.octets, name
    assert told["counts"]["exported"] == sum(1 for _ in takes.spans())
    first = ExportTraceServiceRequest.FromString(takes.seen[0][1]).resource_spans[0]
    assert {one.key for one in first.resource.attributes} == {
        *("service.name", "service.version", "opencarrier.worker")
    }


# What strangers can make us record


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"00-" + b"0" * 32 + b"-b7ad6b7169203331-01",
        b"00-0af7651916cd43dd8448eb211c80319c-" + b"0" * 16 + b"-01",
        b"ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        PARENT.upper().encode(),
        PARENT.encode() + b"-more",
        b"01" + PARENT.encode()[2:] + b"-" + b"x" * 512,
        PARENT.encode() + b"\n",
    ],
)
def test_a_header_that_is_not_rightly_one_is_no_wish(value):
    assert asked_of({"headers": [(b"traceparent", value)]}) is None


def test_a_wish_is_read_once_and_of_later_versions_too():
    asked = asked_of({"headers": [(b"traceparent", PARENT.encode())]})
    assert asked is not None
    assert (f"{asked.trace_id:032x}", f"{asked.span_id:016x}", asked.sampled) == (
        *PARENT.split("-")[1:3],
        True,
    )
    later = asked_of({"headers": [(b"traceparent", b"01" + PARENT.encode()[2:-1] + b"0-what")]})
    assert later is not None
    assert not later.sampled
    assert asked_of({"headers": [(b"traceparent", PARENT.encode())] * 2}) is None


def test_who_wishes_to_be_recorded_all_the_time_is_not():
    """The wish is followed for a while; then the share decides, whatever id the caller chose."""
    asked = asked_of({"headers": [(b"traceparent", PARENT.encode())]})
    with kept(http_ppm=0) as (spans, _):
        begun = [spans.begin(Root.HTTP, "GET", Kind.SERVER, asked) for _ in range(1_000)]
        followed = sum(one is not None for one in begun)
        assert otlp.ASKED.burst <= followed <= otlp.ASKED.burst + 20
        assert spans.begin(Root.HTTP, "GET", Kind.SERVER) is None
        (unwished,) = [asked._replace(sampled=False)] if asked else []
        assert spans.begin(Root.HTTP, "GET", Kind.SERVER, unwished) is None
    with kept() as (spans, _):
        assert spans.begin(Root.HTTP, "GET", Kind.SERVER, unwished) is None, "it asked not to be"


def test_each_root_has_its_share():
    with kept(radius_ppm=250_000, http_ppm=0) as (spans, _):
        drawn = sum(spans.begin(Root.RADIUS, "x", Kind.SERVER) is not None for _ in range(4_000))
        assert 800 < drawn < 1_200
        assert spans.begin(Root.HTTP, "x", Kind.SERVER) is None
        assert spans.begin(Root.DUTY, "x", Kind.INNER) is not None


def test_a_trace_has_room_for_so_much(monkeypatch):
    monkeypatch.setattr(otlp, "TRACE_SPANS_MAX", 2)
    with kept() as (spans, memory):
        root = spans.begin(Root.DUTY, "root", Kind.INNER)
        assert root is not None
        with Within(root):
            for number in range(4):
                with step(f"step {number}") as span:
                    assert span is not None
                    span.note("n", number)
                    assert span.trace_id == root.trace_id
    assert [one.name for one in memory.get_finished_spans()] == ["step 0", "step 1", "root"]


# A collector that is slow, gone, or answers nonsense


class Stuck(SpanExporter):
    """Takes a batch and does not come back."""

    def __init__(self) -> None:
        self.took, self.go = threading.Event(), threading.Event()

    def export(self, spans):
        self.took.set()
        self.go.wait(20)
        return SpanExportResult.SUCCESS


def test_what_does_not_fit_is_counted_and_the_end_is_bounded(monkeypatch, caplog):
    monkeypatch.setattr(otlp, "STOP_S", 0.1)
    stuck = Stuck()
    queue = otlp.Queue(stuck, queue_max=3, every_s=0.01)
    spans = otlp.recorder_of(collector(), SystemEntropy(), queue)

    def span() -> None:
        begun = spans.begin(Root.DUTY, "x", Kind.INNER)
        assert begun is not None
        begun.end()

    span()
    assert stuck.took.wait(5)
    for _ in range(5):
        span()
    assert spans.counts == {"queue_full": 2}
    began = time.monotonic()
    spans.close()
    assert time.monotonic() - began < 5
    assert spans.counts == {"queue_full": 2, "stopping": 3}
    span()
    assert spans.counts["stopping"] == 4
    stuck.go.set()
    told = exposition(Metrics(spans=spans.counts), NOTHING, None)
    assert 'opencarrier_spans_dropped_total{reason="queue_full"} 2\n' in told
    assert "opencarrier_spans_exported_total 0\n" in told


@pytest.mark.parametrize("what", ["silent", "gone", "refuses", "nonsense"])
def test_a_bad_collector_costs_spans_and_nothing_else(what, monkeypatch, caplog):
    monkeypatch.setattr(otlp, "ATTEMPT_S", 0.2)
    monkeypatch.setattr(otlp, "EVERY_S", 0.01)
    with create_server(("127.0.0.1", 0)) as silent, Server(400, b"x" * 99) as refuses:
        url = {"silent": f"http://127.0.0.1:{silent.getsockname()[1]}", "refuses": refuses.url}
        if what == "nonsense":
            threading.Thread(target=_nonsense, args=(silent,), daemon=True).start()
            url["nonsense"] = url["silent"]
        if what == "gone":
            silent.close()
        spans = otlp.recorder_for(
            collector(url.get(what, "http://127.0.0.1:9") + "/v1/traces"), SystemEntropy()
        )
        began = time.process_time()
        for _ in range(20):
            with Within(spans.begin(Root.HTTP, "GET", Kind.SERVER)):  # type: ignore[arg-type]
                pass
        assert time.process_time() - began < 1
        for _ in range(200):
            if spans.counts["not_taken"] == 20:
                break
            time.sleep(0.02)
        spans.close()
    assert spans.counts == {"not_taken": 20}
    assert caplog.text.count("the collector takes no spans") == 1


def _nonsense(listener) -> None:
    while True:
        try:
            line, _ = listener.accept()
        except OSError:
            return
        line.recv(65_536)
        line.sendall(b"\x00\xff nonsense\r\n" * 100)
        line.close()


# What settings say


def test_the_standard_names_mean_our_settings_and_ours_come_first(tmp_path):
    environ = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318",
        "OTEL_SERVICE_NAME": "venue",
        "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=test",
        "OPENCARRIER_OTLP_SERVICE": "ours",
    }
    loaded = load(file=None, environ=environ, flags={})
    assert loaded.settings.otlp_endpoint == "http://collector:4318"
    assert loaded.origin["otlp_endpoint"] == "OTEL_EXPORTER_OTLP_ENDPOINT"
    assert (loaded.settings.otlp_service, loaded.origin["otlp_service"]) == (
        "ours",
        "OPENCARRIER_OTLP_SERVICE",
    )
    found = collector_of(loaded.settings, environ)
    assert found is not None
    assert found.url == "http://collector:4318/v1/traces"
    assert found.about == {"deployment.environment.name": "test", "service.name": "ours"}
    assert collector_of(loaded.settings, {"OTEL_SDK_DISABLED": "true"}) is None
    assert collector_of(Settings(), environ) is None


@pytest.mark.parametrize(
    ("settings", "environ", "says"),
    [
        ({"otlp_endpoint": "collector:4318"}, {}, "no address over http"),
        ({"otlp_endpoint": "http://h:x"}, {}, "no address over http"),
        ({"otlp_endpoint": "https://me:key@h"}, {}, "holds a user"),
        ({"otlp_endpoint": "https://h/?key=1"}, {}, "holds a user, a query"),
        ({}, {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "asks for grpc"),
        ({}, {"OTEL_EXPORTER_OTLP_HEADERS": "api-key=1"}, "read on the way"),
        ({"otlp_attributes": "novalue"}, {}, "not like name=value"),
        ({"otlp_attributes": "a=" + "x" * 257}, {}, "not like name=value"),
        ({"otlp_headers": "/nowhere"}, {}, "No such file"),
    ],
)
def test_what_cannot_be_followed_is_refused_with_a_hint(settings, environ, says):
    told = Settings(**{"otlp_endpoint": "http://127.0.0.1:4318", **settings})
    with pytest.raises(CollectorError, match=says) as refused:
        collector_of(told, environ)
    assert refused.value.hint
    (finding,) = collector_findings(told, environ)
    assert (finding.health, finding.fix) == (Health.BROKEN, refused.value.hint)


def test_headers_come_from_a_file_and_are_told_to_nobody(tmp_path: Path):
    file = tmp_path / "headers"
    file.write_text("# of the vendor\n\nApi-Key: very secret\nx-team: a b \n")
    assert read_headers(file) == {"api-key": "very secret", "x-team": "a b"}
    settings = Settings(otlp_endpoint="https://collector.example", otlp_headers=str(file))
    found = collector_of(settings, {})
    assert found is not None
    assert found.headers["api-key"] == "very secret"
    assert "secret" not in repr(found) + repr(settings)
    file.write_text("api-key: ok\nvery secret\n")
    with pytest.raises(CollectorError, match="line 2") as refused:
        read_headers(file)
    assert "secret" not in str(refused.value)
    file.write_text("a: " + "x" * HEADERS_OCTETS_MAX)
    with pytest.raises(CollectorError, match="octets"):
        read_headers(file)
    many = ",".join(f"a{number}=1" for number in range(ATTRIBUTES_MAX + 1))
    with pytest.raises(CollectorError, match=f"{ATTRIBUTES_MAX + 1} of them"):
        read_attributes(many)
    assert read_attributes("a=b%2Cc, d=") == {"a": "b,c", "d": ""}


def test_without_the_library_it_is_said_what_to_install(monkeypatch):
    monkeypatch.delitem(sys.modules, "opencarrier.app.otlp")
    monkeypatch.delattr("opencarrier.app.otlp")
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    settings = Settings(otlp_endpoint="http://127.0.0.1:4318")
    with (
        pytest.raises(CollectorError, match="is missing") as refused,
        exporting(settings, {}, SystemEntropy()),
    ):
        raise AssertionError("it began")
    assert "opencarrier[traces]" in refused.value.hint
    with exporting(Settings(), {}, SystemEntropy()) as spans:
        assert spans.begin(Root.DUTY, "x", Kind.INNER) is None


def test_doctor_asks_the_collector_to_take_nothing():
    with Server() as takes, Server(401) as unknown, Server(404) as elsewhere:
        named = [Settings(otlp_endpoint=one.url) for one in (takes, unknown, elsewhere)]
        found = [next(collector_findings(one, {})) for one in named]
        assert takes.seen[0][1] == b""
    assert [one.health for one in found] == [Health.GOOD, Health.BROKEN, Health.BROKEN]
    assert "otlp_headers" in found[1].fix
    assert "4318" in found[2].fix
    gone = next(collector_findings(named[0], {}))
    assert "does not answer" in gone.found
    assert list(collector_findings(Settings(), {})) == []


# What leaves with it


def test_partners_and_the_log_are_told_the_trace():
    class Base:
        pass

    with Server(200, b"ok") as partner, kept() as (spans, memory):
        base = Base()
        base.spans = spans  # type: ignore[attr-defined]
        Exchanger(base)._send(partner.url, b"hello")  # type: ignore[arg-type]
        assert exchanging.post(partner.url, b"untold") == b"ok"
        told, untold = (headers for headers, _ in partner.seen)
    with Within(Seen("x", Kind.INNER)) as span:
        line = TracedFormatter("%(message)s").format(logging.makeLogRecord({"msg": "hm"}))
    assert line == f"hm trace_id={span.trace_id}"
    (sent,) = memory.get_finished_spans()
    assert f"{sent.context.trace_id:032x}" in told["traceparent"]
    assert "traceparent" not in untold
    assert current.get() is None
    plain = TracedFormatter("%(message)s").format(logging.makeLogRecord({"msg": "hm"}))
    assert plain == "hm"


def test_a_transaction_is_called_by_its_method():
    selector = StableToken.artefact().selector("transfer")
    assert method_of(selector + bytes(64)) == "StableToken.transfer"
    assert (method_of(b"\x01\x02\x03\x04rest"), method_of(b"")) == ("call", "transfer")
