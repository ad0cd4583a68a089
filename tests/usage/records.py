"""Usage records for tests: one that is good, and hypothesis strategies of many."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from opencarrier.kernel.ids import derive
from opencarrier.spine.records import Evidence, Qos, Rat, RcoiClass, RecordKind, Service, Side
from opencarrier.usage.record import UsageRecord

AT_US = 1_772_323_200_000_000
"""2026-03-01."""


def record(number: int = 0, **changes: Any) -> UsageRecord:
    """Make a good record; the number makes it another one."""
    name = derive("test", number)
    values: dict[str, Any] = {
        "usage_id": name,
        "session_id": derive("test/session", number),
        "reporter": "op_visited",
        "home": "op_home",
        "visited": "op_visited",
        "subject": name[:16],
        "node": "node-1",
        "service": Service.WIFI,
        "start_us": AT_US,
        "end_us": AT_US + 60_000_000,
        "octets_in": 1_000,
        "octets_out": 9_000,
        "duration_s": 60,
        "source_digest": bytes(32),
        "source_offset": number,
        "ingested_us": AT_US + 90_000_000,
        "decoder": "test/1",
    }
    return UsageRecord(**(values | changes))


_INT64 = st.integers(0, (1 << 62) - 1)
_PARTIES = st.sampled_from(["op_a", "op_b", "tadig-deutd"])
_LETTERS = st.text("ABXZ", min_size=2, max_size=2) | st.none()


@st.composite
def records(draw: st.DrawFn) -> UsageRecord:
    """Any good record: every field at any value within its bounds."""
    number = draw(st.integers(0, 40))
    start_us = AT_US + draw(st.integers(0, 3 * 86_400_000_000))
    kind = draw(st.sampled_from(RecordKind))
    charged = draw(st.booleans())
    return record(
        number,
        kind=kind,
        corrects=None if kind is RecordKind.USAGE else derive("test", draw(st.integers(0, 9))),
        sequence=draw(st.integers(0, (1 << 31) - 1)),
        is_final=draw(st.booleans()),
        side=draw(st.sampled_from(Side)),
        home=draw(_PARTIES | st.none()),
        visited=draw(_PARTIES),
        broker=draw(_PARTIES | st.none()),
        node=draw(st.sampled_from(["cell 7/b", "n"]) | st.none()),
        jurisdiction_home=draw(_LETTERS),
        service=draw(st.sampled_from(Service)),
        rat=draw(st.sampled_from(Rat)),
        rcoi=draw(st.sampled_from(RcoiClass)),
        qos=draw(st.sampled_from(Qos)),
        start_us=start_us,
        end_us=start_us + draw(st.integers(0, 1 << 40)),
        tariff_at_us=draw(_INT64 | st.none()),
        utc_offset_min=draw(st.integers(-840, 840)),
        octets_in=draw(_INT64),
        octets_out=draw(_INT64),
        duration_s=draw(_INT64),
        units=draw(_INT64),
        from_octets_in=draw(_INT64),
        quoted_currency="EUR" if charged else None,
        quoted_nano_per_kib=draw(_INT64) if charged else None,
        charged_minor=draw(_INT64) if charged else None,
        charged_currency="XDR" if charged else None,
        charged_decimals=draw(st.integers(0, 9)) if charged else None,
        evidence=Evidence(draw(st.integers(0, 15))),
        evidence_digest=draw(st.binary(min_size=32, max_size=32) | st.none()),
    )
