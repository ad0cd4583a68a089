"""The distributor's duties: claims for many, the guardian's veto, caps, payout addresses."""

from __future__ import annotations

import json

import pytest

from opencarrier.app.acting import ContractRefusedError
from opencarrier.app.rewarding import Distribution
from opencarrier.chain.contracts import StableToken
from opencarrier.kernel.clock import SECOND_US
from opencarrier.kernel.signatures import KeySigner

from .scene import Scene, scene, taken

DELAY_S = 3_600
GUARDIAN, OTHER = KeySigner(b"\x1a" * 32), KeySigner(b"\x1b" * 32)
SHARES = {"0x" + "77" * 20: 400_000, "0x" + "78" * 20: 600_000}


def earn(made: Scene, name: str) -> None:
    made.use(name, octets=5_000_000, grant=made.authorise())
    made.settle()


def later(made: Scene) -> None:
    made.clock.set(made.clock.now_us() + DELAY_S * SECOND_US)


def split(made: Scene) -> list[str]:
    """Have the host's earnings go to two addresses."""
    register = made.place.base.identity.register
    with made.place.base.store.write() as unit:
        taken(register.split_host(unit, made.node.host, list(SHARES.items())))
    return sorted(SHARES)


def fund_gas(made: Scene, signer: KeySigner) -> None:
    from opencarrier.chain.model import Call
    from opencarrier.kernel.ids import derive

    gas = Call(to=signer.address, value_wei=10**17)
    made.place.work.do(derive("test", "gas", signer.address), gas)


def test_many_are_paid_in_one_transaction(tmp_path):
    """What is not due is told and left out; a second run finds nothing; the books agree."""
    with scene(tmp_path) as made:
        accounts = split(made)
        earn(made, "first")
        later(made)
        token, client = StableToken(made.place.manifest.token), made.place.client
        pool = Distribution(made.place)
        stranger = "0x" + "79" * 20
        early = client.nonce(made.place.manager.sender)
        told = taken(pool.claim_many([*accounts, *accounts, stranger]))
        assert client.nonce(made.place.manager.sender) == early + 1
        assert sorted(told["paid_minor"]) == accounts
        assert list(told["skipped"]) == [stranger]
        assert sum(token.balance_of(who).ask(client) for who in accounts) == told["amount_minor"]
        again = pool.claim_many(accounts)
        assert again.code == "nothing_due"
        assert client.nonce(made.place.manager.sender) == early + 1
        many = ["0x" + number.to_bytes(20, "big").hex() for number in range(1, 102)]
        assert pool.claim_many(many).code == "too_many_accounts"
        with made.place.base.store.read() as unit:
            assert made.place.settlement.reconcile(unit).agrees


def test_the_guardian_vetoes_in_time_and_nobody_else(tmp_path):
    """Another key, too late, an unknown root are refused; a vetoed root pays nobody."""
    with scene(tmp_path, rewards_delay_s=DELAY_S, rewards_guardian=GUARDIAN.address) as made:
        fund_gas(made, GUARDIAN)
        earn(made, "first")
        pool = Distribution(made.place, GUARDIAN)
        (row,) = pool.status()["roots"]
        root = bytes.fromhex(row["root"][2:])
        assert (row["pays"], row["vetoed"]) == (False, False)
        assert Distribution(made.place).veto(root).code == "no_key"
        assert Distribution(made.place, OTHER).veto(root).code == "other_key"
        assert pool.veto(bytes(31) + b"\x01").code == "unknown_root"
        assert taken(pool.veto(root)) == taken(pool.veto(root))
        assert made.place.client.nonce(GUARDIAN.address) == 1
        later(made)
        with made.place.base.store.read() as unit:
            host = made.place.base.identity.directory.host(unit, made.node.host)
        assert pool.claim_many([host.payout]).code == "nothing_due"
        earn(made, "second")
        later(made)
        late = bytes.fromhex(pool.status()["roots"][0]["root"][2:])
        with pytest.raises(ContractRefusedError, match="veto: too late") as error:
            pool.veto(late)
        assert "cap" in error.value.hint
        assert taken(pool.claim_many([host.payout]))["amount_minor"] > 0


def test_caps_guardian_and_payout_change_after_the_delay(tmp_path):
    """Asked for twice is asked for once; too early is refused with when; then it is in force."""
    with scene(tmp_path, rewards_delay_s=DELAY_S) as made:
        pool, hub = Distribution(made.place), made.place.manager.sender
        with made.place.base.store.read() as unit:
            host = made.place.base.identity.directory.host(unit, made.node.host)
        assert taken(pool.set_cap(5_000))["cap_minor"] == 5_000
        asked = [
            lambda: pool.set_cap(9_000),
            lambda: pool.request_guardian(GUARDIAN.address),
            lambda: pool.request_payout(host.payout, OTHER.address),
        ]
        for ask in asked:
            first = taken(ask())
            made.clock.set(made.clock.now_us() + SECOND_US)
            senders = (hub, host.payout)
            before = [made.place.client.nonce(who) for who in senders]
            assert taken(ask()) == first
            assert [made.place.client.nonce(who) for who in senders] == before
        assert pool.set_cap(0).code == "bad_amount"
        assert Distribution(made.place, OTHER).request_payout(host.payout, hub).code == "other_key"
        apply = (pool.apply_cap, pool.apply_guardian, lambda: pool.apply_payout(host.payout))
        for change in apply:
            with pytest.raises(ContractRefusedError, match="change: not ready"):
                change()
        later(made)
        for change in apply:
            taken(change())
        told = pool.status()
        assert (told["cap_minor"], told["cap_raise"]) == (9_000, None)
        assert (told["guardian"], told["guardian_change"]) == (GUARDIAN.address, None)
        assert pool.payout(host.payout)["payout"] == OTHER.address
        assert pool.request_guardian(GUARDIAN.address).code == "same_address"
        taken(pool.request_payout(host.payout, GUARDIAN.address))
        assert taken(pool.cancel_payout(host.payout))["change"] is None
        taken(pool.request_payout(host.payout, GUARDIAN.address))
        assert pool.payout(host.payout)["change"]["account"] == GUARDIAN.address


def test_the_commands(run, tmp_path):
    data = ("--data", str(tmp_path))
    with scene(tmp_path, one_sided_window_s=0) as made:
        earn(made, "first")

    def rewards(*words: str, code: int = 0):
        said = run("chain", "rewards", *words, *data, *(["--json"] * (code == 0)), code=code)
        return said if code else json.loads(said)

    shown = rewards("show")
    assert shown["funded_minor"] > shown["claimed_minor"] == 0
    assert "too late" in rewards("veto", shown["roots"][0]["root"], code=1)
    assert rewards("cap", "70")["cap_minor"] == 70
    assert "not requested" in rewards("apply-cap", code=1)
    assert rewards("guardian", GUARDIAN.address)["guardian_change"]["account"] == GUARDIAN.address
    assert "not ready" in rewards("apply-guardian", code=1)
    assert rewards("payout", "Host", OTHER.address)["change"]["account"] == OTHER.address
    assert "hint: wait for" in rewards("apply-payout", "Host", code=1)
    assert rewards("cancel-payout", "Host")["change"] is None
    assert rewards("claim", "--all")["amount_minor"] == shown["funded_minor"]
    assert "nothing_due" in rewards("claim", "Host", code=1)
    rewards("claim", code=2)
    rewards("veto", "0x12", code=2)
