"""The room over the embedded node and the real contracts, on a chain that a test can fork.

A fork is the chain's file as it was, put back: what came after is gone, as in a reorg.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection
from tests.chain.sending import send
from tests.memory import lay

from opencarrier.chain import store as chain_store
from opencarrier.chain.client import connect
from opencarrier.chain.contracts import (
    BatchChannels,
    ChannelState,
    Erc3009DepositCollector,
    StableToken,
)
from opencarrier.chain.keys import LocalSigner
from opencarrier.chain.model import Call, Finality, Receipt
from opencarrier.chain.node import EmbeddedNode, NodeSettings
from opencarrier.chain.relayer import Relayer
from opencarrier.chain.rules import Policy
from opencarrier.chain.sponsored import Sponsored, Sponsorship
from opencarrier.chain.transactions import TransactionManager
from opencarrier.channels.claims import Claimer, ClaimReport
from opencarrier.channels.custody import ChannelFollower
from opencarrier.channels.model import Channel, ChannelVenue
from opencarrier.channels.rules import Standing
from opencarrier.kernel.clock import SECOND_US, FixedClock
from opencarrier.kernel.signatures import Address
from opencarrier.ledger import chart
from opencarrier.sim.payer import Payer

from .worlds import ASSET, HOME, SETTINGS, SIGNERS, START_US, Notary, World, counters

CHAIN_ID = 31337
DEPTH = 9
"""A block is final under eight others: a reorg goes eight deep at most."""

HUB, OWNER = (LocalSigner(bytes(31) + bytes((number,))) for number in (70, 71))
ADA_KEY = LocalSigner(bytes(31) + bytes((5,)))
MONEY_MINOR = 200_000


class Network:
    """An embedded chain; `fork` says where it stands, `reorg` puts it back there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = FixedClock(START_US)
        rich = [HUB.address, OWNER.address, ADA_KEY.address]
        self._settings = NodeSettings(
            chain_id=CHAIN_ID, genesis=dict.fromkeys(rich, 10**22), dev=True
        )
        self.dropping = False
        self.handed_over: list[str] = []
        self._open()

    def _open(self) -> None:
        self.node = EmbeddedNode.open(self.folder / "chain.sqlite", self._settings, self.clock)

    def request(self, method: str, params: list[Any]) -> dict[str, Any]:
        if method == "eth_sendRawTransaction":
            self.handed_over.append(params[0])
            if self.dropping:
                return {"jsonrpc": "2.0", "id": 1, "error": {"code": -32000, "message": "lost"}}
        return self.node.request(method, params)

    def mine(self, blocks: int) -> None:
        for _ in range(blocks):
            self.node.mine_empty()

    def fork(self) -> Path:
        """Keep the chain as it stands now."""
        self.node.close()
        kept = self.folder / f"fork-{self.node.head.number}.sqlite"
        shutil.copy(self.folder / "chain.sqlite", kept)
        self._open()
        return kept

    def reorg(self, kept: Path, blocks: int) -> None:
        """Drop everything since a fork and mine other blocks instead."""
        self.node.close()
        for path in self.folder.glob("chain.sqlite*"):
            path.unlink()
        shutil.copy(kept, self.folder / "chain.sqlite")
        self.clock.set(self.clock.now_us() + SECOND_US)
        self._open()
        self.mine(blocks)


class Street:
    """A seller with its follower and claimer, Ada with tokens, and a chain between them."""

    def __init__(self, folder: Path) -> None:
        self.network = Network(folder)
        finality = Finality.parse(f"depth:{DEPTH}")
        self.client = connect("embedded:", node=self.network, finality=finality)  # type: ignore[arg-type]
        self.token = StableToken(
            self._deployed(
                StableToken.deployment(name="D", symbol="D", version="1", owner=OWNER.address)
            )
        )
        self.contract = BatchChannels(self._deployed(BatchChannels.deployment()))
        deployment = Erc3009DepositCollector.deployment(channels=self.contract.address)
        self.collector = self._deployed(deployment)
        self.send(OWNER, self.token.set_minter(OWNER.address, allowed=True))
        self.send(OWNER, self.token.mint(ADA_KEY.address, MONEY_MINOR))
        self.venue = ChannelVenue(
            asset=ASSET,
            chain_id=CHAIN_ID,
            contract=self.contract.address,
            collector=self.collector,
            token=self.token.address,
            token_domain=self.token.signing_domain().ask(self.client),
        )
        self.world = World(venue=self.venue)
        lay(self.world.unit, chain_store.metadata)
        self.restart()

    def restart(self) -> None:
        """Begin anew with what is in the database, as after a crash."""
        policy = Policy(resend_after_s=1, bump_after_s=2)
        self.manager = TransactionManager(self.client, HUB, policy)
        deposit = Sponsored(contract=self.contract, function="deposit", payer=("config", "payer"))
        self.relayer = Relayer(self.manager, Sponsorship([deposit]))
        self.follower = ChannelFollower(self.venue, self.client)
        self.claimer = Claimer(
            self.venue, self.manager, self.relayer, self.client, Notary(), SETTINGS
        )

    def close(self) -> None:
        self.world.close()
        self.network.node.close()

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        yield self.world.unit

    def tend(self, *, everything: bool = True) -> ClaimReport:
        """One pass of the hub, three seconds after the one before."""
        self.pass_s(3)
        now_us = self.world.at_us
        self.follower.follow(self.begin, now_us=now_us)
        report = self.claimer.drive(self.begin, now_us=now_us, everything=everything)
        self.relayer.drive(self.begin, now_us=now_us)
        self.manager.drive(self.begin, now_us=now_us)
        self.follower.follow(self.begin, now_us=now_us)
        return report

    def settle(self, passes: int = 4) -> None:
        """Pass after pass, each time until everything mined is final."""
        for _ in range(passes):
            self.tend()
            self.network.mine(DEPTH)
        self.tend()

    def pass_s(self, seconds: int) -> None:
        self.world.at_us += seconds * SECOND_US
        self.network.clock.set(max(self.world.at_us, self.network.clock.now_us()))

    def send(self, signer: LocalSigner, call: Call) -> Receipt:
        receipt = send(self.client, signer, call)
        assert receipt.succeeded
        return receipt

    def seen(self, channel: Channel) -> Channel:
        """What the seller knows of a channel now."""
        found = self.world.channels.channel(self.world.unit, channel.channel_id)
        assert found is not None
        return found

    def state(self, channel: Channel) -> ChannelState:
        """What the contract says of it at the head."""
        return self.contract.channel(channel.channel_id).ask(self.client)

    def balance(self, account: Address) -> int:
        return self.token.balance_of(account).ask(self.client)

    def served(self, payer: Payer, channel: Channel, octets: int) -> Standing:
        """A session of one slice, paid before and acknowledged after."""
        world = self.world
        begun = world.begun(channel.channel_id)
        nothing = counters(0, seconds=0)
        paid = world.paid(payer.pay(world.asked(begun), nothing, now_s=world.now_s))
        used = payer.acknowledge(world.asked(paid), counters(octets), now_s=world.now_s)
        return world.paid(used)

    def agrees(self, channel: Channel) -> None:
        """The seller's books are what the contract says, and nothing is on its way."""
        known, state = self.seen(channel), self.state(channel)
        assert (known.deposited_minor, known.claimed_minor) == (
            state.balance_minor,
            state.total_claimed_minor,
        )
        owed = -self.world.posted(chart.vouchers(HOME))
        assert owed == known.due_minor - known.claimed_minor
        receiver = self.contract.receiver(SIGNERS[HOME].address, self.token.address)
        paid = receiver.ask(self.client)
        unpaid = paid.total_claimed_minor - paid.total_settled_minor
        assert -self.world.posted(chart.claimed(HOME)) == unpaid
        assert self.balance(SIGNERS[HOME].address) == paid.total_settled_minor
        self.world.check()

    def _deployed(self, call: Call) -> Address:
        address = self.send(OWNER, call).contract_address
        assert address is not None
        return address
