"""HTTP 402 with the unmodified x402 SDK: its clients pay our hub, our client pays its server.

Each on the embedded node, over its JSON-RPC, and on anvil. The SDK reads the wall clock, so
the hub and its chain do too.
"""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
import pytest
import requests
import uvicorn
import vyper
from eth_account import Account
from eth_utils import to_checksum_address
from fastapi import FastAPI
from tests.app.scene import Scene, furnish
from tests.peers.test_app_anvil import find_anvil, rpc
from x402 import x402Client, x402ClientSync, x402Facilitator, x402ResourceServer
from x402.http.clients.httpx import x402AsyncTransport
from x402.http.clients.requests import x402HTTPAdapter
from x402.http.middleware.fastapi import payment_middleware
from x402.http.utils import (
    decode_payment_required_header,
    decode_payment_response_header,
    decode_payment_signature_header,
    encode_payment_signature_header,
)
from x402.mechanisms.evm import FacilitatorWeb3Signer
from x402.mechanisms.evm.eip712 import hash_eip3009_authorization
from x402.mechanisms.evm.exact import (
    ExactEvmClientScheme,
    ExactEvmFacilitatorScheme,
    ExactEvmServerScheme,
)
from x402.mechanisms.evm.types import ExactEIP3009Payload

from opencarrier.access.model import Metrics
from opencarrier.app.bootstrap import onchain, open_installation
from opencarrier.app.config import Settings
from opencarrier.app.folder import Folder
from opencarrier.app.http import Web, make_app
from opencarrier.app.paying import ChainNonces, FileRecords, UrlTransport
from opencarrier.app.system import SystemClock, SystemEntropy
from opencarrier.chain.contracts import StableToken
from opencarrier.chain.keys import create_address
from opencarrier.chain.model import Call
from opencarrier.chain.typed_data import transfer_digest
from opencarrier.kernel.entropy import SeededEntropy
from opencarrier.kernel.ids import derive
from opencarrier.kernel.money import AssetId
from opencarrier.kernel.signatures import KeySigner, Signature, verify
from opencarrier.ledger import chart
from opencarrier.ledger import service as ledger
from opencarrier.paywall import rules
from opencarrier.paywall.client import Bought, PaymentClient, Request
from opencarrier.paywall.rules import Limits
from opencarrier.paywall.wire.exchange import read_payment, read_required, write_payment

pytestmark = [pytest.mark.peer, pytest.mark.timeout(240)]

CHAIN_ID = 31337
NETWORK = f"eip155:{CHAIN_ID}"
PAYER = "0x" + "11" * 32
FACILITATOR = KeySigner(b"\x33" * 32)
SHOPKEEPER = "0x" + "5e" * 20
PURSE_MINOR = 50_000_000
AMOUNT = 3_000_000
PRICE = 7_000


@dataclass
class Hub:
    """A hub that serves on loopback, at the wall clock's time."""

    made: Scene
    url: str
    rpc: str

    @property
    def token(self) -> StableToken:
        return StableToken(self.made.place.manifest.token)

    @property
    def top_up_url(self) -> str:
        return f"{self.url}/v1/topup/{self.made.subscriber.party_id}?amount={AMOUNT}"

    @property
    def quote_url(self) -> str:
        return f"{self.url}/v1/quote?home=Home&plan=prepaid&seconds=60&octets_out=1000000"

    @property
    def allowed(self) -> dict:
        return {"allowed_assets": [{"network": NETWORK, "asset": self.token.address}]}

    def balance(self, name: str) -> int:
        place = self.made.place
        with place.base.store.read() as unit:
            return ledger.balance(unit, place.manifest.asset, name).posted_minor

    @property
    def prepaid(self) -> int:
        return self.balance(chart.prepaid(self.made.subscriber.party_id))

    def held(self, address: str) -> int:
        return self.token.balance_of(address.lower()).ask(self.made.place.client)

    def agrees(self) -> None:
        place = self.made.place
        with place.base.store.read() as unit:
            booked, held = place.paywall.books(unit)
            assert booked == held
            assert ledger.check(unit).findings == ()


@contextmanager
def serving(app: FastAPI) -> Iterator[str]:
    """Serve an app on loopback in a thread."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        config = uvicorn.Config(app, log_level="warning", lifespan="off", access_log=False)
        server = uvicorn.Server(config)
        thread = threading.Thread(
            target=lambda: asyncio.run(server.serve(sockets=[listener])), daemon=True
        )
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(20)


@contextmanager
def anvil() -> Iterator[str]:
    program = find_anvil()
    if program is None:
        pytest.skip("anvil is missing (npm @foundry-rs/anvil)")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [program, "--port", str(port), "--chain-id", str(CHAIN_ID), "--silent"]
    process = subprocess.Popen(command)
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(100):
            try:
                rpc(url, "eth_chainId")
                break
            except OSError:
                time.sleep(0.1)
        yield url
    finally:
        process.terminate()
        process.wait(10)


@pytest.fixture(scope="module", params=["embedded", "anvil"])
def hub(request, tmp_path_factory) -> Iterator[Hub]:
    with ExitStack() as stack:
        settings = Settings(cycle_s=0, one_sided_window_s=0, payment_wait_s=20)
        if request.param == "anvil":
            url = stack.enter_context(anvil())
            settings = replace(settings, chain=url, finality="depth:1")
        folder = Folder(tmp_path_factory.mktemp(request.param))
        base = open_installation(folder, settings, clock=SystemClock(), entropy=SeededEntropy(1))
        stack.callback(base.close)
        if request.param == "anvil":
            rpc(url, "anvil_setBalance", base.hub.address, hex(10**21))
        place = stack.enter_context(onchain(base))
        made = furnish(place, base.clock)
        token = StableToken(place.manifest.token)
        payer = Account.from_key(PAYER).address.lower()
        place.work.do(derive("test", "mint"), token.mint(payer, PURSE_MINOR))
        served = stack.enter_context(serving(make_app(Web(place, Metrics, token="t"))))
        yield Hub(made, served, url if request.param == "anvil" else f"{served}/rpc")


def sdk_client(hub: Hub) -> x402Client:
    client = x402Client()
    client.register(NETWORK, ExactEvmClientScheme(Account.from_key(PAYER)))
    return client.set_spend_controls(hub.allowed)


def test_the_sdks_httpx_client_tops_up_a_subscriber(hub):
    """It asks, signs, pays; subscriber, till and header have the money, the tokens, the hash."""
    before, till = hub.prepaid, hub.held(hub.made.place.paywall.till.address)

    async def pay() -> httpx.Response:
        async with httpx.AsyncClient(transport=x402AsyncTransport(sdk_client(hub))) as client:
            return await client.post(hub.top_up_url, timeout=60)

    answer = asyncio.run(pay())
    assert answer.status_code == 200, answer.text
    settled = decode_payment_response_header(answer.headers["PAYMENT-RESPONSE"])
    assert settled.success
    assert settled.amount == str(AMOUNT)
    receipt = hub.made.place.client.receipt(bytes.fromhex(settled.transaction[2:]))
    assert receipt is not None
    assert receipt.succeeded
    assert hub.prepaid == before + AMOUNT
    assert hub.held(hub.made.place.paywall.till.address) == till + AMOUNT
    hub.agrees()


def test_the_sdks_requests_client_buys_a_quote(hub):
    client = x402ClientSync()
    client.register(NETWORK, ExactEvmClientScheme(Account.from_key(PAYER)))
    client.set_spend_controls(hub.allowed)
    session = requests.Session()
    session.mount("http://", x402HTTPAdapter(client))
    answer = session.get(hub.quote_url, timeout=60)
    assert answer.status_code == 200, answer.text
    told = answer.json()
    signature = Signature(told.pop("signed_by"), bytes.fromhex(told.pop("signature")[2:]))
    assert verify(derive("retail-quote", told), signature)
    assert signature.kid == hub.made.place.base.hub.address
    hub.made.errands.see_payments_through()
    hub.agrees()


def test_what_the_sdk_signs_is_our_digest(hub):
    """Its payment, read by our codec, gives the digest of its own hashing; ours is read by it."""
    asked = httpx.get(hub.quote_url)
    assert asked.status_code == 402
    required = decode_payment_required_header(asked.headers["PAYMENT-REQUIRED"])
    payload = asyncio.run(sdk_client(hub).create_payment_payload(required))
    payment = read_payment(encode_payment_signature_header(payload))
    (offer,) = read_required(asked.headers["PAYMENT-REQUIRED"]).offers
    theirs = hash_eip3009_authorization(
        ExactEIP3009Payload.from_dict(payload.payload).authorization,
        CHAIN_ID,
        offer.token,
        offer.name,
        offer.version,
    )
    assert transfer_digest(rules.domain_of(offer), payment.authorization) == theirs
    now_us = hub.made.place.base.clock.now_us()
    assert rules.judge(offer, payment, now_us=now_us) is None
    ours = write_payment(payment, url=hub.quote_url)
    assert decode_payment_signature_header(ours).payload == payload.payload


def test_a_payment_of_the_sdk_shown_again_is_answered_and_taken_once(hub):
    """The lost answer is given again; for another resource the payment is refused."""
    before = hub.prepaid
    asked = httpx.post(hub.top_up_url)
    required = decode_payment_required_header(asked.headers["PAYMENT-REQUIRED"])
    payload = asyncio.run(sdk_client(hub).create_payment_payload(required))
    headers = {"PAYMENT-SIGNATURE": encode_payment_signature_header(payload)}
    answers = [httpx.post(hub.top_up_url, headers=headers, timeout=60) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200] * 3
    assert len({answer.headers["PAYMENT-RESPONSE"] for answer in answers}) == 1
    assert hub.prepaid == before + AMOUNT
    elsewhere = httpx.get(hub.quote_url, headers=headers, timeout=60)
    assert elsewhere.status_code == 402
    assert "reused" in decode_payment_required_header(elsewhere.headers["PAYMENT-REQUIRED"]).error
    hub.agrees()


@dataclass(frozen=True)
class Coin:
    """What a shop takes: a token and the domain its holders sign in."""

    address: str
    name: str
    version: str


@pytest.fixture(scope="module", params=["our token", "foreign token"])
def coin(request, hub) -> Coin:
    if request.param == "foreign token":
        return Coin(_foreign_token(hub), "Foreign Dollar", "2")
    domain = hub.token.signing_domain().ask(hub.made.place.client)
    return Coin(domain.contract, domain.name, domain.version)


def _foreign_token(hub: Hub) -> str:
    source = Path(__file__).with_name("foreign_token.vy").read_text()
    made = vyper.compile_code(source, output_formats=["bytecode"])["bytecode"]
    payer = Account.from_key(PAYER).address
    arguments = bytes(12) + bytes.fromhex(payer[2:]) + PURSE_MINOR.to_bytes(32, "big")
    work = hub.made.place.work
    call = Call(to=None, data=bytes.fromhex(made[2:]) + arguments)
    done = work.do(derive("test", "foreign token"), call)
    return create_address(work.manager.sender, done.nonce)


@pytest.fixture(scope="module")
def sdk_shop(hub, coin) -> Iterator[str]:
    """A FastAPI app behind the SDK's middleware; server and facilitator are the SDK's."""
    gas = Call(to=FACILITATOR.address, value_wei=10**17)
    hub.made.place.work.do(derive("test", "gas"), gas)
    facilitator = x402Facilitator()
    signer = FacilitatorWeb3Signer("0x" + "33" * 32, hub.rpc, gas_limit=300_000)
    facilitator.register([NETWORK], ExactEvmFacilitatorScheme(signer))
    server = x402ResourceServer(facilitator)
    server.register(NETWORK, ExactEvmServerScheme())
    price = {
        "amount": str(PRICE),
        "asset": to_checksum_address(coin.address),
        "extra": {"name": coin.name, "version": coin.version},
    }
    receiver = to_checksum_address(SHOPKEEPER)  # the SDK's client writes it as it was told
    accepts = {"scheme": "exact", "payTo": receiver, "price": price, "network": NETWORK}
    app = FastAPI()
    guard = payment_middleware({"GET /weather": {"accepts": accepts}}, server)

    @app.middleware("http")
    async def paid(request, call_next):
        return await guard(request, call_next)

    @app.get("/weather")
    def weather() -> dict:
        return {"weather": "fair"}

    with serving(app) as url:
        yield f"{url}/weather"


def our_client(hub: Hub, token: str, folder: Path, *, amount_max: int = PRICE) -> PaymentClient:
    return PaymentClient(
        UrlTransport(),
        KeySigner(b"\x11" * 32),
        Limits(
            amount_minor_max=amount_max, assets=frozenset({AssetId(f"{NETWORK}/erc20:{token}")})
        ),
        FileRecords(folder),
        clock=SystemClock(),
        entropy=SystemEntropy(),
        nonces=ChainNonces(hub.made.place.client),
    )


def test_the_sdk_pays_itself(hub, coin, sdk_shop):
    """Its client, server and facilitator settle `exact` over the token, none of them changed."""
    token = StableToken(coin.address)
    before = token.balance_of(SHOPKEEPER).ask(hub.made.place.client)
    client = x402ClientSync()
    client.register(NETWORK, ExactEvmClientScheme(Account.from_key(PAYER)))
    client.set_spend_controls({"allowed_assets": [{"network": NETWORK, "asset": coin.address}]})
    session = requests.Session()
    session.mount("http://", x402HTTPAdapter(client))
    answer = session.get(sdk_shop, timeout=60)
    assert answer.json() == {"weather": "fair"}
    settled = decode_payment_response_header(answer.headers["PAYMENT-RESPONSE"])
    assert settled.success
    receipt = hub.made.place.client.receipt(bytes.fromhex(settled.transaction[2:]))
    assert receipt is not None
    assert receipt.succeeded
    assert token.balance_of(SHOPKEEPER).ask(hub.made.place.client) == before + PRICE


def test_our_client_pays_a_server_of_the_sdk(hub, coin, sdk_shop, tmp_path):
    """Server and facilitator take it and settle it; asked again under its name it pays nothing."""
    token = StableToken(coin.address)
    before = token.balance_of(SHOPKEEPER).ask(hub.made.place.client)
    client = our_client(hub, coin.address, tmp_path)
    request = Request(method="GET", url=sdk_shop, reference="one")
    bought = client.buy(request)
    assert isinstance(bought, Bought), bought
    assert json.loads(bought.answer.body) == {"weather": "fair"}
    assert bought.settled is not None
    assert bought.settled.success
    paid = token.balance_of(SHOPKEEPER).ask(hub.made.place.client) - before
    assert paid == PRICE
    assert our_client(hub, coin.address, tmp_path).buy(request) == bought
    assert token.balance_of(SHOPKEEPER).ask(hub.made.place.client) - before == PRICE


def test_our_client_keeps_to_its_limits_with_the_sdks_server(hub, coin, sdk_shop, tmp_path):
    refused = our_client(hub, coin.address, tmp_path, amount_max=PRICE - 1).buy(
        Request(method="GET", url=sdk_shop)
    )
    assert refused.code == "above_limit"
    other = our_client(hub, SHOPKEEPER, tmp_path).buy(Request(method="GET", url=sdk_shop))
    assert other.code == "asset_not_allowed"
    assert list(tmp_path.iterdir()) == []


def test_our_client_pays_our_hub(hub, tmp_path):
    before = hub.prepaid
    client = our_client(hub, hub.token.address, tmp_path, amount_max=AMOUNT)
    bought = client.buy(Request(method="POST", url=hub.top_up_url))
    assert isinstance(bought, Bought), bought
    assert hub.prepaid == before + AMOUNT
    hub.agrees()
