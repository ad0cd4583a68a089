"""Sign-In with Ethereum: by the grammar, signed by another implementation, and tampered with."""

from __future__ import annotations

import pytest
from eth_account import Account as Wallet
from eth_account.messages import encode_defunct
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.identity.accounts.conftest import ORIGIN, START_US

from opencarrier.identity.accounts import siwe
from opencarrier.identity.accounts.model import AccountReason, SignInKey
from opencarrier.identity.accounts.service import STATEMENT_SIGN_IN, SignedIn
from opencarrier.identity.accounts.siwe import MESSAGE_OCTETS_MAX, Message
from opencarrier.kernel.clock import SECOND_US
from opencarrier.kernel.refusals import PeerError, Refusal
from opencarrier.kernel.signatures import Address

WALLET = Wallet.from_key(b"\x07" * 32)
ADDRESS = Address(WALLET.address.lower())

EXAMPLE = """\
example.com wants you to sign in with your Ethereum account:
0xC02aaA39b223FE8D0A0e5C4F27eAD9083C756Cc2

I accept the ExampleOrg Terms of Service: https://example.com/tos

URI: https://example.com/login
Version: 1
Chain ID: 1
Nonce: 32891756
Issued At: 2021-09-30T16:25:24Z
Resources:
- ipfs://bafybeiemxf5abjwjbikoz4mc3a3dla6ual3jsgpdr4cjr3oz3evfyavhwq/
- https://example.com/my-web2-claim.json"""
"""The fields of the example of EIP-4361."""

BARE = """\
https://example.com:3388 wants you to sign in with your Ethereum account:
0xC02aaA39b223FE8D0A0e5C4F27eAD9083C756Cc2


URI: https://example.com:3388/login
Version: 1
Chain ID: 1
Nonce: 32891756
Issued At: 2021-09-30T16:25:24.5+02:00"""


def signed(text: str) -> bytes:
    """Sign as a wallet does, by an implementation that is not ours (EIP-191)."""
    return bytes(WALLET.sign_message(encode_defunct(text=text)).signature)


@pytest.fixture
def wallet(unit, accounts, ada):
    text = accounts.wallet_message(ORIGIN, ADDRESS, account=ada.account)
    proven = accounts.proven(ORIGIN, text, signed(text), account=ada.account)
    made = accounts.add_wallet(unit, ada.account, proven, name="wallet")
    assert isinstance(made, SignInKey)
    return made


def sign_in(unit, accounts, text, signature=None):
    proven = accounts.proven(ORIGIN, text, signed(text) if signature is None else signature)
    return accounts.sign_in_by_wallet(unit, proven, came_from="")


def test_the_standards_example_is_read_and_written_again():
    read = siwe.read(EXAMPLE)
    assert read.domain == "example.com"
    assert read.statement == "I accept the ExampleOrg Terms of Service: https://example.com/tos"
    assert read.resources[1] == "https://example.com/my-web2-claim.json"
    assert siwe.write(read) == EXAMPLE


def test_what_is_optional_may_be_missing_and_instants_have_zones():
    read = siwe.read(BARE)
    assert (read.scheme, read.domain, read.statement) == ("https", "example.com:3388", None)
    assert read.issued_us == 1_633_011_924_500_000


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("example.com wants", "exam ple.com wants"),
        ("0xC02aaA", "0xc02aaA"),
        ("Version: 1", "Version: 2"),
        ("Nonce: 32891756", "Nonce: 3289175"),
        ("Nonce: 32891756", "Nonce: 3289-1756"),
        ("Chain ID: 1", "Chain ID: one"),
        ("Chain ID: 1", "Chain ID: ١"),
        ("Version: 1\nChain ID: 1", "Chain ID: 1\nVersion: 1"),
        ("2021-09-30T16:25:24Z", "2021-09-31T16:25:24Z"),
        ("2021-09-30T16:25:24Z", "2021-09-30 16:25:24Z"),
        ("2021-09-30T16:25:24Z", "2021-09-30T16:25:24"),
        ("claim.json", "claim.json\n"),
        ("claim.json", "claim.json\nI also agree to pay."),
        ("\n\nURI", "\nURI"),
        ("of Service", "of\nService"),
        ("Issued At", "issued At"),
    ],
)
def test_what_the_grammar_does_not_have_is_no_message(old, new):
    assert old in EXAMPLE
    with pytest.raises(PeerError):
        siwe.read(EXAMPLE.replace(old, new, 1))


def test_a_message_has_its_most():
    filler = "x" * (MESSAGE_OCTETS_MAX - len(EXAMPLE) - len("Request ID: ") - 1)
    text = EXAMPLE.replace("\nResources", f"\nRequest ID: {filler}\nResources")
    assert len(siwe.read(text).request_id or "") == len(filler)
    with pytest.raises(PeerError, match="too_long"):
        siwe.read(text.replace(filler, filler + "x"))


@settings(max_examples=20)
@given(
    st.builds(
        Message,
        domain=st.from_regex(r"[a-z]{1,20}(\.[a-z]{2,8})?(:[1-9][0-9]{1,3})?", fullmatch=True),
        address=st.binary(min_size=20, max_size=20).map(lambda raw: Address("0x" + raw.hex())),
        uri=st.from_regex(r"https://[a-z]{1,20}/[a-z]{0,9}", fullmatch=True),
        chain_id=st.integers(0, 10**12),
        nonce=st.from_regex(r"[A-Za-z0-9]{8,64}", fullmatch=True),
        issued_us=st.integers(0, 4 * 10**9).map(lambda at_s: at_s * SECOND_US),
        expires_us=st.none() | st.integers(0, 4 * 10**9).map(lambda at_s: at_s * SECOND_US),
        not_before_us=st.none() | st.integers(0, 4 * 10**9).map(lambda at_s: at_s * SECOND_US),
        scheme=st.sampled_from([None, "https"]),
        statement=st.none() | st.from_regex(r"[A-Za-z0-9 .,:]{1,40}", fullmatch=True),
        request_id=st.none() | st.from_regex(r"[A-Za-z0-9]{0,9}", fullmatch=True),
        resources=st.lists(st.from_regex(r"ipfs://[a-z]{1,9}", fullmatch=True)).map(tuple),
    )
)
def test_what_is_written_is_read_as_it_was(message):
    assert siwe.read(siwe.write(message)) == message


def test_a_wallet_signs_in_once_a_message(unit, accounts, ada, wallet):
    text = accounts.wallet_message(ORIGIN, ADDRESS)
    assert f"{ORIGIN.domain} wants you to sign in" in text
    done = sign_in(unit, accounts, text)
    assert isinstance(done, SignedIn)
    assert done.account == ada.account
    assert isinstance(sign_in(unit, accounts, text), Refusal)


def test_hardware_wallets_count_from_zero(unit, accounts, wallet):
    text = accounts.wallet_message(ORIGIN, ADDRESS)
    octets = signed(text)
    low = octets[:64] + bytes((octets[64] - 27,))
    assert isinstance(sign_in(unit, accounts, text, low), SignedIn)


TAMPERED = {
    "domain": ("localhost:8400 wants", "evil.example wants"),
    "port": ("localhost:8400 wants", "localhost:8401 wants"),
    "scheme": ("localhost:8400 wants", "https://localhost:8400 wants"),
    "uri": ("URI: http://localhost:8400", "URI: http://evil.example"),
    "chain": ("Chain ID: 31337", "Chain ID: 1"),
    "statement": (STATEMENT_SIGN_IN, "Pay 100 USD to Mallory."),
    "no statement": (f"{STATEMENT_SIGN_IN}\n", ""),
    "issued in future": ("Issued At: 2023-11-14T22:13", "Issued At: 2023-11-14T22:17"),
    "issued long ago": ("Issued At: 2023-11-14T22:13", "Issued At: 2023-11-14T22:03"),
    "already over": ("Expiration Time: 2023-11-14T22:18", "Expiration Time: 2023-11-14T22:13"),
    "for days": ("Expiration Time: 2023-11-14", "Expiration Time: 2023-11-15"),
    "endless": ("\nExpiration Time: 2023-11-14T22:18:20Z", ""),
    "not yet": ("22:18:20Z", "22:18:20Z\nNot Before: 2023-11-14T22:17:00Z"),
    "request": ("22:18:20Z", "22:18:20Z\nRequest ID: 7"),
    "resources": ("22:18:20Z", "22:18:20Z\nResources:\n- https://localhost:8400/v1/cycles/close"),
}


@pytest.mark.parametrize("name", TAMPERED)
def test_a_wallet_may_sign_it_and_still_it_says_another_thing(unit, accounts, wallet, name):
    """Each field is judged though the signature is right."""
    old, new = TAMPERED[name]
    text = accounts.wallet_message(ORIGIN, ADDRESS)
    assert old in text, text
    refused = sign_in(unit, accounts, text.replace(old, new, 1))
    assert isinstance(refused, Refusal)
    assert refused.reason is AccountReason.NOT_SIGNED_IN
    assert isinstance(sign_in(unit, accounts, text), SignedIn)


def test_a_nonce_is_ours_or_nothing(unit, accounts, clock, wallet):
    text = accounts.wallet_message(ORIGIN, ADDRESS)
    nonce = siwe.read(text).nonce
    for other in (nonce[:-1] + ("0" if nonce[-1] != "0" else "1"), "deadbeef", "z" * 64):
        assert isinstance(sign_in(unit, accounts, text.replace(nonce, other)), Refusal)
    clock.set(START_US + 299 * SECOND_US)
    assert isinstance(sign_in(unit, accounts, text), SignedIn)
    late = accounts.wallet_message(ORIGIN, ADDRESS)
    clock.set(START_US + 599 * SECOND_US)
    assert isinstance(sign_in(unit, accounts, late), Refusal)


def test_a_signature_is_of_the_address_it_names(unit, accounts, wallet):
    other = Wallet.from_key(b"\x08" * 32)
    text = accounts.wallet_message(ORIGIN, ADDRESS)
    forged = bytes(other.sign_message(encode_defunct(text=text)).signature)
    good = signed(text)
    for octets in (forged, good[:64], good + b"\x00", bytes(65), good[:64] + b"\x05"):
        assert isinstance(sign_in(unit, accounts, text, octets), Refusal)
    stranger = accounts.wallet_message(ORIGIN, Address(other.address.lower()))
    octets = bytes(other.sign_message(encode_defunct(text=stranger)).signature)
    assert sign_in(unit, accounts, stranger, octets) == sign_in(unit, accounts, text, forged)


def test_a_message_of_sign_in_adds_no_wallet(unit, accounts, ada):
    """Nor does one that was made for another account."""
    bob = accounts.book.add(unit, "Bob")
    for text in (
        accounts.wallet_message(ORIGIN, ADDRESS),
        accounts.wallet_message(ORIGIN, ADDRESS, account=bob.account),
    ):
        proven = accounts.proven(ORIGIN, text, signed(text), account=ada.account)
        outcome = accounts.add_wallet(unit, ada.account, proven, name="w")
        assert isinstance(outcome, Refusal)
    assert accounts.book.keys(unit, ada.account) == []
