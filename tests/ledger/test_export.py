"""The export: beancount's own checker accepts it, and notices when it does not add up."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from sqlalchemy import Connection

from opencarrier.kernel.money import INT64_MAX
from opencarrier.ledger import export, service
from opencarrier.ledger.model import Opening, post_hold

from .books import EUR, PENDING, XOF, engine, transfer, transfer_id

BEAN_CHECK = Path(sys.executable).parent / "bean-check"
DAY_US = 86_400_000_000
SUB = "prepaid/sub_1"

words = st.from_regex(r"[a-z0-9]{1,4}([_-][a-z0-9]{1,3}){0,2}", fullmatch=True)
names = st.lists(words, min_size=1, max_size=3).map("/".join)


@pytest.fixture
def text(unit: Connection) -> str:
    service.ensure(unit, EUR, ["custody", "retail-tax/op_1", "revenue/op_1", "overrun/op_1"])
    hold = transfer("h", SUB, "sales", 60, flags=PENDING)
    post = post_hold(hold, transfer_id=transfer_id("p"), amount_minor=25, code="use")
    batches = [
        [transfer("top-up", "cash", SUB, 100), hold],
        [post, transfer("o", "overrun/op_1", "revenue/op_1", 7, code='say "so" \\ ü')],
        [transfer("t", "revenue/op_1", "retail-tax/op_1", 1), transfer("z", "cash", "sales", 0)],
        [transfer("all", "sales", "cash", INT64_MAX - 30, asset=XOF)],
    ]
    for batch, at_us in zip(
        batches, (3 * DAY_US, DAY_US - 1, DAY_US, 20_000 * DAY_US), strict=True
    ):
        assert service.apply(unit, batch, at_us) == [None] * len(batch)
    return "\n".join(service.export_beancount(unit)) + "\n"


def bean_check(text: str, path: Path) -> subprocess.CompletedProcess[str]:
    if not BEAN_CHECK.exists():
        pytest.skip("bean-check is not installed beside this Python")
    path.write_text(text, encoding="utf-8")
    return subprocess.run(
        [str(BEAN_CHECK), "--no-cache", str(path)], capture_output=True, text=True, timeout=60
    )


def test_bean_check_accepts_the_ledger(text: str, tmp_path: Path) -> None:
    assert text.count(" balance ") == 12
    assert text.count(" * ") == 5
    done = bean_check(text, tmp_path / "ledger.beancount")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_bean_check_notices_one_unit_too_much(text: str, tmp_path: Path) -> None:
    wrong = text.replace("Prepaid:Sub-1 -75 ~", "Prepaid:Sub-1 -76 ~")
    assert wrong != text
    done = bean_check(wrong, tmp_path / "ledger.beancount")
    assert done.returncode == 1
    assert "Balance failed" in done.stderr


def test_bean_check_notices_one_unit_lost_between_two_accounts(text: str, tmp_path: Path) -> None:
    wrong = text.replace("Prepaid:Sub-1 -100 A2", "Prepaid:Sub-1 -99 A2")
    assert wrong != text
    done = bean_check(wrong, tmp_path / "ledger.beancount")
    assert done.returncode == 1
    assert "does not balance" in done.stderr


def test_bean_check_accepts_an_empty_ledger(tmp_path: Path) -> None:
    from opencarrier.ledger import store

    made = engine()
    with made.begin() as unit:
        assert not list(unit.execute(store.accounts.select()))
        text = "\n".join(service.export_beancount(unit)) + "\n"
    made.dispose()
    assert bean_check(text, tmp_path / "empty.beancount").returncode == 0


@given(st.lists(names, min_size=2, max_size=12, unique=True))
@example(["a-b", "a_b", "a/b", "ab"])
@example(["a-b-c", "a-b_c", "a_b-c", "a_b_c", "a/b_c"])
def test_two_accounts_are_never_one_in_beancount(accounts: list[str]) -> None:
    written = [export._name("A1", name) for name in accounts]
    assert len(set(written)) == len(accounts)
    component = re.compile(r"[A-Z0-9][A-Za-z0-9-]*")
    for name in written:
        root, *rest = name.split(":")
        assert root in ("Assets", "Liabilities", "Income", "Expenses", "Equity")
        assert all(component.fullmatch(word) for word in rest)


@given(names)
def test_every_such_name_may_be_opened(name: str) -> None:
    assert Opening(asset=EUR, name=name).name == name
