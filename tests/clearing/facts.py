"""Parties, rated usages and the ports of clearing, as small as they can be."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from hashlib import sha256

from sqlalchemy import Connection
from tests.memory import ENGINE, lay

from opencarrier.clearing import store
from opencarrier.clearing.model import Policy, SaltedRecord
from opencarrier.clearing.netting import NettingMode
from opencarrier.clearing.service import ClearingService, Ports
from opencarrier.kernel.entropy import SeededEntropy
from opencarrier.kernel.ids import Id, derive
from opencarrier.kernel.money import PPM, AssetId
from opencarrier.kernel.signatures import Address, KeySigner, Signature
from opencarrier.spine import ids
from opencarrier.spine.money import (
    Allocation,
    Charge,
    Due,
    Kind,
    Position,
    RatedUsage,
    Role,
    Suspense,
)
from opencarrier.spine.parties import Beneficiary, Host, Operator, PartyId
from opencarrier.spine.usage import ZERO, Counters, Rung, Usage

ASSET = AssetId("eip155:31337/erc20:0x" + "11" * 20)
CYCLE = ids.cycle_id("test", ASSET, 1)
PROTOCOL, TAX = PartyId("protocol_1"), PartyId("tax_1")
COUNTRIES = ("bf", "ci", "de", "sn")


def operator(number: int) -> PartyId:
    return PartyId(f"op_{number}")


def host(number: int) -> PartyId:
    return PartyId(f"host_{number}")


def key(party: PartyId) -> KeySigner:
    return KeySigner(sha256(party.encode()).digest())


def payout(party: PartyId) -> Address:
    return Address("0x" + sha256(b"payout" + party.encode()).hexdigest()[:40])


def rated(
    number: int,
    *,
    home: int,
    visited: int,
    amount: int,
    host_number: int = 0,
    host_ppm: int = 600_000,
    protocol_ppm: int = 20_000,
    tax_ppm: int = 0,
    weak: bool = False,
    retail: bool = True,
    asset: AssetId = ASSET,
) -> RatedUsage:
    """A session of its own with one usage that costs `amount`."""
    session = derive("session", f"session {number}")
    to = Counters(session_time_s=60 + number, octets_in=1000, octets_out=amount)
    usage = Usage(
        usage_id=ids.usage_id(session, ZERO, to),
        session_id=session,
        authorisation_id=None if weak else bytes(16),
        home=operator(home),
        visited=operator(visited),
        node_id=f"node_{host_number}",
        subject=f"subject {number}",
        counters_from=ZERO,
        counters_to=to,
        start_us=1_000_000 * number,
        end_us=1_000_000 * (number + 60),
        weak=weak,
        closed_by="stop",
        rung=Rung.ONE_SIDED if weak else Rung.CO_SIGNED,
    )
    wholesale = wholesale_charge(
        usage,
        amount,
        host=host(host_number),
        shares=(host_ppm, protocol_ppm, tax_ppm),
    )
    return RatedUsage(
        usage=usage,
        host=host(host_number),
        wholesale=replace(wholesale, asset=asset),
        retail=retail_charge(usage, 2 * amount) if retail else None,
    )


def wholesale_charge(
    usage: Usage, amount: int, *, host: PartyId, shares: tuple[int, int, int]
) -> Charge:
    assert usage.home is not None
    host_minor, protocol, tax = (amount * ppm // 1_000_000 for ppm in shares)
    legs = (
        (Role.SELLER, usage.visited, "clearing", amount - host_minor - protocol - tax),
        (Role.HOST, host, "accrued", host_minor),
        (Role.PROTOCOL, PROTOCOL, "clearing", protocol),
        (Role.TAX, TAX, "clearing", tax),
    )
    return _charge(usage, Kind.WHOLESALE, usage.home, usage.visited, amount, legs)


def retail_charge(usage: Usage, amount: int) -> Charge:
    assert usage.home is not None
    subscriber = PartyId(f"sub_{usage.usage_id.hex()[:8]}")
    legs = ((Role.SELLER, usage.home, "revenue", amount),)
    return _charge(usage, Kind.RETAIL, subscriber, usage.home, amount, legs)


def _charge(
    usage: Usage,
    kind: Kind,
    payer: PartyId,
    seller: PartyId,
    amount: int,
    legs: Sequence[tuple[Role, PartyId, str, int]],
) -> Charge:
    return Charge(
        charge_id=ids.charge_id(
            usage.usage_id, kind, inputs_hash=bytes(32), rule_version="v1", amount_minor=amount
        ),
        usage_id=usage.usage_id,
        kind=kind,
        payer=payer,
        seller=seller,
        asset=ASSET,
        amount_minor=amount,
        discount_minor=0,
        tariff_hash=bytes(32),
        agreement_hash=bytes(32),
        rule_version="v1",
        inputs=b"inputs",
        allocations=tuple(
            Allocation(role=role, party=party, account=f"{account}/{party}", amount_minor=minor)
            for role, party, account, minor in legs
        ),
    )


def salted(item: RatedUsage) -> SaltedRecord:
    return SaltedRecord(rated=item, salt=sha256(b"salt" + item.usage.usage_id).digest())


class Rates:
    """A rater that knows its usages beforehand."""

    def __init__(self, items: Iterable[RatedUsage] = ()) -> None:
        self.known: dict[Id, RatedUsage] = {}
        self.dues: dict[Id, Due] = {}
        self.add(items)

    def add(self, items: Iterable[RatedUsage]) -> list[Charge]:
        items = list(items)
        self.known |= {item.usage.usage_id: item for item in items}
        return [item.wholesale for item in items]

    def rate(
        self, unit: Connection, *, cycle_id: Id, usages: Sequence[Usage], at_us: int
    ) -> tuple[Sequence[Charge], Sequence[Suspense]]:
        found = [self.known[usage.usage_id] for usage in usages]
        return [item.wholesale for item in found], ()

    def rated(self, unit: Connection, usage_id: Id) -> RatedUsage | None:
        return self.known.get(usage_id)

    def adjust(self, unit: Connection, *, cycle_id: Id, at_us: int) -> Sequence[Due]:
        return list(self.dues.values())

    def due(self, unit: Connection, adjustment_id: Id) -> Due | None:
        return self.dues.get(adjustment_id)


class People:
    """Directory, members and notary of one installation; `absent` keys are held elsewhere."""

    def __init__(self, operators: int = 6, absent: Iterable[PartyId] = ()) -> None:
        self.parties = [*(operator(n) for n in range(operators)), PROTOCOL, TAX]
        self.absent = set(absent)
        self.strangers: set[PartyId] = set()
        self.unpaid: set[PartyId] = set()
        self.splits: dict[PartyId, list[Beneficiary]] = {}

    def members(self, unit: Connection) -> Mapping[PartyId, Address]:
        return {p: key(p).address for p in self.parties if p not in self.strangers}

    def beneficiaries(
        self, unit: Connection, party: PartyId, *, at_us: int
    ) -> Sequence[Beneficiary]:
        whole = [Beneficiary(payout=payout(party), share_ppm=PPM)]
        return self.splits.get(party, whole)

    def operator(self, unit: Connection, party_id: PartyId) -> Operator | None:
        if party_id not in self.parties:
            return None
        return Operator(
            party_id=party_id,
            name=party_id,
            address=key(party_id).address,
            jurisdiction=COUNTRIES[sum(party_id.encode()) % len(COUNTRIES)],
            realms=(),
            plmns=(),
        )

    def host(self, unit: Connection, party_id: PartyId) -> Host | None:
        if party_id in self.unpaid:
            return None
        return Host(party_id=party_id, name=party_id, payout=payout(party_id))

    def sign(self, unit: Connection, address: Address, digest: bytes) -> Signature | None:
        for party in self.parties:
            if key(party).address == address and party not in self.absent:
                return key(party).sign(digest)
        return None


def clearing(
    rates: Rates,
    people: People,
    *,
    mode: NettingMode = NettingMode.CIRCULAR,
    window_us: int = 1_000,
    cap_minor: int = 10**9,
    seed: int = 1,
) -> ClearingService:
    ports = Ports(
        rater=rates,
        directory=people,  # type: ignore[arg-type]
        members=people,
        notary=people,
        entropy=SeededEntropy(seed),
    )
    policy = Policy(one_sided_window_us=window_us, one_sided_cap_minor=cap_minor)
    return ClearingService(ports, asset=ASSET, mode=mode, policy=policy)


def database() -> Connection:
    connection = ENGINE.connect()
    lay(connection, store.metadata)
    return connection


def rich(_: PartyId) -> int:
    return 10**15


def edges_of(positions: Iterable[Position]) -> int:
    return sum(position.amount_minor for position in positions)
