"""The unmodified x402 SDK client pays our hub through a channel; the hub claims and gives back.

The hub's venue has our channel contract at x402's own address, on its own chain and on anvil.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace

import httpx
import pytest
import requests
from eth_account import Account
from tests.app.scene import furnish
from tests.peers.test_app_anvil import rpc
from tests.peers.test_x402_batch import foreign
from tests.peers.test_x402_exact import NETWORK, Hub, serving
from typer.testing import CliRunner
from x402 import x402ClientSync
from x402.http.clients.requests import x402HTTPAdapter
from x402.http.utils import decode_payment_required_header, decode_payment_response_header
from x402.mechanisms.evm import EthAccountSignerWithRPC
from x402.mechanisms.evm.batch_settlement.client import (
    BatchSettlementEvmScheme,
    BatchSettlementEvmSchemeOptions,
    RefundOptions,
)
from x402.mechanisms.evm.batch_settlement.client.refund import _RefundResponse

from opencarrier.access.model import Metrics
from opencarrier.app.bootstrap import onchain, open_installation
from opencarrier.app.cli.root import make
from opencarrier.app.config import Settings
from opencarrier.app.folder import Folder
from opencarrier.app.http import Web, make_app
from opencarrier.app.system import SystemClock
from opencarrier.chain.contracts import StableToken
from opencarrier.chain.model import Call
from opencarrier.channels.model import Channel
from opencarrier.kernel.entropy import SeededEntropy
from opencarrier.kernel.ids import derive
from opencarrier.kernel.signatures import Signature, verify
from opencarrier.ledger import chart

pytestmark = [pytest.mark.peer, pytest.mark.timeout(300)]

PURSE_MINOR = 50_000_000
PAYERS = ["0x" + f"{number:02x}" * 32 for number in (0x61, 0x62, 0x63, 0x64)]
TOP_UP = 100_000


@pytest.fixture(scope="module", params=["embedded", "anvil"])
def hub(request, tmp_path_factory) -> Iterator[Hub]:
    folder = tmp_path_factory.mktemp(request.param)
    settings = Settings(cycle_s=0, one_sided_window_s=0, payment_wait_s=20, channels="x402")
    with ExitStack() as stack:
        url = ""
        if request.param == "anvil":
            url = stack.enter_context(foreign())
            settings = replace(settings, chain=url, finality="depth:1")
        base = open_installation(
            Folder(folder / "hub"), settings, clock=SystemClock(), entropy=SeededEntropy(1)
        )
        stack.callback(base.close)
        if url:
            rpc(url, "anvil_setBalance", base.hub.address, hex(10**21))
        place = stack.enter_context(onchain(base))
        made = furnish(place, base.clock)
        token = StableToken(place.manifest.token)
        for secret in PAYERS:
            payer = Account.from_key(secret).address.lower()
            place.work.do(derive("test", "mint", payer), token.mint(payer, PURSE_MINOR))
        served = stack.enter_context(serving(make_app(Web(place, Metrics, token="t"))))
        yield Hub(made, served, url or f"{served}/rpc")


class Customer:
    """A client of the SDK with a channel of its own."""

    def __init__(self, hub: Hub, secret: str, salt: int = 0) -> None:
        self.account = Account.from_key(secret)
        self.scheme = BatchSettlementEvmScheme(
            EthAccountSignerWithRPC(self.account, hub.rpc),
            BatchSettlementEvmSchemeOptions(salt="0x" + salt.to_bytes(32, "big").hex()),
        )
        client = x402ClientSync()
        client.register(NETWORK, self.scheme)
        client.set_spend_controls(hub.allowed)
        self.session = requests.Session()
        self.session.mount("http://", x402HTTPAdapter(client))

    def quote(self, hub: Hub) -> requests.Response:
        answer = self.session.get(hub.quote_url, timeout=90)
        assert answer.status_code == 200, (answer.status_code, answer.text, answer.headers)
        return answer

    @property
    def address(self) -> str:
        return self.account.address.lower()


def channels(hub: Hub) -> list[Channel]:
    place = hub.made.place
    with place.base.store.read() as unit:
        return place.channels.service.channels(unit)


def channel_of(hub: Hub, customer: Customer) -> Channel:
    (found,) = [one for one in channels(hub) if one.config.payer == customer.address]
    return found


def test_both_schemes_are_offered(hub):
    required = decode_payment_required_header(httpx.get(hub.quote_url).headers["PAYMENT-REQUIRED"])
    assert [offer.scheme for offer in required.accepts] == ["exact", "batch-settlement"]
    exact, channel = required.accepts
    assert exact.amount == channel.amount
    assert channel.extra["receiverAuthorizer"].lower() == hub.made.place.base.hub.address


def test_a_channel_from_its_deposit_to_its_refund(hub):
    """One deposit, a voucher a request, one claim; what was not bought comes back, booked."""
    place, customer = hub.made.place, Customer(hub, PAYERS[0])
    revenue = chart.revenue(place.base.hub.party_id)
    price, before = place.base.settings.quote_price_minor, hub.balance(revenue)
    for number in range(1, 4):
        answer = customer.quote(hub)
        told = answer.json()
        signature = Signature(told.pop("signed_by"), bytes.fromhex(told.pop("signature")[2:]))
        assert verify(derive("retail-quote", told), signature)
        settled = decode_payment_response_header(answer.headers["PAYMENT-RESPONSE"])
        assert settled.success
        assert settled.extra["chargedAmount"] == str(price)
        assert channel_of(hub, customer).due_minor == number * price
    assert hub.balance(revenue) == before + 3 * price
    held = channel_of(hub, customer)
    assert hub.held(customer.address) == PURSE_MINOR - held.deposited_minor
    assert held.claimed_minor == 0, "so little is not worth its gas yet"

    refund = customer.scheme.refund(
        hub.quote_url, RefundOptions(fetch=lambda url, headers: fetched(url, headers))
    )
    assert refund.success, refund
    for _ in range(60):
        hub.made.errands.tend_channels()
        ended = channel_of(hub, customer)
        if ended.deposited_minor == ended.claimed_minor:
            break
        mine(hub)
    assert ended.closed
    assert ended.deposited_minor == ended.claimed_minor == 3 * price
    assert hub.held(customer.address) == PURSE_MINOR - 3 * price
    for _ in range(20):
        hub.made.errands.tend_channels()
        mine(hub)
        if not hub.balance(chart.claimed(place.base.hub.party_id)):
            break
    assert hub.held(place.base.hub.address) >= 3 * price
    hub.agrees()
    again = customer.session.get(hub.quote_url, timeout=60)
    assert again.status_code == 402, "a closed channel buys nothing; another salt is another"


def fetched(url: str, headers: dict) -> _RefundResponse:
    """Ask with more patience than the SDK's five seconds, on a busy machine."""
    answer = httpx.get(url, headers=headers, timeout=60)
    return _RefundResponse(status=answer.status_code, headers=dict(answer.headers))


def mine(hub: Hub) -> None:
    """Have the chain go on by a block."""
    work = hub.made.place.work
    name = derive("test", "block", hub.made.place.client.block_number())
    work.do(name, Call(to=work.manager.sender))


def test_a_top_up_through_a_channel_is_credited_at_once(hub):
    customer, before = Customer(hub, PAYERS[1]), hub.prepaid
    url = f"{hub.url}/v1/topup/{hub.made.subscriber.party_id}?amount={TOP_UP}"
    for number in (1, 2):
        answer = customer.session.post(url, timeout=90)
        assert answer.status_code == 200, answer.text
        assert hub.prepaid == before + number * TOP_UP
    hub.agrees()


def test_a_client_that_lost_its_count_is_told_and_goes_on(hub):
    """Its records gone, it signs too little; told its channel's state, it checks that and pays."""
    customer = Customer(hub, PAYERS[2])
    for _ in range(2):
        customer.quote(hub)
    forgetful = Customer(hub, PAYERS[2])
    forgetful.quote(hub)
    price = hub.made.place.base.settings.quote_price_minor
    assert channel_of(hub, customer).due_minor == 3 * price


def test_a_channel_runs_dry_and_is_filled_again(hub):
    """The next request brings one more deposit for the same channel."""
    customer = Customer(hub, PAYERS[3])
    customer.quote(hub)
    first = channel_of(hub, customer)
    url = f"{hub.url}/v1/topup/{hub.made.subscriber.party_id}?amount={first.deposited_minor}"
    answer = customer.session.post(url, timeout=90)
    assert answer.status_code == 200, answer.text
    filled = channel_of(hub, customer)
    assert filled.channel_id == first.channel_id
    assert filled.deposited_minor > first.deposited_minor
    hub.agrees()


def test_our_client_pays_our_hub_through_a_channel(hub, tmp_path):
    """By the command, with the channel contract at x402's address; the rest comes back."""
    secret = "65" * 32
    payer = Account.from_key("0x" + secret).address.lower()
    place = hub.made.place
    place.work.do(derive("test", "mint", payer), hub.token.mint(payer, PURSE_MINOR))
    (tmp_path / "payer.hex").write_text(secret)
    price = place.base.settings.quote_price_minor
    words = ["pay", hub.quote_url, "--key-file", str(tmp_path / "payer.hex"), "--json"]
    words += ["--max-minor", str(price), "--deposit-minor", "200000"]
    words += ["--asset", place.manifest.asset, "--records", str(tmp_path / "payments")]

    def pay(*more: str) -> dict:
        done = CliRunner().invoke(make(), [*words, *more])
        assert done.exit_code == 0, (done.output, done.exception)
        return json.loads(done.stdout)

    for _ in range(2):
        told = pay()
        assert (told["scheme"], told["paid_minor"]) == ("batch-settlement", price)
    assert pay("--refund")["paid_minor"] == 0
    for _ in range(60):
        hub.made.errands.tend_channels()
        if hub.held(payer) == PURSE_MINOR - 2 * price:
            break
        mine(hub)
    assert hub.held(payer) == PURSE_MINOR - 2 * price
    hub.agrees()
