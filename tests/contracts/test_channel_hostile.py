"""Channels among enemies: tokens, collectors, paying contracts and their signatures."""

from __future__ import annotations

from dataclasses import replace

import pytest
from channel_world import DELAY_S, DEPOSIT, ChannelWorld
from contract_evm import ZERO, key, refused, vyper

from opencarrier.chain import abi
from opencarrier.chain.contracts import (
    CLAIM_ROWS_MAX,
    ChannelState,
    ReceiverState,
)
from opencarrier.chain.model import Call
from opencarrier.kernel.keccak import keccak
from opencarrier.kernel.signatures import Address

GAS_MAX = 16_777_216  # EIP-7825

ODD_TOKEN = """
# pragma version 0.4.3
# pragma evm-version cancun
balanceOf: public(HashMap[address, uint256])
answer: Bytes[32]
fee: uint256
target: address
back: Bytes[4096]
succeeded: public(bool)

@external
def mint(account: address, amount: uint256):
    self.balanceOf[account] += amount

@external
def behave(answer: Bytes[32], fee: uint256, target: address, back: Bytes[4096]):
    self.answer = answer
    self.fee = fee
    self.target = target
    self.back = back
    self.succeeded = False

@external
@raw_return
def transfer(receiver: address, amount: uint256) -> Bytes[32]:
    self._move(msg.sender, receiver, amount)
    return self.answer

@external
@raw_return
def transferFrom(sender: address, receiver: address, amount: uint256) -> Bytes[32]:
    self._move(sender, receiver, amount)
    return self.answer

@internal
def _move(sender: address, receiver: address, amount: uint256):
    self.balanceOf[sender] -= amount
    self.balanceOf[receiver] += amount - self.fee
    if self.target != empty(address):
        self.succeeded = raw_call(self.target, self.back, revert_on_failure=False)
"""

ODD_COLLECTOR = """
# pragma version 0.4.3
# pragma evm-version cancun
from ethereum.ercs import IERC20
more: uint256
less: uint256
target: address
back: Bytes[4096]

@external
def behave(more: uint256, less: uint256, target: address, back: Bytes[4096]):
    self.more = more
    self.less = less
    self.target = target
    self.back = back

@external
def collect(payer: address, token: address, amount: uint256, channel: bytes32, data: Bytes[4096]):
    if self.target != empty(address):
        raw_call(self.target, self.back)
    extcall IERC20(token).transferFrom(payer, msg.sender, amount + self.more - self.less)
"""

WALLET = """
# pragma version 0.4.3
# pragma evm-version cancun
answer: Bytes[64]
wanted: bytes32
target: address
back: Bytes[4096]
fails: bool

@external
def behave(answer: Bytes[64], wanted: bytes32, target: address, back: Bytes[4096], fails: bool):
    self.answer = answer
    self.wanted = wanted
    self.target = target
    self.back = back
    self.fails = fails

@external
@view
@raw_return
def isValidSignature(digest: bytes32, signature: Bytes[2000]) -> Bytes[64]:
    if self.fails:
        raw_revert(self.answer)
    if self.target != empty(address):
        raw_call(self.target, self.back, is_static_call=True)
    if keccak256(concat(digest, signature)) != self.wanted:
        return x"ffffffff00000000000000000000000000000000000000000000000000000000"
    return self.answer

@external
def do(target: address, data: Bytes[4096]):
    raw_call(target, data)
"""

TRUE = (1).to_bytes(32, "big")
VALID = bytes.fromhex("1626ba7e") + bytes(28)
BEHAVE_TOKEN = ("behave(bytes,uint256,address,bytes)", ["bytes", "uint256", "address", "bytes"])
BEHAVE_COLLECTOR = (
    "behave(uint256,uint256,address,bytes)",
    ["uint256", "uint256", "address", "bytes"],
)
BEHAVE_WALLET = (
    "behave(bytes,bytes32,address,bytes,bool)",
    ["bytes", "bytes32", "address", "bytes", "bool"],
)


def told(world: ChannelWorld, to: Address, how: tuple[str, list[str]], *values: object):
    signature, types = how
    data = keccak(signature.encode())[:4] + abi.encode(types, values)
    return world.send(world.owner, Call(to=to, data=data))


@pytest.fixture
def odd(channel_world: ChannelWorld) -> ChannelWorld:
    """Channels in a token that does as it is told, one of them filled and claimed in part."""
    world = channel_world
    token = vyper(ODD_TOKEN, sender=world.owner.address, evm=world.evm)
    for account in (world.payer.address, token):
        told(world, token, ("mint(address,uint256)", ["address", "uint256"]), account, 10**9)
    told(world, token, BEHAVE_TOKEN, TRUE, 0, ZERO, b"")
    world.config = world.terms(token=token)
    world.deposit(1000)
    world.claim(world.row(300))
    yield world
    world.config = world.terms()


def payments(world: ChannelWorld):
    """Every call that sends tokens out, and who may make it."""
    config = world.config
    return {
        "settle": (world.relay, world.channels.settle(world.receiver.address, config.token)),
        "refund": (world.receiver, world.channels.refund(config, 10)),
        "finalize": (world.payer, world.channels.finalize_withdraw(config)),
    }


@pytest.mark.parametrize("payment", ["settle", "refund", "finalize"])
def test_a_token_that_says_no(odd: ChannelWorld, payment):
    """B8: the payment did not happen, so nothing is booked; saying nothing is a yes."""
    odd.send(odd.payer, odd.channels.initiate_withdraw(odd.config, 20))
    odd.evm.pass_time(DELAY_S)
    sender, call = payments(odd)[payment]
    before = odd.state()
    told(odd, odd.config.token, BEHAVE_TOKEN, bytes(32), 0, ZERO, b"")
    with refused("SafeERC20FailedOperation"):
        odd.send(sender, call)
    assert odd.state() == before
    told(odd, odd.config.token, BEHAVE_TOKEN, b"", 0, ZERO, b"")
    odd.send(sender, call)
    assert payment == "settle" or odd.state() != before


def test_a_token_that_takes_a_fee(odd: ChannelWorld):
    """B13: what arrives is counted."""
    told(odd, odd.config.token, BEHAVE_TOKEN, TRUE, 1, ZERO, b"")
    with refused("DepositCollectionFailed"):
        odd.deposit(10)
    assert odd.state().balance_minor == 1000


@pytest.fixture
def doors(odd: ChannelWorld) -> list[Call]:
    """Every call there is, made so that the token itself may make it."""
    token, channels = odd.config.token, odd.channels
    own, announced = (
        replace(odd.terms(salt=salt, token=token), payer=token, receiver_authorizer=token)
        for salt in (5, 6)
    )
    for config in (own, announced):
        odd.deposit(100, config)
    _call_back(odd, channels.initiate_withdraw(announced, 10))
    odd.send(odd.payer, channels.initiate_withdraw(odd.config, 20))
    odd.evm.pass_time(DELAY_S)
    batch = [odd.row(301)]
    refund = odd.refund_signature(10, 0)
    return [
        odd.deposit_call(10, own),
        channels.claim([odd.row(1, own)]),
        channels.claim_with_signature(batch, odd.batch_signature(batch)),
        channels.settle(odd.receiver.address, token),
        channels.initiate_withdraw(own, 1),
        channels.finalize_withdraw(announced),
        channels.refund(own, 1),
        channels.refund_with_signature(odd.config, 10, nonce=0, signature=refund),
        channels.multicall([channels.refund(own, 1)]),
        channels.channel(odd.id()).call,
        channels.receiver(odd.receiver.address, token).call,
        channels.pending_withdrawal(odd.id()).call,
        channels.refund_nonce(odd.id()).call,
        Call(to=channels.address, data=channels.artefact().call_data("eip712Domain")),
    ]


def _call_back(world: ChannelWorld, call: Call) -> None:
    """Let the token make a call while nothing else goes on; it must succeed."""
    told(world, world.config.token, BEHAVE_TOKEN, TRUE, 0, world.channels.address, call.data)
    transfer = ("transfer(address,uint256)", ["address", "uint256"])
    told(world, world.config.token, transfer, world.relay.address, 0)
    assert _succeeded(world)
    told(world, world.config.token, BEHAVE_TOKEN, TRUE, 0, ZERO, b"")


def _succeeded(world: ChannelWorld) -> bool:
    asked = Call(to=world.config.token, data=keccak(b"succeeded()")[:4])
    return world.evm.call(asked) == TRUE


@pytest.mark.parametrize("payment", ["settle", "refund", "finalize", "deposit"])
def test_a_token_that_calls_back(odd: ChannelWorld, doors: list[Call], payment):
    """B14: every door that is open to it is shut while tokens move; the digests stay open."""
    ways = {**payments(odd), "deposit": (odd.relay, odd.deposit_call(10, odd.config))}
    sender, call = ways[payment]
    token, channels = odd.config.token, odd.channels
    for door in doors:
        with odd.evm.anchor():
            _call_back(odd, door)
        with odd.evm.anchor():
            told(odd, token, BEHAVE_TOKEN, TRUE, 0, channels.address, door.data)
            odd.send(sender, call)
            assert not _succeeded(odd)
    told(
        odd,
        token,
        BEHAVE_TOKEN,
        TRUE,
        0,
        channels.address,
        channels.channel_id(odd.config).call.data,
    )
    odd.send(sender, call)
    assert _succeeded(odd)


def test_a_receiver_the_token_freezes(opened: ChannelWorld):
    """B11: its claims are booked, its pay waits; nobody else does."""
    other = opened.terms(salt=1, receiver=key("other").address)
    opened.deposit(DEPOSIT, other)
    opened.claim(opened.row(5))
    opened.send(opened.receiver_authorizer, opened.channels.claim([opened.row(6, other)]))
    opened.send(opened.owner, opened.token.freeze(opened.receiver.address))
    with refused("token: frozen"):
        opened.settle()
    opened.send(opened.relay, opened.channels.settle(other.receiver, opened.token.address))
    opened.claim(opened.row(8))
    opened.send(opened.owner, opened.token.unfreeze(opened.receiver.address))
    opened.settle()
    assert (opened.tokens(opened.receiver.address), opened.tokens(other.receiver)) == (8, 6)


def test_a_payer_the_token_freezes(opened: ChannelWorld):
    """B7, B8, B11: its exit waits whole, the receiver is paid all the same."""
    opened.send(opened.payer, opened.channels.initiate_withdraw(opened.config, 7))
    opened.evm.pass_time(DELAY_S)
    opened.send(opened.owner, opened.token.freeze(opened.payer.address))
    take = opened.channels.finalize_withdraw(opened.config)
    with refused("token: frozen"):
        opened.send(opened.payer, take)
    with refused("token: frozen"):
        opened.send(opened.receiver, opened.channels.refund(opened.config, 1))
    assert opened.channels.refund_nonce(opened.id()).ask(opened.evm) == 0
    opened.claim(opened.row(5))
    opened.settle()
    opened.send(opened.owner, opened.token.unfreeze(opened.payer.address))
    opened.send(opened.payer, take)
    assert opened.state() == ChannelState(balance_minor=DEPOSIT - 7, total_claimed_minor=5)


def test_a_paused_token(opened: ChannelWorld):
    """Claims, which move nothing, go on; all that pays waits."""
    opened.claim(opened.row(5))
    opened.send(opened.owner, opened.token.set_paused(paused=True))
    opened.claim(opened.row(9))
    with refused("token: paused"):
        opened.settle()
    with refused("token: paused"):
        opened.deposit(1)
    opened.send(opened.owner, opened.token.set_paused(paused=False))
    opened.settle()
    assert opened.tokens(opened.receiver.address) == 9


def test_a_token_without_code(channel_world: ChannelWorld):
    with refused(None):
        channel_world.deposit(1, channel_world.terms(token=key("nobody").address))


# Collectors


@pytest.fixture
def trickster(opened: ChannelWorld) -> Address:
    """A collector that brings another amount, or calls back first."""
    collector = vyper(ODD_COLLECTOR, sender=opened.owner.address, evm=opened.evm)
    opened.send(opened.payer, opened.token.approve(collector, DEPOSIT))
    return collector


@pytest.mark.parametrize(("more", "less"), [(1, 0), (0, 1), (0, 10)])
def test_a_collector_that_brings_another_amount(opened: ChannelWorld, trickster, more, less):
    """B13: more is refused like less."""
    told(opened, trickster, BEHAVE_COLLECTOR, more, less, ZERO, b"")
    call = opened.channels.deposit(opened.config, 10, collector=trickster, collector_data=b"")
    with refused("DepositCollectionFailed"):
        opened.send(opened.relay, call)
    told(opened, trickster, BEHAVE_COLLECTOR, 0, 0, ZERO, b"")
    opened.send(opened.relay, call)
    assert opened.state().balance_minor == DEPOSIT + 10


def test_a_collector_cannot_count_one_deposit_twice(opened: ChannelWorld, trickster):
    """B1, B14: a deposit within a deposit, by itself or within a multicall, finds the lock."""
    inner = opened.deposit_call(10, opened.terms(salt=1))
    call = opened.channels.deposit(opened.config, 10, collector=trickster, collector_data=b"")
    for nested in (inner, opened.channels.multicall([inner])):
        told(opened, trickster, BEHAVE_COLLECTOR, 0, 10, opened.channels.address, nested.data)
        with refused(None):
            opened.send(opened.relay, call)


def test_money_sent_without_a_deposit_is_nobodys(opened: ChannelWorld):
    """B1: a transfer past the channels opens none and cannot be taken by any."""
    opened.send(opened.payer, opened.token.transfer(opened.channels.address, 50))
    with refused("DepositCollectionFailed"):
        collector = vyper(ODD_COLLECTOR, sender=opened.owner.address, evm=opened.evm)
        opened.send(opened.payer, opened.token.approve(collector, DEPOSIT))
        told(opened, collector, BEHAVE_COLLECTOR, 0, 50, ZERO, b"")
        call = opened.channels.deposit(opened.config, 50, collector=collector, collector_data=b"")
        opened.send(opened.relay, call)


@pytest.mark.parametrize(("length", "fits"), [(2048, True), (2049, False)])
def test_the_bound_of_collector_data(opened: ChannelWorld, trickster, length, fits):
    call = opened.channels.deposit(
        opened.config, 10, collector=trickster, collector_data=bytes(length)
    )
    if fits:
        opened.send(opened.relay, call)
        return
    with refused(None):
        opened.send(opened.relay, call)


# Payers and authorizers that are contracts


@pytest.fixture
def wallet(channel_world: ChannelWorld):
    """A channel whose payer is a contract that signs by ERC-1271."""
    world = channel_world
    address = vyper(WALLET, sender=world.owner.address, evm=world.evm)
    world.send(world.owner, world.token.mint(address, DEPOSIT))
    world.config = world.terms(payer=address, payer_authorizer=ZERO)
    approve = world.token.approve(world.puller, DEPOSIT)
    _do(world, address, approve)
    world.deposit()
    yield world
    world.config = world.terms()


def _do(world: ChannelWorld, wallet: Address, call: Call):
    do = ("do(address,bytes)", ["address", "bytes"])
    return told(world, wallet, do, call.to, call.data)


def _accept(world: ChannelWorld, total: int, signature: bytes, *, answer=VALID, **odd) -> None:
    """Let the wallet take exactly this signature over this voucher, and answer so."""
    digest = world.channels.voucher_digest(world.id(), total).ask(world.evm)
    wanted = keccak(digest + signature)
    behaviour = {"target": ZERO, "back": b"", "fails": False, **odd}
    told(world, world.config.payer, BEHAVE_WALLET, answer, wanted, *behaviour.values())


@pytest.mark.parametrize("length", [0, 1, 31, 32, 33, 64, 65, 66, 97, 700, 1023, 1024])
def test_a_contract_signs_with_any_length(wallet: ChannelWorld, length):
    """The octets reach the wallet as they are, word by word, up to the bound."""
    signature = b"".join(keccak(b"word %d" % i) for i in range(32))[:length]
    _accept(wallet, 5, signature)
    wallet.claim(wallet.row(5, signature=signature))
    assert wallet.state().total_claimed_minor == 5
    with refused("InvalidSignature"):
        wallet.claim(wallet.row(6, signature=signature))


def test_the_bound_of_a_contracts_signature(wallet: ChannelWorld):
    _accept(wallet, 5, bytes(1025))
    with refused(None):
        wallet.claim(wallet.row(5, signature=bytes(1025)))


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        VALID[:4],
        VALID[:31],
        bytes(32),
        TRUE,
        bytes.fromhex("1626ba7e") + bytes(27) + b"\x01",
        bytes(28) + bytes.fromhex("1626ba7e"),
    ],
    ids=bytes.hex,
)
def test_a_contract_that_says_anything_else(wallet: ChannelWorld, answer):
    """Only the magic value in a whole word is a yes."""
    _accept(wallet, 5, b"signed", answer=answer)
    with refused("InvalidSignature"):
        wallet.claim(wallet.row(5, signature=b"signed"))


def test_a_longer_answer_is_read_by_its_first_word(wallet: ChannelWorld):
    _accept(wallet, 5, b"signed", answer=VALID + b"\xff" * 32)
    wallet.claim(wallet.row(5, signature=b"signed"))
    assert wallet.state().total_claimed_minor == 5


def test_a_contract_that_fails(wallet: ChannelWorld):
    """Its failure is not ours: the voucher is not signed, even if it fails with the magic value."""
    _accept(wallet, 5, b"signed", fails=True)
    with refused("InvalidSignature"):
        wallet.claim(wallet.row(5, signature=b"signed"))


def test_a_contract_cannot_change_anything_while_asked(wallet: ChannelWorld):
    """B14: a payer that withdraws during a claim; it is asked statically and behind the lock."""
    announce = wallet.channels.initiate_withdraw(wallet.config, DEPOSIT)
    _do(wallet, wallet.config.payer, announce)
    wallet.evm.pass_time(DELAY_S)
    for back in (
        wallet.channels.finalize_withdraw(wallet.config),
        wallet.channels.channel(wallet.id()).call,
        wallet.token.transfer(wallet.relay.address, 0),
    ):
        _accept(wallet, 5, b"signed", target=back.to, back=back.data)
        with refused("InvalidSignature"):
            wallet.claim(wallet.row(5, signature=b"signed"))
    digest = wallet.channels.voucher_digest(wallet.id(), 5).call
    _accept(wallet, 5, b"signed", target=digest.to, back=digest.data)
    wallet.claim(wallet.row(5, signature=b"signed"))
    _do(wallet, wallet.config.payer, wallet.channels.finalize_withdraw(wallet.config))
    assert wallet.state() == ChannelState(balance_minor=5, total_claimed_minor=5)


def test_a_key_with_code_is_asked_as_a_contract(wallet: ChannelWorld):
    """A payer with code never signs as a key; an authorizer always does."""
    config = replace(wallet.config, payer_authorizer=wallet.config.payer)
    wallet.send(wallet.owner, wallet.token.mint(config.payer, DEPOSIT))
    _do(wallet, config.payer, wallet.token.approve(wallet.puller, DEPOSIT))
    wallet.deposit(DEPOSIT, config)
    wallet.config = config
    _accept(wallet, 5, b"signed")
    with refused("ECDSAInvalidSignatureLength"):
        wallet.claim(wallet.row(5, signature=b"signed"))


def test_an_authorizer_that_is_a_contract(channel_world: ChannelWorld):
    """Claims and refunds of a receiver whose authorizer is a contract, signed by ERC-1271."""
    world = channel_world
    address = vyper(WALLET, sender=world.owner.address, evm=world.evm)
    config = world.terms(receiver_authorizer=address)
    world.deposit(DEPOSIT, config)
    rows = [world.row(5, config)]
    digest = world.channels.claim_batch_digest(rows).ask(world.evm)
    told(world, address, BEHAVE_WALLET, VALID, keccak(digest + b"x" * 300), ZERO, b"", False)
    world.send(world.relay, world.channels.claim_with_signature(rows, b"x" * 300))
    digest = world.channels.refund_digest(world.id(config), nonce=0, amount=7).ask(world.evm)
    told(world, address, BEHAVE_WALLET, VALID, keccak(digest + b"y" * 300), ZERO, b"", False)
    call = world.channels.refund_with_signature(config, 7, nonce=0, signature=b"y" * 300)
    world.send(world.relay, call)
    assert world.state(config) == ChannelState(balance_minor=DEPOSIT - 7, total_claimed_minor=5)


def test_the_dearest_claim_fits_a_transaction(wallet: ChannelWorld):
    """B15: 100 rows of one paying contract, each signature as long as may be."""
    signature = b"\xff" * 1024
    configs = [replace(wallet.config, salt=keccak(b"%d" % i)) for i in range(CLAIM_ROWS_MAX)]
    wallet.send(wallet.owner, wallet.token.mint(wallet.config.payer, DEPOSIT))
    _do(wallet, wallet.config.payer, wallet.token.approve(wallet.puller, DEPOSIT))
    for config in configs:
        wallet.deposit(1, config)
    rows = [wallet.row(1, config, signature=signature) for config in configs]
    always = vyper(ALWAYS, sender=wallet.owner.address, evm=wallet.evm)
    wallet.evm.copy_code(always, wallet.config.payer)
    call = wallet.channels.claim_with_signature(rows, wallet.batch_signature(rows))
    intrinsic = 21_000 + sum(4 if octet == 0 else 16 for octet in call.data)
    used = wallet.evm.gas(wallet.relay.address, call)
    assert wallet.owed() == ReceiverState(total_claimed_minor=CLAIM_ROWS_MAX, total_settled_minor=0)
    assert intrinsic + used < GAS_MAX


ALWAYS = """
# pragma version 0.4.3
# pragma evm-version cancun

@external
@view
def isValidSignature(digest: bytes32, signature: Bytes[1024]) -> bytes4:
    return 0x1626ba7e
"""


def test_one_token_of_many(opened: ChannelWorld):
    """B11: what is claimed in one token is never paid in another."""
    opened.claim(opened.row(5))
    call = opened.channels.settle(opened.receiver.address, key("other token").address)
    assert opened.send(opened.relay, call).logs == ()
    assert opened.owed() == ReceiverState(total_claimed_minor=5, total_settled_minor=0)
