"""The Class attributes in clear: the visited side finds in its Access-Accept what it agreed to."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.access.fakes import HOME, NODE, NOW_US, SUBSCRIBER, VISITED

from opencarrier.access.terms_token import DIGEST, GRANTED, classes
from opencarrier.kernel.money import AssetId, Money
from opencarrier.spine.access import Grant, Offered, Quote, Rate, terms_digest
from opencarrier.spine.records import Qos, RcoiClass

RATE = Rate(3, Quote("USD", 1_900))
GRANT = Grant(
    authorisation_id=b"a" * 16,
    home=HOME,
    visited=VISITED,
    node_id=NODE.node_id,
    subscriber=SUBSCRIBER,
    wholesale_tariff_hash=b"w" * 32,
    retail_tariff_hash=b"t" * 32,
    hold=Money(AssetId("test/EUR"), 1),
    session_timeout_s=60,
    interim_interval_s=60,
    granted_us=NOW_US,
    expires_us=NOW_US + 60_000_000,
    offered=Offered(qos=Qos.GOLD, rcoi=RcoiClass.SETTLED, quote=RATE.quote),
    rate=RATE,
)


def test_the_visited_side_makes_the_digest_from_what_it_was_told() -> None:
    granted, digest = classes(GRANT)
    assert (granted[0], len(granted), digest[0], len(digest)) == (GRANTED, 33, DIGEST, 33)
    expires_us = int.from_bytes(granted[25:33], "big")
    assert int.from_bytes(granted[17:25], "big") == NOW_US
    known = terms_digest(
        granted[1:17],
        home=HOME,
        visited=VISITED,
        offered=Offered(qos=Qos.GOLD, rcoi=RcoiClass.SETTLED),
        rate=RATE,
        expires_us=expires_us,
    )
    assert digest[1:] == known


@pytest.mark.parametrize(
    "other",
    [
        replace(GRANT, rate=None),
        replace(GRANT, rate=Rate(3, Quote("USD", 1_901))),
        replace(GRANT, rate=Rate(3, Quote("EUR", 1_900))),
        replace(GRANT, offered=Offered(qos=Qos.SILVER, rcoi=RcoiClass.SETTLED)),
        replace(GRANT, offered=Offered(qos=Qos.GOLD, rcoi=RcoiClass.OWN)),
        replace(GRANT, expires_us=GRANT.expires_us + 1),
        replace(GRANT, authorisation_id=b"b" * 16),
    ],
)
def test_other_terms_have_another_digest(other: Grant) -> None:
    assert classes(other)[1] != classes(GRANT)[1]


def test_nothing_of_the_subscriber_stands_in_them() -> None:
    other = replace(GRANT, subscriber=HOME, hold=Money(AssetId("test/EUR"), 9))
    assert classes(other) == classes(GRANT)
