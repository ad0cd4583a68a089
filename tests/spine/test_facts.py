"""The constructors of facts refuse what no room may hand on."""

from dataclasses import FrozenInstanceError

import pytest

from opencarrier.kernel.ids import Id
from opencarrier.kernel.money import AssetId, Money
from opencarrier.kernel.signatures import Address, Signature
from opencarrier.spine.access import Grant
from opencarrier.spine.money import Allocation, Charge, Kind, Net, Role, SettlementOrder
from opencarrier.spine.parties import PartyId, RadiusClient
from opencarrier.spine.usage import ZERO, Counters, Rung, Usage

ID = Id(bytes(32))
P, Q = PartyId("op_p"), PartyId("op_q")
ASSET = AssetId("a/EUR")
LOW, HIGH = Address("0x" + "00" * 20), Address("0x" + "ff" * 20)
SIGNED = Signature(LOW, bytes(65))


def usage(**changes: object) -> Usage:
    facts = {
        "usage_id": ID,
        "session_id": ID,
        "authorisation_id": None,
        "home": P,
        "visited": Q,
        "node_id": None,
        "subject": "",
        "counters_from": ZERO,
        "counters_to": Counters(session_time_s=9, octets_in=2, octets_out=1),
        "start_us": 1,
        "end_us": 2,
        "weak": False,
        "closed_by": "",
        "rung": Rung.CO_SIGNED,
    }
    return Usage(**{**facts, **changes})


def charge(amount_minor: int, *legs: int) -> Charge:
    return Charge(
        charge_id=ID,
        usage_id=ID,
        kind=Kind.WHOLESALE,
        payer=P,
        seller=Q,
        asset=ASSET,
        amount_minor=amount_minor,
        discount_minor=0,
        tariff_hash=ID,
        agreement_hash=ID,
        rule_version="v1",
        inputs=b"",
        allocations=tuple(
            Allocation(role=Role.SELLER, party=Q, account="clearing/q", amount_minor=leg)
            for leg in legs
        ),
    )


def order(nets: list[tuple[Address, int]], rewards: int, signatures: int) -> SettlementOrder:
    return SettlementOrder(
        settlement_id=ID,
        cycle_id=ID,
        sequence=1,
        asset=ASSET,
        records_root=ID,
        netting_mode=1,
        nets=tuple(Net(address=address, amount_minor=amount) for address, amount in nets),
        rewards_root=ID,
        rewards_minor=rewards,
        debit_signatures=(SIGNED,) * signatures,
    )


def test_a_usage_gives_what_lies_between_its_counters() -> None:
    before = Counters(session_time_s=4, octets_in=2, octets_out=0)
    amounts = usage(counters_from=before).quantities
    assert amounts.as_mapping() == {"duration_s": 5, "octets_out": 1}


@pytest.mark.parametrize("name", ["session_time_s", "octets_in", "octets_out"])
def test_a_usage_whose_counters_fall_is_no_usage(name: str) -> None:
    counters = {"session_time_s": 0, "octets_in": 0, "octets_out": 0, name: 10}
    with pytest.raises(AssertionError, match=name):
        usage(counters_from=Counters(**counters))


def test_a_usage_does_not_end_before_it_starts() -> None:
    with pytest.raises(AssertionError):
        usage(start_us=3)


def test_allocations_sum_to_their_charge() -> None:
    assert charge(10, 7, 3).amount_minor == 10
    for amount, legs in ((10, (7, 2)), (10, (11, -1)), (-1, (-1,))):
        with pytest.raises(AssertionError):
            charge(amount, *legs)


def test_a_settlement_sums_to_zero_in_order_with_a_signature_for_each_debit() -> None:
    assert order([(LOW, -10), (HIGH, 6)], 4, 1).rewards_minor == 4
    wrong = [
        ([(LOW, -10), (HIGH, 6)], 3, 1),
        ([(HIGH, 6), (LOW, -10)], 4, 1),
        ([(LOW, -10), (LOW, 6)], 4, 1),
        ([(LOW, -10), (HIGH, 6)], 4, 0),
        ([(LOW, -10), (HIGH, 6)], 4, 2),
    ]
    for nets, rewards, signatures in wrong:
        with pytest.raises(AssertionError):
            order(nets, rewards, signatures)


def test_a_grant_lasts_and_has_a_whole_authorisation_id() -> None:
    facts = {
        "authorisation_id": bytes(16),
        "home": P,
        "visited": Q,
        "node_id": "n",
        "subscriber": P,
        "wholesale_tariff_hash": ID,
        "retail_tariff_hash": ID,
        "hold": Money(ASSET, 5),
        "session_timeout_s": 60,
        "interim_interval_s": 60,
        "granted_us": 1,
        "expires_us": 2,
    }
    assert Grant(**facts).hold.minor == 5
    for change in ({"authorisation_id": bytes(15)}, {"session_timeout_s": 0}, {"expires_us": 1}):
        with pytest.raises(AssertionError):
            Grant(**{**facts, **change})


def test_facts_are_frozen_and_secrets_stay_unsaid() -> None:
    client = RadiusClient(client_id="c", prefix="::1/128", secret=b"hush", operator=P)
    assert "hush" not in repr(client)
    with pytest.raises(FrozenInstanceError):
        client.secret = b""
