"""Wallets that are contracts sign in by EIP-1271; the judgement is that of snekmate's checker."""

from __future__ import annotations

from threading import BoundedSemaphore

import pytest
from eth_abi import encode
from eth_account import Account as Wallet
from eth_account.messages import _hash_eip191_message, encode_defunct
from tests.console.people import installation
from tests.contracts.contract_evm import _compiled

from opencarrier.app import contract_wallets
from opencarrier.app.contract_wallets import SIGNATURE_OCTETS_MAX
from opencarrier.chain.errors import ChainUnavailableError, RevertedError
from opencarrier.chain.keys import create_address
from opencarrier.chain.model import Call
from opencarrier.identity.accounts import siwe
from opencarrier.kernel.ids import derive
from opencarrier.kernel.keccak import keccak
from opencarrier.kernel.signatures import Address

pytestmark = pytest.mark.peer

OWNER, OTHER = Wallet.from_key(b"\x21" * 32), Wallet.from_key(b"\x22" * 32)
CONTRACTS = """
# pragma version 0.4.3
# pragma evm-version cancun

owner: immutable(address)
mood: immutable(uint256)

@deploy
def __init__(whose: address, how: uint256):
    owner = whose
    mood = how

@external
@view
def isValidSignature(digest: bytes32, signature: Bytes[4096]) -> bytes32:
    takes: bytes32 = 0x1626ba7e00000000000000000000000000000000000000000000000000000000
    if mood == 1:
        return 0x1626ba7e00000000000000000000000000000000000000000000000000000001
    if mood == 2:
        spent: bytes32 = digest
        for i: uint256 in range(1_000_000):
            spent = keccak256(spent)
        return takes
    if mood == 3:
        raise "no"
    if mood == 4:
        return takes
    r: uint256 = extract32(signature, 0, output_type=uint256)
    s: uint256 = extract32(signature, 32, output_type=uint256)
    v: uint256 = convert(slice(signature, 64, 1), uint256)
    return takes if ecrecover(digest, v, r, s) == owner else empty(bytes32)
"""
KEYED, ILL_FORMED, ENDLESS, REVERTS, TAKES_ALL = range(5)
CHECKER = """
# pragma version 0.4.3
# pragma evm-version cancun

from snekmate.utils import ecdsa
from snekmate.utils import signature_checker

initializes: signature_checker

@deploy
def __init__():
    signature_checker.__init__()

@external
@view
def check(wallet: address, digest: bytes32, signature: Bytes[65]) -> bool:
    return signature_checker._is_valid_ERC1271_signature_now(wallet, digest, signature)
"""
CHECK = keccak(b"check(address,bytes32,bytes)")[:4]
ARGENT = (
    "localhost:4361 wants you to sign in with your Ethereum account:\n"
    "0xa5b3A53800cD49669F34DE80f2C569c6D4Ca3009\n\nSIWE Notepad Example\n\n"
    "URI: http://localhost:4361\nVersion: 1\nChain ID: 1\nNonce: FbYd6TNB4m0IUHDG7\n"
    "Issued At: 2022-04-19T18:55:04.444Z"
)
"""What an Argent wallet signed on the Ethereum main net (test vector of the package `siwe`)."""


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    with installation(tmp_path_factory.mktemp("wallets")) as found:
        yield found


def deploy(home, text: str, *arguments: object) -> Address:
    built, work = _compiled(text), home.made.place.work
    types = ["address", "uint256"][: len(arguments)]
    code = bytes.fromhex(built["bytecode"].removeprefix("0x")) + encode(types, arguments)
    done = work.do(derive("test", text, *map(str, arguments)), Call(to=None, data=code))
    return create_address(done.sender, done.nonce)


@pytest.fixture(scope="module")
def wallets(home):
    """One contract of every mood, owned by one key."""
    return [deploy(home, CONTRACTS, OWNER.address, mood) for mood in range(5)]


def knock(home, wallet: str, key=OWNER, *, path: str = "/sign-in/wallet", who: str = "", **more):
    browser = home.browser(who)
    answer = browser.script(f"{path}/message", {"address": wallet})
    text = answer.json()["message"]
    octets = more.pop("octets", None) or key.sign_message(encode_defunct(text=text)).signature
    told = {"message": text, "signature": f"0x{bytes(octets).hex()}", **more}
    return browser.script(path, told).status_code


def test_a_contract_signs_in_by_whoever_it_takes(home, wallets):
    keyed = wallets[KEYED]
    assert knock(home, keyed) == 403, "it is nobody's yet"
    adding = {"path": "/me/keys/wallet", "who": "guest", "name": "safe"}
    assert knock(home, keyed, OTHER, **adding) == 409
    assert knock(home, keyed, **adding) == 200
    assert knock(home, keyed) == 200
    assert knock(home, keyed, OTHER) == 403
    assert knock(home, keyed, octets=b"\x01" * 64) == 403
    assert knock(home, OWNER.address, OTHER) == 403, "where there is no contract a key signs"


def test_whatever_else_a_contract_does_is_a_no(home, wallets):
    """Out of form, without an end, reverting: it costs so much gas, and adds no wallet."""
    for mood in (ILL_FORMED, ENDLESS, REVERTS):
        adding = {"path": "/me/keys/wallet", "who": "host", "name": "w"}
        assert knock(home, wallets[mood], **adding) == 409


def test_what_is_asked_of_a_contract_is_bounded(home, wallets, monkeypatch):
    chain = contract_wallets.QuickChain(home.made.place)
    mine, takes_all = contract_wallets.ContractWallets(chain), wallets[TAKES_ALL]
    assert mine.takes(takes_all, bytes(32), bytes(SIGNATURE_OCTETS_MAX))
    assert not mine.takes(takes_all, bytes(32), bytes(SIGNATURE_OCTETS_MAX + 1))
    for _ in range(contract_wallets.ASKED_AT_ONCE_MAX):
        assert mine._room.acquire(blocking=False)
    assert not mine.takes(takes_all, bytes(32), b"")
    mine._room = BoundedSemaphore()
    silent = ChainUnavailableError("silence", outcome_unknown=False)
    monkeypatch.setattr(home.made.place.client, "call", raising(silent))
    assert not mine.takes(takes_all, bytes(32), b"")
    monkeypatch.undo()
    assert mine.takes(takes_all, bytes(32), b""), "a no gives its room back"


def raising(error: Exception):
    def call(*_: object) -> bytes:
        raise error

    return call


def test_the_verdict_is_that_of_another_checker(home, wallets):
    """snekmate asks the same contracts on the same chain; digests are eth_account's."""
    checker = deploy(home, CHECKER)
    chain = contract_wallets.QuickChain(home.made.place)
    mine, seen = contract_wallets.ContractWallets(chain), set()
    for text in (ARGENT, "another"):
        digest = _hash_eip191_message(encode_defunct(text=text))
        assert siwe.digest(text) == digest
        for signer in (OWNER, OTHER):
            octets = bytes(signer.sign_message(encode_defunct(text=text)).signature)
            for mood in (KEYED, ILL_FORMED, REVERTS, TAKES_ALL):
                data = encode(["address", "bytes32", "bytes"], [wallets[mood], digest, octets])
                call = Call(to=checker, data=CHECK + data)
                try:
                    theirs = int.from_bytes(chain.client().call(call), "big") == 1
                except RevertedError:
                    theirs = False
                assert mine.takes(wallets[mood], digest, octets) == theirs, mood
                seen.add((mood, theirs))
    assert seen == {
        (KEYED, True),
        (KEYED, False),
        (ILL_FORMED, False),
        (REVERTS, False),
        (TAKES_ALL, True),
    }


def test_the_message_of_a_known_contract_wallet_is_read(home):
    read = siwe.read(ARGENT)
    assert (read.address, read.chain_id) == ("0xa5b3a53800cd49669f34de80f2c569c6d4ca3009", 1)
