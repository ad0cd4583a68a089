"""Channels are opened, claimed one by one and by the hundred, settled, withdrawn and refunded.

`x402_gas.json` beside this has what x402's own contracts take for the same steps, measured with
their bytes in place of ours: x402BatchSettlement.sol and ERC3009DepositCollector.sol built by
solc 0.8.28 (cancun, 200 runs, no metadata) with OpenZeppelin 5.5.0. Since then our token became
cheaper; both contracts call it alike (`balanceOf` around the collector, one `transfer` out), so
each step of theirs was lowered by what the same calls save in ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from channel_world import DELAY_S, PULLING_COLLECTOR
from contract_evm import FAR_S, MAX, key
from contract_story import CHAIN_ID, Step, Story

from opencarrier.chain import typed_data
from opencarrier.chain.client import ChainClient
from opencarrier.chain.contracts import (
    CLAIM_ROWS_MAX,
    BatchChannels,
    Erc3009DepositCollector,
    StableToken,
    VoucherClaim,
    collector_data,
)
from opencarrier.chain.model import Call
from opencarrier.chain.typed_data import Authorization, ChannelConfig, ClaimEntry
from opencarrier.kernel.keccak import keccak

MONEY = 1_000_000
SIZES = (1, 10, CLAIM_ROWS_MAX)

REFUSALS = {
    "claim by stranger": "NotAuthorizedToClaim",
    "claim over voucher": "ClaimExceedsCeiling",
    "claim over balance": "ClaimExceedsBalance",
    "claim forged": "InvalidSignature",
    "claim nothing": "EmptyBatch",
    "withdraw too early": "WithdrawDelayNotElapsed",
    "refund again": "InvalidRefundNonce",
    "deposit nothing": "ZeroDeposit",
}
"""Every step that fails, and the name of its error."""


def play(client: ChainClient, *, crowd: bool = True) -> list[Step]:
    """Tell the whole story; with `crowd` also claims of up to 100 channels."""
    story = _Channels(Story(client))
    story.deposit()
    story.claim(SIZES if crowd else SIZES[:1])
    story.refuse()
    story.leave()
    story.close()
    return story.story.steps


class _Channels:
    """One payer, one who claims for many receivers, and a relay without any right."""

    def __init__(self, story: Story) -> None:
        self.story = story
        self.owner, self.relay = story.people["owner"], story.people["stranger"]
        self.payer, self.claimer = story.people["member 0"], story.people["member 1"]
        self.payer_authorizer = key("payer authorizer")
        owner = self.owner.address
        deployment = StableToken.deployment(
            name="Test Dollar", symbol="USDt", version="1", owner=owner
        )
        self.token = StableToken(story.deploy("deploy token", deployment))
        self.channels = BatchChannels(story.deploy("deploy channels", BatchChannels.deployment()))
        self.collector = Erc3009DepositCollector(
            story.deploy(
                "deploy collector",
                Erc3009DepositCollector.deployment(channels=self.channels.address),
            )
        )
        self.puller = story.deploy("deploy puller", _compiled(PULLING_COLLECTOR))
        self.domain = self.channels.signing_domain(CHAIN_ID)
        story.tell("set minter", self.owner, self.token.set_minter(owner, allowed=True))
        story.tell("mint", self.owner, self.token.mint(self.payer.address, 10**6 * MONEY))
        story.tell("approve", self.payer, self.token.approve(self.puller, MAX))

    def terms(self, number: int, receiver: str = "receiver") -> ChannelConfig:
        return ChannelConfig(
            payer=self.payer.address,
            payer_authorizer=self.payer_authorizer.address,
            receiver=key(receiver).address,
            receiver_authorizer=self.claimer.address,
            token=self.token.address,
            withdraw_delay_s=DELAY_S,
            salt=keccak(b"channel %d" % number),
        )

    def id(self, config: ChannelConfig) -> bytes:
        return typed_data.channel_id(self.domain, config)

    def pulled(self, config: ChannelConfig, amount: int = MONEY) -> Call:
        return self.channels.deposit(config, amount, collector=self.puller, collector_data=b"")

    def signed(self, config: ChannelConfig, salt: int) -> Call:
        granted = Authorization(
            sender=self.payer.address,
            receiver=self.collector.address,
            amount_minor=MONEY,
            valid_after_s=0,
            valid_before_s=FAR_S,
            nonce=typed_data.deposit_nonce(self.id(config), salt),
        )
        domain = self.token.signing_domain().ask(self.story.client)
        signature = self.payer.sign(typed_data.receive_digest(domain, granted)).octets
        data = collector_data(granted, salt=salt, signature=signature)
        return self.channels.deposit(
            config, MONEY, collector=self.collector.address, collector_data=data
        )

    def row(self, config: ChannelConfig, total: int, ceiling: int | None = None) -> VoucherClaim:
        ceiling = total if ceiling is None else ceiling
        digest = typed_data.voucher_digest(self.domain, self.id(config), ceiling)
        return VoucherClaim(
            config=config,
            max_claimable_minor=ceiling,
            signature=self.payer_authorizer.sign(digest).octets,
            total_claimed_minor=total,
        )

    def authorized(self, rows: Sequence[VoucherClaim]) -> Call:
        entries = [
            ClaimEntry(
                channel_id=self.id(row.config),
                max_claimable_minor=row.max_claimable_minor,
                total_claimed_minor=row.total_claimed_minor,
            )
            for row in rows
        ]
        digest = typed_data.claim_batch_digest(self.domain, entries)
        return self.channels.claim_with_signature(rows, self.claimer.sign(digest).octets)

    def refunded(self, config: ChannelConfig, nonce: int) -> Call:
        digest = typed_data.refund_digest(
            self.domain, channel_id=self.id(config), nonce=nonce, amount_minor=100
        )
        signature = self.claimer.sign(digest).octets
        return self.channels.refund_with_signature(config, 100, nonce=nonce, signature=signature)

    def deposit(self) -> None:
        tell = self.story.tell
        tell("deposit first", self.relay, self.pulled(self.terms(0)))
        tell("deposit repeat", self.relay, self.pulled(self.terms(0)))
        tell("deposit by signature first", self.relay, self.signed(self.terms(1), 1))
        tell("deposit by signature repeat", self.relay, self.signed(self.terms(1), 2))

    def claim(self, sizes: Sequence[int]) -> None:
        for size in sizes:
            for way, sender, call in (
                ("claim", self.claimer, self.channels.claim),
                ("claim with signature", self.relay, self.authorized),
            ):
                receiver = f"receiver of {way} {size}"
                configs = [self.terms(1000 * size + i, receiver) for i in range(size)]
                for config in configs:
                    self.story.tell(
                        "deposit for claims", self.relay, self.pulled(config), ask=False
                    )
                for count, word in enumerate(("first", "repeat"), 1):
                    rows = [self.row(config, 1000 * count) for config in configs]
                    ask = size < CLAIM_ROWS_MAX
                    self.story.tell(f"{way} {size} {word}", sender, call(rows), ask=ask)
                    settle = self.channels.settle(key(receiver).address, self.token.address)
                    self.story.tell(f"settle {word}", self.relay, settle)

    def refuse(self) -> None:
        fail, claim, config = self.story.fail, self.channels.claim, self.terms(0)
        fail("claim by stranger", self.relay, claim([self.row(config, 1)]))
        fail("claim over voucher", self.claimer, claim([self.row(config, 2, ceiling=1)]))
        fail("claim over balance", self.claimer, claim([self.row(config, 3 * MONEY)]))
        forged = replace(self.row(config, 1), max_claimable_minor=2)
        fail("claim forged", self.claimer, claim([forged]))
        fail("claim nothing", self.claimer, claim([]))
        fail("deposit nothing", self.relay, self.pulled(config, 0))

    def leave(self) -> None:
        config = self.terms(0)
        announce = self.channels.initiate_withdraw(config, MONEY)
        self.story.tell("initiate withdraw", self.payer, announce)
        take = self.channels.finalize_withdraw(config)
        self.story.fail("withdraw too early", self.payer, take)
        self.story.pass_time(DELAY_S)
        self.story.tell("finalize withdraw", self.payer, take)

    def close(self) -> None:
        tell, config, other = self.story.tell, self.terms(0), self.terms(1)
        for word in ("first", "repeat"):
            tell(f"refund {word}", self.claimer, self.channels.refund(config, 100))
        for nonce, word in enumerate(("first", "repeat")):
            call = self.refunded(other, nonce)
            tell(f"refund with signature {word}", self.relay, call)
        self.story.fail("refund again", self.relay, call)
        both = [self.authorized([self.row(other, 500)]), self.refunded(other, 2)]
        tell("multicall", self.relay, self.channels.multicall(both))


def _compiled(text: str) -> Call:
    from vyper.compiler import compile_code

    built = compile_code(text, output_formats=["bytecode"])
    return Call(to=None, data=bytes.fromhex(built["bytecode"].removeprefix("0x")))
