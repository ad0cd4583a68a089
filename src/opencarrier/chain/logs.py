"""Following events: in the chain's order, each batch in the same transaction as the cursor.

The cursor is a block number and hash. Before each batch the follower checks that this block still
stands; if not, it finds the last one that does, tells its owner to forget what came after, and
goes on from there (a follower of final blocks only stops instead). A crash repeats nothing and
skips nothing, since cursor and effects commit as one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from sqlalchemy import Connection

from opencarrier.chain import store
from opencarrier.chain.errors import ChainError
from opencarrier.chain.model import Block, Log, LogFilter
from opencarrier.chain.ports import LogReader, UnitOfWork
from opencarrier.chain.rules import BlockPoint
from opencarrier.kernel.crash import crashpoint
from opencarrier.kernel.signatures import Address

BLOCKS_PER_BATCH_MAX = 2_000
POINTS_KEPT = 256
"""How many batches back a reorg can be followed; below that everything is read again."""


class FinalityBrokenError(ChainError):
    """A block that was final is gone; nothing final is forgotten by itself, a person must look."""


class LogHandler(Protocol):
    """Whoever wants the events; both calls happen inside the cursor's transaction."""

    def apply(self, connection: Connection, logs: tuple[Log, ...]) -> None:
        """Take events in the chain's order; the same event comes once unless rewound."""
        ...

    def rewind(self, connection: Connection, to_block: int) -> None:
        """Forget everything of blocks above `to_block`."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Followed:
    """What to follow: a name of its own, where it begins, and which events."""

    name: str
    from_block: int = 0
    addresses: tuple[Address, ...] = ()
    topics: tuple[tuple[bytes, ...] | None, ...] = ()
    only_final: bool = False

    def __post_init__(self) -> None:
        assert 0 < len(self.name) <= 64, "a follower has a short name"


@dataclass(frozen=True, slots=True, kw_only=True)
class Polled:
    """What one poll did: the block it stands at now (None before the first), events handed over,
    and whether it had to go back."""

    at: BlockPoint | None
    events: int
    rewound: bool


class LogFollower:
    """Hands the events of one filter to one handler; `poll` as often as one likes."""

    def __init__(self, chain: LogReader, followed: Followed, handler: LogHandler) -> None:
        self._chain = chain
        self._followed = followed
        self._handler = handler

    def poll(self, unit_of_work: UnitOfWork, *, batches_max: int = 16) -> Polled:
        """Catch up, in at most so many batches; raises what the chain raises, losing nothing."""
        rewound = self._rewind(unit_of_work)
        events = 0
        for _ in range(batches_max):
            taken = self._batch(unit_of_work)
            if taken is None:
                break
            events += taken
        with unit_of_work() as connection:
            at = store.cursor(connection, self._followed.name)
        return Polled(at=at, events=events, rewound=rewound)

    def _rewind(self, unit_of_work: UnitOfWork) -> bool:
        """Go back to the newest remembered block that still stands, if the last does not."""
        with unit_of_work() as connection:
            points = store.cursor_points(connection, self._followed.name)
        if not points or self._stands(points[0]):
            return False
        if self._followed.only_final:
            raise FinalityBrokenError(f"{self._followed.name}: block {points[0].number} is gone")
        standing = next((p for p in points[1:] if self._stands(p)), None)
        to_block = self._followed.from_block - 1 if standing is None else standing.number
        with unit_of_work() as connection:
            self._handler.rewind(connection, to_block)
            store.drop_cursor_above(connection, self._followed.name, to_block)
        return True

    def _batch(self, unit_of_work: UnitOfWork) -> int | None:
        """Hand over the next range of blocks; None where there is none, or it moved under us."""
        with unit_of_work() as connection:
            at = store.cursor(connection, self._followed.name)
        first = self._followed.from_block if at is None else at.number + 1
        last = self._last(first)
        if last is None:
            return None
        logs = self._chain.logs(
            LogFilter(
                from_block=first,
                to_block=last.number,
                addresses=self._followed.addresses,
                topics=self._followed.topics,
            )
        )
        if not self._unmoved(at, last):
            return None
        crashpoint("chain.logs.before_apply")
        with unit_of_work() as connection:
            if store.cursor(connection, self._followed.name) != at:
                return None  # another follower of this name was faster
            self._handler.apply(connection, tuple(logs))
            point = BlockPoint(number=last.number, hash=last.hash)
            store.put_cursor(connection, self._followed.name, point, keep=POINTS_KEPT)
        crashpoint("chain.logs.after_apply")
        return len(logs)

    def _last(self, first: int) -> Block | None:
        """Return the block the next batch ends at."""
        if self._followed.only_final:
            end = self._chain.final_block_number()
        else:
            head = self._chain.block()
            end = None if head is None else head.number
        if end is None or end < first:
            return None
        return self._chain.block(min(end, first + BLOCKS_PER_BATCH_MAX - 1))

    def _unmoved(self, at: BlockPoint | None, last: Block) -> bool:
        """Say whether both ends of the range stand after its logs were read, so all between do."""
        ends = [BlockPoint(number=last.number, hash=last.hash), *([at] if at else [])]
        return all(self._stands(point) for point in ends)

    def _stands(self, point: BlockPoint) -> bool:
        block = self._chain.block(point.number)
        return block is not None and block.hash == point.hash


def handler(
    apply: Callable[[Connection, tuple[Log, ...]], None],
    rewind: Callable[[Connection, int], None],
) -> LogHandler:
    """Make a handler of two functions."""

    class _Handler:
        def apply(self, connection: Connection, logs: tuple[Log, ...]) -> None:
            apply(connection, logs)

        def rewind(self, connection: Connection, to_block: int) -> None:
            rewind(connection, to_block)

    return _Handler()
