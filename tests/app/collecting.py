"""A receiver over HTTP: it keeps what it is posted, and reads spans by OTLP's own protobufs."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from opencarrier.app.collector import Collector

PPM = 1_000_000


class Server:
    """Takes what it is posted, and answers with a status."""

    def __init__(self, status: int = 200, answer: bytes = b"") -> None:
        self.seen: list[tuple[dict[str, str], bytes]] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                octets = self.rfile.read(int(self.headers["Content-Length"]))
                server.seen.append(({k.lower(): v for k, v in self.headers.items()}, octets))
                self.send_response(status)
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Server:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def octets(self) -> bytes:
        return b"".join(octets for _, octets in self.seen)

    def spans(self):
        for _, octets in self.seen:
            for resource in ExportTraceServiceRequest.FromString(octets).resource_spans:
                for scope in resource.scope_spans:
                    yield from scope.spans


def noted(span) -> dict[str, object]:
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in span.attributes}


def collector(url: str = "http://127.0.0.1:1", **named: object) -> Collector:
    values = {"headers": {}, "about": {"service.name": "venue"}, "radius_ppm": PPM, "http_ppm": PPM}
    return Collector(url=url, **{**values, **named})  # type: ignore[arg-type]
