"""A paying phone on an access point: it attaches, talks to the voucher endpoint, and uses.

The access point lets through what its gate allows; the phone counts what reached it, pays slice by
slice over HTTP, and what the access point reports goes by RADIUS as always.
"""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import dataclass
from http.client import HTTPConnection
from typing import Any

from opencarrier.access.session_key import session_key
from opencarrier.access.wire.aka_keys import Keys
from opencarrier.channels.model import ChannelSettings, Mode, Payment
from opencarrier.channels.rules import Gate, Offer, closed_gate, paid, used
from opencarrier.channels.wire import write_open, write_payment
from opencarrier.kernel.ids import from_hex, to_hex
from opencarrier.kernel.refusals import Refusal
from opencarrier.kernel.signatures import Address
from opencarrier.sim.payer import Asked, Payer
from opencarrier.spine.usage import ZERO, Counters

TIMEOUT_S = 30
ANSWER_OCTETS_MAX = 65_536


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What the endpoint answered: the status and the document."""

    status: int
    document: dict[str, Any]


class Endpoint:
    """The voucher endpoint as a phone reaches it, over plain HTTP; calls block."""

    def __init__(self, address: tuple[str, int], keys: Keys) -> None:
        self._address = address
        self._key = session_key(keys.emsk).hex()
        self._sent = 0

    def post(self, name: str, text: str) -> Told:
        """Send a request; the same text again is the same request."""
        self._sent += 1
        headers = {"Idempotency-Key": f"{self._sent}", "Content-Type": "application/json"}
        return self._ask("POST", name, text.encode(), headers)

    def get(self, name: str) -> Told:
        """Ask without changing anything."""
        return self._ask("GET", name, b"", {})

    def _ask(self, method: str, name: str, body: bytes, headers: dict[str, str]) -> Told:
        with closing(HTTPConnection(*self._address, timeout=TIMEOUT_S)) as connection:
            proven = {"Authorization": f"Bearer {self._key}", **headers}
            connection.request(method, f"/v1/channels/{name}", body, proven)
            answer = connection.getresponse()
            return Told(status=answer.status, document=json.loads(answer.read(ANSWER_OCTETS_MAX)))


class PayingPhone:
    """A phone's session: what it used of paid slices, and the gate it is behind."""

    def __init__(self, payer: Payer, endpoint: Endpoint, settings: ChannelSettings) -> None:
        self.payer = payer
        self.endpoint = endpoint
        self.gate: Gate = closed_gate(settings)
        self.free_octets = 0
        self._asked: Asked | None = None

    @property
    def counters(self) -> Counters:
        """What it used of slices that were paid for."""
        if self.gate.octets == 0 and self.gate.duration_s == 0:
            return ZERO
        return Counters(
            session_time_s=self.gate.duration_s, octets_in=0, octets_out=self.gate.octets
        )

    def open(self, seller: Address, amount_minor: int, *, mode: Mode, now_s: int) -> Told:
        """Open a channel; the deposit is signed here and brought to the chain by the seller."""
        config, deposit = self.payer.open(seller, amount_minor, now_s=now_s)
        return self.endpoint.post("open", write_open(mode, config, deposit))

    def begin(self, acct_session_id: str) -> Told:
        """Put the session on the phone's channel."""
        text = json.dumps(
            {"channel_id": to_hex(self.payer.channel_id), "acct_session_id": acct_session_id}
        )
        told = self.endpoint.post("session", text)
        if told.status == 200:
            self._asked = Asked(
                session_id=from_hex(told.document["session_id"]),
                tariff_hash=from_hex(told.document["tariff_hash"]),
                base_minor=int(told.document["base_minor"]),
            )
        return told

    def pay(self, *, now_s: int, more: bool = True) -> Told | Refusal:
        """Acknowledge what was used and, for `more`, pay for the next slice."""
        assert self._asked is not None, "begin a session first"
        sign = self.payer.pay if more else self.payer.acknowledge
        payment = sign(self._asked, self.counters, now_s=now_s)
        return payment if isinstance(payment, Refusal) else self.send(payment)

    def send(self, payment: Payment) -> Told:
        """Send a payment; where it is taken, the node opens its gate for what it paid for."""
        told = self.endpoint.post("payment", write_payment(payment))
        if told.status == 200 and told.document["next"]["paid"]:
            following = dict(told.document["next"], voucher_minor=0)
            self.gate = paid(self.gate, Offer(**following))
        return told

    def use(self, octets: int, duration_s: int) -> int:
        """Ask for some octets; return how many the node let through."""
        before = self.gate.octets
        self.gate, passed = used(self.gate, octets=octets, duration_s=duration_s)
        self.free_octets += passed - (self.gate.octets - before)
        return passed

    def end(self) -> Told:
        """End the session, so that another node may serve the channel."""
        assert self._asked is not None
        return self.endpoint.post("end", json.dumps({"session_id": to_hex(self._asked.session_id)}))

    def close(self) -> Told:
        """Close the channel: the rest of its deposit comes back."""
        text = json.dumps({"channel_id": to_hex(self.payer.channel_id)})
        return self.endpoint.post("close", text)
