"""An agreement counts once both operators signed it, and no two tariffs are in force at once."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sqlalchemy import Connection

from opencarrier.kernel.clock import Window
from opencarrier.kernel.refusals import Refusal
from opencarrier.kernel.signatures import Address, Signature
from opencarrier.rating.documents import read_agreement, write_agreement
from opencarrier.rating.model import TARIFFS_MAX, Agreement
from opencarrier.rating.reasons import DocumentReason
from opencarrier.spine.parties import PartyId

from .worlds import (
    DAY_US,
    HOME,
    SIGNERS,
    START_US,
    THIRD,
    VISITED,
    World,
    agreement,
    plan,
    price,
    tariff,
)

DEAL = agreement()
OTHER = agreement(tariff(price_nano=1))


def signed(*parties: PartyId, item: Agreement = DEAL) -> list[Signature]:
    return [SIGNERS[party].sign(item.hash) for party in parties]


FORGED = Signature(SIGNERS[VISITED].address, SIGNERS[HOME].sign(DEAL.hash).octets)


@pytest.mark.parametrize(
    ("signatures", "reason"),
    [
        ([], DocumentReason.SIGNATURE_MISSING),
        (signed(HOME), DocumentReason.SIGNATURE_MISSING),
        (signed(VISITED), DocumentReason.SIGNATURE_MISSING),
        (signed(HOME, HOME), DocumentReason.SIGNATURE_MISSING),
        (signed(HOME, THIRD), DocumentReason.SIGNATURE_OF_STRANGER),
        (signed(HOME, VISITED, THIRD), DocumentReason.SIGNATURE_OF_STRANGER),
        (signed(HOME, VISITED, item=OTHER), DocumentReason.SIGNATURE_INVALID),
        ([*signed(HOME), FORGED], DocumentReason.SIGNATURE_INVALID),
    ],
)
def test_both_operators_must_have_signed(
    empty: World, signatures: list[Signature], reason: DocumentReason
) -> None:
    refusal = empty.service.add_agreement(empty.unit, DEAL, signatures, at_us=START_US)
    assert isinstance(refusal, Refusal)
    assert refusal.reason is reason
    assert empty.service.agreements(empty.unit) == []


def test_a_signed_agreement_is_kept_with_its_signatures(empty: World) -> None:
    signatures = signed(VISITED, HOME)
    for _ in range(2):  # the same again changes nothing
        assert empty.service.add_agreement(empty.unit, DEAL, signatures, at_us=START_US) is None
    assert empty.service.agreements(empty.unit) == [DEAL]
    document = empty.service.agreement_document(empty.unit, DEAL.hash)
    assert document is not None
    assert read_agreement(document) == (DEAL, tuple(signatures))


def test_an_operator_signs_its_agreement_with_itself_once(empty: World) -> None:
    own = agreement(home=HOME, visited=HOME)
    refusal = empty.service.add_agreement(empty.unit, own, signed(HOME, item=own), at_us=START_US)
    assert refusal is None


def test_the_keys_are_the_registered_ones(empty: World) -> None:
    wrong = replace(DEAL, visited_address=SIGNERS[THIRD].address)
    both = signed(HOME, THIRD, item=wrong)
    refusal = empty.service.add_agreement(empty.unit, wrong, both, at_us=START_US)
    assert isinstance(refusal, Refusal)
    assert refusal.reason is DocumentReason.ADDRESS_NOT_REGISTERED


def test_unknown_operators_come_first(empty: World) -> None:
    stranger = PartyId("op_" + "9" * 32)
    unknown = replace(DEAL, home_address=SIGNERS[THIRD].address, visited=stranger)
    refusal = empty.service.add_agreement(empty.unit, unknown, [], at_us=START_US)
    assert isinstance(refusal, Refusal)
    assert refusal.reason is DocumentReason.UNKNOWN_OPERATOR
    refusal = empty.service.add_plan(empty.unit, plan(home=stranger), at_us=START_US)
    assert isinstance(refusal, Refusal)
    assert refusal.reason is DocumentReason.UNKNOWN_OPERATOR


def test_a_tariff_in_force_at_the_same_time_is_refused_and_both_are_named(empty: World) -> None:
    assert empty.agree(DEAL) is None
    last_us = START_US + 10 * DAY_US - 1
    late = agreement(tariff(window=Window(last_us, last_us + DAY_US), price_nano=7))
    refusal = empty.agree(late)
    assert isinstance(refusal, Refusal)
    assert refusal.reason is DocumentReason.OVERLAPS
    assert "7 nano" in refusal.detail
    assert "1000 nano" in refusal.detail
    after = agreement(tariff(window=Window(last_us + 1, last_us + DAY_US), price_nano=7))
    assert empty.agree(after) is None
    back = agreement(visited=HOME, home=VISITED)
    assert empty.agree(back) is None, "the other direction is another agreement"


def test_versions_of_a_plan_follow_each_other(empty: World) -> None:
    assert empty.offer(plan()) is None
    assert empty.offer(plan()) is None
    refusal = empty.offer(plan(price=price(price_nano=1)))
    assert isinstance(refusal, Refusal)
    assert refusal.reason is DocumentReason.OVERLAPS
    end_us = START_US + 10 * DAY_US
    assert empty.offer(plan(price=price(window=Window(end_us, end_us + 1)))) is None
    assert empty.offer(plan(plan_id="other")) is None
    assert len(empty.service.plans(empty.unit)) == 3


class OneKey:
    """A notary that holds the home's key alone."""

    def sign(self, unit: Connection, address: Address, digest: bytes) -> Signature | None:
        signer = SIGNERS[HOME]
        return signer.sign(digest) if address == signer.address else None


def test_an_installation_signs_for_the_keys_it_holds(empty: World) -> None:
    made = empty.service.sign_agreement(empty.unit, DEAL, OneKey())
    assert made == (SIGNERS[HOME].sign(DEAL.hash),)


def test_the_largest_agreement_there_may_be(empty: World) -> None:
    many = agreement(
        *(
            tariff(window=Window(START_US + n, START_US + n + 1), price_nano=n)
            for n in range(TARIFFS_MAX)
        )
    )
    assert read_agreement(write_agreement(many, tuple(signed(HOME, VISITED))))[0] == many
    assert empty.agree(many) is None
