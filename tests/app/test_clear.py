"""`opencarrier clear`: a rated month cleared from the command line, and what is refused."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest
from tests.clearing.rated_months import rate

from opencarrier.app.output import Exit


@pytest.fixture
def rated(tmp_path: Path) -> Path:
    return rate(tmp_path / "month", 40)


def words(rated: Path, *more: str) -> list[str]:
    folder = rated.parent
    return ["clear", "--rated", str(rated), "--out", str(folder / "cleared"),
            "--secret-file", str(folder / "secret"), "--json", *more]  # fmt: skip


def test_a_month_is_cleared_once_and_the_same_again(run, rated: Path) -> None:
    told = json.loads(run(*words(rated)))
    asset = told["assets"]["issuer/EUR"]
    assert told["holds"] > 0 < asset["residual_minor"] < asset["gross_minor"]
    secret = rated.parent / "secret"
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    assert secret.read_text().strip() not in json.dumps(told)
    assert json.loads(run(*words(rated, "--no-ledger")))["records_root"] == told["records_root"]
    assert not (rated.parent / "cleared" / "ledger.sqlite").exists()


def test_modes_pledges_and_jurisdictions_come_from_options_and_files(run, rated: Path) -> None:
    first = json.loads(run(*words(rated)))
    parties = rated.parent / "parties.csv"
    parties.write_text("party,jurisdiction\nop_a,FR\nop_b,DE\n")
    told = json.loads(run(*words(rated, "--parties", str(parties))))
    assert told["records_root"] != first["records_root"]
    pledges = rated.parent / "pledges.csv"
    pledges.write_text("asset,party,amount_minor\nissuer/EUR,op_a,5000\nissuer/EUR,op_b,5000\n")
    told = json.loads(run(*words(rated, "--pledges", str(pledges))))["assets"]["issuer/EUR"]
    assert 0 < told["money_minor"] <= 10_000
    told = json.loads(run(*words(rated, "--mode", "ccp", "--counterparty", "op_house")))
    assert told["assets"]["issuer/EUR"]["counterparty"] == "op_house"


def test_a_corrected_month_is_cleared_beside_the_first(run, rated: Path, tmp_path: Path) -> None:
    first = json.loads(run(*words(rated)))
    corrects = ("--corrects", str(rated.parent / "cleared"), "--sequence", "2")
    fewer = rate(tmp_path / "again", 37)
    told = json.loads(run(*words(fewer, *corrects)))
    assert told["corrects"] == first["records_root"]
    assert told["records"] < first["records"]
    gross = told["assets"]["issuer/EUR"]["gross_minor"]
    assert 0 < gross < first["assets"]["issuer/EUR"]["gross_minor"]
    other = tmp_path / "other"
    same = ("--out", str(other), "--secret-file", str(tmp_path / "secret"), *corrects)
    assert "nothing differs" in run("clear", "--rated", str(rated), *same, code=Exit.REFUSED)
    both = ("--adjustments", str(tmp_path / "june.jsonl"), "--agreements", "book.jsonl")
    assert "one after the other" in run(*words(fewer, *corrects, *both), code=Exit.USAGE)


@pytest.mark.parametrize(
    ("more", "code"),
    [
        (("--mode", "ring"), Exit.USAGE),
        (("--mode", "ccp"), Exit.REFUSED),
        (("--counterparty", "op_house"), Exit.REFUSED),
        (("--pledges", "nowhere.csv"), Exit.ENVIRONMENT),
    ],
)
def test_what_does_not_belong_together_is_refused(
    run, rated: Path, more: tuple[str, ...], code: Exit
) -> None:
    run(*words(rated, *more), code=code)
    assert not (rated.parent / "cleared").exists()


@pytest.mark.parametrize(
    "text",
    [
        "asset,party\nx,y\n",
        "asset,party,amount_minor\nx,y,-1\n",
        "asset,party,amount_minor\nx,y,1.5\n",
        "asset,party,amount_minor\nx,y,\n",
        "asset,party,amount_minor\nx,y,1\nx,y,2\n",
    ],
)
def test_a_file_that_is_not_as_it_should_be_is_refused(run, rated: Path, text: str) -> None:
    file = rated.parent / "pledges.csv"
    file.write_text(text)
    run(*words(rated, "--pledges", str(file)), code=Exit.USAGE)


@pytest.mark.parametrize("text", ["", "07" * 31, "07" * 33, "no"])
def test_a_secret_of_another_size_is_refused(run, rated: Path, text: str) -> None:
    (rated.parent / "secret").write_text(text)
    run(*words(rated), code=Exit.USAGE)
