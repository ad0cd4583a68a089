"""The demo's stage: an installation, set up for the story, used, and asked what came of it."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import Any, TypeVar

from opencarrier.app.bootstrap import Installation, Onchain
from opencarrier.app.errands import Errands, set_aside, top_up
from opencarrier.app.news import News
from opencarrier.app.staking import Stakes
from opencarrier.app.venue import read_tiers
from opencarrier.app.views import (
    CycleLine,
    HostLine,
    OperatorLine,
    cycle_lines,
    host_lines,
    operator_lines,
)
from opencarrier.chain.contracts import BatchChannels
from opencarrier.channels.model import Mode
from opencarrier.identity.model import PartyKind, SimKeys
from opencarrier.identity.places.rules import read_place
from opencarrier.kernel.clock import FixedClock, Window
from opencarrier.kernel.ids import to_hex
from opencarrier.kernel.money import INT64_MAX
from opencarrier.kernel.refusals import Refusal
from opencarrier.kernel.signatures import Address, KeySigner
from opencarrier.ledger import chart
from opencarrier.ledger import service as ledger
from opencarrier.rating.model import Agreement, Price, RetailPlan, Tariff
from opencarrier.rating.rules import v1
from opencarrier.sim.stage import Shop
from opencarrier.sim.world import NodePlan, OperatorPlan, Person
from opencarrier.spine.parties import Host, Operator, Subscriber
from opencarrier.spine.usage import Counters

PLAN_ID = "prepaid"
STEP_OCTETS = 1024
RATE_CAP_OCTETS_PER_S = 250_000
SESSION_S_MAX = 7_200
INTERIM_S = 300
PROTOCOL_PPM = 10_000
PASSES_MAX = 100
DISCOUNTS_MINOR = 5_000_000
TENDED_MAX = 4
"""Passes that claim, are paid and see both final."""

PAUSE_S = 0.05
VERIFY_TIMEOUT_S = 120

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoints:
    """Where the demo's servers answer."""

    auth: tuple[str, int]
    acct: tuple[str, int]
    http: tuple[str, int]
    rpc: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StakerLine:
    """What a staker paid at its discount, tax included, and what the discount took off."""

    name: str
    paid_minor: int
    saved_minor: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed:
    """What a host was paid by one claim, and the gas of it."""

    withdrawn_minor: int
    gas: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelLine:
    """What an operator earned from phones that pay as they use, and was paid of it on chain."""

    name: str
    channels: int
    earned_minor: int
    settled_minor: int


class DemoStage:
    """Sets an installation up for the story and lets it be used."""

    def __init__(self, place: Onchain, clock: FixedClock, endpoints: Endpoints) -> None:
        self._place = place
        self._base: Installation = place.base
        self._clock = clock
        self._endpoints = endpoints
        self._errands = Errands(place)
        self._news = News(place)
        self._operators: dict[str, Operator] = {}
        self._hosts: dict[str, Host] = {}
        self._stakers: dict[str, Subscriber] = {}
        assert place.channels is not None, "the demo's venue has channels"
        self._channels = place.channels

    @property
    def auth(self) -> tuple[str, int]:
        """Where RADIUS authentication is answered."""
        return self._endpoints.auth

    @property
    def acct(self) -> tuple[str, int]:
        """Where RADIUS accounting is answered."""
        return self._endpoints.acct

    @property
    def rpc(self) -> str:
        """Where the chain answers."""
        return self._endpoints.rpc

    @property
    def vouchers(self) -> tuple[str, int]:
        """Where vouchers are taken, over HTTP."""
        return self._endpoints.http

    def add_operator(self, plan: OperatorPlan, *, radio_source: str, secret: bytes) -> None:
        """Add an operator, its access points' RADIUS client and its retail plan."""
        identity = self._base.identity
        with self._base.store.write() as unit:
            made = identity.register.add_operator(
                unit,
                name=plan.name,
                jurisdiction=plan.jurisdiction,
                realms=[plan.domain],
                plmns=[plan.mcc + plan.mnc],
            )
            operator = _taken(made)
            tax = f"tax {plan.jurisdiction}"
            _taken(identity.register.add_party(unit, kind=PartyKind.TAX, name=tax))
            _taken(
                identity.clients.add(
                    unit, prefix=f"{radio_source}/32", secret=secret, operator=operator.party_id
                )
            )
            refusal = self._base.rating.add_plan(
                unit, self._plan(operator, plan), at_us=self._clock.now_us()
            )
            assert refusal is None, refusal
        self._operators[plan.name] = operator

    def add_node(self, plan: NodePlan) -> None:
        """Add an access point and, the first time, its host."""
        register = self._base.identity.register
        with self._base.store.write() as unit:
            host = _taken(register.add_host(unit, name=plan.host))
            operator = self._operators[plan.operator].party_id
            node = _taken(
                register.add_node(
                    unit, node_id=plan.nas_identifier, operator=operator, host=host.party_id
                )
            )
            place = _taken(read_place(plan.place, operator))
            refusal = self._base.identity.places.put(unit, node.node_id, place)
            assert refusal is None, refusal
        self._hosts[plan.host] = host

    def add_agreement(self, home: OperatorPlan, visited: OperatorPlan) -> None:
        """Have two operators sign an agreement at the visited one's price."""
        rating, identity = self._base.rating, self._base.identity
        with self._base.store.write() as unit:
            tax = identity.directory.named(unit, PartyKind.TAX, f"tax {visited.jurisdiction}")
            assert tax is not None
            agreement = Agreement(
                home=self._operators[home.name].party_id,
                home_address=self._operators[home.name].address,
                visited=self._operators[visited.name].party_id,
                visited_address=self._operators[visited.name].address,
                asset=self._place.manifest.asset,
                protocol_party=self._base.hub.party_id,
                protocol_ppm=PROTOCOL_PPM,
                tax_party=tax.party_id,
                tariffs=(_tariff(visited),),
            )
            signatures = rating.sign_agreement(unit, agreement, identity.notary)
            refusal = rating.add_agreement(unit, agreement, signatures, at_us=self._clock.now_us())
            assert refusal is None, refusal

    def add_person(self, person: Person, *, k: bytes, opc: bytes) -> None:
        """Add a subscriber with its SIM and its prepaid balance."""
        subscriptions = self._base.identity.subscriptions
        home = self._operators[person.operator].party_id
        with self._base.store.write() as unit:
            made = _taken(subscriptions.add(unit, name=person.name, home=home, plan_id=PLAN_ID))
            _taken(
                subscriptions.add_credential(
                    unit, subscriber=made.party_id, imsi=person.imsi, keys=SimKeys(k, opc)
                )
            )
        if person.balance_minor:
            self.top_up(person, person.balance_minor, reference="demo")

    def top_up(self, person: Person, amount_minor: int, *, reference: str) -> None:
        """Put more on a subscriber's prepaid balance; once for a reference."""
        with self._base.store.write() as unit:
            subscriber = self._base.identity.directory.subscriber_by_imsi(unit, person.imsi)
            assert subscriber is not None, "whoever tops up was added before"
            refusal = top_up(
                unit,
                self._place.manifest.asset,
                subscriber=subscriber.party_id,
                home=subscriber.home,
                amount_minor=amount_minor,
                reference=reference,
                at_us=self._clock.now_us(),
                announcer=self._base.webhooks,
            )
            assert refusal is None, refusal

    def add_payer(self, person: Person, *, wallet: Address, amount_minor: int) -> None:
        """Let a subscriber pay as it uses, from a wallet with this much on chain."""
        _taken(Stakes(self._place).fund(wallet, amount_minor, reference="demo"))
        with self._base.store.write() as unit:
            subscriber = self._base.identity.directory.subscriber_by_imsi(unit, person.imsi)
            assert subscriber is not None, "whoever pays was added before"
            self._channels.service.enrol(unit, subscriber.party_id, Mode[person.pays.upper()])

    def shop(self, seller: str) -> Shop:
        """Return how one buys from an operator, by the plan it sells to everybody."""
        operator, service = self._operators[seller], self._channels.service
        with self._base.store.read() as unit:
            plans = self._base.rating.plans(unit)
        plan = next(item for item in plans if item.home == operator.party_id)

        def price(counters: Counters) -> int:
            legs = v1.retail_legs(plan.price, 0, counters)
            return legs.seller_minor + legs.tax_minor

        return Shop(
            venue=service.venue, settings=service.settings, seller=operator.address, price=price
        )

    def tend_channels(self, *, everything: bool = False) -> None:
        """Bring deposits to the chain and claim what is due; with `everything`, all of it."""
        for _ in range(TENDED_MAX if everything else 1):
            told = self._errands.tend_channels(everything=everything)
            assert not told.note, told.note

    def channels(self) -> list[ChannelLine]:
        """Return what each operator was paid through channels, by name."""
        contract = BatchChannels(self._channels.service.venue.contract)
        lines = []
        for name, operator in sorted(self._operators.items()):
            with self._base.store.read() as unit:
                own = [
                    channel
                    for channel in self._channels.service.channels(unit)
                    if channel.seller == operator.party_id
                ]
            paid = contract.receiver(operator.address, self._place.manifest.token)
            lines.append(
                ChannelLine(
                    name=name,
                    channels=len(own),
                    earned_minor=sum(channel.due_minor for channel in own),
                    settled_minor=paid.ask(self._place.client).total_settled_minor,
                )
            )
        return lines

    def add_stake(self, person: Person, *, key: bytes) -> None:
        """Lock a subscriber's tokens for the best tier, bind them, and set its discount aside."""
        stakes, signer = Stakes(self._place), KeySigner(key)
        lock_s = read_tiers(self._base.settings.stake_tiers)[-1].min_lock_s
        _taken(stakes.fund(signer.address, person.stake_minor, reference="demo"))
        _taken(stakes.stake(signer, person.stake_minor, lock_s, reference="demo"))
        with self._base.store.write() as unit:
            subscriber = self._base.identity.directory.subscriber_by_imsi(unit, person.imsi)
            assert subscriber is not None, "whoever stakes was added before"
            refusal = set_aside(
                unit,
                self._place.manifest.asset,
                home=subscriber.home,
                amount_minor=DISCOUNTS_MINOR,
                reference="demo",
                at_us=self._clock.now_us(),
            )
            assert refusal is None, refusal
        _taken(stakes.bind(subscriber, signer))
        self._stakers[person.name] = subscriber

    def deposit(self, plan: OperatorPlan, amount_minor: int, *, reference: str = "demo") -> None:
        """Put an operator's collateral into the clearing house; once for a reference."""
        _taken(self._errands.deposit(self._operators[plan.name], amount_minor, reference=reference))

    def collateral_minor(self, operator: str) -> int:
        """Return what an operator has in the clearing house."""
        name = chart.collateral(self._operators[operator].party_id)
        with self._base.store.read() as unit:
            return ledger.balance(unit, self._place.manifest.asset, name).posted_minor

    def now_us(self) -> int:
        """Return the world's time."""
        return self._clock.now_us()

    def set_time(self, now_us: int) -> None:
        """Move the world's clock."""
        self._clock.set(now_us)

    def close_cycle(self, at_us: int) -> CycleLine:
        """Cut, rate, clear and settle what was used, and wait until it is final."""
        closed = _taken(self._errands.close(at_us))
        assert closed.attempt is not None, "the story makes use in every cycle"
        for _ in range(PASSES_MAX):
            driven = self._errands.drive()
            if driven.is_settled:
                break
            time.sleep(PAUSE_S)
        assert driven.is_settled, driven.note
        self._news.tick()
        return self.cycles()[-1]

    def withdraw(self, host: str) -> Claimed:
        """Pay a host what it is entitled to."""
        done = _taken(self._errands.withdraw(self._hosts[host]))
        receipt = self._place.client.receipt(done.tx_hash)
        assert receipt is not None, "what was waited for is mined"
        return Claimed(withdrawn_minor=done.lifetime_minor, gas=receipt.gas_used)

    def verify_receipts(self) -> int:
        """Have a separate process verify every record's receipt; return how many held."""
        folder = self._base.folder.root / "receipts"
        folder.mkdir(exist_ok=True)
        for usage_id, text in self.receipts():
            (folder / f"{usage_id}.json").write_text(text)
        manifest = str(self._base.folder.manifest)
        command = [sys.executable, "-m", "opencarrier", "verify", str(folder), "--json"]
        command += ["--rpc", self._endpoints.rpc, "--manifest", manifest]
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=VERIFY_TIMEOUT_S, check=False
        )
        if done.returncode != 0:
            raise RuntimeError(f"verify ended {done.returncode}: {done.stderr or done.stdout}")
        verified = json.loads(done.stdout)["verified"]
        assert isinstance(verified, int)
        return verified

    def receipts(self) -> list[tuple[str, str]]:
        """Return every settled record's usage id and receipt."""
        place = self._place
        found = []
        with self._base.store.read() as unit:
            for cycle, _ in place.settlement.cycles(unit):
                for usage_id in place.clearing.usages(unit, cycle.cycle_id):
                    found.append((to_hex(usage_id), _taken(place.issuer.issue(unit, usage_id))))
        return found

    def cycles(self) -> list[CycleLine]:
        """Return the final cycles in their order."""
        with self._base.store.read() as unit:
            return cycle_lines(self._place, unit)

    def hosts(self) -> list[HostLine]:
        """Return what each host earned and withdrew, by name."""
        with self._base.store.read() as unit:
            return host_lines(self._place, unit)

    def operators(self) -> list[OperatorLine]:
        """Return what each operator has in the clearing house, by name."""
        with self._base.store.read() as unit:
            return operator_lines(self._place, unit)

    def stakers(self) -> list[StakerLine]:
        """Return what each staker paid in the final cycles, and what it did not have to."""
        place, found = self._place, []
        with self._base.store.read() as unit:
            cycles = place.settlement.cycles(unit)
            charges = [
                charge
                for cycle, _ in cycles
                for charge in self._base.rating.charges(unit, cycle.cycle_id)
            ]
        for name, subscriber in self._stakers.items():
            own = [item for item in charges if item.payer == subscriber.party_id and item.stake]
            line = StakerLine(
                name=name,
                paid_minor=sum(item.amount_minor for item in own),
                saved_minor=sum(item.discount_minor for item in own),
            )
            found.append(line)
        return found

    def agrees(self) -> bool:
        """Say whether ledger, contracts and charges agree, member by member."""
        with self._base.store.read() as unit:
            return self._place.settlement.reconcile(unit, charges=True).agrees

    def ledger_sum(self) -> dict[str, int]:
        """Return the sum of every book, per asset."""
        with self._base.store.read() as unit:
            return {str(asset): total for asset, total in ledger.sum_minor(unit).items()}

    def _plan(self, operator: Operator, plan: OperatorPlan) -> RetailPlan:
        return RetailPlan(
            plan_id=PLAN_ID,
            home=operator.party_id,
            asset=self._place.manifest.asset,
            price=Price(**_always(plan.retail_nano, plan.tax_ppm)),
            rate_cap_octets_per_s=RATE_CAP_OCTETS_PER_S,
            session_s_max=SESSION_S_MAX,
            interim_s=INTERIM_S,
        )


def _tariff(visited: OperatorPlan) -> Tariff:
    return Tariff(host_ppm=visited.host_ppm, **_always(visited.wholesale_nano, visited.tax_ppm))


def _always(price_nano: int, tax_ppm: int) -> dict[str, Any]:
    return {
        "window": Window(0, INT64_MAX),
        "unit": "octets_total",
        "step": STEP_OCTETS,
        "price_nano": price_nano,
        "minimum_minor": 0,
        "tax_ppm": tax_ppm,
        "tax_included": False,
    }


def _taken(outcome: T | Refusal) -> T:
    assert not isinstance(outcome, Refusal), f"the demo's world is refused: {outcome}"
    return outcome
