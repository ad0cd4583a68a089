"""What the demo's story asks of the installation it plays on; whoever runs both supplies it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from opencarrier.channels.model import ChannelSettings, ChannelVenue
from opencarrier.channels.rules import Price
from opencarrier.kernel import signatures
from opencarrier.sim.world import NodePlan, OperatorPlan, Person

Address = tuple[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shop:
    """Where a phone that pays as it uses buys: whom it pays, and its own reading of the plan."""

    venue: ChannelVenue
    settings: ChannelSettings
    seller: signatures.Address
    price: Price


class CycleTold(Protocol):
    """A settled cycle in the words of the story; amounts in minor units."""

    @property
    def sequence(self) -> int:
        """Its number."""
        ...

    @property
    def records(self) -> int:
        """How many records it settled."""
        ...

    @property
    def gross_minor(self) -> int:
        """What was owed."""
        ...

    @property
    def net_minor(self) -> int:
        """What had to move."""
        ...

    @property
    def records_root(self) -> str:
        """The root over its records, in hex."""
        ...

    @property
    def tx_hash(self) -> str:
        """The transaction that settled it, in hex."""
        ...


class HostTold(Protocol):
    """What a host took."""

    @property
    def withdrawn_minor(self) -> int:
        """How much, in minor units."""
        ...

    @property
    def gas(self) -> int:
        """What its one claim used."""
        ...


class Stage(Protocol):
    """An installation that is being set up and then used; calls block."""

    @property
    def auth(self) -> Address:
        """Where RADIUS authentication is answered."""
        ...

    @property
    def acct(self) -> Address:
        """Where RADIUS accounting is answered."""
        ...

    @property
    def vouchers(self) -> Address:
        """Where vouchers are taken, over HTTP."""
        ...

    def add_operator(self, plan: OperatorPlan, *, radio_source: str, secret: bytes) -> None:
        """Add an operator, its access points' RADIUS client and its retail plan."""
        ...

    def add_node(self, plan: NodePlan) -> None:
        """Add an access point and, the first time, its host."""
        ...

    def add_agreement(self, home: OperatorPlan, visited: OperatorPlan) -> None:
        """Have two operators sign an agreement at the visited one's price."""
        ...

    def add_person(self, person: Person, *, k: bytes, opc: bytes) -> None:
        """Add a subscriber with its SIM and its prepaid balance."""
        ...

    def add_payer(self, person: Person, *, wallet: signatures.Address, amount_minor: int) -> None:
        """Let a subscriber pay as it uses, from a wallet with this much on chain."""
        ...

    def shop(self, seller: str) -> Shop:
        """Return how one buys from an operator."""
        ...

    def tend_channels(self, *, everything: bool = False) -> None:
        """Bring deposits to the chain and claim what is due; with `everything`, all of it."""
        ...

    def add_stake(self, person: Person, *, key: bytes) -> None:
        """Lock a subscriber's tokens for a discount, and say that they are its own."""
        ...

    def top_up(self, person: Person, amount_minor: int, *, reference: str) -> None:
        """Put more on a subscriber's prepaid balance."""
        ...

    def deposit(self, plan: OperatorPlan, amount_minor: int, *, reference: str = "demo") -> None:
        """Put an operator's collateral into the clearing house; once for a reference."""
        ...

    def collateral_minor(self, operator: str) -> int:
        """Return what an operator has in the clearing house."""
        ...

    def set_time(self, now_us: int) -> None:
        """Move the world's clock."""
        ...

    def close_cycle(self, at_us: int) -> CycleTold:
        """Cut, rate, clear and settle what was used, and wait until it is final."""
        ...

    def withdraw(self, host: str) -> HostTold:
        """Pay a host what it is entitled to."""
        ...

    def verify_receipts(self) -> int:
        """Have a separate process verify every record's receipt; return how many held."""
        ...
