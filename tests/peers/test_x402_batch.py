"""The unmodified x402 SDK opens, uses and closes channels of our contract.

Client, FastAPI server and facilitator are the SDK's; the contract stands at the address it has
built in, on the embedded node and on anvil. The SDK reads the wall clock, so the chain does too.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import requests
from eth_account import Account
from eth_utils.address import to_checksum_address
from fastapi import FastAPI
from tests.peers.test_app_anvil import rpc
from tests.peers.test_x402_exact import CHAIN_ID, NETWORK, anvil, serving
from typer.testing import CliRunner
from x402 import x402ClientSync, x402Facilitator, x402FacilitatorSync, x402ResourceServer
from x402.http.clients.requests import x402HTTPAdapter
from x402.http.middleware.fastapi import payment_middleware
from x402.http.utils import decode_payment_response_header
from x402.mechanisms.evm import EthAccountSignerWithRPC, FacilitatorWeb3Signer
from x402.mechanisms.evm.batch_settlement.authorizer_signer import LocalAuthorizerSigner
from x402.mechanisms.evm.batch_settlement.client import (
    BatchSettlementEvmScheme,
    BatchSettlementEvmSchemeOptions,
    RefundOptions,
)
from x402.mechanisms.evm.batch_settlement.facilitator.scheme import BatchSettlementEvmFacilitator
from x402.mechanisms.evm.batch_settlement.server import (
    BatchSettlementChannelManagerSync,
    BatchSettlementEvmSchemeServerConfig,
    ChannelManagerConfigSync,
    ClaimOptions,
)
from x402.mechanisms.evm.batch_settlement.server import (
    BatchSettlementEvmScheme as ServerScheme,
)
from x402.mechanisms.evm.constants import MULTICALL3_ADDRESS

import opencarrier.chain.contracts as ours
from opencarrier.app.cli.root import make
from opencarrier.app.system import SystemClock
from opencarrier.chain import typed_data
from opencarrier.chain.client import ChainClient, connect
from opencarrier.chain.errors import RevertedError
from opencarrier.chain.keys import DynamicFeeTransaction, sign_transaction
from opencarrier.chain.model import Call, Finality, Receipt
from opencarrier.chain.node import EmbeddedNode, NodeSettings
from opencarrier.chain.node.http import rpc_app
from opencarrier.chain.typed_data import ChannelConfig
from opencarrier.kernel.signatures import Address, KeySigner

pytestmark = [pytest.mark.peer, pytest.mark.timeout(240)]

OWNER, FACILITATOR_SECRET = KeySigner(b"\x31" * 32), b"\x33" * 32
PAYERS = [bytes([0x40 + number]) * 32 for number in range(4)]
RECEIVER = KeySigner(b"\x35" * 32)
AUTHORIZER = b"\x36" * 32
SENDERS = [OWNER, KeySigner(FACILITATOR_SECRET), KeySigner(PAYERS[2])]
"""Who sends transactions and so needs gas; the other payers have none."""

OURS = b"\x47" * 32
"""The payer whose client is ours."""

PRICE = 7_000
PURSE_MINOR = 50_000_000
ROWS_PER_CLAIM = 18
RECEIPT_TRIES_MAX = 1_000
"""What the facilitator's default gas limit of 500,000 holds, less one for a margin."""

MULTICALL3 = """
# pragma version 0.4.3
# pragma evm-version cancun

struct Asked:
    target: address
    data: Bytes[4096]
struct Answered:
    success: bool
    data: Bytes[1024]

@external
@payable
def tryAggregate(require_success: bool, calls: DynArray[Asked, 8]) -> DynArray[Answered, 8]:
    answers: DynArray[Answered, 8] = []
    for call: Asked in calls:
        success: bool = False
        data: Bytes[1024] = b""
        success, data = raw_call(call.target, call.data, max_outsize=1024, revert_on_failure=False)
        assert success or not require_success
        answers.append(Answered(success=success, data=data))
    return answers
"""
"""The one call of Multicall3 that the SDK makes."""


@dataclass
class Chain:
    """A chain with a token and, at x402's own addresses, our channels and collector."""

    client: ChainClient
    url: str
    token: ours.StableToken

    @property
    def channels(self) -> ours.BatchChannels:
        return ours.BatchChannels(ours.X402_SETTLEMENT_ADDRESS)

    def held(self, account: str) -> int:
        return self.token.balance_of(Address(account.lower())).ask(self.client)

    def send(self, sender: KeySigner, call: Call) -> Receipt:
        return _send(self.client, sender, call)

    def channel(self, config: ChannelConfig) -> ours.ChannelState:
        domain = self.channels.signing_domain(CHAIN_ID)
        return self.channels.channel(typed_data.channel_id(domain, config)).ask(self.client)


def _send(client: ChainClient, sender: KeySigner, call: Call) -> Receipt:
    transaction = DynamicFeeTransaction(
        chain_id=CHAIN_ID,
        nonce=client.nonce(sender.address),
        max_priority_fee_per_gas_wei=10**9,
        max_fee_per_gas_wei=100 * 10**9,
        gas_limit=5_000_000,
        to=call.to,
        value_wei=0,
        data=call.data,
    )
    signed = sign_transaction(transaction, sender)
    client.send_raw(signed.raw)
    for _ in range(RECEIPT_TRIES_MAX):
        receipt = client.receipt(signed.tx_hash)
        if receipt is not None:
            break
        time.sleep(0.01)
    assert receipt is not None, "the chain does not mine"
    assert receipt.succeeded
    return receipt


def codes() -> dict[Address, bytes]:
    """Runtime code by the address where the SDK looks for it, made in a scratch chain."""
    settings = NodeSettings(chain_id=CHAIN_ID, genesis={OWNER.address: 10**21})
    collector = ours.Erc3009DepositCollector.deployment(channels=ours.X402_SETTLEMENT_ADDRESS)
    wanted = {
        ours.X402_SETTLEMENT_ADDRESS: ours.BatchChannels.deployment(),
        ours.X402_COLLECTOR_ADDRESS: collector,
        Address(MULTICALL3_ADDRESS.lower()): _compiled(MULTICALL3),
    }
    with TemporaryDirectory() as folder:
        node = EmbeddedNode.open(Path(folder, "scratch.sqlite"), settings, SystemClock())
        try:
            client = connect("embedded:", node=node)
            return {
                address: client.code(_send(client, OWNER, call).contract_address)
                for address, call in wanted.items()
            }
        finally:
            node.close()


def _compiled(text: str) -> Call:
    from vyper.compiler import compile_code

    built = compile_code(text, output_formats=["bytecode"])
    return Call(to=None, data=bytes.fromhex(built["bytecode"].removeprefix("0x")))


@contextmanager
def embedded(folder) -> Iterator[str]:
    settings = NodeSettings(
        chain_id=CHAIN_ID,
        genesis={signer.address: 10**21 for signer in SENDERS},
        code=codes(),
    )
    node = EmbeddedNode.open(folder / "chain.sqlite", settings, SystemClock())
    try:
        with serving(rpc_app(node)) as url:
            yield url
    finally:
        node.close()


@contextmanager
def foreign() -> Iterator[str]:
    with anvil() as url:
        for address, code in codes().items():
            rpc(url, "anvil_setCode", address, "0x" + code.hex())
        for signer in SENDERS:
            rpc(url, "anvil_setBalance", signer.address, hex(10**21))
        yield url


@pytest.fixture(scope="module", params=["embedded", "anvil"])
def chain(request, tmp_path_factory) -> Iterator[Chain]:
    opened = foreign() if request.param == "anvil" else embedded(tmp_path_factory.mktemp("chain"))
    with opened as url:
        client = connect(url, finality=Finality.parse("depth:1"), chain_id=CHAIN_ID)
        owner = OWNER.address
        deployment = ours.StableToken.deployment(
            name="Test Dollar", symbol="USDt", version="1", owner=owner
        )
        address = _send(client, OWNER, deployment).contract_address
        assert address is not None
        made = Chain(client, url, ours.StableToken(address))
        made.send(OWNER, made.token.set_minter(owner, allowed=True))
        for secret in (*PAYERS, OURS):
            made.send(OWNER, made.token.mint(KeySigner(secret).address, PURSE_MINOR))
        yield made


@dataclass
class Shop:
    """A server of the SDK that sells the weather, and the manager of its channels."""

    url: str
    manager: BatchSettlementChannelManagerSync
    authorizer: str


@pytest.fixture(scope="module")
def shop(chain: Chain) -> Iterator[Shop]:
    signer = FacilitatorWeb3Signer("0x" + FACILITATOR_SECRET.hex(), chain.url)
    authorizer = LocalAuthorizerSigner("0x" + AUTHORIZER.hex())
    facilitator = x402Facilitator()
    facilitator.register([NETWORK], BatchSettlementEvmFacilitator(signer))
    facilitator_sync = x402FacilitatorSync()
    facilitator_sync.register([NETWORK], BatchSettlementEvmFacilitator(signer))
    scheme = ServerScheme(
        RECEIVER.address,
        BatchSettlementEvmSchemeServerConfig(receiver_authorizer_signer=authorizer),
    )
    server = x402ResourceServer(facilitator)
    server.register(NETWORK, scheme)
    price = {
        "amount": str(PRICE),
        "asset": to_checksum_address(chain.token.address),
        "extra": {"name": "Test Dollar", "version": "1"},
    }
    accepts = {
        "scheme": "batch-settlement",
        "payTo": to_checksum_address(RECEIVER.address),
        "price": price,
        "network": NETWORK,
    }
    app = FastAPI()
    guard = payment_middleware({"GET /weather": {"accepts": accepts}}, server)

    @app.middleware("http")
    async def paid(request, call_next):
        return await guard(request, call_next)

    @app.get("/weather")
    def weather() -> dict:
        return {"weather": "fair"}

    manager = BatchSettlementChannelManagerSync(
        ChannelManagerConfigSync(
            scheme=scheme,
            facilitator=facilitator_sync,
            receiver=to_checksum_address(RECEIVER.address),
            token=to_checksum_address(chain.token.address),
            network=NETWORK,
        )
    )
    with serving(app) as url:
        yield Shop(f"{url}/weather", manager, authorizer.address)


class Customer:
    """A client of the SDK with a purse of its own."""

    def __init__(self, chain: Chain, shop: Shop, secret: bytes, salt: int = 0) -> None:
        self.account = Account.from_key(secret)
        self.salt = salt.to_bytes(32, "big")
        self.scheme = BatchSettlementEvmScheme(
            EthAccountSignerWithRPC(self.account, chain.url),
            BatchSettlementEvmSchemeOptions(salt="0x" + self.salt.hex()),
        )
        client = x402ClientSync()
        client.register(NETWORK, self.scheme)
        client.set_spend_controls(
            {"allowed_assets": [{"network": NETWORK, "asset": chain.token.address}]}
        )
        self.session = requests.Session()
        self.session.mount("http://", x402HTTPAdapter(client))
        self.shop, self.chain = shop, chain

    def buy(self) -> requests.Response:
        answer = self.session.get(self.shop.url, timeout=60)
        assert answer.status_code == 200, (answer.status_code, answer.text, answer.headers)
        assert answer.json() == {"weather": "fair"}
        return answer

    @property
    def config(self) -> ChannelConfig:
        payer = Address(self.account.address.lower())
        return ChannelConfig(
            payer=payer,
            payer_authorizer=payer,
            receiver=RECEIVER.address,
            receiver_authorizer=Address(self.shop.authorizer.lower()),
            token=self.chain.token.address,
            withdraw_delay_s=ours.WITHDRAW_DELAY_S_MIN,
            salt=self.salt,
        )

    @property
    def channel(self) -> ours.ChannelState:
        return self.chain.channel(self.config)


def test_a_channel_from_its_deposit_to_its_refund(chain: Chain, shop: Shop):
    """Open by signature, pay by vouchers alone, claim, settle, refund; every token is found."""
    customer = Customer(chain, shop, PAYERS[0])
    first = customer.buy()
    settled = decode_payment_response_header(first.headers["PAYMENT-RESPONSE"])
    assert settled.success
    deposited = customer.channel.balance_minor
    assert deposited >= PRICE
    assert chain.held(customer.account.address) == PURSE_MINOR - deposited
    for _ in range(3):
        customer.buy()
    assert customer.channel == ours.ChannelState(balance_minor=deposited, total_claimed_minor=0)

    before = chain.held(RECEIVER.address)
    shop.manager.claim_and_settle(ClaimOptions(max_claims_per_batch=ROWS_PER_CLAIM))
    assert customer.channel.total_claimed_minor == 4 * PRICE
    assert chain.held(RECEIVER.address) == before + 4 * PRICE

    customer.buy()
    refund = customer.scheme.refund(shop.url)
    assert refund.success, refund
    left = customer.channel
    assert left.balance_minor == left.total_claimed_minor == 5 * PRICE
    assert chain.held(customer.account.address) == PURSE_MINOR - 5 * PRICE


def test_a_refund_in_part_leaves_the_channel_open(chain: Chain, shop: Shop):
    customer = Customer(chain, shop, PAYERS[1])
    customer.buy()
    deposited = customer.channel.balance_minor
    refund = customer.scheme.refund(shop.url, RefundOptions(amount="1000"))
    assert refund.success, refund
    assert customer.channel.balance_minor == deposited - 1000
    customer.buy()


def test_one_claim_for_many_channels(chain: Chain, shop: Shop):
    """The manager claims what all customers owe by one signature, and is paid once."""
    customers = [Customer(chain, shop, secret, salt=9) for secret in PAYERS]
    for number, customer in enumerate(customers, 1):
        for _ in range(number):
            customer.buy()
    before = chain.channels.receiver(RECEIVER.address, chain.token.address).ask(chain.client)
    claims = shop.manager.claim(ClaimOptions(max_claims_per_batch=ROWS_PER_CLAIM))
    assert len(claims) == 1
    assert [c.channel.total_claimed_minor for c in customers] == [
        number * PRICE for number in range(1, 5)
    ]
    shop.manager.settle()
    after = chain.channels.receiver(RECEIVER.address, chain.token.address).ask(chain.client)
    assert after.total_settled_minor == after.total_claimed_minor
    assert after.total_claimed_minor - before.total_claimed_minor >= 10 * PRICE


def test_a_payer_who_leaves_is_claimed_in_time(chain: Chain, shop: Shop):
    """The SDK has no call for it: the payer announces by our binding, the SDK's server is paid."""
    secret = PAYERS[2]
    customer = Customer(chain, shop, secret, salt=11)
    customer.buy()
    customer.buy()
    state = customer.channel
    assert (state.total_claimed_minor, state.unclaimed_minor) == (0, state.balance_minor)
    announce = chain.channels.initiate_withdraw(customer.config, state.unclaimed_minor)
    chain.send(KeySigner(secret), announce)
    take = chain.channels.finalize_withdraw(customer.config)
    with pytest.raises(RevertedError, match="WithdrawDelayNotElapsed"):
        chain.client.call(replace(take, sender=customer.config.payer))
    shop.manager.claim(ClaimOptions(max_claims_per_batch=ROWS_PER_CLAIM))
    assert customer.channel.total_claimed_minor == 2 * PRICE


def test_our_client_pays_a_server_of_the_sdk(chain: Chain, shop: Shop, tmp_path):
    """By the command: it deposits without gas, pays by voucher, is claimed, gets the rest back."""
    purse = chain.held(KeySigner(OURS).address)
    (tmp_path / "payer.hex").write_text(OURS.hex())
    words = ["pay", shop.url, "--key-file", str(tmp_path / "payer.hex"), "--json"]
    words += ["--max-minor", str(PRICE), "--deposit-minor", "500000"]
    words += ["--asset", f"{NETWORK}/erc20:{chain.token.address}"]
    words += ["--records", str(tmp_path / "payments"), "--rpc", chain.url]

    def pay(*more: str) -> dict:
        done = CliRunner().invoke(make(), [*words, *more])
        assert done.exit_code == 0, (done.output, done.exception)
        return json.loads(done.stdout)

    for _ in range(3):
        told = pay()
        assert (told["scheme"], told["paid_minor"]) == ("batch-settlement", PRICE)
        assert told["answer"] == {"weather": "fair"}
    assert pay("--reference", "one") == pay("--reference", "one")
    shop.manager.claim_and_settle(ClaimOptions(max_claims_per_batch=ROWS_PER_CLAIM))
    deposited = purse - chain.held(KeySigner(OURS).address)
    assert 4 * PRICE < deposited <= 500_000
    assert pay("--refund")["status"] == 200
    assert chain.held(KeySigner(OURS).address) == purse - 4 * PRICE
