"""The indexer: follows the contracts' events, keeps their numbers, and compares them on request.

It follows the head; a reorg takes the numbers back with the blocks that told them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from sqlalchemy import Connection

from opencarrier.chain import store as chain_store
from opencarrier.chain.errors import ChainUnavailableError, RevertedError
from opencarrier.chain.index import store
from opencarrier.chain.index.model import Entry, Fold, State, after
from opencarrier.chain.logs import Followed, LogFollower, Polled
from opencarrier.chain.model import LATEST, Block, BlockAt, Call, Log
from opencarrier.chain.ports import LogReader, UnitOfWork
from opencarrier.chain.rules import BlockPoint
from opencarrier.kernel.ids import derive
from opencarrier.kernel.signatures import Address

VERSION = 1
"""Counts the folds' meaning: with another, everything is read again."""

LOOKS_MAX = 8
DIFFERENCES_MAX = 1_000


class IndexChain(LogReader, Protocol):
    """What the indexer asks; `ChainClient` is one."""

    def call(self, call: Call, at: BlockAt = LATEST) -> bytes:
        """Run a call without sending it."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """A number that the contract does not confirm; `held` is None where it answered nothing."""

    contract: str
    name: str
    key: str
    told: int
    held: int | None

    def __str__(self) -> str:
        """Say it in one line."""
        return f"{self.contract} {self.name} {self.key}: events {self.told}, contract {self.held}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """What was compared, as of which block, and where it differs (the first thousand)."""

    block: BlockPoint
    numbers: int
    differences: tuple[Difference, ...]


class Indexer:
    """Keeps the numbers of contracts at addresses, from a block on."""

    def __init__(
        self, chain: IndexChain, folds: Mapping[Address, Fold], *, from_block: int = 0
    ) -> None:
        self._chain = chain
        self._folds = dict(folds)
        names = [[fold.KIND.NAME, address] for address, fold in sorted(folds.items())]
        self._followed = Followed(
            name="index/" + derive("index", VERSION, from_block, names).hex()[:32],
            from_block=from_block,
            addresses=tuple(sorted(folds)),
        )

    def at(self, unit: Connection) -> BlockPoint | None:
        """Return the block up to which events are folded."""
        return chain_store.cursor(unit, self._followed.name)

    def poll(self, begin: UnitOfWork) -> Polled:
        """Fold the new events; raises what the chain raises, losing nothing."""
        with begin() as unit:
            if self.at(unit) is None:
                store.wipe(unit)
        polled = LogFollower(self._chain, self._followed, self).poll(begin)
        with begin() as unit:
            points = chain_store.cursor_points(unit, self._followed.name)
            if points:
                store.keep_from(unit, points[-1].number)
        return polled

    def catch_up(self, begin: UnitOfWork) -> BlockPoint | None:
        """Fold until nothing is new; return the block it stands at."""
        at = self.poll(begin).at
        while (newer := self.poll(begin).at) != at:
            at = newer
        return at

    def check(self, begin: UnitOfWork) -> Checked:
        """Compare every number with its contract, all as of one block that still stands then."""
        for _ in range(LOOKS_MAX):
            at = self.catch_up(begin)
            if at is None:
                raise ChainUnavailableError("the chain has no block yet", outcome_unknown=False)
            with begin() as unit:
                kept = {address: dict(store.entries(unit, address)) for address in self._folds}
            checked = self._compared(at, kept)
            if self._stands(at):
                return checked
        raise ChainUnavailableError("no block stood long enough", outcome_unknown=False)

    def apply(self, connection: Connection, logs: tuple[Log, ...]) -> None:
        """Fold events in the chain's order (the follower calls this)."""
        for log in logs:
            fold = self._folds[log.address]
            event = fold.KIND(log.address).event(log)
            if event is None:
                continue
            state = _Numbers(connection, log.address)
            for change in list(fold.changes(event, state)):
                new = after(state, change)
                entry = (change.name, change.key)
                store.put(connection, log.address, entry, new, block_number=log.block_number)

    def rewind(self, connection: Connection, to_block: int) -> None:
        """Take back what blocks above one told (the follower calls this)."""
        if to_block < self._followed.from_block:
            store.wipe(connection)
        else:
            store.rewind(connection, to_block)

    def _compared(self, at: BlockPoint, kept: Mapping[Address, State]) -> Checked:
        found: list[Difference] = []
        for address, numbers in kept.items():
            fold = self._folds[address]
            found += self._differences(fold, numbers, at.number)
            found += _sums_differ(fold, numbers)
        return Checked(
            block=at,
            numbers=sum(len(numbers) for numbers in kept.values()),
            differences=tuple(found[:DIFFERENCES_MAX]),
        )

    def _differences(self, fold: Fold, numbers: State, block_number: int) -> list[Difference]:
        found = []
        for (name, key), told in numbers.items():
            query = fold.query(name, key)
            if query is None:
                continue
            try:
                held: int | None = query.ask(self._chain, block_number)
            except RevertedError:
                held = None
            if held != told:
                found.append(_difference(fold, (name, key), told, held))
        return found

    def _stands(self, point: BlockPoint) -> bool:
        block: Block | None = self._chain.block(point.number)
        return block is not None and block.hash == point.hash


class _Numbers(Mapping[Entry, int]):
    """A contract's numbers as they stand, read from the database as a fold asks for them."""

    def __init__(self, unit: Connection, contract: Address) -> None:
        self._unit, self._contract = unit, contract

    def __getitem__(self, entry: Entry) -> int:
        found = store.value(self._unit, self._contract, entry)
        if found is None:
            raise KeyError(entry)
        return found

    def __iter__(self) -> Iterator[Entry]:
        return (entry for entry, _ in store.entries(self._unit, self._contract))

    def __len__(self) -> int:
        return store.count(self._unit, self._contract)


def _sums_differ(fold: Fold, numbers: State) -> list[Difference]:
    """Compare the totals with what they are totals of: no number may be missing."""
    sums: dict[str, int] = defaultdict(int)
    for (name, _), value in numbers.items():
        sums[name] += value
    found = []
    for total, parts in fold.SUMS.items():
        together = sum(sums[part] for part in parts)
        if together != sums[total]:
            found.append(_difference(fold, (total, "+".join(parts)), together, sums[total]))
    return found


def _difference(fold: Fold, entry: Entry, told: int, held: int | None) -> Difference:
    return Difference(contract=fold.KIND.NAME, name=entry[0], key=entry[1], told=told, held=held)
