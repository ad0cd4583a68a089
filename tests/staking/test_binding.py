"""An account is one subscriber's, by its own signature, until no session of theirs still runs."""

from __future__ import annotations

import pytest
from tests.memory import ENGINE, lay

from opencarrier.chain.typed_data import bind_staker_digest, stake_discount_domain
from opencarrier.kernel.clock import SECOND_US
from opencarrier.kernel.refusals import Refusal
from opencarrier.kernel.signatures import KeySigner, Signature
from opencarrier.spine.parties import PartyId, Subscriber
from opencarrier.staking import store
from opencarrier.staking.service import FREED_AFTER_US, SIGNED_AHEAD_S, StakingService

from .test_history import CONTRACT, HOME, contract

NOW_S = 1_000_000
NOW_US = NOW_S * SECOND_US
KEY, OTHER_KEY = (KeySigner(bytes([number]) * 32) for number in (1, 2))
ADA, BEN = (
    Subscriber(party_id=PartyId(f"sub_{name}"), home=HOME, plan_id="p") for name in ("a", "b")
)


@pytest.fixture
def unit():
    with ENGINE.connect() as unit:
        lay(unit, store.metadata)
        store.put_contract(unit, contract())
        yield unit


def signed(who: Subscriber, key: KeySigner = KEY, **changes) -> Signature:
    terms = {
        "home": who.home,
        "party": who.party_id,
        "account": key.address,
        "valid_until_s": NOW_S + 60,
        **changes,
    }
    domain = stake_discount_domain(chain_id=31337, contract=CONTRACT)
    return key.sign(bind_staker_digest(domain, **terms))


def bind(unit, who: Subscriber, signature: Signature, *, at_us: int = NOW_US, ahead_s: int = 60):
    return StakingService().bind(
        unit,
        who,
        signature,
        contract=CONTRACT,
        valid_until_s=at_us // SECOND_US + ahead_s,
        at_us=at_us,
    )


def code(outcome) -> str:
    assert isinstance(outcome, Refusal), outcome
    return outcome.code


def test_bound_by_its_signature(unit) -> None:
    bound = bind(unit, ADA, signed(ADA))
    assert (bound.account, bound.subscriber, bound.bound_us) == (KEY.address, ADA.party_id, NOW_US)
    assert StakingService().binding(unit, ADA.party_id) == bound
    later_us = NOW_US + SECOND_US
    again = bind(unit, ADA, signed(ADA, valid_until_s=NOW_S + 61), at_us=later_us)
    assert again == bound, "again changes nothing"


def test_only_who_has_an_account_bound_may_have_a_discount(unit) -> None:
    service, both = StakingService(), {ADA.party_id, BEN.party_id}
    assert service.staked(unit, both) == set()
    bind(unit, ADA, signed(ADA))
    assert service.staked(unit, both) == {ADA.party_id}
    assert service.staked(unit, {BEN.party_id}) == service.staked(unit, ()) == set()
    assert not isinstance(service.unbind(unit, ADA.party_id, at_us=NOW_US), Refusal)
    assert service.staked(unit, both) == set()


def test_only_what_was_signed_counts(unit) -> None:
    """Another subscriber, home, account or time, and another's signature."""
    for changes in (
        {"party": BEN.party_id},
        {"home": "op_2"},
        {"account": OTHER_KEY.address},
        {"valid_until_s": NOW_S + 61},
    ):
        assert code(bind(unit, ADA, signed(ADA, **changes))) == "signature_invalid"
    forged = Signature(KEY.address, signed(ADA, OTHER_KEY, account=KEY.address).octets)
    assert code(bind(unit, ADA, forged)) == "signature_invalid"
    assert store.binding_of(unit, ADA.party_id) is None


def test_signatures_are_for_now(unit) -> None:
    for ahead_s, said in (
        (-1, "expired"),
        (SIGNED_AHEAD_S + 1, "too_long_valid"),
    ):
        signature = signed(ADA, valid_until_s=NOW_S + ahead_s)
        assert code(bind(unit, ADA, signature, ahead_s=ahead_s)) == said
    for ahead_s in (0, SIGNED_AHEAD_S):
        signature = signed(ADA, valid_until_s=NOW_S + ahead_s)
        assert not isinstance(bind(unit, ADA, signature, ahead_s=ahead_s), Refusal)


def test_another_contract_is_unknown(unit) -> None:
    outcome = StakingService().bind(
        unit, ADA, signed(ADA), contract=KEY.address, valid_until_s=NOW_S + 60, at_us=NOW_US
    )
    assert code(outcome) == "no_contract"


def test_one_account_one_subscriber(unit) -> None:
    bind(unit, ADA, signed(ADA))
    assert code(bind(unit, BEN, signed(BEN))) == "account_taken"
    assert code(bind(unit, ADA, signed(ADA, OTHER_KEY))) == "has_another"


def test_another_home_has_its_own_bindings(unit) -> None:
    bind(unit, ADA, signed(ADA))
    abroad = Subscriber(party_id=PartyId("sub_c"), home=PartyId("op_2"), plan_id="p")
    assert not isinstance(bind(unit, abroad, signed(abroad)), Refusal)


def test_given_up_it_is_free_when_no_session_runs_any_more(unit) -> None:
    """The discount ends at once, the account is free only later; its own subscriber may return."""
    service = StakingService()
    assert code(service.unbind(unit, ADA.party_id, at_us=NOW_US)) == "not_bound"
    bind(unit, ADA, signed(ADA))
    given_up = service.unbind(unit, ADA.party_id, at_us=NOW_US)
    assert given_up.free_us == NOW_US + FREED_AFTER_US
    assert service.binding(unit, ADA.party_id) is None
    assert code(service.unbind(unit, ADA.party_id, at_us=NOW_US)) == "not_bound"
    for at_us, free in ((given_up.free_us - SECOND_US, False), (given_up.free_us, True)):
        signature = signed(BEN, valid_until_s=at_us // SECOND_US + 60)
        outcome = bind(unit, BEN, signature, at_us=at_us)
        assert isinstance(outcome, Refusal) is not free
    back = signed(ADA, valid_until_s=given_up.free_us // SECOND_US + 60)
    assert code(bind(unit, ADA, back, at_us=given_up.free_us)) == "account_taken"


def test_its_own_subscriber_returns_at_any_time(unit) -> None:
    bind(unit, ADA, signed(ADA))
    StakingService().unbind(unit, ADA.party_id, at_us=NOW_US)
    assert bind(unit, ADA, signed(ADA)).free_us is None


def test_no_session_outlives_the_wait() -> None:
    from opencarrier.rating.model import SESSION_S_MAX

    assert FREED_AFTER_US >= SESSION_S_MAX * SECOND_US
