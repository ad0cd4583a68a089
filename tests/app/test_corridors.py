"""Corridors as operators use them: each step once, told again when asked again, or refused."""

from __future__ import annotations

import json

import pytest

from opencarrier.app.acting import ContractRefusedError, actor
from opencarrier.app.corridors import Corridors, Pair
from opencarrier.app.venue import GasError
from opencarrier.chain.errors import RevertedError
from opencarrier.chain.model import Call
from opencarrier.kernel.clock import SECOND_US
from opencarrier.kernel.ids import derive, to_hex
from opencarrier.kernel.signatures import KeySigner
from opencarrier.ledger import chart
from opencarrier.ledger import service as ledger

from .scene import DEPOSIT_MINOR, Scene, scene, taken

WINDOW_S, CAP = 3_600, 1_000_000
ROOT = derive("test", "records")
STRANGER = KeySigner(b"\x51" * 32)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    with scene(tmp_path_factory.mktemp("venue")) as made:
        yield made


def cycle(name: str) -> bytes:
    return derive("test", "cycle", name)


def pair(made: Scene) -> Pair:
    return Pair(debtor=made.home.address, creditor=made.visited.address)


def opened(made: Scene) -> Corridors:
    corridors = Corridors(made.place)
    told = taken(corridors.open(pair(made), window_s=WINDOW_S, cap_minor=CAP))
    assert (told["open"], told["window_s"], told["cap_minor"]) == (True, WINDOW_S, CAP)
    return corridors


def claimed(made: Scene, corridors: Corridors, name: str, amount_minor: int = 40_000) -> bytes:
    told = taken(
        corridors.claim(
            pair(made), cycle_id=cycle(name), records_root=ROOT, amount_minor=amount_minor
        )
    )
    return bytes.fromhex(told["claim_id"][2:])


def nonce(made: Scene, address: str) -> int:
    return made.place.client.nonce(address)


def collateral(made: Scene) -> tuple[int, int]:
    """What the books say home and visited have; the contracts say the same."""
    place = made.place
    with place.base.store.read() as unit:
        assert place.settlement.reconcile(unit).agrees
        return tuple(
            ledger.balance(unit, place.manifest.asset, chart.collateral(who.party_id)).posted_minor
            for who in (made.home, made.visited)
        )


def test_a_key_that_is_held_here_gets_its_gas_from_the_hub(made):
    """As much as its transaction may cost and a margin, once; a key of a file gets none."""
    place = made.place
    assert place.client.balance(made.home.address) == 0
    opened(made)
    left_wei = place.client.balance(made.home.address)
    assert 0 < left_wei < place.base.settings.gas_transaction_max_wei
    brought = taken(actor(place, STRANGER.address, STRANGER))
    with pytest.raises(GasError, match=STRANGER.address):
        brought.once(["test"], Call(to=made.home.address))


def test_every_step_again_sends_nothing(made):
    """Open, claim, dispute, decide, close: the second time tells the same and uses no nonce."""
    corridors = Corridors(made.place)
    back = Pair(debtor=made.visited.address, creditor=made.home.address)
    words = {"cycle_id": cycle("back"), "records_root": ROOT, "amount_minor": 40_000}
    taken(corridors.open(back, window_s=WINDOW_S, cap_minor=CAP))
    key = bytes.fromhex(taken(corridors.claim(back, **words))["claim_id"][2:])
    steps = (
        lambda: corridors.open(back, window_s=WINDOW_S, cap_minor=CAP),
        lambda: corridors.claim(back, **words),
        lambda: corridors.dispute(key, 10_000),
        lambda: corridors.decide(key, 20_000),
        lambda: corridors.close(back),
    )
    for step in steps:
        first = taken(step())
        before = [nonce(made, who.address) for who in (made.home, made.visited)]
        assert taken(step()) == first
        assert [nonce(made, who.address) for who in (made.home, made.visited)] == before
    assert taken(corridors.show(key))["state"] == "ended"
    assert sum(collateral(made)) == 2 * DEPOSIT_MINOR


def test_an_accepted_claim_is_paid_and_booked(made):
    corridors = opened(made)
    home, visited = collateral(made)
    key = claimed(made, corridors, "accepted")
    assert taken(corridors.show(key))["state"] == "open"
    assert collateral(made) == (home - 40_000, visited)
    assert taken(corridors.accept(key))["state"] == "ended"
    assert collateral(made) == (home - 40_000, visited + 40_000)


def test_silence_pays_after_the_window_and_not_before(made):
    corridors = opened(made)
    _, visited = collateral(made)
    key = claimed(made, corridors, "silence")
    with pytest.raises(ContractRefusedError, match="claim: not due") as early:
        corridors.finish(key)
    assert "deadline_s" in early.value.hint
    made.clock.set(made.clock.now_us() + WINDOW_S * SECOND_US)
    with pytest.raises(RevertedError, match="claim: window over"):
        corridors.dispute(key, 0)
    assert taken(corridors.finish(key))["state"] == "ended"
    assert taken(corridors.finish(key))["state"] == "ended"
    assert collateral(made)[1] == visited + 40_000


def test_both_end_a_dispute_by_saying_the_same(made):
    """One may change its mind, and come back to what it said under another name for it."""
    corridors = opened(made)
    home, visited = collateral(made)
    key = claimed(made, corridors, "agreed")
    taken(corridors.dispute(key, 0))
    for to_creditor, reference in ((25_000, ""), (20_000, ""), (25_000, "again")):
        party = made.home.address
        told = taken(corridors.agree(key, to_creditor, party=party, reference=reference))
        assert told["state"] == "disputed"
    assert corridors.agree(key, 25_000, party=STRANGER.address).code == "not_a_party"
    told = taken(corridors.agree(key, 25_000, party=made.visited.address))
    assert told["state"] == "ended"
    assert collateral(made) == (home - 25_000, visited + 25_000)


def test_what_is_refused(made):
    """Over the cap, other terms, no such claim, a strange key, a second claim, no corridor."""
    corridors = opened(made)
    with pytest.raises(ContractRefusedError, match="claim: over cap"):
        claimed(made, corridors, "refused", CAP + 1)
    other = corridors.open(pair(made), window_s=WINDOW_S, cap_minor=CAP + 1)
    assert other.code == "open_otherwise"
    assert corridors.open(pair(made), window_s=1, cap_minor=0).code == "bad_amount"
    assert corridors.accept(bytes(32)).code == "unknown_claim"
    assert corridors.decide(bytes(32), 1).code == "unknown_claim"
    key = claimed(made, corridors, "refused")
    with pytest.raises(ContractRefusedError, match="posted before"):
        claimed(made, corridors, "refused", 50_000)
    assert Corridors(made.place, STRANGER).accept(key).code == "other_key"
    nowhere = Pair(debtor=STRANGER.address, creditor=made.home.address)
    assert corridors.close(nowhere).code == "no_corridor"
    assert actor(made.place, STRANGER.address, None).code == "no_key"


def test_the_commands(run, tmp_path):
    """As a person types them, with names; what is wrong ends with its code and says what to do."""
    data = ("--data", str(tmp_path))
    with scene(tmp_path):
        pass

    def corridor(*words: str, code: int = 0):
        said = run("chain", "corridor", *words, *data, *(["--json"] * (code == 0)), code=code)
        return said if code else json.loads(said)

    assert corridor("show", "Home", "Visited")["open"] is False
    assert corridor("open", "Home", "Visited", str(CAP))["cap_minor"] == CAP
    names = ("--cycle", to_hex(cycle("typed")), "--records-root", to_hex(ROOT))
    claim = corridor("claim", "Visited", "Home", "40000", *names)["claim_id"]
    assert corridor("dispute", claim, "15000")["amount_minor"] == 25_000
    assert corridor("agree", claim, "5000", "--as", "Visited")["state"] == "disputed"
    assert corridor("decide", claim, "25000")["state"] == "ended"
    assert corridor("show", claim)["state"] == "ended"
    assert corridor("close", "Home", "Visited")["closes_at_s"] > 0
    said = corridor("finish", to_hex(bytes(32)), code=1)
    assert "unknown_claim" in said
    said = corridor(
        "claim", "Visited", "Home", str(CAP + 1), "--cycle", to_hex(ROOT), *names[2:], code=1
    )
    assert "hint: claim less" in said
    (tmp_path / "key").write_text("51" * 32)
    said = corridor("accept", claim, "--key-file", str(tmp_path / "key"), code=1)
    assert "other_key" in said
    assert "51" * 32 not in said
    corridor("show", "0x12", code=2)
    corridor("show", "a", "b", "c", code=2)
    corridor("open", "Home", "Nobody", "5", code=1)
