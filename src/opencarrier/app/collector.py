"""Where spans go: what settings say of the collector, and a spans while the process serves.

The library that speaks OTLP is loaded only where a collector is named.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote, urlsplit

from opencarrier.app.config import ConfigError, Settings
from opencarrier.kernel.entropy import Entropy
from opencarrier.spine.spans import UNRECORDED, Spans

if TYPE_CHECKING:
    from opencarrier.app.otlp import Exporting

PATH: Final = "/v1/traces"
"""What follows a collector's address (OTLP specification, OTLP/HTTP)."""

STANDARD_HEADERS: Final = (
    "OTEL_EXPORTER_OTLP_HEADERS",
    "OTEL_EXPORTER_OTLP_TRACES_HEADERS",
)
"""Where the library looks for headers by itself."""

HEADERS_OCTETS_MAX: Final = 16_384
ATTRIBUTES_MAX: Final = 32
CHARACTERS_MAX: Final = 256
PROTOCOL: Final = "http/protobuf"

_HEADER = re.compile(
    r"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?)"
)


class CollectorError(ConfigError):
    """Spans cannot be sent as the settings say; `hint` says what to do."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


@dataclass(frozen=True, slots=True, kw_only=True)
class Collector:
    """A collector, by which headers it knows us, and what it is told of this installation."""

    url: str
    headers: Mapping[str, str] = field(repr=False)
    about: Mapping[str, str]
    radius_ppm: int
    http_ppm: int


def collector_of(settings: Settings, environ: Mapping[str, str]) -> Collector | None:
    """Return the collector that settings name, None where spans are off.

    `CollectorError` says which setting, or which of OpenTelemetry's own names, cannot be followed.
    """
    if not settings.otlp_endpoint or environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return None
    for name in ("OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"):
        if (environ.get(name) or PROTOCOL) != PROTOCOL:
            raise CollectorError(
                f"{name} asks for {environ[name]}: spans are sent as {PROTOCOL} only",
                "give the collector's port for OTLP over HTTP (4318 by custom), and unset it",
            )
    url = _url(settings.otlp_endpoint)
    headers = read_headers(Path(settings.otlp_headers)) if settings.otlp_headers else {}
    standard = any(environ.get(name) for name in STANDARD_HEADERS)
    if url.startswith("http:") and (headers or standard):
        raise CollectorError(
            "otlp_endpoint is http: the headers the collector knows us by would be read on the way",
            "give its https address, or send through a collector on this machine without headers",
        )
    return Collector(
        url=url,
        headers=headers,
        about={**read_attributes(settings.otlp_attributes), "service.name": settings.otlp_service},
        radius_ppm=settings.otlp_radius_ppm,
        http_ppm=settings.otlp_http_ppm,
    )


def _url(endpoint: str) -> str:
    parts = urlsplit(endpoint)
    try:
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if parts.scheme not in ("http", "https") or not host or port == 0:
        raise CollectorError(
            "otlp_endpoint is no address over http or https", "give one such as http://HOST:4318"
        )
    if parts.username is not None or parts.query or parts.fragment:
        raise CollectorError(
            "otlp_endpoint holds a user, a query or a fragment",
            "put what the collector knows us by into the file that otlp_headers names",
        )
    return endpoint.rstrip("/") + PATH


def read_headers(file: Path) -> dict[str, str]:
    """Read the headers a collector knows us by; the error names the line, never what it holds."""
    hint = "a line each, such as `api-key: ...`; blank lines and those after # do not count"
    try:
        with file.open("rb") as opened:
            octets = opened.read(HEADERS_OCTETS_MAX + 1)
    except OSError as error:
        raise CollectorError(f"otlp_headers: {file}: {error.strerror}", hint) from None
    if len(octets) > HEADERS_OCTETS_MAX:
        raise CollectorError(f"otlp_headers: {file} has over {HEADERS_OCTETS_MAX} octets", hint)
    found = {}
    for number, line in enumerate(octets.decode(errors="replace").splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        match = _HEADER.fullmatch(line.rstrip())
        if match is None:
            raise CollectorError(f"otlp_headers: line {number} of {file} is no header", hint)
        found[match[1].lower()] = match[2]
    return found


def read_attributes(text: str) -> dict[str, str]:
    """Read `name=value,name=value`, percent-encoded as OTEL_RESOURCE_ATTRIBUTES is."""
    found = {}
    for pair in filter(None, (one.strip() for one in text.split(","))):
        name, equals, value = (unquote(part.strip()) for part in pair.partition("="))
        if not (name and equals) or max(len(name), len(value)) > CHARACTERS_MAX:
            raise CollectorError(
                f"otlp_attributes: {pair[:80]!r} is not like name=value",
                f"name and value have {CHARACTERS_MAX} characters at most; write %2C for a comma",
            )
        found[name] = value
    if len(found) > ATTRIBUTES_MAX:
        raise CollectorError(
            f"otlp_attributes: {len(found)} of them", f"name {ATTRIBUTES_MAX} at most"
        )
    return found


@contextmanager
def exporting(
    settings: Settings, environ: Mapping[str, str], entropy: Entropy, *, worker: int = 0
) -> Iterator[Spans]:
    """Record while the block runs; what still waits at its end is sent within a bounded time."""
    collector = collector_of(settings, environ)
    if collector is None:
        yield UNRECORDED
        return
    spans = recording(collector, entropy, worker=worker)
    try:
        yield spans
    finally:
        spans.close()


def recording(collector: Collector, entropy: Entropy, *, worker: int = 0) -> Exporting:
    """Load the library and return what records for a collector."""
    try:
        from opencarrier.app import otlp
    except ModuleNotFoundError as error:
        if not (error.name or "").startswith(("opentelemetry", "google")):
            raise
        raise CollectorError(
            "otlp_endpoint names a collector, and what speaks to it is missing",
            "pip install 'opencarrier[traces]', or set otlp_endpoint to nothing",
        ) from None
    return otlp.recorder_for(collector, entropy, worker=worker)
