"""`opencarrier chain channel`: open without gas, list, show, close; who pays as it uses."""

from __future__ import annotations

import json
import stat

import pytest
from typer.testing import CliRunner

from opencarrier.app.cli.root import make
from opencarrier.app.output import CommandError
from opencarrier.chain.contracts import StableToken
from opencarrier.kernel.ids import derive
from opencarrier.kernel.signatures import KeySigner

from .scene import IMSI, scene

MAIN = bytes(31) + b"\x09"
DEPOSIT_MINOR = 3_000_000


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "data"
    with scene(root) as made:
        token = StableToken(made.place.manifest.token)
        mint = token.mint(KeySigner(MAIN).address, DEPOSIT_MINOR)
        made.place.work.do(derive("test", "mint"), mint)
    (tmp_path / "payer.hex").write_text(MAIN.hex() + "\n")
    return tmp_path


def run(folder, *words: str, code: int = 0) -> dict:
    command = ["chain", "channel", *words, "--data", str(folder / "data"), "--json"]
    done = CliRunner().invoke(make(), command)
    ended = done.exception.code if isinstance(done.exception, CommandError) else done.exit_code
    assert ended == code, (done.output, done.exception)
    return json.loads(done.stdout) if code == 0 else {}


def test_a_channel_from_its_opening_to_its_refund(folder) -> None:
    vouchers = folder / "vouchers.hex"
    files = ("--key-file", str(folder / "payer.hex"), "--delegate-file", str(vouchers))
    opened = run(folder, "open", IMSI, str(DEPOSIT_MINOR), *files)
    assert opened["deposited_minor"] == str(DEPOSIT_MINOR)
    assert opened["payer"] == KeySigner(MAIN).address
    assert stat.S_IMODE(vouchers.stat().st_mode) == 0o600
    assert MAIN.hex() not in vouchers.read_text()
    run(folder, "open", IMSI, str(DEPOSIT_MINOR), *files, code=3)

    listed = run(folder, "list", "--subscriber", IMSI)
    assert [item["channel_id"] for item in listed["channels"]] == [opened["channel_id"]]
    shown = run(folder, "show", opened["channel_id"])
    assert shown["on_chain"]["balance_minor"] == str(DEPOSIT_MINOR)
    assert run(folder, "claim")["claims"] == 0
    closed = run(folder, "close", opened["channel_id"])
    assert closed["refunds"] == 1
    shown = run(folder, "show", opened["channel_id"])
    assert (shown["closed"], shown["on_chain"]["balance_minor"]) == (True, "0")

    assert run(folder, "enrol", IMSI, "--mode", "prepaid")["mode"] == "prepaid"
    run(folder, "enrol", IMSI, "--mode", "barter", code=2)
    run(folder, "show", "0x" + "00" * 32, code=1)
    run(folder, "show", "nothing", code=2)
