"""A hub that sells, a payer with tokens, and the payments it signs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import count
from pathlib import Path

from starlette.testclient import TestClient
from tests.app.scene import Scene, scene

from opencarrier.access.model import Metrics
from opencarrier.app.bootstrap import Onchain
from opencarrier.app.http import Web, make_app
from opencarrier.app.selling import Desk
from opencarrier.chain.contracts import StableToken
from opencarrier.chain.keys import DynamicFeeTransaction, LocalSigner
from opencarrier.chain.model import Call
from opencarrier.chain.typed_data import Authorization, transfer_digest
from opencarrier.kernel.clock import SECOND_US
from opencarrier.kernel.ids import derive
from opencarrier.kernel.signatures import KeySigner
from opencarrier.ledger import chart
from opencarrier.ledger import service as ledger
from opencarrier.paywall import rules
from opencarrier.paywall.model import Offer, Payment
from opencarrier.paywall.wire.exchange import PAYMENT_SIGNATURE, read_required, write_payment

PAYER = KeySigner(b"\x11" * 32)
OTHER = KeySigner(b"\x22" * 32)
STRANGER = LocalSigner(b"\x44" * 32)
PURSE_MINOR = 1_000_000_000
AMOUNT = 2_000_000


@dataclass
class Shop:
    """The hub's HTTP side and what stands behind it."""

    made: Scene
    client: TestClient
    numbers: Iterator[int] = field(default_factory=lambda: count(1))

    @property
    def place(self) -> Onchain:
        return self.made.place

    @property
    def token(self) -> StableToken:
        return StableToken(self.place.manifest.token)

    @property
    def desk(self) -> Desk:
        return Desk(self.place, pause=lambda _: None)

    @property
    def top_up_url(self) -> str:
        return f"/v1/topup/{self.made.subscriber.party_id}?amount={AMOUNT}"

    @property
    def quote_url(self) -> str:
        return "/v1/quote?home=Home&plan=prepaid&seconds=60&octets_out=10000000"

    @property
    def now_s(self) -> int:
        return self.place.base.clock.now_us() // SECOND_US

    def send(self, call: Call, name: str) -> None:
        """Have the hub's key do something on the chain."""
        self.place.work.do(derive("test", name), call)

    def ask(self, method: str, url: str) -> Offer:
        """Ask without paying."""
        answer = self.client.request(method, url)
        assert answer.status_code == 402, answer.text
        (offer,) = read_required(answer.headers["PAYMENT-REQUIRED"]).offers
        return offer

    def pay(self, method: str, url: str, payment: Payment):
        headers = {PAYMENT_SIGNATURE: write_payment(payment, url=url)}
        return self.client.request(method, url, headers=headers)

    def sign(
        self, offer: Offer, *, signer: KeySigner = PAYER, nonce: bytes = b"", **changes: object
    ) -> Payment:
        """Sign an offer; `changes` are to the authorisation, before it is signed."""
        given = Authorization(
            sender=signer.address,
            receiver=offer.receiver,
            amount_minor=offer.amount_minor,
            valid_after_s=0,
            valid_before_s=self.now_s + offer.timeout_s,
            nonce=nonce or next(self.numbers).to_bytes(32, "big"),
        )
        given = replace(given, **changes)
        signature = signer.sign(transfer_digest(rules.domain_of(offer), given))
        return Payment(offer=offer, authorization=given, signature=signature.octets)

    def buy_top_up(self, payment: Payment):
        """Pay as a request does, without HTTP between."""
        sell = partial(
            self.desk.top_up, subscriber=self.made.subscriber.party_id, amount_minor=AMOUNT
        )
        return self.desk.buy(f"POST {self.top_up_url}", payment, sell)

    def stranger_submits(self, call: Call) -> None:
        """Have somebody who is not the hub send a transaction."""
        client = self.place.client
        signed = STRANGER.sign_transaction(
            DynamicFeeTransaction(
                chain_id=client.chain_id,
                nonce=client.nonce(STRANGER.address),
                max_priority_fee_per_gas_wei=10**9,
                max_fee_per_gas_wei=10**11,
                gas_limit=300_000,
                to=call.to,
                value_wei=0,
                data=call.data,
            )
        )
        client.send_raw(signed.raw)

    def pay_held_back(self, method: str, url: str, payment: Payment):
        """Pay a hub whose transactions do not get out."""
        manager = self.place.manager
        drive = manager.drive
        manager.drive = lambda begin, *, now_us: None
        try:
            return self.pay(method, url, payment)
        finally:
            manager.drive = drive

    def later(self, seconds: int) -> None:
        """Let time go by, and mine a block after it."""
        clock = self.made.clock
        clock.set(clock.now_us() + seconds * SECOND_US)
        self.send(self.token.mint(OTHER.address, 1), f"a block at {clock.now_us()}")

    def balance(self, name: str) -> int:
        with self.place.base.store.read() as unit:
            return ledger.balance(unit, self.place.manifest.asset, name).posted_minor

    @property
    def prepaid(self) -> int:
        return self.balance(chart.prepaid(self.made.subscriber.party_id))

    def held(self, address: str) -> int:
        return self.token.balance_of(address).ask(self.place.client)

    def agrees(self) -> None:
        """The till's books are what the token says, and every unit in them is somebody's."""
        with self.place.base.store.read() as unit:
            booked, held = self.place.paywall.books(unit)
            assert booked == held
            assert ledger.check(unit).findings == ()
            assert set(ledger.sum_minor(unit).values()) == {0}


@contextmanager
def shop(root: Path, **settings: object) -> Iterator[Shop]:
    """Open a hub with a payer that has tokens."""
    with scene(root, payment_wait_s=0, **settings) as made:
        web = Web(made.place, Metrics, token="the token")
        opened = Shop(made, TestClient(make_app(web), base_url="http://127.0.0.1"))
        for signer in (PAYER, OTHER):
            opened.send(opened.token.mint(signer.address, PURSE_MINOR), f"mint {signer.address}")
        opened.send(Call(to=STRANGER.address, value_wei=10**17), "gas for a stranger")
        yield opened


def body(answer) -> dict:
    return json.loads(answer.text)
