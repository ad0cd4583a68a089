"""A dataset in Parquet: whole or not at all, the same however it came, no row twice."""

from __future__ import annotations

import os
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opencarrier.spine.records import Side
from opencarrier.usage import dataset
from opencarrier.usage.dataset import (
    DatasetWriter,
    files_of,
    partition_of,
    read_batches,
    read_records,
)
from opencarrier.usage.record import UsageRecord

from .records import AT_US, record, records

DAY_US = 86_400_000_000


def _write(folder: Path, items: list[UsageRecord], **more: int) -> dict:
    writer = DatasetWriter(folder, **more)
    for item in items:
        assert writer.add(item) is None
    return writer.close().as_mapping()


def _files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in files_of(folder)}


@given(st.lists(records(), max_size=12), st.randoms(use_true_random=False), st.integers(1, 5))
@settings(max_examples=12)
def test_any_order_copies_and_spills_give_the_same_files(
    tmp_path_factory: pytest.TempPathFactory, items: list[UsageRecord], dice, rows_max: int
) -> None:
    one, other = (tmp_path_factory.mktemp("dataset") for _ in range(2))
    unique = {(item.usage_id, item.reporter, item.side, partition_of(item)): item for item in items}
    kept = list(unique.values())
    told = _write(one, kept)
    shuffled = kept + dice.choices(kept, k=5) if kept else []
    dice.shuffle(shuffled)
    told_again = _write(other, shuffled, rows_max=rows_max)
    assert _files(one) == _files(other)
    assert told["records"] == told_again["records"] == len(kept)
    assert told_again["duplicates"] == len(shuffled) - len(kept)
    assert {item.usage_id for item in read_records(one)} == {item.usage_id for item in kept}


def test_rows_lie_by_day_and_visited_operator(tmp_path: Path) -> None:
    items = [
        record(1),
        record(2, start_us=AT_US + DAY_US - 1, end_us=AT_US + DAY_US),
        record(3, start_us=AT_US + DAY_US, end_us=AT_US + DAY_US),
        record(4, visited="op_other"),
    ]
    _write(tmp_path, items)
    assert [str(path.parent.relative_to(tmp_path)) for path in files_of(tmp_path)] == [
        "day=2026-03-01/visited=op_other",
        "day=2026-03-01/visited=op_visited",
        "day=2026-03-02/visited=op_visited",
    ]
    assert set(read_records(tmp_path)) == set(items)
    batches = list(read_batches(tmp_path, ["usage_id"]))
    assert sum(batch.num_rows for batch in batches) == 4


def test_what_is_there_already_is_not_written_again(tmp_path: Path) -> None:
    assert _write(tmp_path, [record(1), record(2)])["records"] == 2
    before = _files(tmp_path)
    told = _write(tmp_path, [record(2), record(1), record(1, source_offset=9, ingested_us=1)])
    assert (told["records"], told["duplicates"], told["files"]) == (0, 3, 0)
    assert _files(tmp_path) == before
    told = _write(tmp_path, [record(2), record(3)])
    assert (told["records"], told["duplicates"], told["files"]) == (1, 1, 1)


def test_two_reports_of_one_usage_are_no_copies(tmp_path: Path) -> None:
    items = [record(1), record(1, reporter="op_home", side=Side.HOME), record(1, side=Side.DEVICE)]
    assert _write(tmp_path, items)["records"] == 3


def test_a_bad_record_is_refused_by_reason_and_the_rest_kept(tmp_path: Path) -> None:
    writer = DatasetWriter(tmp_path)
    refusal = writer.add(record(1, home="NOT AN ID"))
    assert refusal is not None
    assert writer.add(record(2)) is None
    assert writer.close().as_mapping()["refused"] == {"not_well_formed": 1}
    assert [item.source_offset for item in read_records(tmp_path)] == [2]


def test_limits_refuse_and_say_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dataset, "PARTITIONS_MAX", 2)
    monkeypatch.setattr(dataset, "PARTITION_ROWS_MAX", 2)
    writer = DatasetWriter(tmp_path)
    assert writer.add(record(1)) is None
    assert writer.add(record(2)) is None
    assert writer.add(record(3)).code == "partition_full"
    assert writer.add(record(4, visited="op_a")) is None
    assert writer.add(record(5, visited="op_b")).code == "too_many_partitions"
    far_us = dataset.START_MAX_US
    assert writer.add(record(6, start_us=far_us, end_us=far_us)).code == "day_range"
    assert writer.add(record(7, start_us=far_us - 1, end_us=far_us)).code == "too_many_partitions"
    assert writer.close().records == 3


def test_a_writer_that_died_leaves_nothing_and_is_run_again(tmp_path: Path) -> None:
    died = DatasetWriter(tmp_path, rows_max=1)
    assert died.add(record(1)) is None
    assert list(tmp_path.iterdir()), "it had staged something"
    assert files_of(tmp_path) == []
    assert _write(tmp_path, [record(1)])["records"] == 1
    abandoned = DatasetWriter(tmp_path, rows_max=1)
    assert abandoned.add(record(2)) is None
    abandoned.abandon()
    assert abandoned.close().records == 0
    assert sorted(os.listdir(tmp_path)) == ["day=2026-03-01"]


def test_words_are_encoded_by_dictionary(tmp_path: Path) -> None:
    _write(tmp_path, [record(1), record(2)])
    schema = pq.read_schema(files_of(tmp_path)[0])
    assert str(schema.field("home").type).startswith("dictionary<values=string")
    assert str(schema.field("start_us").type) == "int64"
    assert str(schema.field("subject").type) == "extension<arrow.uuid>"
