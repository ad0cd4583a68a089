"""Killed between the voucher that is kept and the answer: the book and the answers agree."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
from tests.forking import ran
from tests.paywall.channel_shop import ChannelShop, channel_shop

from opencarrier.kernel.crash import VARIABLE
from opencarrier.paywall.wire.vouchers import write_channel_payment

pytestmark = [pytest.mark.crash, pytest.mark.timeout(240)]

ROOT = Path(__file__).parents[2]
POINTS = ("before_voucher", "in_voucher", "after_voucher")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory) -> tuple[Path, str, int]:
    """A hub with an open channel that bought once, the next voucher, and a request's price."""
    root = tmp_path_factory.mktemp("prepared")
    with channel_shop(root) as shop:
        assert isinstance(shop, ChannelShop)
        offer, config = shop.opened(salt=1)
        voucher = shop.voucher(offer, config, 2 * offer.amount_minor)
    return root, write_channel_payment(voucher, url="https://hub.example"), offer.amount_minor


def buy(root: Path, header: str, *, crash_at: str = "") -> subprocess.CompletedProcess:
    environ = {**os.environ, VARIABLE: crash_at} if crash_at else os.environ
    return ran([str(root), header], environ, module="tests.crash.voucher_buyer")


@pytest.mark.parametrize("point", POINTS)
def test_killed_between_voucher_and_answer(prepared, tmp_path, point):
    """The same voucher is answered by the next process, and again by the one after: paid once."""
    origin, header, price = prepared
    root = tmp_path / "data"
    shutil.copytree(origin, root)
    died = buy(root, header, crash_at=f"purchase.{point}")
    assert died.returncode == -signal.SIGKILL, died.stderr
    assert died.stdout == ""
    answers = [buy(root, header) for _ in range(2)]
    assert [answer.returncode for answer in answers] == [0, 0], answers[0].stderr
    assert answers[0].stdout == answers[1].stdout
    assert answers[0].stdout.startswith(f"{2 * price} ")
