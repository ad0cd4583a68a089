"""The process's counters in Prometheus' text exposition format (version 0.0.4)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from opencarrier.access.hub.passing import Passing
from opencarrier.access.model import Metrics
from opencarrier.access.radsec.model import Connections
from opencarrier.settlement.model import Cycle, CycleState
from opencarrier.usage.model import Totals


def exposition(
    access: Metrics, totals: Totals, cycle: Cycle | None, radsec: Connections | None = None
) -> str:
    """Write the metrics, a help line and a type line before each."""
    connections = () if radsec is None else _radsec(radsec)
    return "\n".join((*_lines(access, totals, cycle), *connections, ""))


def _radsec(radsec: Connections) -> Iterator[str]:
    yield from _one("radsec_connections_total", "counter", "RadSec connections", radsec.opened)
    yield from _many("radsec_refused_total", "RadSec connections refused", radsec.refused)
    yield from _many("radsec_closed_total", "RadSec connections closed", radsec.closed)


def passing_exposition(passing: Passing | None) -> str:
    """Write what was passed on, by upstream and outcome; discovered servers are one upstream."""
    if passing is None:
        return ""
    return "\n".join((*_passing(passing), ""))


def _passing(passing: Passing) -> Iterator[str]:
    counted = passing.hub.metrics
    yield from _one("passed_on_total", "counter", "packets passed on", counted.passed_on)
    yield from _many("passing_refused_total", "packets with nobody to ask", counted.refused)
    yield from _one(
        "owed_delivered_total", "counter", "accounting delivered to homes", counted.delivered
    )
    yield from _one("owed_given_up_total", "counter", "accounting given up", counted.given_up)
    yield from _one(
        "owed_realms_unrouted",
        "gauge",
        "realms that are owed accounting and have no route",
        passing.unrouted,
    )
    yield from _head("upstream_requests_total", "counter", "requests by upstream and outcome")
    for (upstream, server, outcome), count in sorted(passing.hub.neighbours.outcomes().items()):
        labels = f'upstream="{upstream}",server="{server}",outcome="{outcome}"'
        yield f"opencarrier_upstream_requests_total{{{labels}}} {count}"


def _lines(access: Metrics, totals: Totals, cycle: Cycle | None) -> Iterator[str]:
    yield from _one("radius_accepts_total", "counter", "Access-Accepts sent", access.accepts)
    yield from _one(
        "radius_challenges_total", "counter", "Access-Challenges sent", access.challenges
    )
    yield from _many("radius_rejects_total", "Access-Rejects sent", access.rejects)
    yield from _one(
        "radius_accounting_responses_total",
        "counter",
        "Accounting-Responses sent, each after its packet was durable",
        access.accounting_responses,
    )
    yield from _one(
        "radius_duplicates_total", "counter", "requests answered from memory", access.duplicates
    )
    yield from _one(
        "radius_holds_released_total",
        "counter",
        "holds given back as nobody was let in by them",
        access.holds_released,
    )
    yield from _eap(access)
    yield from _many(
        "radius_left_out_total",
        "attributes of other homes that our access points are not told",
        access.left_out,
    )
    yield from _many(
        "radius_unrouted_total", "accounting kept that no route leads on", access.unrouted
    )
    yield from _many("radius_dropped_total", "datagrams dropped", access.dropped)
    yield from _many(
        "radius_class_refused_total",
        "accounting packets whose Class was not believed",
        access.class_refused,
    )
    yield from _one(
        "sessions_silent_total",
        "counter",
        "sessions ended because nobody reported on them",
        access.silent,
    )
    yield from _many(
        "radius_terms_refused_total",
        "Access-Accepts of homes that were no agreement",
        access.terms_refused,
    )
    yield from _spans(access.spans)
    yield from _one("usage_observations", "gauge", "accounting packets kept", totals.observations)
    pending = totals.observations_pending
    yield from _one("usage_observations_pending", "gauge", "packets no cut has taken", pending)
    yield from _one(
        "usage_estimated", "gauge", "1 if more waits for a cut than is read", int(totals.estimated)
    )
    yield from _one("usage_sessions_open", "gauge", "sessions open", totals.sessions_open)
    yield from _one("usage_usages", "gauge", "usages cut", totals.usages)
    if cycle is not None:
        yield from _one("cycle_sequence", "gauge", "newest cycle", cycle.sequence)
        final = int(cycle.state is CycleState.FINAL)
        yield from _one("cycle_final", "gauge", "1 if the newest cycle is final", final)


def _spans(spans: Mapping[str, int]) -> Iterator[str]:
    dropped = {reason: count for reason, count in spans.items() if reason != "exported"}
    taken = spans.get("exported", 0)
    yield from _one("spans_exported_total", "counter", "spans a collector took", taken)
    yield from _many("spans_dropped_total", "spans that no collector got", dropped)


def _eap(access: Metrics) -> Iterator[str]:
    yield from _head("eap_outcomes_total", "counter", "EAP conversations ended, by method")
    for name, count in sorted(access.eap.items()):
        method, _, outcome = name.partition(" ")
        yield f'opencarrier_eap_outcomes_total{{method="{method}",outcome="{outcome}"}} {count}'
    for kind, words, is_open, displaced in (
        ("eap", "EAP conversations", access.eap_open, access.eap_displaced),
        ("tls", "TLS conversations within EAP", access.tls_open, access.tls_displaced),
    ):
        yield from _one(f"{kind}_open", "gauge", f"{words} open", is_open)
        yield from _one(
            f"{kind}_displaced_total", "counter", f"{words} that gave way to newer ones", displaced
        )


def _one(name: str, kind: str, words: str, value: int) -> Iterator[str]:
    yield from _head(name, kind, words)
    yield f"opencarrier_{name} {value}"


def _many(name: str, words: str, values: Mapping[str, int]) -> Iterator[str]:
    yield from _head(name, "counter", words)
    for reason, value in sorted(values.items()):
        yield f'opencarrier_{name}{{reason="{reason}"}} {value}'


def _head(name: str, kind: str, words: str) -> Iterator[str]:
    yield f"# HELP opencarrier_{name} {words}"
    yield f"# TYPE opencarrier_{name} {kind}"
