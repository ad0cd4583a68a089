"""`opencarrier chain stake`, binding, and the budget, as people type them."""

from __future__ import annotations

import json

import pytest

from opencarrier.app.config import Settings
from opencarrier.app.venue import read_tiers
from opencarrier.kernel.signatures import KeySigner

SECRET = "07" * 32
ACCOUNT = KeySigner(bytes.fromhex(SECRET)).address
TIER = read_tiers(Settings().stake_tiers)[0]
IMSI = "208930000000001"


@pytest.fixture
def place(run, tmp_path):
    """A folder with an operator, a plan and a subscriber; return how to run a command there."""
    data = ("--data", str(tmp_path / "data"))
    for name, digits in (("key", SECRET), ("ki", "0" * 32), ("opc", "1" * 32)):
        (tmp_path / name).write_text(digits)

    def there(*words: str, code: int = 0) -> str:
        return run(*words, *data, *(("--json",) if code == 0 else ()), code=code)

    there("operator", "add", "Lumen", "--jurisdiction", "FR", "--plmn", "20893")
    there("tariff", "add", "--operator", "Lumen", "--plan", "prepaid", "--price-nano", "5200")
    sim = ("--ki-file", str(tmp_path / "ki"), "--opc-file", str(tmp_path / "opc"))
    there("subscriber", "add", "--imsi", IMSI, *sim)
    return there


def test_staking_from_the_command_line(place, tmp_path):
    """Fund, stake, extend, bind, ask, give up; what is too early or wrong ends with 1."""
    key = ("--key-file", str(tmp_path / "key"))
    amount = str(TIER.min_amount)
    short = place("chain", "stake", "add", amount, "--days", "30", *key, code=1)
    assert "short_of_tokens" in short
    place("chain", "stake", "fund", ACCOUNT, amount)
    added = json.loads(place("chain", "stake", "add", amount, "--days", "30", *key))
    assert (added["account"], added["amount_minor"]) == (ACCOUNT, TIER.min_amount)
    extended = json.loads(place("chain", "stake", "extend", "--days", "40", *key))
    assert extended["lock_s"] == 40 * 86_400
    told = json.loads(place("chain", "stake", "status", ACCOUNT))
    assert told["discount_ppm"] == TIER.discount_ppm
    assert "stake: locked" in place("chain", "stake", "withdraw", ACCOUNT, code=1)
    bound = json.loads(place("subscriber", "bind-stake", IMSI, *key))
    assert bound["account"] == ACCOUNT
    given_up = json.loads(place("subscriber", "unbind-stake", IMSI))
    assert given_up["free_us"] > 0
    assert "not_bound" in place("subscriber", "unbind-stake", IMSI, code=1)


def test_a_budget_is_set_aside(place):
    told = json.loads(place("operator", "set-aside", "Lumen", "500", "--reference", "a"))
    assert told["free_minor"] == 500
    again = json.loads(place("operator", "set-aside", "Lumen", "500", "--reference", "a"))
    assert again["free_minor"] == 500
    assert "bad_amount" in place("operator", "set-aside", "Lumen", "0", code=1)


@pytest.mark.parametrize("digits", ["00" * 32, "ff" * 32, "07" * 31, "0x" + "07" * 32])
def test_a_broken_key_is_named_not_shown(run, tmp_path, digits):
    (tmp_path / "key").write_text(digits)
    key = ("--key-file", str(tmp_path / "key"))
    said = run("chain", "stake", "extend", "--days", "40", *key, code=2)
    assert "key" in said
    assert digits not in said
