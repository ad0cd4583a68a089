"""The demo's story: phones attach over real RADIUS, use flows, cycles settle, hosts are paid.

Time is the story's own: it moves when everything asked of the server has been answered, so
neither lost datagrams nor a slow machine change an amount, an id or a root.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from opencarrier.access.wire.aka_keys import Keys
from opencarrier.access.wire.dictionary import AcctStatus
from opencarrier.kernel.entropy import Entropy, SeededEntropy
from opencarrier.kernel.sentences import Amount, Octets, Sentence, sentence
from opencarrier.sim import world
from opencarrier.sim.buying import Bought, Buyer, Wallet
from opencarrier.sim.cast import Cast, Script, nodes_of, source_of
from opencarrier.sim.radio import Attached, Rejected, Report
from opencarrier.sim.stage import Stage
from opencarrier.sim.usim import Usim
from opencarrier.sim.world import (
    CYCLE_US,
    CYCLES,
    REWARDS_DELAY_US,
    START_US,
    Person,
    Step,
    Visit,
)

AT_ONCE = 8
DEPOSIT_MINOR = 500_000_000
USER_REQUEST = 1

Tell = Callable[[Sentence], None]


@dataclass(slots=True)
class Told:
    """Everything the story came to."""

    accepts: int = 0
    rejects: int = 0
    accounting_responses: int = 0
    retransmissions: int = 0
    receipts_verified: int = 0
    bought: Bought = field(default_factory=Bought)


class Story:
    """One run of the demo on a stage."""

    def __init__(self, stage: Stage, script: Script, tell: Tell) -> None:
        self._stage = stage
        self._script = script
        self._tell = tell
        self._entropy: Entropy = SeededEntropy(script.seed)
        self.cast = Cast(script, self._entropy)
        self._people = self.cast.people
        self._operators = self.cast.operators
        self._sessions: dict[Visit, Attached] = {}
        self._wallets: dict[str, Wallet] = {}
        self._buyers: dict[Visit, Buyer] = {}
        self._now_us = world.SETUP_US
        self._visits = world.visits(script.seed)
        self.told = Told()

    async def set_up(self) -> None:
        """Found the four operators, their hosts, nodes, agreements, subscribers and deposits."""
        await asyncio.to_thread(self._found)
        self._tell(
            sentence(
                "%(operators)s operators, %(nodes)s nodes, %(subscribers)s subscribers, "
                "%(agreements)s signed agreements",
                operators=len(world.OPERATORS),
                nodes=len(world.NODES),
                subscribers=len(self._people),
                agreements=len(world.ROAMING),
            )
        )

    async def play(self, *, step: Callable[[int], None]) -> Told:
        """Play every cycle, then withdraw and verify; `step` is told how many of them are done."""
        await self.cast.open(self._stage)
        try:
            for cycle in range(CYCLES):
                await self._play_cycle(cycle)
                step(cycle + 1)
        finally:
            self.told.retransmissions += self.cast.close()
        await asyncio.to_thread(self._withdraw)
        step(CYCLES + 1)
        self.told.receipts_verified = await asyncio.to_thread(self._stage.verify_receipts)
        self._tell(
            sentence(
                "A separate process verified %(receipts)s receipts",
                receipts=self.told.receipts_verified,
            )
        )
        step(CYCLES + 2)
        return self.told

    def _found(self) -> None:
        for number, plan in enumerate(world.OPERATORS):
            secret = self.cast.secret(plan.name)
            self._stage.add_operator(plan, radio_source=source_of(number), secret=secret)
        for node in world.NODES:
            self._stage.add_node(node)
        for home, visited in world.ROAMING:
            self._stage.add_agreement(self._operators[home], self._operators[visited])
        for person in self._people.values():
            k, opc = self.cast.keys(person)
            self._stage.add_person(person, k=k, opc=opc)
            if person.stake_minor:
                key = self._entropy.octets(f"stake/{person.imsi}", 32)
                self._stage.add_stake(person, key=key)
                self._tell(
                    sentence(
                        "%(name)s locks %(amount)s and will pay less",
                        name=person.name,
                        amount=money(person.stake_minor),
                    )
                )
            if person.pays:
                self._add_wallet(person)
        self._set_time(START_US)
        for plan in world.OPERATORS:
            self._stage.deposit(plan, DEPOSIT_MINOR)

    def _add_wallet(self, person: Person) -> None:
        key = self._entropy.octets(f"wallet/{person.imsi}", 32)
        wallet = Wallet(person, key, seed=self._script.seed)
        self._stage.add_payer(person, wallet=wallet.address, amount_minor=world.WALLET_MINOR)
        self._wallets[person.name] = wallet

    def _set_time(self, now_us: int) -> None:
        self._now_us = now_us
        self._stage.set_time(now_us)

    def _now_s(self) -> int:
        return self._now_us // 1_000_000

    async def _play_cycle(self, cycle: int) -> None:
        self._set_time(START_US + cycle * CYCLE_US)
        arriving = [visit for visit in self._visits if visit.first_cycle == cycle]
        await _each(arriving, self._arrive)
        if cycle == 0:
            await self._turn_away()
        present = [v for v in self._visits if 0 <= cycle - v.first_cycle < len(v.steps)]
        await _each(present, lambda visit: self._use(visit, cycle - visit.first_cycle))
        end_us = START_US + (cycle + 1) * CYCLE_US
        self._set_time(end_us)
        told = await asyncio.to_thread(self._stage.close_cycle, end_us)
        self._tell(
            sentence(
                "Cycle %(number)s: %(records)s records, %(owed)s owed, %(moved)s moved, "
                "root %(root)s, transaction %(transaction)s",
                number=told.sequence,
                records=told.records,
                owed=money(told.gross_minor),
                moved=money(told.net_minor),
                root=f"{told.records_root[:18]}…",
                transaction=f"{told.tx_hash[:18]}…",
            )
        )

    async def _arrive(self, visit: Visit) -> None:
        person = self._people[visit.person]
        peer = self.cast.peer(person)
        outcome = await self.cast.radio(visit.nas_identifier).attach(peer)
        assert isinstance(outcome, Attached), f"{person.name} was refused: {outcome}"
        assert outcome.keys_match, "phone and access point agree on the keys"
        self._sessions[visit] = outcome
        self.told.accepts += 1
        self._tell(gets_on(person, visit.nas_identifier))
        first = visit.steps[0][0]
        await self._report(
            visit,
            AcctStatus.START,
            Step(
                event_us=first.event_us - first.session_time_s * 1_000_000,
                session_time_s=0,
                octets_in=0,
                octets_out=0,
            ),
        )
        if person.pays:
            assert peer.keys is not None, "who is let in has keys"
            await self._begin_to_buy(visit, peer.keys)

    async def _begin_to_buy(self, visit: Visit, keys: Keys) -> None:
        """Reach the voucher endpoint with the session's key; the first time, open a channel."""
        wallet, visited = self._wallets[visit.person], _operator_of(visit.nas_identifier)
        buyer = Buyer(self._stage, wallet, self.told.bought, self._now_s)
        if await buyer.begin(keys, visited, self._acct_session_id(visit)):
            self._tell(
                sentence(
                    "%(name)s opens a channel of %(amount)s with %(seller)s, without gas",
                    name=visit.person,
                    amount=money(world.CHANNEL_MINOR),
                    seller=wallet.seller(visited),
                )
            )
        self._buyers[visit] = buyer

    async def _use(self, visit: Visit, part: int) -> None:
        steps = visit.steps[part]
        leaves, buyer = part + 1 == len(visit.steps), self._buyers.get(visit)
        for place, step in enumerate(steps):
            stops = leaves and place + 1 == len(steps)
            if buyer is not None:
                await buyer.use(step.octets_in + step.octets_out, step.session_time_s)
            await self._report(visit, AcctStatus.STOP if stops else AcctStatus.INTERIM_UPDATE, step)
        if buyer is not None:
            await buyer.acknowledge()
        if buyer is not None and leaves:
            await buyer.end()
        vouchers = None if buyer is None else buyer.vouchers
        octets = Octets(steps[-1].octets_out)
        self._tell(_used(visit.person, octets, visit.nas_identifier, leaves, vouchers))

    async def _report(self, visit: Visit, status: AcctStatus, step: Step) -> None:
        started = status is AcctStatus.START
        octets_in, octets_out = step.octets_in, step.octets_out
        if visit in self._buyers:
            octets_in, octets_out = 0, octets_in + octets_out
        report = Report(
            status=status,
            acct_session_id=self._acct_session_id(visit),
            event_s=step.event_us // 1_000_000,
            session_time_s=None if started else step.session_time_s,
            octets_in=None if started else octets_in,
            octets_out=None if started else octets_out,
            terminate_cause=USER_REQUEST if status is AcctStatus.STOP else None,
        )
        await self.cast.radio(visit.nas_identifier).report(report, self._sessions[visit])
        self.told.accounting_responses += 1

    def _acct_session_id(self, visit: Visit) -> str:
        return f"{visit.nas_identifier}-{self._visits.index(visit):04x}"

    async def _turn_away(self) -> None:
        """Let two try who must not get on: a cloned SIM, and somebody without money."""
        ada, quinn = self._people["Ada"], self._people["Quinn"]
        clone = Usim(imsi=ada.imsi, k=bytes(16), opc=bytes(16))
        cloned = sentence("A clone of %(name)s's SIM is turned away", name=ada.name)
        empty = sentence("%(name)s is turned away: the balance is empty", name=quinn.name)
        for line, usim, person in ((cloned, clone, ada), (empty, self.cast.phone(quinn), quinn)):
            radio = self.cast.radio(nodes_of(person.operator)[0])
            outcome = await radio.attach(self.cast.peer(person, usim))
            assert isinstance(outcome, Rejected), f"this got on: {line}"
            self.told.rejects += 1
            self._tell(line)

    def _withdraw(self) -> None:
        self._stage.tend_channels(everything=True)
        self._set_time(START_US + CYCLES * CYCLE_US + REWARDS_DELAY_US)
        for host in sorted({node.host for node in world.NODES}):
            told = self._stage.withdraw(host)
            self._tell(
                sentence(
                    "%(host)s withdraws %(amount)s: %(cycles)s cycles in one claim, %(gas)s gas",
                    host=host,
                    amount=money(told.withdrawn_minor),
                    cycles=CYCLES,
                    gas=told.gas,
                )
            )


def money(minor: int) -> Amount:
    """Return micro-units of the demo's token."""
    return Amount(minor, "DUSD")


def gets_on(person: Person, node: str) -> Sentence:
    """Say that somebody is let on."""
    return sentence(
        "%(name)s (%(operator)s) is on Wi-Fi at %(node)s",
        name=person.name,
        operator=person.operator,
        node=node,
    )


def leaves_after(name: str, octets: Octets, node: str) -> Sentence:
    """Say that somebody left, and what was used."""
    return sentence(
        "%(name)s used %(data)s at %(node)s and left", name=name, data=octets, node=node
    )


def _used(name: str, data: Octets, node: str, leaves: bool, vouchers: int | None) -> Sentence:
    if vouchers is None:
        if leaves:
            return leaves_after(name, data, node)
        return sentence(
            "%(name)s used %(data)s at %(node)s and stays", name=name, data=data, node=node
        )
    if leaves:
        return sentence(
            "%(name)s used %(data)s at %(node)s, paid with %(number)s vouchers, and left",
            name=name,
            data=data,
            node=node,
            number=vouchers,
        )
    return sentence(
        "%(name)s used %(data)s at %(node)s, pays with %(number)s vouchers so far, and stays",
        name=name,
        data=data,
        node=node,
        number=vouchers,
    )


def _operator_of(nas_identifier: str) -> str:
    return next(node.operator for node in world.NODES if node.nas_identifier == nas_identifier)


async def _each(visits: Sequence[Visit], act: Callable[[Visit], Awaitable[None]]) -> None:
    """Act for every visit, a few at once."""
    turns = asyncio.Semaphore(AT_ONCE)

    async def one(visit: Visit) -> None:
        async with turns:
            await act(visit)

    async with asyncio.TaskGroup() as group:
        for visit in visits:
            group.create_task(one(visit))
