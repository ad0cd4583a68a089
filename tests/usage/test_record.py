"""The usage record: what is refused and why, and that its forms say the same."""

from __future__ import annotations

import json
import runpy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings

from opencarrier.kernel.ids import derive
from opencarrier.kernel.refusals import PeerError
from opencarrier.spine.ids import reported_usage_id
from opencarrier.spine.records import RecordKind
from opencarrier.usage.columns import arrow_schema, to_records, to_table
from opencarrier.usage.record import FIELDS, UsageRecord, check
from opencarrier.usage.record_json import as_json, json_schema, of_json

from .records import record, records

ROOT = Path(__file__).parents[2]
MAX = (1 << 63) - 1


@given(records())
@settings(max_examples=60)
def test_every_form_gives_the_record_back(made: UsageRecord) -> None:
    assert check(made) is None
    assert of_json(json.loads(json.dumps(as_json(made)))) == made
    assert list(to_records(to_table([made]).cast(arrow_schema()))) == [made]


WRONG = [
    ("usage_id", None, "missing"),
    ("usage_id", bytes(31), "out_of_bounds"),
    ("usage_id", "0x00", "wrong_type"),
    ("corrects", bytes(32), "corrects_nothing"),
    ("sequence", -1, "out_of_bounds"),
    ("sequence", True, "wrong_type"),
    ("is_final", 1, "wrong_type"),
    ("home", "", "out_of_bounds"),
    ("home", "DEUTD", "not_well_formed"),
    ("home", "a" * 81, "out_of_bounds"),
    ("visited", None, "missing"),
    ("visited", "../op", "not_well_formed"),
    ("subject", bytes(15), "out_of_bounds"),
    ("node", "line\nbreak", "not_well_formed"),
    ("jurisdiction_home", "fr", "not_well_formed"),
    ("jurisdiction_visited", "FRA", "out_of_bounds"),
    ("service", 7, "out_of_bounds"),
    ("evidence", 32, "out_of_bounds"),
    ("end_us", 0, "ends_before_it_starts"),
    ("octets_in", -1, "out_of_bounds"),
    ("octets_in", 1 << 63, "out_of_bounds"),
    ("octets_in", 1.0, "wrong_type"),
    ("utc_offset_min", 841, "out_of_bounds"),
    ("quoted_nano_per_kib", 5, "incomplete_price"),
    ("charged_minor", 5, "incomplete_price"),
    ("from_octets_in", MAX, "counter_range"),
    ("from_duration_s", MAX, "counter_range"),
]


@pytest.mark.parametrize(("name", "value", "reason"), WRONG)
def test_what_is_wrong_is_refused_by_reason(name: str, value: Any, reason: str) -> None:
    refusal = check(replace(record(), **{name: value}))
    assert refusal is not None
    assert refusal.code == reason
    assert refusal.detail in {name, name.removeprefix("from_"), "quoted_currency"}


def test_a_correction_names_what_it_corrects() -> None:
    assert check(record(kind=RecordKind.VOID, corrects=bytes(32))) is None
    refusal = check(record(kind=RecordKind.VOID))
    assert refusal is not None
    assert refusal.code == "corrects_nothing"


def test_the_last_counter_that_fits_is_taken() -> None:
    assert check(record(octets_in=1_000, from_octets_in=MAX - 1_000)) is None
    assert check(record(octets_in=1_001, from_octets_in=MAX - 1_000)) is not None


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("usage_id", "0x" + "AB" * 32, "not_well_formed"),
        ("usage_id", "0x" + "ab " * 32, "not_well_formed"),
        ("usage_id", 7, "not_well_formed"),
        ("service", 9, "not_well_formed"),
        ("stranger", 1, "unknown_field"),
    ],
)
def test_json_that_is_no_record_is_refused(name: str, value: Any, reason: str) -> None:
    with pytest.raises(PeerError) as caught:
        of_json({**as_json(record()), name: value})
    assert caught.value.reason == reason
    document = as_json(record())
    del document["decoder"]
    with pytest.raises(PeerError, match="missing: decoder"):
        of_json(document)


def test_the_schema_asks_for_every_field_and_no_other() -> None:
    schema = json_schema()
    assert schema["required"] == [field.name for field in FIELDS] == list(as_json(record()))
    assert schema["properties"]["service"] | {"description": ""} == {
        "type": "integer",
        "minimum": 1,
        "maximum": 6,
        "description": "",
    }
    assert schema["properties"]["home"]["type"] == ["string", "null"]


def test_the_reference_page_is_made_from_the_fields() -> None:
    made = runpy.run_path(str(ROOT / "tools" / "record_page.py"))
    assert made["PAGE"].read_text() == made["page"](), "run: python tools/record_page.py"


def test_a_usage_a_file_reports_is_named_by_its_place() -> None:
    one = reported_usage_id("tap", "op_a", "session", 1)
    assert one == derive("usage/reported", "tap", "op_a", "session", 1)
    assert one != reported_usage_id("tap", "op_a", "session", 2)
