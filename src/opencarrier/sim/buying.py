"""How a phone of the story pays as it uses: a channel for each seller, a voucher for each slice."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from opencarrier.access.wire.aka_keys import Keys
from opencarrier.channels.model import Mode
from opencarrier.channels.rules import Phase
from opencarrier.kernel.entropy import SeededEntropy
from opencarrier.kernel.refusals import Refusal
from opencarrier.kernel.signatures import Address, KeySigner
from opencarrier.sim.payer import Payer
from opencarrier.sim.phone import Endpoint, PayingPhone, Told
from opencarrier.sim.stage import Shop, Stage
from opencarrier.sim.world import CHANNEL_MINOR, Person

TOO_OFTEN = 429
PAUSE_S = 0.2
PAUSES_MAX = 200
PASSES = 2
"""Passes that bring a deposit to the chain and see it final there."""


@dataclass(slots=True)
class Bought:
    """What phones that pay as they use did, all together."""

    channels: int = 0
    vouchers: int = 0


class Wallet:
    """One subscriber's money on chain, and a payer for each operator it buys from."""

    def __init__(self, person: Person, key: bytes, *, seed: int) -> None:
        self.person = person
        self.mode = Mode[person.pays.upper()]
        self._main = KeySigner(key)
        self._entropy = SeededEntropy(seed)
        self._payers: dict[str, Payer] = {}

    @property
    def address(self) -> Address:
        """Its account."""
        return self._main.address

    def seller(self, visited: str) -> str:
        """Name whom it pays at a node of an operator's."""
        return visited if self.mode is Mode.DIRECT else self.person.operator

    def payer(self, seller: str, shop: Shop) -> tuple[Payer, bool]:
        """Return the payer for a seller, and whether it is new and so without a channel."""
        is_new = seller not in self._payers
        if is_new:
            self._payers[seller] = Payer(
                shop.venue,
                shop.settings,
                self._main,
                self._entropy,
                price=shop.price,
                day_cap_minor=CHANNEL_MINOR,
            )
        return self._payers[seller], is_new


class Buyer:
    """One stay of such a phone: the session's key, its payments, what it was let use."""

    def __init__(
        self, stage: Stage, wallet: Wallet, bought: Bought, now_s: Callable[[], int]
    ) -> None:
        self._stage = stage
        self._wallet = wallet
        self._bought = bought
        self._now_s = now_s
        self._phone: PayingPhone | None = None
        self.vouchers = 0

    async def begin(self, keys: Keys, visited: str, acct_session_id: str) -> bool:
        """Reach the voucher endpoint, open a channel where there is none, and begin the session.

        Returns whether a channel was opened.
        """
        seller = self._wallet.seller(visited)
        shop = self._stage.shop(seller)
        payer, is_new = self._wallet.payer(seller, shop)
        endpoint = Endpoint(self._stage.vouchers, keys)
        self._phone = phone = PayingPhone(payer, endpoint, shop.settings)
        if is_new:
            await _ask(
                lambda: phone.open(
                    shop.seller, CHANNEL_MINOR, mode=self._wallet.mode, now_s=self._now_s()
                )
            )
            for _ in range(PASSES):
                await asyncio.to_thread(self._stage.tend_channels)
            self._bought.channels += 1
        await _ask(lambda: phone.begin(acct_session_id))
        return is_new

    async def use(self, octets: int, duration_s: int) -> None:
        """Use up to these cumulative counters, a slice at a time, each paid for before it."""
        phone = self._phone
        assert phone is not None, "begin first"
        while phone.gate.octets < octets or phone.gate.duration_s < duration_s:
            if phone.gate.phase is not Phase.SERVING:
                await self._pay(phone, more=True)
            gate = phone.gate
            wanted = min(octets, gate.octets_limit) - gate.octets
            left_s = min(duration_s, gate.duration_limit_s) - gate.duration_s
            assert phone.use(wanted, left_s) == wanted, "a slice that is paid for is served"

    async def acknowledge(self) -> None:
        """Say what was used and pay for no more: a cycle ends, or the stay."""
        assert self._phone is not None
        await self._pay(self._phone, more=False)

    async def end(self) -> None:
        """Leave: another node may serve the channel."""
        assert self._phone is not None
        await _ask(self._phone.end)

    async def _pay(self, phone: PayingPhone, *, more: bool) -> None:
        def pay() -> Told:
            told = phone.pay(now_s=self._now_s(), more=more)
            assert not isinstance(told, Refusal), told
            return told

        await _ask(pay)
        self.vouchers += 1
        self._bought.vouchers += 1


async def _ask(ask: Callable[[], Told]) -> Told:
    """Ask the endpoint, again after a pause where it was asked too often."""
    for _ in range(PAUSES_MAX):
        told = await asyncio.to_thread(ask)
        if told.status != TOO_OFTEN:
            assert told.status == 200, told
            return told
        await asyncio.sleep(PAUSE_S)
    raise AssertionError("the endpoint hears nobody")
