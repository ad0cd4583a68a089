"""What a rated month's sums say: one account for each pair, asset and exchange rate."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pyarrow.parquet as pq

from opencarrier.kernel.money import AssetId
from opencarrier.kernel.refusals import PeerError
from opencarrier.spine.money import Allocation, Role
from opencarrier.spine.parties import PartyId
from opencarrier.spine.usage import Rung

_KEY: Final = ("home", "visited", "asset", "currency", "rate", "decimals")
_SUMS: Final = ("records", "seller_minor", "host_minor", "protocol_minor", "tax_minor")
_HOSTS: Final = "hosts_"
Onward = tuple[Role, PartyId]


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """What a home owes a visited operator in one currency at one rate, and what of it is whose.

    Sums are in minor units of `currency` (empty: of the asset); times `rate` / 10^`decimals` they
    are in the asset, rounded half up once. `onward` is in the currency too. Where a month is by
    rung, so are its accounts.
    """

    debtor: PartyId
    creditor: PartyId
    asset: AssetId
    currency: str
    rate: int
    decimals: int
    records: int
    seller_minor: int
    host_minor: int
    protocol_minor: int
    tax_minor: int
    onward: tuple[tuple[Role, PartyId, int], ...]
    lines: tuple[int, ...]
    rung: Rung = Rung.ONE_SIDED

    @property
    def gross_minor(self) -> int:
        """All legs, in the currency."""
        return self.seller_minor + self.host_minor + self.protocol_minor + self.tax_minor

    @property
    def amount_minor(self) -> int:
        """What is owed, in the asset."""
        return exchange(self.gross_minor, self.rate, self.decimals)

    @property
    def legs(self) -> tuple[Allocation, ...]:
        """What the creditor owes onward in the asset, each leg rounded down."""
        return tuple(
            Allocation(role=role, party=party, account="", amount_minor=amount)
            for role, party, minor in self.onward
            if (amount := minor * self.rate // 10**self.decimals)
        )


def exchange(minor: int, rate: int, decimals: int) -> int:
    """Turn minor units of a currency into the asset's, half up."""
    scale: int = 10**decimals
    return (2 * minor * rate + scale) // (2 * scale)


def read_accounts(rated: Path) -> tuple[list[Account], list[Mapping[str, Any]]]:
    """Return the accounts, ascending, and the lines by number; `PeerError` if it is no run."""
    lines = _rows(rated / "lines.parquet")
    if [line["line"] for line in lines] != list(range(len(lines))):
        raise PeerError("lines", "lines are numbered from zero")
    groups: defaultdict[tuple[Any, ...], list[Mapping[str, Any]]] = defaultdict(list)
    for sums in _rows(rated / "line_sums.parquet"):
        if not 0 <= sums["line"] < len(lines):
            raise PeerError("lines", f"no line has the number {sums['line']}")
        line = lines[sums["line"]]
        rung = Rung(line.get("rung", Rung.ONE_SIDED))
        groups[*(line[name] for name in _KEY), rung].append({**line, **sums})
    return [_account(key, groups[key]) for key in sorted(groups)], lines


def by_line(accounts: Sequence[Account]) -> dict[int, int]:
    """Return the account of each line, counted from zero."""
    return {line: number for number, item in enumerate(accounts) for line in item.lines}


def hosts_of(visited: PartyId) -> PartyId:
    """Return the party that an operator's hosts are together; each node has its own row."""
    return PartyId(f"{_HOSTS}{visited}")


def are_hosts(party: PartyId) -> bool:
    """Tell whether a party is an operator's hosts together."""
    return party.startswith(_HOSTS)


def _rows(path: Path) -> list[Mapping[str, Any]]:
    if not path.exists():
        raise PeerError("rated", f"{path.parent} holds no rated month: {path.name} is missing")
    rows: list[Mapping[str, Any]] = pq.read_table(path).to_pylist()
    return rows


def _account(key: tuple[Any, ...], rows: Sequence[Mapping[str, Any]]) -> Account:
    home, visited, asset, currency, rate, decimals, rung = key
    sums = {name: sum(int(row[name]) for row in rows) for name in _SUMS}
    if min(sums.values()) < 0:
        raise PeerError("rated", f"a sum of {home} at {visited} is below zero")
    return Account(
        debtor=home,
        creditor=visited,
        asset=asset,
        currency=currency,
        rate=rate,
        decimals=decimals,
        onward=tuple(_onward(rows)),
        lines=tuple(sorted({row["line"] for row in rows})),
        rung=rung,
        **sums,
    )


def _onward(rows: Iterable[Mapping[str, Any]]) -> Iterator[tuple[Role, PartyId, int]]:
    sums: defaultdict[Onward, int] = defaultdict(int)
    for row in rows:
        sums[Role.HOST, hosts_of(row["visited"])] += int(row["host_minor"])
        sums[Role.PROTOCOL, row["protocol_party"]] += int(row["protocol_minor"])
        sums[Role.TAX, row["tax_party"]] += int(row["tax_minor"])
    for (role, party), minor in sorted(sums.items()):
        if minor:
            yield role, party, minor
