"""Roaming consortium identifiers: facts of WBA's calculator, and both sides meeting by them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opencarrier.access.openroaming.rcoi import (
    LEGACY,
    SETTLED,
    SETTLEMENT_FREE,
    Assurance,
    Identity,
    IdentityType,
    Network,
    Rcoi,
    Tier,
    broadcast,
    carried,
    class_of,
    read,
)
from opencarrier.kernel.refusals import PeerError
from opencarrier.spine.records import RcoiClass

OWN = bytes.fromhex("a1b2c3")
ALL = frozenset((IdentityType.ALL,))

FACTS = [
    ("5A03BA0000", Network()),
    ("5A03BA8000", Network(assurance=Assurance.ENHANCED)),
    ("5A03BA1000", Network(identified=True)),
    ("5A03BA0080", Network(short_lived=True)),
    ("5A03BA0B00", Network(types=frozenset((IdentityType.RETAIL,)))),
    ("5A03BA0400", Network(types=frozenset((IdentityType.GOVERNMENT,)))),
    ("BAA2D00000", Network(bases=(SETTLED,))),
    (
        "BAA2D0B880",
        Network(
            bases=(SETTLED,),
            assurance=Assurance.ENHANCED,
            best=Tier.SILVER,
            identified=True,
            types=frozenset((IdentityType.EDUCATION,)),
            short_lived=True,
        ),
    ),
]

networks = st.builds(
    Network,
    bases=st.sampled_from([(SETTLEMENT_FREE,), (SETTLED,), (SETTLEMENT_FREE, SETTLED), (OWN,)]),
    assurance=st.sampled_from(Assurance),
    best=st.sampled_from(Tier),
    identified=st.booleans(),
    types=st.frozensets(st.sampled_from(IdentityType), min_size=1, max_size=3),
    short_lived=st.booleans(),
)
identities = st.builds(
    Identity,
    bases=st.sampled_from([(SETTLEMENT_FREE,), (SETTLED,), (SETTLEMENT_FREE, OWN)]),
    assurance=st.sampled_from(Assurance),
    least=st.sampled_from(Tier),
    identified=st.booleans(),
    types=st.frozensets(st.sampled_from(IdentityType), max_size=3),
    short_lived=st.booleans(),
)


@pytest.mark.parametrize(("hexadecimal", "network"), FACTS)
def test_a_network_shows_what_the_calculator_makes_of_its_policy(
    hexadecimal: str, network: Network
) -> None:
    assert hexadecimal.lower() in [str(rcoi) for rcoi in broadcast(network)]


def test_a_silver_network_shows_bronze_too_and_nothing_else() -> None:
    shown = [str(rcoi) for rcoi in broadcast(Network(best=Tier.SILVER))]
    assert shown == ["5a03ba0000", "5a03ba2000"]


def test_an_identity_carries_everything_it_satisfies() -> None:
    identity = Identity(
        assurance=Assurance.ENHANCED, least=Tier.SILVER, types=frozenset((IdentityType.CABLE,))
    )
    assert [str(rcoi) for rcoi in carried(identity)] == [
        "5a03ba2000",
        "5a03ba2900",
        "5a03baa000",
        "5a03baa900",
    ]


@given(identities, networks)
def test_both_sides_meet_exactly_where_each_has_what_the_other_asks(
    identity: Identity, network: Network
) -> None:
    meet = set(carried(identity)) & set(broadcast(network))
    suits = (
        bool(set(identity.bases) & set(network.bases))
        and identity.assurance >= network.assurance
        and network.best >= identity.least
        and (identity.identified or not network.identified)
        and bool(network.types & ({IdentityType.ALL} | identity.types))
        and identity.short_lived == network.short_lived
    )
    assert bool(meet) == suits


@given(networks)
def test_what_is_shown_reads_back(network: Network) -> None:
    for rcoi in broadcast(network):
        assert read(rcoi.octets, own=(OWN,)) == rcoi


@given(st.binary(max_size=8))
def test_any_octets_are_an_identifier_or_a_peers_mistake(octets: bytes) -> None:
    try:
        rcoi = read(octets, own=(OWN,))
    except PeerError:
        return
    assert rcoi.octets.startswith(octets)


@pytest.mark.parametrize("hexadecimal", ["5a03ba4000", "5a03ba0c00", "5a03ba0001", "5a03ba0040"])
def test_reserved_bits_are_told(hexadecimal: str) -> None:
    with pytest.raises(PeerError, match="rcoi_reserved"):
        read(bytes.fromhex(hexadecimal))


def test_a_stranger_base_is_told() -> None:
    with pytest.raises(PeerError, match="rcoi_base"):
        read(bytes.fromhex("a1b2c30000"))


def test_a_base_alone_asks_for_nothing() -> None:
    assert read(SETTLED) == Rcoi(base=SETTLED)


def test_the_base_says_how_use_is_paid_for() -> None:
    own = (OWN,)
    assert class_of(bytes.fromhex("5a03ba9000"), own) is RcoiClass.SETTLEMENT_FREE
    assert class_of(bytes.fromhex("baa2d02100"), own) is RcoiClass.SETTLED
    assert class_of(OWN + b"\x00\x00", own) is RcoiClass.OWN
    assert class_of(OWN + b"\x00\x00") is RcoiClass.NONE
    assert class_of(LEGACY) is RcoiClass.NONE
    assert class_of(b"") is RcoiClass.NONE
