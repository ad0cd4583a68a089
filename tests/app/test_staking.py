"""A subscriber stakes, binds the account, pays less; the receipt proves it on the chain."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from tests.app.scene import START_US, scene, taken

from opencarrier.app.bootstrap import onchain, open_installation
from opencarrier.app.config import ConfigError, Settings
from opencarrier.app.folder import Folder
from opencarrier.app.staking import Stakes
from opencarrier.app.venue import read_tiers
from opencarrier.chain.contracts import StakeDiscount
from opencarrier.chain.errors import RevertedError
from opencarrier.kernel.clock import SECOND_US
from opencarrier.kernel.ids import derive
from opencarrier.kernel.refusals import PeerError, Refusal
from opencarrier.kernel.signatures import KeySigner
from opencarrier.receipts import form
from opencarrier.receipts.issue import AUDIENCES
from opencarrier.receipts.verify import Verifier

KEY = KeySigner(b"\x07" * 32)
TIERS = read_tiers(Settings().stake_tiers)
TIER = TIERS[0]


@pytest.fixture(scope="module")
def staked(tmp_path_factory):
    """One session before the stake, one at the discount; both settled."""
    with scene(tmp_path_factory.mktemp("staked")) as made:
        stakes = Stakes(made.place)
        made.use("before", octets=8_000_000, grant=made.authorise())
        taken(stakes.fund(KEY.address, TIER.min_amount, reference="r"))
        taken(stakes.stake(KEY, TIER.min_amount, TIER.min_lock_s, reference="r"))
        taken(stakes.bind(made.subscriber, KEY))
        step(made)
        made.use("after", octets=8_000_000, grant=made.authorise())
        assert made.settle() == 1
        yield made


def step(made) -> None:
    """A second later, another block: what was committed before is final and over."""
    made.clock.set(made.clock.now_us() + 2 * SECOND_US)
    token = Stakes(made.place)._token
    made.place.work.do(derive("step", made.clock.now_us()), token.approve(KEY.address, 1))
    made.errands.follow()


@pytest.fixture(scope="module")
def receipts(staked):
    """Both receipts, the full price first."""
    place = staked.place
    with place.base.store.read() as unit:
        cycle = place.settlement.cycles(unit)[0][0]
        texts = [
            taken(place.issuer.issue(unit, usage_id))
            for usage_id in place.clearing.usages(unit, cycle.cycle_id)
        ]
    return sorted(texts, key=lambda text: '"stake"' in text)


@pytest.fixture(scope="module")
def verifier(staked):
    return Verifier(staked.place.manifest, staked.place.client)


def retail(text: str) -> dict:
    return json.loads(text)["retail"]["content"]


def test_the_stake_lowers_the_bill(receipts):
    """The same use costs exactly the tier's discount less; the host gets the same."""
    full, reduced = map(retail, receipts)
    assert (full["inputs"]["discount_ppm"], reduced["inputs"]["discount_ppm"]) == (0, 30_000)
    assert reduced["amount_minor"] < full["amount_minor"]
    untaxed = [
        sum(leg[3] for leg in part["allocations"] if leg[0] == 1) for part in (full, reduced)
    ]
    assert abs(untaxed[0] * 970_000 - untaxed[1] * 1_000_000) <= 1_000_000
    wholesale = [json.loads(text)["wholesale"]["content"]["allocations"] for text in receipts]
    assert wholesale[0] == wholesale[1]


def test_the_receipt_proves_the_discount(staked, receipts, verifier):
    """Verified on the chain alone: contract, account and second, and what it tells there."""
    full, reduced = (verifier.verify(text) for text in receipts)
    assert full.discount is None
    assert reduced.discount.ppm == TIER.discount_ppm
    reading = reduced.discount.reading
    assert reading.contract == staked.place.manifest.at(StakeDiscount)
    assert reading.account == KEY.address
    assert START_US // SECOND_US <= reading.timepoint_s <= staked.clock.now_us() // SECOND_US


def test_who_sees_it(staked, receipts, verifier):
    """The subscriber does, the host does not."""
    place, usage_id = staked.place, bytes.fromhex(json.loads(receipts[1])["usage_id"][2:])
    for audience, seen in (("subscriber", True), ("host", False)):
        with place.base.store.read() as unit:
            text = taken(place.issuer.issue(unit, usage_id, parts=AUDIENCES[audience]))
        assert (KEY.address in text) is seen
        assert (verifier.verify(text).discount is not None) is seen


class Liar:
    """A chain that tells another discount."""

    def __init__(self, client, *, ppm: int | None) -> None:
        self._client = client
        self._ppm = ppm
        self._selector = StakeDiscount.artefact().selector("discount_ppm_at")

    def __getattr__(self, name):
        return getattr(self._client, name)

    def call(self, call, at="latest"):
        if call.data[:4] != self._selector:
            return self._client.call(call, at)
        if self._ppm is None:
            raise RevertedError(b"")
        return self._ppm.to_bytes(32, "big")


@pytest.mark.parametrize("ppm", [TIER.discount_ppm + 1, TIER.discount_ppm - 1, 0, None])
def test_another_rate_than_the_chains_fails_by_name(staked, receipts, ppm):
    """Step `stake`: rated with one number where the chain tells another, or none."""
    verifier = Verifier(staked.place.manifest, Liar(staked.place.client, ppm=ppm))
    verifier.verify(receipts[0])
    with pytest.raises(PeerError) as failure:
        verifier.verify(receipts[1])
    assert failure.value.reason == "stake"


@pytest.mark.parametrize(
    "change",
    [
        {"contract": "text:0x" + "11" * 20},
        {"account": "text:0x" + "11" * 20},
        {"account": "text:0x"},
        {"account": "0x" + "11" * 20},
        {"timepoint_s": 5},
        {"timepoint_s": -1},
        {"timepoint_s": 1 << 62},
        {"timepoint_s": 1 << 80},
        {"timepoint_s": True},
        {"timepoint_s": None},
        {"more": 1},
        None,
    ],
)
def test_another_stake_fails_by_name(receipts, verifier, change):
    """Step `stake`: another contract, account or second, a broken form, or none at all."""
    document = json.loads(receipts[1])
    content = document["retail"]["content"]
    if change is None:
        del content["stake"]
    else:
        content["stake"].update(change)
    with pytest.raises(PeerError) as failure:
        verifier.verify(form.write(document))
    assert failure.value.reason in ("stake", "form")


def test_a_stake_without_a_discount_fails(receipts, verifier):
    """Where nothing was taken off, a stake that carries something is the wrong one."""
    document = json.loads(receipts[0])
    document["retail"]["content"]["stake"] = json.loads(receipts[1])["retail"]["content"]["stake"]
    with pytest.raises(PeerError) as failure:
        verifier.verify(form.write(document))
    assert failure.value.reason == "stake"


def test_a_venue_without_stakes_knows_no_discount(staked, receipts):
    manifest = staked.place.manifest
    others = {k: v for k, v in manifest.contracts.items() if k != StakeDiscount.NAME}
    older = Verifier(replace(manifest, contracts=others), staked.place.client)
    older.verify(receipts[0])
    with pytest.raises(PeerError):
        older.verify(receipts[1])


def test_the_same_errand_again_moves_nothing(staked):
    stakes = Stakes(staked.place)
    again = taken(stakes.stake(KEY, TIER.min_amount, TIER.min_lock_s, reference="r"))
    assert again.amount_minor == TIER.min_amount
    refusal = stakes.stake(KEY, 1, TIER.min_lock_s, reference="other")
    assert isinstance(refusal, Refusal)
    assert refusal.code == "short_of_tokens"


def test_status_says_what_is_carried(staked):
    told = Stakes(staked.place).status(KEY.address)
    assert (told["amount_minor"], told["discount_ppm"]) == (TIER.min_amount, TIER.discount_ppm)
    assert told["cap_ppm"] == Settings().stake_cap_ppm
    assert len(told["tiers"]) == len(TIERS)
    nobody = Stakes(staked.place).status(KeySigner(b"\x08" * 32).address)
    assert (nobody["amount_minor"], nobody["discount_ppm"]) == (0, 0)


def test_a_stake_counts_only_when_its_second_is_final_and_over(tmp_path):
    """In the block that holds it, it does not count yet; from the next second on it does."""
    with scene(tmp_path) as made:
        stakes = Stakes(made.place)
        taken(stakes.fund(KEY.address, TIER.min_amount, reference="r"))
        taken(stakes.stake(KEY, TIER.min_amount, TIER.min_lock_s, reference="r"))
        taken(stakes.bind(made.subscriber, KEY))
        assert ppm(made) == 0
        step(made)
        assert ppm(made) == TIER.discount_ppm
        taken(stakes.unbind(made.subscriber.party_id))
        assert ppm(made) == 0


def test_a_stake_goes_home_after_its_lock(tmp_path):
    with scene(tmp_path) as made:
        stakes = Stakes(made.place)
        taken(stakes.fund(KEY.address, TIER.min_amount, reference="r"))
        taken(stakes.stake(KEY, TIER.min_amount, TIER.min_lock_s - 1, reference="r"))
        extended = stakes.extend(KEY, TIER.min_lock_s, reference="r")
        assert extended.lock_s == TIER.min_lock_s
        taken(stakes.bind(made.subscriber, KEY))
        step(made)
        assert ppm(made) == TIER.discount_ppm
        with pytest.raises(RevertedError, match="stake: locked"):
            stakes.withdraw(KEY.address, reference="early")
        made.clock.set((extended.unlock_at_s) * SECOND_US)
        assert ppm(made) == 0
        assert stakes.withdraw(KEY.address, reference="r").amount_minor == 0
        assert stakes._token.balance_of(KEY.address).ask(made.place.client) == TIER.min_amount


def ppm(made) -> int:
    with made.place.base.store.read() as unit:
        found = made.place.base.staking.discount(
            unit,
            made.subscriber.party_id,
            seller=made.home.party_id,
            at_us=made.clock.now_us(),
        )
    return 0 if found is None else found.ppm


def test_tiers_are_chosen_when_a_venue_is_put_up_and_stand_for_good(tmp_path):
    chosen = {"stake_tiers": "7:60:1 8:61:1000000", "stake_cap_ppm": 123}
    with scene(tmp_path, **chosen) as made:
        told = Stakes(made.place).status(KEY.address)
    assert [tuple(tier.values()) for tier in told["tiers"]] == [(7, 60, 1), (8, 61, 1_000_000)]
    assert told["cap_ppm"] == 123
    later = open_installation(Folder(tmp_path), Settings(stake_tiers="9:60:2"))
    try:
        with onchain(later) as place:
            assert Stakes(place).status(KEY.address)["tiers"] == told["tiers"]
    finally:
        later.close()


@pytest.mark.parametrize(
    ("text", "is_taken"),
    [
        ("1:1:1", True),
        (f"{2**63 - 1}:{4 * 366 * 86_400}:1000000", True),
        (" ".join(f"1:1:{ppm}" for ppm in range(1, 17)), True),
        (" ".join(f"1:1:{ppm}" for ppm in range(1, 18)), False),
        ("", False),
        ("1:1", False),
        ("1:1:1:1", False),
        ("1:1:x", False),
        ("0:1:1", False),
        (f"{2**63}:1:1", False),
        ("1:0:1", False),
        (f"1:{4 * 366 * 86_400 + 1}:1", False),
        ("1:1:0", False),
        ("1:1:1000001", False),
        ("1:1:2 2:2:2", False),
        ("1:1:2 2:2:1", False),
    ],
)
def test_tiers_have_bounds(text, is_taken):
    if is_taken:
        assert len(read_tiers(text)) == len(text.split())
    else:
        with pytest.raises(ConfigError, match="stake_tiers"):
            read_tiers(text)
