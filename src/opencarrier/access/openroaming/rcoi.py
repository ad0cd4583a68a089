"""Roaming consortium identifiers of OpenRoaming: what one says, and which a policy comes to. Pure.

Five octets: a base of three, then policy nibbles. A device and an access point find each other
when they carry one and the same five octets, so each side lists every identifier it can stand for.

    octets 0-2   base: 5A03BA settlement-free, BAA2D0 settled, or an own OUI
    octet 3      assurance (bit 7), quality (bits 6-5), identified (bit 4), identity type (bits 3-0)
    octet 4      short-lived credential (bit 7); the rest is 0

Source: WBA's calculator (OR-rcoi-config, 2024-12-04), bit by bit. It knows two qualities and
twelve identity types: what is beyond them is reserved here.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from itertools import product
from typing import Final

from opencarrier.kernel.refusals import PeerError
from opencarrier.spine.records import RcoiClass

BASE_OCTETS: Final = 3
OCTETS: Final = 5
SETTLEMENT_FREE: Final = bytes.fromhex("5a03ba")
SETTLED: Final = bytes.fromhex("baa2d0")
LEGACY: Final = bytes.fromhex("004096")
"""What profiles carry beside it for access points older than the federation's own bases."""


class Assurance(IntEnum):
    """How well it was proven who somebody is."""

    BASELINE = 0
    ENHANCED = 1


class Tier(IntEnum):
    """The quality of the network, by the two bits it has; the other two values are reserved."""

    BRONZE = 0
    SILVER = 1


class IdentityType(IntEnum):
    """Who vouches for somebody; ALL asks nothing of it."""

    ALL = 0
    SERVICE_PROVIDER = 1
    CLOUD = 2
    ENTERPRISE = 3
    GOVERNMENT = 4
    AUTOMOTIVE = 5
    HOSPITALITY = 6
    AVIATION = 7
    EDUCATION = 8
    CABLE = 9
    MANUFACTURER = 10
    RETAIL = 11


@dataclass(frozen=True, slots=True, kw_only=True)
class Rcoi:
    """An identifier in words."""

    base: bytes
    assurance: Assurance = Assurance.BASELINE
    tier: Tier = Tier.BRONZE
    identified: bool = False
    identity: IdentityType = IdentityType.ALL
    short_lived: bool = False

    def __post_init__(self) -> None:
        assert len(self.base) == BASE_OCTETS

    @property
    def octets(self) -> bytes:
        """The five octets that are broadcast and provisioned."""
        high = self.assurance << 7 | self.tier << 5 | self.identified << 4 | self.identity
        return self.base + bytes((high, self.short_lived << 7))

    def __str__(self) -> str:
        """Write it as profiles and access points want it: ten lower-case hex digits."""
        return self.octets.hex()


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """What an identity provider vouches for, and the least its people want of a network."""

    bases: tuple[bytes, ...] = (SETTLEMENT_FREE,)
    assurance: Assurance = Assurance.BASELINE
    least: Tier = Tier.BRONZE
    identified: bool = False
    types: frozenset[IdentityType] = frozenset()
    short_lived: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """What an access network asks of whom it lets on, and the best quality it offers."""

    bases: tuple[bytes, ...] = (SETTLEMENT_FREE,)
    assurance: Assurance = Assurance.BASELINE
    best: Tier = Tier.BRONZE
    identified: bool = False
    types: frozenset[IdentityType] = frozenset((IdentityType.ALL,))
    short_lived: bool = False


def carried(identity: Identity) -> tuple[Rcoi, ...]:
    """Return every identifier an identity stands for, ascending: what its device carries.

    Whoever is proven better or identified also satisfies who asks for less; whoever wants silver
    does not look for bronze; a credential's lifetime is one or the other.
    """
    return _all(
        identity.bases,
        [item for item in Assurance if item <= identity.assurance],
        [item for item in Tier if item >= identity.least],
        [False, True] if identity.identified else [False],
        {IdentityType.ALL, *identity.types},
        identity.short_lived,
    )


def broadcast(network: Network) -> tuple[Rcoi, ...]:
    """Return what an access network shows, ascending: its demand, at each quality it has."""
    return _all(
        network.bases,
        [network.assurance],
        [item for item in Tier if item <= network.best],
        [network.identified],
        network.types,
        network.short_lived,
    )


def read(octets: bytes, own: Iterable[bytes] = ()) -> Rcoi:
    """Read an identifier of the federation or of an own base; `PeerError` says what is wrong.

    Three octets alone are the base with nothing asked for (IEEE 802.11 section 9.4.2.95 lets an
    access point show an OUI of three octets or five).
    """
    if len(octets) not in (BASE_OCTETS, OCTETS):
        raise PeerError("rcoi_octets", f"{len(octets)} octets")
    base, policy = octets[:BASE_OCTETS], octets[BASE_OCTETS:] or bytes(2)
    if base not in (SETTLEMENT_FREE, SETTLED, *own):
        raise PeerError("rcoi_base", base.hex())
    high, low = policy
    try:
        tier, identity = Tier(high >> 5 & 3), IdentityType(high & 15)
    except ValueError as error:
        raise PeerError("rcoi_reserved", octets.hex()) from error
    if low & 0x7F:
        raise PeerError("rcoi_reserved", octets.hex())
    return Rcoi(
        base=base,
        assurance=Assurance(high >> 7),
        tier=tier,
        identified=bool(high >> 4 & 1),
        identity=identity,
        short_lived=bool(low >> 7),
    )


def class_of(octets: bytes, own: Iterable[bytes] = ()) -> RcoiClass:
    """Return how use under an identifier is paid for, by its base alone; NONE where it is neither.

    An own base is for paid roaming between operators who agreed on it without the federation.
    """
    base = octets[:BASE_OCTETS]
    if base in own:
        return RcoiClass.OWN
    return _CLASSES.get(base, RcoiClass.NONE)


_CLASSES: Final = {SETTLEMENT_FREE: RcoiClass.SETTLEMENT_FREE, SETTLED: RcoiClass.SETTLED}


def _all(
    bases: Iterable[bytes],
    assurances: Iterable[Assurance],
    tiers: Iterable[Tier],
    identified: Iterable[bool],
    types: Iterable[IdentityType],
    short_lived: bool,
) -> tuple[Rcoi, ...]:
    found = [
        Rcoi(
            base=base,
            assurance=assurance,
            tier=tier,
            identified=known,
            identity=identity,
            short_lived=short_lived,
        )
        for base, assurance, tier, known, identity in product(
            bases, assurances, tiers, identified, types
        )
    ]
    return tuple(sorted(found, key=lambda rcoi: rcoi.octets))
