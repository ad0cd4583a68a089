"""Channels with the people around them, as every test of the channel contract finds them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from contract_evm import FAR_S, MAX, Evm, Outcome, key, vyper

from opencarrier.chain import events, typed_data
from opencarrier.chain.contracts import (
    WITHDRAW_DELAY_S_MIN,
    BatchChannels,
    ChannelState,
    Erc3009DepositCollector,
    ReceiverState,
    StableToken,
    VoucherClaim,
    collector_data,
)
from opencarrier.chain.model import Call
from opencarrier.chain.typed_data import Authorization, ChannelConfig, ClaimEntry, SigningDomain
from opencarrier.kernel.keccak import keccak
from opencarrier.kernel.signatures import Address, KeySigner

TOKEN = 1_000_000
DEPOSIT = 100 * TOKEN
DELAY_S = WITHDRAW_DELAY_S_MIN

PULLING_COLLECTOR = (
    Path(__file__).parents[2] / "contracts" / "mocks" / "DepositCollectorMock.vy"
).read_text()
"""The simplest collector: it takes what the payer has allowed it to."""


class ChannelWorld:
    """A payer and a receiver, each with its authorizer, a relay, and the terms of one channel."""

    def __init__(self, evm: Evm | None = None) -> None:
        self.evm = evm or Evm()
        self.owner, self.relay = key("owner"), key("relay")
        self.payer, self.payer_authorizer = key("payer"), key("payer authorizer")
        self.receiver, self.receiver_authorizer = key("receiver"), key("receiver authorizer")
        owner = self.owner.address
        self.token = StableToken(
            self.evm.deploy(
                owner,
                StableToken.deployment(name="Test Dollar", symbol="USDt", version="1", owner=owner),
            )
        )
        self.channels = BatchChannels(self.evm.deploy(owner, BatchChannels.deployment()))
        self.collector = Erc3009DepositCollector(
            self.evm.deploy(
                owner, Erc3009DepositCollector.deployment(channels=self.channels.address)
            )
        )
        self.puller = vyper(PULLING_COLLECTOR, sender=owner, evm=self.evm)
        self.config = self.terms()
        self.send(self.owner, self.token.set_minter(owner, allowed=True))
        self.fund(self.payer)

    def terms(self, salt: int = 0, **changed) -> ChannelConfig:
        """The terms of a channel; another salt is another channel."""
        config = ChannelConfig(
            payer=self.payer.address,
            payer_authorizer=self.payer_authorizer.address,
            receiver=self.receiver.address,
            receiver_authorizer=self.receiver_authorizer.address,
            token=self.token.address,
            withdraw_delay_s=DELAY_S,
            salt=keccak(b"salt %d" % salt),
        )
        return replace(config, **changed)

    def fund(self, payer: KeySigner, amount: int = 1000 * DEPOSIT) -> None:
        """Give somebody tokens, and the pulling collector leave to take them."""
        self.send(self.owner, self.token.mint(payer.address, amount))
        self.send(payer, self.token.approve(self.puller, MAX))

    def send(self, sender: KeySigner, call: Call) -> Outcome:
        return self.evm.send(sender.address, call)

    def deposit(self, amount: int = DEPOSIT, config: ChannelConfig | None = None) -> Outcome:
        """Fill a channel, by whoever may."""
        return self.send(self.relay, self.deposit_call(amount, config or self.config))

    def deposit_call(self, amount: int, config: ChannelConfig) -> Call:
        return self.channels.deposit(config, amount, collector=self.puller, collector_data=b"")

    def deposit_signed(self, amount: int, config: ChannelConfig, *, salt: int = 7) -> Call:
        """A deposit by the payer's ERC-3009 signature."""
        granted = Authorization(
            sender=self.payer.address,
            receiver=self.collector.address,
            amount_minor=amount,
            valid_after_s=0,
            valid_before_s=FAR_S,
            nonce=typed_data.deposit_nonce(self.id(config), salt),
        )
        domain = self.token.signing_domain().ask(self.evm)
        signature = self.payer.sign(typed_data.receive_digest(domain, granted)).octets
        return self.channels.deposit(
            config,
            amount,
            collector=self.collector.address,
            collector_data=collector_data(granted, salt=salt, signature=signature),
        )

    @property
    def domain(self) -> SigningDomain:
        return self.channels.signing_domain(self.evm.chain_id)

    def id(self, config: ChannelConfig | None = None) -> bytes:
        return typed_data.channel_id(self.domain, config or self.config)

    def row(
        self,
        total: int,
        config: ChannelConfig | None = None,
        *,
        ceiling: int | None = None,
        signer: KeySigner | None = None,
        signature: bytes | None = None,
    ) -> VoucherClaim:
        """A claim under a voucher of exactly that much, if nothing else is said."""
        config = config or self.config
        ceiling = total if ceiling is None else ceiling
        digest = typed_data.voucher_digest(self.domain, self.id(config), ceiling)
        signer = signer or self.payer_authorizer
        return VoucherClaim(
            config=config,
            max_claimable_minor=ceiling,
            signature=signer.sign(digest).octets if signature is None else signature,
            total_claimed_minor=total,
        )

    def batch_signature(
        self, rows: Sequence[VoucherClaim], signer: KeySigner | None = None
    ) -> bytes:
        """What lets anybody submit these rows."""
        entries = [
            ClaimEntry(
                channel_id=self.id(row.config),
                max_claimable_minor=row.max_claimable_minor,
                total_claimed_minor=row.total_claimed_minor,
            )
            for row in rows
        ]
        digest = typed_data.claim_batch_digest(self.domain, entries)
        return (signer or self.receiver_authorizer).sign(digest).octets

    def refund_signature(
        self, amount: int, nonce: int, config: ChannelConfig | None = None
    ) -> bytes:
        """What lets anybody submit this refund."""
        digest = typed_data.refund_digest(
            self.domain, channel_id=self.id(config), nonce=nonce, amount_minor=amount
        )
        return self.receiver_authorizer.sign(digest).octets

    def claim(self, *rows: VoucherClaim) -> Outcome:
        return self.send(self.receiver, self.channels.claim(rows))

    def settle(self) -> Outcome:
        return self.send(
            self.relay, self.channels.settle(self.receiver.address, self.token.address)
        )

    def state(self, config: ChannelConfig | None = None) -> ChannelState:
        return self.channels.channel(self.id(config)).ask(self.evm)

    def owed(self) -> ReceiverState:
        return self.channels.receiver(self.receiver.address, self.token.address).ask(self.evm)

    def tokens(self, account: Address) -> int:
        return self.token.balance_of(account).ask(self.evm)

    def told(self, outcome: Outcome) -> list[events.Event]:
        """What the channels told in an outcome."""
        found = [self.channels.event(log) for log in outcome.logs]
        return [event for event in found if event is not None]
