"""A hub whose channels stand at x402's address, and a payer that signs what it likes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from starlette.testclient import TestClient
from tests.app.scene import scene
from tests.paywall.shop import PURSE_MINOR, Shop

from opencarrier.access.model import Metrics
from opencarrier.app.http import Web, make_app
from opencarrier.app.selling import Desk
from opencarrier.app.selling_by_channel import ChannelDesk
from opencarrier.chain.contracts import (
    X402_COLLECTOR_ADDRESS,
    X402_SETTLEMENT_ADDRESS,
    BatchChannels,
)
from opencarrier.chain.keys import LocalSigner
from opencarrier.chain.typed_data import (
    Authorization,
    ChannelConfig,
    channel_id,
    deposit_nonce,
    receive_digest,
    voucher_digest,
)
from opencarrier.channels.model import Channel
from opencarrier.kernel.clock import SECOND_US
from opencarrier.kernel.ids import Id
from opencarrier.kernel.signatures import KeySigner
from opencarrier.paywall.model import ChannelPayment, Offer, Way
from opencarrier.paywall.wire.exchange import PAYMENT_SIGNATURE, read_required
from opencarrier.paywall.wire.vouchers import write_channel_payment
from opencarrier.spine.channels import GaslessDeposit
from opencarrier.spine.usage import ZERO

PAYER, OTHER = KeySigner(b"\x71" * 32), KeySigner(b"\x72" * 32)
DEPLOYER = LocalSigner(b"\x73" * 32)
DEPOSIT_MINOR = 200_000


@dataclass
class ChannelShop(Shop):
    """A shop that takes vouchers."""

    def offer(self, method: str, url: str) -> Offer:
        answer = self.client.request(method, url)
        assert answer.status_code == 402, answer.text
        _, offer = read_required(answer.headers["PAYMENT-REQUIRED"]).offers
        assert offer.channel is not None
        return offer

    def config(self, offer: Offer, *, signer: KeySigner = PAYER, salt: int = 0) -> ChannelConfig:
        return ChannelConfig(
            payer=signer.address,
            payer_authorizer=signer.address,
            receiver=offer.receiver,
            receiver_authorizer=offer.channel.receiver_authorizer,
            token=offer.token,
            withdraw_delay_s=offer.channel.withdraw_delay_s,
            salt=salt.to_bytes(32, "big"),
        )

    @property
    def domain(self):
        return BatchChannels(X402_SETTLEMENT_ADDRESS).signing_domain(31337)

    def voucher(
        self,
        offer: Offer,
        config: ChannelConfig,
        amount_minor: int,
        *,
        way: Way = Way.VOUCHER,
        signer: KeySigner = PAYER,
        deposit: GaslessDeposit | None = None,
    ) -> ChannelPayment:
        key = Id(channel_id(self.domain, config))
        return ChannelPayment(
            offer=offer,
            way=way,
            config=config,
            channel_id=key,
            voucher_minor=amount_minor,
            signature=signer.sign(voucher_digest(self.domain, key, amount_minor)).octets,
            deposit=deposit,
        )

    def deposit(
        self,
        config: ChannelConfig,
        *,
        amount_minor: int = DEPOSIT_MINOR,
        signer: KeySigner = PAYER,
        salt: int = 1,
        valid_s: int = 300,
    ) -> GaslessDeposit:
        key = channel_id(self.domain, config)
        until_s = self.now_s + valid_s
        given = Authorization(
            sender=config.payer,
            receiver=X402_COLLECTOR_ADDRESS,
            amount_minor=amount_minor,
            valid_after_s=0,
            valid_before_s=until_s,
            nonce=deposit_nonce(key, salt),
        )
        domain = self.token.signing_domain().ask(self.place.client)
        return GaslessDeposit(
            amount_minor=amount_minor,
            valid_after_s=0,
            valid_before_s=until_s,
            salt=salt,
            signature=signer.sign(receive_digest(domain, given)).octets,
        )

    def opened(self, *, salt: int, signer: KeySigner = PAYER) -> tuple[Offer, ChannelConfig]:
        """Open a channel and buy the first quote through it."""
        offer = self.offer("GET", self.quote_url)
        config = self.config(offer, signer=signer, salt=salt)
        first = self.voucher(
            offer,
            config,
            offer.amount_minor,
            way=Way.DEPOSIT,
            signer=signer,
            deposit=self.deposit(config, signer=signer, salt=salt + 1),
        )
        answer = self.show("GET", self.quote_url, first)
        assert answer.status_code == 200, answer.text
        return offer, config

    def show(self, method: str, url: str, payment: ChannelPayment):
        headers = {PAYMENT_SIGNATURE: write_channel_payment(payment, url=url)}
        return self.client.request(method, url, headers=headers)

    def why(self, answer) -> str:
        assert answer.status_code == 402, answer.text
        return read_required(answer.headers["PAYMENT-REQUIRED"]).error

    def channel(self, config: ChannelConfig) -> Channel:
        with self.place.base.store.read() as unit:
            found = self.place.channels.service.channel(unit, channel_id(self.domain, config))
        assert found is not None
        return found

    def buy_quote(self, payment: ChannelPayment):
        """Buy as a request does, without HTTP between."""
        desk = Desk(self.place, pause=lambda _: None)
        sell = partial(
            desk.quote, home="Home", plan="prepaid", counters=replace(ZERO, session_time_s=60)
        )
        return ChannelDesk(desk, self.place.channel_sales).buy("a quote", payment, sell)


@contextmanager
def channel_shop(root: Path) -> Iterator[ChannelShop]:
    """Open a hub with payers that have tokens."""
    with scene(root, payment_wait_s=1, channels="x402") as made:
        web = Web(made.place, Metrics, token="the token")
        shop = ChannelShop(made, TestClient(make_app(web), base_url="http://127.0.0.1"))
        for signer in (PAYER, OTHER):
            shop.send(shop.token.mint(signer.address, PURSE_MINOR), f"mint {signer.address}")
        yield shop


def later(shop: ChannelShop) -> None:
    """Let time go on, so that no test meets another's rate."""
    clock = shop.made.clock
    clock.set(clock.now_us() + 10 * SECOND_US)
