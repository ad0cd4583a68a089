"""`opencarrier usage tap`: a rated pair as a transfer file, read back by our reader to the unit."""

from __future__ import annotations

import json
from collections import Counter

import pytest
from tests.clearing import shadow_months as months
from tests.usage import tap_files
from tests.usage.test_tap_records import records as read_records

HOME, VISITED = "op_a", "op_b"
FILE = "CDFRA93SENBA00017"


@pytest.fixture(scope="module")
def month(tmp_path_factory):
    """Return a folder with a month rated once, and who its subjects are."""
    folder = tmp_path_factory.mktemp("tap")
    items = months.records(44)
    months.rate(folder, items)
    subjects = sorted({item.subject for item in items})
    rows = [f"{subject.hex()},20801{number:010}" for number, subject in enumerate(subjects)]
    folder.joinpath("imsis.csv").write_text("\n".join(["subject,imsi", *rows]) + "\n")
    return folder


@pytest.fixture
def command(month, tmp_path):
    """Return the words of the command; its file goes to a folder of the test."""

    def words(**changes):
        options = {
            "usage": month / "usage",
            "rated": month / "out",
            "home": HOME,
            "visited": VISITED,
            "sender": "FRA93",
            "recipient": "SENBA",
            "sequence": 17,
            "subscribers": month / "imsis.csv",
            "sdr-rate": "1.21734",
            "at-us": months.MARCH.until_us,
            "out": tmp_path / FILE,
        } | changes
        return ("usage", "tap", *(f"--{name}={value}" for name, value in options.items()), "--json")

    return words


def test_a_rated_pair_is_read_back_to_the_unit(run, command, tmp_path):
    """The other house's decimals are the third opinion on every charge."""
    told = json.loads(run(*command()))
    billed = [
        item
        for item in months.bill(months.records(44))
        if (item.record.home, item.record.visited) == (HOME, VISITED)
    ]
    assert len({item.record.service for item in billed}) > 1
    octets = tmp_path.joinpath(FILE).read_bytes()
    assert (told["events"], told["octets"], told["refused"]) == (len(billed), len(octets), [])
    assert tap_files.faults(octets) == []
    found, refused = read_records(octets)
    assert refused == []
    assert Counter((item.service, item.start_us, item.charged_minor) for item in found) == Counter(
        (item.record.service, item.record.start_us, months.minor(item.net, 6)) for item in billed
    )
    assert {(item.charged_currency, item.charged_decimals) for item in found} == {("USD", 6)}
    assert told["charge_minor"] == sum(months.minor(item.net, 6) for item in billed)
    assert told["tax_minor"] == sum(months.minor(item.tax, 6) for item in billed)
    assert not list(tmp_path.glob(".CD*"))
    again = json.loads(run(*command(out=tmp_path / "again")))
    assert tmp_path.joinpath("again").read_bytes() == octets
    assert {**again, "file": told["file"]} == told


def test_who_has_no_number_stays_behind(run, command, tmp_path):
    file = tmp_path / "imsis.csv"
    file.write_text("subject,imsi\n")
    told = json.loads(run(*command(subscribers=file)))
    assert (told["events"], told["charge_minor"]) == (0, 0)
    assert set(told["refused_counts"]) == {"subscriber_unknown"}
    assert len(told["refused"]) == told["refused_counts"]["subscriber_unknown"] > 0


def test_what_cannot_be_written_is_refused(run, command, tmp_path):
    """A subscriber's number is never repeated."""
    file = tmp_path / "imsis.csv"
    file.write_text("subject,imsi\n" + "00" * 16 + ",20801X0000000001\n")
    cases = [
        ({"home": "op_z"}, 1, "nothing of op_z at op_b is rated"),
        ({"sender": "fra93"}, 1, "no TADIG code"),
        ({"sdr-rate": "0.0"}, 1, "no rate like"),
        ({"sdr-rate": "-1"}, 1, "no rate like"),
        ({"sequence": 100_000}, 2, "--sequence"),
        ({"sequence": 0}, 2, "--sequence"),
        ({"subscribers": file}, 1, "line 2"),
        ({"out": file}, 2, "is there"),
    ]
    for changes, code, words in cases:
        told = run(*command(**changes), code=code)
        assert words in told
        assert "20801" not in told
    assert not tmp_path.joinpath(FILE).exists()
