"""The voucher endpoint alone, as it is served in a walled garden: a foreign phone over real HTTP.

The phone is written from the guide: httpx sends, eth_account and the x402 SDK's own signer sign,
and nothing of ours makes what it says.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from secrets import token_hex
from typing import Any

import httpx
import pytest
from eth_account import Account
from tests.app.serving import served
from tests.channels.worlds import (
    ADA,
    HOME,
    SETTINGS,
    SIGNERS,
    TOKEN_DOMAIN,
    VENUE,
    VISITED,
    World,
)
from x402.mechanisms.evm.batch_settlement.client.voucher import sign_voucher
from x402.mechanisms.evm.signers import EthAccountSigner

from opencarrier.app import answers
from opencarrier.app.http_channels import ChannelDesk, make_channel_app
from opencarrier.app.http_once import KEY_MAX
from opencarrier.app.store import Store
from opencarrier.app.turnstile import Manners, Turnstile
from opencarrier.chain.contracts import X402_SETTLEMENT_ADDRESS
from opencarrier.chain.typed_data import ChannelConfig, deposit_nonce
from opencarrier.channels import store as channels
from opencarrier.channels.model import Mode
from opencarrier.channels.typed_data import channel_id_of
from opencarrier.channels.wire import BODY_OCTETS_MAX
from opencarrier.kernel.clock import SECOND_US, FixedClock
from opencarrier.ledger import chart
from opencarrier.ledger import service as ledger
from opencarrier.spine.access import Grant

X402_VENUE = replace(VENUE, contract=X402_SETTLEMENT_ADDRESS)
NETWORK = f"eip155:{VENUE.chain_id}"
KEY = bytes(range(64))
DEPOSIT_MINOR = 50_000
SLICE_MINOR = 200
"""100 KiB at 2 a KiB."""

ACK = [
    {"name": "session_id", "type": "bytes32"},
    {"name": "sequence", "type": "uint64"},
    {"name": "octets_in", "type": "uint64"},
    {"name": "octets_out", "type": "uint64"},
    {"name": "duration_s", "type": "uint64"},
    {"name": "tariff_hash", "type": "bytes32"},
    {"name": "channel_id", "type": "bytes32"},
    {"name": "cumulative", "type": "uint128"},
]
RECEIVE = [
    {"name": "from", "type": "address"},
    {"name": "to", "type": "address"},
    {"name": "value", "type": "uint256"},
    {"name": "validAfter", "type": "uint256"},
    {"name": "validBefore", "type": "uint256"},
    {"name": "nonce", "type": "bytes32"},
]


@dataclass
class Garden:
    """A node's endpoint as served, and the seller's rooms behind it."""

    url: str
    store: Store
    world: World
    grant: Grant
    clock: FixedClock

    def ask(self, method: str, name: str, **words: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {KEY.hex()}", **words.pop("headers", {})}
        url = f"{self.url}/v1/channels/{name}"
        return httpx.request(method, url, headers=headers, timeout=30, **words)

    def post(self, name: str, document: Any = None, *, key: str = "", **words: Any) -> Any:
        words = words if document is None else {"json": document, **words}
        return self.ask("POST", name, headers={"Idempotency-Key": key or token_hex()}, **words)

    def posted(self, name: str) -> int:
        with self.store.read() as unit:
            return ledger.balance(unit, VENUE.asset, name).posted_minor

    def fund(self, channel_id: str) -> None:
        """See the channel's deposit on the chain."""
        with self.store.write() as unit:
            found = channels.channel(unit, bytes.fromhex(channel_id[2:]))
            assert found is not None
            channels.put_channel(unit, replace(found, deposited_minor=DEPOSIT_MINOR))


@pytest.fixture
def garden(tmp_path: Path) -> Iterator[Garden]:
    store = Store(tmp_path / "books.sqlite")
    with store.write() as unit:
        world = World(venue=X402_VENUE, unit=unit)
        world.channels.enrol(unit, ADA.party_id, Mode.HOME)
        grant = world.authorise()
        world.book.keep(unit, {grant.authorisation_id: sha256(KEY).digest()})
        answers.metadata.create_all(unit)
    clock = FixedClock(world.at_us)
    desk = ChannelDesk(
        world.channels,
        store,
        grants=world.rating,
        directory=world.directory,
        clock=clock,
        manners=Manners(per_s=1_000.0, burst=1_000.0),
    )
    kept = answers.Answers(store, clock, bytes(answers.SECRET_OCTETS))
    with served(make_channel_app(desk, kept)) as url:
        yield Garden(url, store, world, grant, clock)
    store.close()


class Phone:
    """A foreign phone: a wallet, a key for vouchers, and what the guide says."""

    def __init__(self, terms: dict[str, Any]) -> None:
        self.terms = terms
        self.wallet, self.delegate = (Account.from_key(bytes([n]) * 32) for n in (0x51, 0x52))
        self.config = {
            "payer": self.wallet.address.lower(),
            "payer_authorizer": self.delegate.address.lower(),
            "receiver": terms["receivers"]["home"],
            "receiver_authorizer": terms["receivers"]["home"],
            "token": terms["token"],
            "withdraw_delay_s": terms["withdraw_delay_s"],
            "salt": "0x" + "5a" * 32,
        }
        octets = {**self.config, "salt": bytes([0x5A]) * 32}
        channel_id = channel_id_of(X402_VENUE, ChannelConfig(**octets))
        self.channel_id = "0x" + channel_id.hex()

    def open(self, now_s: int) -> dict[str, Any]:
        salt = bytes([0x5B]) * 32
        nonce = deposit_nonce(bytes.fromhex(self.channel_id[2:]), int.from_bytes(salt, "big"))
        message = {
            "from": self.wallet.address,
            "to": self.terms["collector"],
            "value": DEPOSIT_MINOR,
            "validAfter": 0,
            "validBefore": now_s + 3_600,
            "nonce": nonce,
        }
        domain = {
            "name": TOKEN_DOMAIN.name,
            "version": TOKEN_DOMAIN.version,
            "chainId": self.terms["chain_id"],
            "verifyingContract": self.terms["token"],
        }
        signed = self.wallet.sign_typed_data(domain, {"ReceiveWithAuthorization": RECEIVE}, message)
        return {
            "mode": "home",
            "channel_id": self.channel_id,
            "config": self.config,
            "deposit": {
                "amount_minor": str(DEPOSIT_MINOR),
                "valid_after_s": 0,
                "valid_before_s": now_s + 3_600,
                "salt": "0x" + salt.hex(),
                "signature": "0x" + signed.signature.hex().removeprefix("0x"),
            },
        }

    def pay(
        self, session: dict[str, Any], *, sequence: int, octets: int, owed: int, ceiling: int
    ) -> dict[str, Any]:
        """A voucher by the SDK's signer, and an ack by the EIP-712 of eth_account."""
        voucher = sign_voucher(EthAccountSigner(self.delegate), self.channel_id, ceiling, NETWORK)
        used = {"octets_in": octets, "octets_out": 0, "duration_s": 10 if octets else 0}
        named = {
            "session_id": session["session_id"],
            "tariff_hash": session["tariff_hash"],
            "channel_id": self.channel_id,
        }
        domain = {
            "name": "opencarrier Channels",
            "version": "1",
            "chainId": self.terms["chain_id"],
            "verifyingContract": self.terms["contract"],
        }
        message = {
            **{name: bytes.fromhex(text[2:]) for name, text in named.items()},
            **used,
            "sequence": sequence,
            "cumulative": owed,
        }
        ack = self.delegate.sign_typed_data(domain, {"UsageAck": ACK}, message)
        return {
            "max_claimable_minor": voucher.max_claimable_amount,
            "voucher_signature": voucher.signature,
            "ack": {**named, **used, "sequence": sequence, "cumulative_minor": str(owed)},
            "ack_signature": "0x" + ack.signature.hex().removeprefix("0x"),
        }


def begun(garden: Garden) -> tuple[Phone, dict[str, Any]]:
    """A foreign phone whose channel is funded and whose session is on it."""
    phone = Phone(garden.ask("GET", "terms").json())
    opened = garden.post("open", phone.open(garden.world.now_s))
    assert opened.status_code == 200, opened.text
    garden.fund(phone.channel_id)
    asked = {"channel_id": phone.channel_id, "acct_session_id": "s1"}
    session = garden.post("session", asked)
    assert session.status_code == 200, session.text
    return phone, session.json()


def test_a_foreign_phone_from_terms_to_close(garden: Garden) -> None:
    terms = garden.ask("GET", "terms").json()
    assert terms["contract"] == X402_SETTLEMENT_ADDRESS
    assert terms["receivers"] == {
        "home": SIGNERS[HOME].address,
        "direct": SIGNERS[VISITED].address,
    }
    phone, session = begun(garden)
    assert session["next"] == {
        "voucher_minor": str(SLICE_MINOR),
        "octets": SETTINGS.slice_octets,
        "duration_s": SETTINGS.slice_s,
        "paid": False,
    }
    first = phone.pay(session, sequence=0, octets=0, owed=0, ceiling=SLICE_MINOR)
    answer = garden.post("payment", first)
    assert (answer.status_code, answer.json()["next"]["paid"]) == (200, True)
    used = phone.pay(session, sequence=1, octets=80 * 1024, owed=160, ceiling=360)
    taken = garden.post("payment", used)
    assert (taken.status_code, taken.json()["cumulative_minor"]) == (200, "160")
    assert garden.posted(chart.vouchers(HOME)) == -160
    state = garden.ask("GET", f"session/{session['session_id']}")
    assert state.json() == taken.json()
    ended = garden.post("end", {"session_id": session["session_id"]})
    assert (ended.status_code, ended.json()["ended"]) == (200, True)
    assert garden.post("close", {"channel_id": phone.channel_id}).json() == {"closed": True}
    late = phone.pay(session, sequence=2, octets=81 * 1024, owed=162, ceiling=362)
    assert garden.post("payment", late).json()["title"] == "session_ended"
    assert garden.posted(chart.vouchers(HOME)) == -160


def test_a_foreign_voucher_for_another_amount_than_it_says_is_refused(garden: Garden) -> None:
    phone, session = begun(garden)
    payment = phone.pay(session, sequence=0, octets=0, owed=0, ceiling=SLICE_MINOR)
    more = {**payment, "max_claimable_minor": str(SLICE_MINOR + 1)}
    answer = garden.post("payment", more)
    assert (answer.status_code, answer.json()["title"]) == (409, "voucher_signature")
    assert garden.post("payment", payment).status_code == 200


def test_a_payment_is_the_same_under_another_key_and_another_one_is_not_under_its_key(
    garden: Garden,
) -> None:
    """What it says decides what it is; who means another payment by the same key is told."""
    phone, session = begun(garden)
    first = phone.pay(session, sequence=0, octets=0, owed=0, ceiling=SLICE_MINOR)
    second = phone.pay(session, sequence=1, octets=50 * 1024, owed=100, ceiling=300)
    told = garden.post("payment", first, key="one")
    assert told.status_code == 200
    assert garden.post("payment", second, key="one").status_code == 422
    taken = garden.post("payment", second, key="two").json()
    assert taken["cumulative_minor"] == "100"
    assert garden.post("payment", second, key="three").json() == taken
    again = garden.post("payment", first, key="one")
    assert (again.json(), again.headers["idempotency-replayed"]) == (told.json(), "true")
    assert garden.posted(chart.vouchers(HOME)) == -100


@pytest.mark.parametrize(
    ("key", "status"),
    [("", 400), ("k", 409), ("k" * KEY_MAX, 409), ("k" * 256, 400), (None, 400)],
)
def test_a_post_has_an_idempotency_key(garden: Garden, key: str | None, status: int) -> None:
    """409: it was heard, and there is no such session."""
    headers = {} if key is None else {"Idempotency-Key": key}
    body = {"session_id": "0x" + "00" * 32}
    assert garden.ask("POST", "end", json=body, headers=headers).status_code == status


@pytest.mark.parametrize("more", [0, 1])
@pytest.mark.parametrize("announced", [True, False])
def test_a_body_has_a_limit(garden: Garden, more: int, announced: bool) -> None:
    """Whether its length is announced or it comes in pieces."""
    body = b'{"session_id": "0x%s"}' % (b"00" * 32)
    body = body.ljust(BODY_OCTETS_MAX + more)
    content = body if announced else iter([body[:4_000], body[4_000:]])
    answer = garden.post("end", content=content)
    assert answer.status_code == (413 if more else 409)


@pytest.mark.parametrize("octets", [63, 64, 65])
def test_a_key_has_its_length(garden: Garden, octets: int) -> None:
    key = (KEY + b"\0")[:octets]
    headers = {"Authorization": f"Bearer {key.hex()}"}
    status = garden.ask("GET", "terms", headers=headers).status_code
    assert status == (200 if octets == 64 else 401)


def test_a_session_is_heard_for_some_time_after_its_end(garden: Garden) -> None:
    end_us = garden.grant.expires_us + SETTINGS.late_s * SECOND_US
    garden.clock.set(end_us - 1)
    assert garden.ask("GET", "terms").status_code == 200
    garden.clock.set(end_us)
    assert garden.ask("GET", "terms").status_code == 401


class TestTurnstile:
    """How often a session may ask, and of how many that is remembered."""

    def test_a_burst_and_then_so_many_a_second(self) -> None:
        now = [0.0]
        turnstile = Turnstile(Manners(per_s=2.0, burst=3.0), lambda: now[0])
        assert [turnstile.passes(b"a") for _ in range(4)] == [True, True, True, False]
        assert turnstile.passes(b"b"), "each session has its own"
        now[0] = 0.49
        assert not turnstile.passes(b"a")
        now[0] = 0.5
        assert [turnstile.passes(b"a") for _ in range(2)] == [True, False]
        now[0] = 100.0
        assert [turnstile.passes(b"a") for _ in range(4)] == [True, True, True, False]

    def test_so_many_sessions_are_remembered_and_the_longest_unseen_is_forgotten(self) -> None:
        turnstile = Turnstile(Manners(per_s=1.0, burst=1.0, sessions_max=2), lambda: 0.0)
        assert turnstile.passes(b"a")
        assert turnstile.passes(b"b")
        assert not turnstile.passes(b"a"), "two are remembered"
        assert turnstile.passes(b"c"), "the third takes the place of b, longest unseen"
        assert not turnstile.passes(b"a")
        assert turnstile.passes(b"b")
        assert len(turnstile._buckets) == 2
