"""Follow a registry's bans: every event into the tables, and back out where the chain went back."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection

from opencarrier.bans import store
from opencarrier.chain import events
from opencarrier.chain.contracts import NodeRegistry, Stage
from opencarrier.chain.errors import ChainError
from opencarrier.chain.logs import Followed, LogFollower
from opencarrier.chain.model import Log
from opencarrier.chain.ports import LogReader, UnitOfWork
from opencarrier.kernel.signatures import Address

EVENTS: Final = (events.Banned, events.BanAppealed, events.BanUpheld, events.BanLifted)


class BanFollower:
    """Keeps the cases of one registry; `follow` as often as one likes."""

    def __init__(self, address: Address, chain: LogReader, *, from_block: int) -> None:
        self.contract = NodeRegistry(address)
        followed = Followed(
            name=f"bans/{address}",
            from_block=from_block,
            addresses=(address,),
            topics=(NodeRegistry.topics(*EVENTS),),
        )
        self._follower = LogFollower(chain, followed, _Handler(self.contract))

    def follow(self, begin: UnitOfWork) -> str:
        """Keep the events that are new; return what holds it up, if anything."""
        try:
            self._follower.poll(begin)
        except ChainError as error:
            return f"the chain does not answer: {error}"
        return ""


class _Handler:
    """Takes a registry's events into the tables."""

    def __init__(self, contract: NodeRegistry) -> None:
        self._contract = contract

    def apply(self, connection: Connection, logs: tuple[Log, ...]) -> None:
        for log in logs:
            _take(connection, log, self._contract.event(log))

    def rewind(self, connection: Connection, to_block: int) -> None:
        store.rewind(connection, to_block)


def _take(unit: Connection, log: Log, event: events.Event | None) -> None:
    """Take one event, after all before it."""
    number = log.block_number
    match event:
        case events.Banned():
            _begin(unit, log, event)
        case events.BanAppealed():
            store.add_step(
                unit,
                event.ban_id,
                Stage.APPEALED,
                block_number=number,
                due_s=event.due_at,
                grounds_hash=event.grounds_hash,
            )
            store.settle_proposed(unit, event.grounds_hash)
        case events.BanUpheld():
            store.add_step(unit, event.ban_id, Stage.UPHELD, block_number=number)
        case events.BanLifted():
            store.add_step(unit, event.ban_id, Stage.LIFTED, block_number=number)
        case _:
            raise AssertionError("only events of bans are followed")


def _begin(unit: Connection, log: Log, event: events.Banned) -> None:
    row = {
        "ban_id": event.ban_id,
        "node_key": event.node_id,
        "reason_hash": event.reason_hash,
        "evidence_root": event.evidence_root,
        "starts_s": event.starts_at,
        "ends_s": event.ends_at,
        "escrow_minor": str(event.escrow),
        "tx_hash": log.tx_hash,
        "block_number": log.block_number,
        "log_index": log.log_index,
    }
    store.add_case(unit, row)
    number, due_s = log.block_number, event.due_at
    store.add_step(unit, event.ban_id, Stage.OPEN, block_number=number, due_s=due_s)
