"""Results on a terminal: units said, columns below each other, never wider, nothing shortened."""

from __future__ import annotations

import json
import os
import re
import sys

import pytest

from opencarrier.app import output
from opencarrier.app.layout import Lexicon, Sheet, below, block, octets, span

ASSET = "eip155:31337/erc20:0x" + "0c" * 20
OPERATOR = "op_" + "ab" * 16
HASH = "0x" + "5a" * 32
LEXICON = Lexicon(asset=ASSET, code=lambda: "DUSD", names={OPERATOR: "Lumen Mobile"})


def page(value: dict, width: int = 80, **more) -> str:
    return "\n".join(block(value, Sheet(width=width, lexicon=LEXICON, **more)))


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("amount_minor", 5_820_220, "amount  5.820220 DUSD"),
        ("amount_minor", "-1234567890", "amount  -1,234.567890 DUSD"),
        ("gas_wei", 10**18 + 10**15, "gas  1.001 of the chain's coin"),
        ("at_us", 1_767_606_298_000_000, "at  2026-01-05 09:44:58 UTC"),
        ("ready_at_s", 1_767_618_000, "ready at  2026-01-05 13:00:00 UTC"),
        ("delay_s", 3_600, "delay  1 h"),
        ("wait_us", 90_000_000, "wait  1 min 30 s"),
        ("host_ppm", 612_500, "host  61.25 %"),
        ("price_nano", 1_900, "price  0.0000019 DUSD"),
        ("octets_in", 18_031_131, "octets in  18.0 MB"),
        ("records", 1_234_567, "records  1,234,567"),
        ("http_port", 18_400, "http port  18400"),
        ("deployed", True, "deployed  yes"),
        ("deployed", False, "deployed  no"),
        ("second", None, "second  none"),
        ("cycles", [], "cycles  none"),
        ("operator", OPERATOR, "operator  Lumen Mobile"),
        ("usage_ids", [HASH[:10]], "usages  0x5a5a5a5a"),
        ("name", "Bar\x1b[31m", "name  Bar\\x1b[31m"),
        ("host", "192.0.2.1", "host  192.0.2.1"),
    ],
)
def test_a_value_is_said_in_its_keys_unit(key, value, said):
    assert page({key: value}) == said


def test_amounts_of_another_asset_or_currency_are_in_that_one():
    assert page({"currency": "EUR", "due_minor": 1}).splitlines()[1] == "due       0.000001 EUR"
    told = page({"rows": [{"asset": "lumen/XOF", "due_minor": 2}]})
    assert "0.000002 XOF" in told
    foreign = "eip155:1/erc20:0x" + "11" * 20
    assert page({"asset": foreign, "due_minor": 3}).endswith("due    0.000003")
    assert "DUSD  0.000000 DUSD" in page({"sum_minor": {ASSET: 0}})


def test_what_is_nested_stands_under_its_heading_and_two_like_names_are_told_apart():
    told = page({"chain": "embedded:", "till": {"held_minor": 1}, "chain_id": 31337})
    assert told.splitlines() == [
        "chain     embedded:",
        "chain id  31337",
        "",
        "Till",
        "  held  0.000001 DUSD",
    ]


ROWS = [
    {"name": "Gorée 東京", "amount_minor": 1, "id": HASH, "more": {"place": "u09", "none": None}},
    {"name": "Bar", "amount_minor": 1_000_000_000, "id": HASH, "more": []},
]


def test_a_table_is_aligned_also_beside_wide_letters_and_ids_stand_below_their_row():
    lines = list(below("rows", ROWS, Sheet(width=80, lexicon=LEXICON)))
    assert lines == [
        "name                   amount",
        "Gorée 東京      0.000001 DUSD",
        f"  id {HASH}",
        "  more place u09",
        "Bar         1,000.000000 DUSD",
        f"  id {HASH}",
    ]


def test_a_wide_terminal_keeps_ids_in_the_table():
    lines = list(below("rows", ROWS, Sheet(width=120, lexicon=LEXICON)))
    assert lines[1].endswith(HASH)
    assert len({len(line) for line in lines if HASH in line}) <= 2


@pytest.mark.parametrize("width", [40, 80, 120])
def test_nothing_is_wider_than_the_terminal_but_what_cannot_be_broken(width):
    told = page({"note": "word " * 60, "deep": {"rows": ROWS}, "id": HASH}, width)
    wide = [line for line in told.splitlines() if len(line) > width]
    assert all(HASH in line and len(line.split()) <= 2 for line in wide)
    assert told.count(HASH) == 3


def test_what_is_typed_elsewhere_as_it_stands_keeps_its_names_and_figures():
    told = page({"gas_day_max_wei": 10**18, "radius_port": 1812, "once": True}, plain=True)
    assert "gas_day_max_wei  1000000000000000000" in told
    assert "radius_port      1812" in told


def test_spans_and_octets_at_their_edges():
    assert [span(n) for n in (0, 59, 60, 90_061)] == ["0 s", "59 s", "1 min", "1 d 1 h"]
    assert [octets(n) for n in (999, 1_000, 99_950_000, 10**18)] == [
        "999 octets",
        "1.0 kB",
        "100.0 MB",
        "1,000 PB",
    ]


@pytest.fixture
def terminal(monkeypatch):
    monkeypatch.setattr(output, "for_people", lambda: True)
    monkeypatch.setattr(output, "_spoken", [LEXICON])
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    return monkeypatch


TOLD = {"final": True, "halt": None, "note": "ünd", "rows": [{"a": 1}]}


def test_json_and_a_pipe_get_the_same_on_any_terminal(capsys):
    output.emit(TOLD, as_json=True)
    assert json.loads(capsys.readouterr().out) == TOLD
    output.emit(TOLD, as_json=False, empty="unsaid", shown=lambda: {"unsaid": 1})
    assert capsys.readouterr().out == 'final  true\nhalt   null\nnote   ünd\nrows   [{"a": 1}]\n'


def test_a_terminal_gets_headings_that_stand_out_unless_colour_is_not_wanted(terminal, capsys):
    output.emit(TOLD, as_json=False)
    assert "\x1b[1mRows\x1b[0m" in capsys.readouterr().out
    for name, value in (("NO_COLOR", "1"), ("TERM", "dumb")):
        with terminal.context() as context:
            context.setenv(name, value)
            output.emit(TOLD, as_json=False)
        assert not re.search("\x1b", capsys.readouterr().out)


def test_where_there_is_nothing_it_says_what_to_do(terminal, capsys):
    output.emit({"routes": [], "servers": {}}, as_json=False, empty="opencarrier route add")
    assert capsys.readouterr().out == "none yet  opencarrier route add\n"
    output.emit({"routes": [{"realm": "a"}, {"realm": "b"}]}, as_json=False, empty="unsaid")
    assert capsys.readouterr().out == "\x1b[1mrealm\x1b[0m\na\nb\n"


@pytest.mark.parametrize(
    ("words", "error", "hint"),
    [
        (["upp"], "error: No such command 'upp'. Did you mean 'up'?", "opencarrier --help"),
        (["cycle", "sho"], "Did you mean 'show'?", "opencarrier cycle --help"),
        (["status", "--jsn"], "error: No such option: --jsn", "opencarrier status --help"),
        (["cycle", "show"], "error: Missing argument 'sequence'.", "opencarrier cycle show --help"),
    ],
)
def test_what_is_typed_wrongly_ends_as_every_error_does(run, words, error, hint):
    told = run(*words, code=2)
    assert error in told
    assert told.endswith(f"hint: see: {hint}\n")


def test_a_group_without_a_command_answers_by_its_help(run):
    assert "Commands:" in run("cycle", code=2)


def test_a_reader_that_leaves_has_all_it_wants(run, monkeypatch):
    """As `| head` does: a broken pipe is no error of the command."""
    reader, writer = os.pipe()
    kept = os.dup(1)
    os.close(reader)
    os.dup2(writer, 1)
    os.close(writer)
    monkeypatch.setattr(sys, "stdout", os.fdopen(1, "w", closefd=False))
    try:
        run("bench")
        assert os.fstat(1).st_rdev == os.stat(os.devnull).st_rdev, "the rest goes nowhere"
    finally:
        os.dup2(kept, 1)
        os.close(kept)
