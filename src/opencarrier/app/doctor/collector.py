"""The collector that spans go to: whether what speaks to it is here, and whether it takes them."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from urllib.error import HTTPError
from urllib.parse import unquote
from urllib.request import Request, urlopen

from opencarrier.app.collector import Collector, CollectorError, collector_of
from opencarrier.app.config import Settings
from opencarrier.app.doctor.model import Finding, Findings, broken, good

ASK_S = 5
TYPE = "application/x-protobuf"
_FIXES = {
    401: "put what it knows us by into the file that otlp_headers names",
    403: "put what it knows us by into the file that otlp_headers names",
    404: "give its port for OTLP over HTTP (4318 by custom), without /v1/traces",
}


def collector_findings(settings: Settings, environ: Mapping[str, str]) -> Findings:
    """Ask the collector to take nothing: an export without a span."""
    try:
        collector = collector_of(settings, environ)
    except CollectorError as error:
        yield broken("collector", str(error), error.hint)
        return
    if collector is None:
        return
    if find_spec("opentelemetry.sdk") is None:
        fix = "pip install 'opencarrier[traces]', or set otlp_endpoint to nothing"
        yield broken("collector", "what speaks to it is missing", fix)
        return
    yield _asked(collector, environ)


def _asked(collector: Collector, environ: Mapping[str, str]) -> Finding:
    headers = {**_standard(environ), **collector.headers, "Content-Type": TYPE}
    request = Request(collector.url, method="POST", data=b"", headers=headers)  # noqa: S310 - http(s)
    try:
        with urlopen(request, timeout=ASK_S) as answer:  # noqa: S310
            status = answer.status
    except HTTPError as error:
        status = error.code
    except (OSError, ValueError) as error:
        fix = "see that it runs, and that otlp_endpoint names its port for OTLP over HTTP"
        return broken("collector", f"otlp_endpoint does not answer: {error}", fix)
    if status == 200:
        return good("collector", "it takes spans")
    fix = _FIXES.get(status, "see what it says of this in its own log")
    return broken("collector", f"it answers {status} to an export without a span", fix)


def _standard(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the headers of OTEL_EXPORTER_OTLP_HEADERS, as the library sends them too."""
    pairs = environ.get("OTEL_EXPORTER_OTLP_HEADERS", "").split(",")
    named = (pair.partition("=") for pair in pairs if "=" in pair)
    return {unquote(name.strip()): unquote(value.strip()) for name, _, value in named}
