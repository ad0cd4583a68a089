"""The deployed contracts with the people of the story, as every contract test finds them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from contract_evm import FAR_S, MAX, RULEBOOK, TERMS, Evm, Outcome, key, sealed

from opencarrier.chain import events, typed_data
from opencarrier.chain.contracts import ClearingHouse, RewardDistributor, StableToken
from opencarrier.chain.model import Call
from opencarrier.kernel.keccak import keccak
from opencarrier.kernel.signatures import Address, KeySigner, Signature
from opencarrier.spine.money import Net, SettlementOrder

TOKEN = 1_000_000
DEPOSIT = 1_000 * TOKEN


@dataclass(frozen=True)
class _Named:
    """A sender without a key: a contract."""

    address: Address


class World:
    """Owner, settler, stranger, four members ascending by address, and two hosts."""

    def __init__(self, evm: Evm | None = None) -> None:
        self.evm = evm or Evm()
        self.owner, self.settler, self.stranger = key("owner"), key("settler"), key("stranger")
        self.guardian = key("guardian")
        self.members = sorted(
            (key(f"member {i}") for i in range(4)), key=lambda signer: signer.address
        )
        self.hosts = [key("host 0"), key("host 1")]
        self._deploy()
        for member in self.members:
            self.join(member)

    def _deploy(self) -> None:
        owner = self.owner.address
        self.token = StableToken(
            self.evm.deploy(
                owner,
                StableToken.deployment(name="Test Dollar", symbol="USDt", version="1", owner=owner),
            )
        )
        self.house = ClearingHouse(
            self.evm.deploy(
                owner,
                ClearingHouse.deployment(
                    owner=owner,
                    settler=self.settler.address,
                    rulebook_hash=RULEBOOK,
                    terms=TERMS,
                ),
            )
        )
        self.rewards = RewardDistributor(
            self.evm.deploy(
                owner,
                RewardDistributor.deployment(
                    clearing_house=self.house.address,
                    owner=owner,
                    guardian=self.guardian.address,
                    delay_s=0,
                ),
            )
        )
        self.send(self.owner, self.house.list_token(self.usd))
        self.send(self.owner, self.house.set_distributor(self.rewards.address))
        self.send(self.owner, self.token.set_minter(owner, allowed=True))

    def join(self, member: KeySigner, amount: int = DEPOSIT) -> None:
        """Register a member with collateral, a standing approval and the same again in hand."""
        self.send(self.owner, self.house.set_member(self.usd, member.address, registered=True))
        self.send(self.owner, self.token.mint(member.address, 2 * amount))
        self.send(member, self.token.approve(self.house.address, MAX))
        if amount:
            self.send(member, self.house.deposit(self.usd, member.address, amount))

    def coin(self, symbol: str) -> StableToken:
        """Another listed token, of which nobody has any."""
        owner = self.owner.address
        text = StableToken.deployment(name=symbol, symbol=symbol, version="1", owner=owner)
        coin = StableToken(self.evm.deploy(owner, text))
        self.send(self.owner, self.house.list_token(coin.address))
        self.send(self.owner, coin.set_minter(owner, allowed=True))
        return coin

    def send(self, sender: KeySigner | _Named, call: Call) -> Outcome:
        return self.evm.send(sender.address, call)

    def told(self, outcome: Outcome) -> list[events.Event]:
        """Every event of an outcome, read by whichever contract wrote it."""
        contracts = (self.token, self.house, self.rewards)
        found = [
            contract.event(log)
            for log in outcome.logs
            for contract in contracts
            if log.address == contract.address
        ]
        assert None not in found
        return found

    @property
    def usd(self) -> Address:
        """The token everybody uses."""
        return self.token.address

    def tokens(self, account: Address) -> int:
        return self.token.balance_of(account).ask(self.evm)

    def balance(self, member: KeySigner) -> int:
        return self.house.balance_of(self.usd, member.address).ask(self.evm)

    def balances(self) -> list[int]:
        return [self.balance(member) for member in self.members]

    @property
    def domain(self) -> typed_data.SigningDomain:
        return self.house.signing_domain(self.evm.chain_id)

    @property
    def token_domain(self) -> typed_data.SigningDomain:
        return self.token.signing_domain().ask(self.evm)

    def debit(self, order: SettlementOrder, member: KeySigner, amount: int) -> Signature:
        digest = typed_data.debit_digest(
            self.domain,
            settlement_id=order.settlement_id,
            rulebook_hash=RULEBOOK,
            token=self.token.address,
            member=member.address,
            amount_minor=amount,
        )
        return member.sign(digest)

    def order(
        self,
        amounts: Sequence[int],
        *,
        sequence: int = 1,
        signed: bool = True,
        rewards_root: bytes | None = None,
        **fields,
    ) -> SettlementOrder:
        """An order for the members in turn, zeros left out; what is missing to zero is rewards."""
        rewards = -sum(amounts)
        root = keccak(b"rewards %d" % sequence) if rewards else bytes(32)
        if rewards_root is not None:
            root = rewards_root
        nets = [
            Net(address=member.address, amount_minor=amount)
            for member, amount in zip(self.members, amounts, strict=False)
            if amount
        ]
        fields.setdefault("cycle_id", keccak(b"cycle %d" % sequence))
        terms = {
            "token": self.token.address,
            "nets": nets,
            "rewards_root": root,
            "rewards_minor": rewards,
            **fields,
        }
        debits = [net for net in nets if net.amount_minor < 0]
        draft = sealed(sequence=sequence, signatures=[None] * len(debits), **terms)
        signatures: list[Signature | None] = [
            self.debit(draft, self.member(net.address), -net.amount_minor) if signed else None
            for net in debits
        ]
        return sealed(sequence=sequence, signatures=signatures, **terms)

    @property
    def house_as_signer(self) -> _Named:
        """The clearing house as a sender, which members have given an allowance."""
        return _Named(self.house.address)

    def member(self, address: Address) -> KeySigner:
        return next(m for m in self.members if m.address == address)

    def settle(self, order: SettlementOrder) -> Outcome:
        return self.send(self.settler, self.house.settle(self.usd, order))

    def mandate(self, member: KeySigner, cap: int, until: int = FAR_S) -> Outcome:
        return self.send(member, self.house.set_mandate(self.usd, cap, until))
