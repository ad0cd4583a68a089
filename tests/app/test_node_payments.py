"""Devices hand vouchers and acks to the agent at their venue: to the home, through outages."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from eth_account import Account
from tests.access.agent.scene import AP_SECRET as AT_AP
from tests.access.agent.scene import StationRadio, start, stop
from tests.access.radsec import until
from x402.mechanisms.evm.batch_settlement.client.voucher import sign_voucher
from x402.mechanisms.evm.signers import EthAccountSigner

from opencarrier.access.agent.request import HEAD_OCTETS_MAX
from opencarrier.access.upstream.model import Lost
from opencarrier.access.wire.dictionary import Type
from opencarrier.app.exporting import export_usage
from opencarrier.app.node_agent import NodeRunning, running, standing
from opencarrier.app.node_folder import NodeFolder
from opencarrier.channels.model import Payment
from opencarrier.channels.wire import BODY_OCTETS_MAX, write_brought
from opencarrier.kernel.entropy import SeededEntropy
from opencarrier.kernel.ids import Id, to_hex
from opencarrier.kernel.refusals import Refusal
from opencarrier.kernel.signatures import KeySigner
from opencarrier.receipts.verify import Verifier
from opencarrier.sim.eap_peer import AkaPrimePeer
from opencarrier.sim.payer import Asked
from opencarrier.sim.phone import Endpoint, PayingPhone
from opencarrier.sim.radio import Attached, Link, RadioSettings
from opencarrier.spine.records import Evidence
from opencarrier.spine.usage import Counters, Rung
from opencarrier.usage.dataset import read_records

from .paying import MIB, REALM, SECRET, Paying, paying
from .scene import scene
from .test_node_agent import folder_with

SLICE_OCTETS = 2 * MIB
SETTINGS = {
    "radius_port": 0,
    "acct_port": 0,
    "http_port": 0,
    "slice_octets": SLICE_OCTETS,
    "slice_s": 60,
    "channels": "x402",
}
FRAMED = (int(Type.FRAMED_IP_ADDRESS), bytes((127, 0, 0, 1)))
LIES_OCTETS = 40 * MIB
STRANGER = KeySigner(b"\x55" * 32)


@dataclass
class Answer:
    status: int
    document: dict


async def ask(address: tuple[str, int], octets: bytes, source: str = "127.0.0.1") -> Answer:
    """Send octets as they are, and read what comes to the end."""
    reader, writer = await asyncio.open_connection(*address, local_addr=(source, 0))
    writer.write(octets)
    got = await asyncio.wait_for(reader.read(), 30)
    writer.close()
    head, _, body = got.partition(b"\r\n\r\n")
    return Answer(int(head.split()[1]), json.loads(body))


def request(method: str, path: str, body: str = "", host: str = "127.0.0.1") -> bytes:
    head = f"{method} {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {len(body)}\r\n\r\n"
    return (head + body).encode()


@dataclass
class Venue:
    """Ada at a venue: the agent, its access point, her phone and her channel."""

    ada: Paying
    node: NodeRunning
    radio: StationRadio
    phone: PayingPhone

    @property
    def address(self) -> tuple[str, int]:
        assert self.node.payments is not None
        return self.node.payments

    @property
    def asked(self) -> Asked:
        assert self.phone._asked is not None
        return self.phone._asked

    def payment(self, octets: int, seconds: int, *, more: bool = True) -> Payment:
        """What her phone signs when it has used so much."""
        sign = self.ada.payer.pay if more else self.ada.payer.acknowledge
        used = Counters(session_time_s=seconds, octets_in=0, octets_out=octets)
        payment = sign(self.asked, used, now_s=self.ada.now_s)
        assert not isinstance(payment, Refusal)
        return payment

    async def hand_in(self, payment: Payment, **changes: object) -> Answer:
        config = replace(self.config, **changes)
        body = write_brought(config, payment)
        return await ask(self.address, request("POST", "/v1/payment", body))

    @property
    def config(self):
        with self.ada.scene.place.base.store.read() as unit:
            channel = self.ada.channels.service.channel(unit, self.ada.payer.channel_id)
        assert channel is not None
        return channel.config

    async def shown(self, source: str = "127.0.0.1") -> Answer:
        return await ask(self.address, request("GET", "/v1/session"), source)

    def standing(self):
        with self.ada.scene.place.base.store.read() as unit:
            standing = self.ada.channels.service.standing(unit, self.asked.session_id)
        assert standing is not None
        return standing


def told(folder: NodeFolder, ada: Paying) -> None:
    """Let the folder's agent take payments of the scene's contract."""
    venue = ada.channels.service.venue
    text = folder.settings_file.read_text()
    payments = f"""
[payments]
port = 0
chain_id = {venue.chain_id}
contract = "{venue.contract}"
"""
    text = text.replace("[[access_point]]", f"{payments}[[access_point]]")
    text = text.replace('"cafe-1"', f'"{ada.scene.node.nas_identifier}"')
    folder.settings_file.write_text(text)
    (folder.root / "hub.secret").write_bytes(SECRET)


def folder_for(root: Path, ada: Paying) -> NodeFolder:
    hub = (
        f'transport = "udp"\nport = {ada.served.auth[1]}\n'
        f'acct_port = {ada.served.acct[1]}\nsecret_file = "hub.secret"\n'
    )
    folder = folder_with(root, hub)
    text = folder.settings_file.read_text()
    node = ada.scene.node.nas_identifier
    folder.settings_file.write_text(
        "\n".join(
            f'nas_identifier = "{node}"' if line.startswith("nas_identifier") else line
            for line in text.splitlines()
        )
    )
    told(folder, ada)
    return folder


@asynccontextmanager
async def at(ada: Paying, folder: NodeFolder) -> AsyncIterator[tuple[NodeRunning, StationRadio]]:
    async with running(folder) as node:
        settings = RadioSettings(nas_identifier="x", secret=AT_AP, auth=node.auth, acct=node.acct)
        links = [await Link.open(address, settings) for address in (settings.auth, settings.acct)]
        radio = StationRadio(settings, SeededEntropy(4), *links)
        try:
            yield node, radio
        finally:
            radio.close()


@asynccontextmanager
async def venue(ada: Paying, folder: NodeFolder) -> AsyncIterator[Venue]:
    """Attach through the agent, open a channel at the home, and put the session on it."""
    async with at(ada, folder) as (node, radio):
        peer = AkaPrimePeer(ada.usim, REALM)
        attached = await radio.attach(peer)
        assert isinstance(attached, Attached), attached
        assert peer.keys is not None
        host, port = ada.served.running.http.removeprefix("http://").split(":")
        endpoint = Endpoint((host, int(port)), peer.keys)
        phone = PayingPhone(ada.payer, endpoint, ada.channels.service.settings)
        await ada.opened(phone, ada.scene.home.address)
        await radio.tell(start("s1"), FRAMED)
        begun = await asyncio.to_thread(phone.begin, "s1")
        assert begun.status == 200, begun
        yield Venue(ada, node, radio, phone)


async def test_what_a_device_hands_in_counts_at_the_home(tmp_path: Path) -> None:
    with scene(tmp_path / "home", **SETTINGS) as made:
        async with paying(made) as ada:
            folder = folder_for(tmp_path, ada)
            async with venue(ada, folder) as here:
                await pay_and_be_refused(here)
                waiting = await pay_while_the_home_is_away(here)
                await strangers_learn_nothing(here)
            await hear_of_it_after_a_restart(ada, folder, waiting)
            await settle_what_was_acknowledged(ada, tmp_path, waiting)


async def pay_and_be_refused(here: Venue) -> None:
    """The first slice is taken by the home; what is wrong is refused at the venue or there."""
    shown = await here.shown()
    assert shown.document["session_id"] == to_hex(here.asked.session_id)
    first = here.payment(0, 0)
    taken = await here.hand_in(first)
    assert (taken.status, taken.document["state"]) == (200, "taken"), taken
    assert here.standing().session.voucher_minor == first.max_claimable_minor
    assert await here.hand_in(first) == taken, "sent again it is the same"

    second = by_the_sdk(here, here.payment(SLICE_OCTETS, 10))
    assert (await here.hand_in(second)).document["state"] == "taken"
    ack, signed = second.ack, here.ada.payer.sign
    more = second.max_claimable_minor
    later = replace(ack, sequence=ack.sequence + 1)
    forger = here.ada.payer._delegate
    here.ada.payer._delegate = STRANGER
    forged = signed(later, more)
    here.ada.payer._delegate = forger
    other = replace(later, session_id=Id(bytes(32)))
    refused = [
        (first, "voucher_stale"),
        (signed(later, more - 1), "voucher_stale"),
        (signed(replace(ack, octets_in=1), more), "ack_stale"),
        (signed(replace(later, octets_out=1), more), "ack_falls"),
        (signed(other, more), "other_session"),
        (forged, "voucher_signature"),
        (replace(signed(later, more), ack_signature=forged.ack_signature), "ack_signature"),
        (signed(replace(later, cumulative_minor=ack.cumulative_minor + 1), more), "ack_mispriced"),
    ]
    for payment, reason in refused:
        answer = await here.hand_in(payment)
        assert (answer.status, answer.document["title"]) == (409, reason)
    foreign = await here.hand_in(signed(later, more), salt=bytes(32))
    assert foreign.document["title"] == "other_channel"
    (now,) = (await here.shown()).document["payments"]
    assert (now["state"], now["reason"]) == ("refused", "ack_mispriced"), "the home's own word"
    assert here.standing().session.acked == ack.counters
    third = here.payment(2 * SLICE_OCTETS, 20)
    assert (await here.hand_in(third)).document["state"] == "taken", "what was refused binds nobody"


def by_the_sdk(here: Venue, payment: Payment) -> Payment:
    """The same payment, its voucher signed by x402's own client with the key of its channel."""
    key = Account.from_key(here.ada.payer._delegate._key.secret)
    network = f"eip155:{here.ada.channels.service.venue.chain_id}"
    channel, most = to_hex(payment.ack.channel_id), payment.max_claimable_minor
    voucher = sign_voucher(EthAccountSigner(key), channel, most, network)
    assert voucher.max_claimable_amount == str(most)
    return replace(payment, voucher_signature=bytes.fromhex(voucher.signature[2:]))


async def pay_while_the_home_is_away(here: Venue) -> Payment:
    """Two payments come while the home does not answer: both are kept, the newer is told."""
    upstream = here.node.service._ports.upstream

    async def away(*_: object, **__: object) -> Lost:
        await asyncio.sleep(0.01)
        return Lost.UNREACHABLE

    upstream.request = away
    service = here.node.service
    service._settings = replace(service._settings, retry_max_s=0.05)
    service._pause_s = 0.05
    patient = service.pay
    service.pay = lambda *paid: patient(*paid[:3], 0.05)
    older = here.payment(2 * SLICE_OCTETS + MIB, 25)
    newer = by_the_sdk(here, here.payment(3 * SLICE_OCTETS, 30))
    for payment in (older, newer):
        kept = await here.hand_in(payment)
        assert (kept.status, kept.document["state"]) == (202, "waiting")
    assert here.standing().session.acked.octets_out == 2 * SLICE_OCTETS
    assert standing(here.node)["payments_waiting"] == 1
    return newer


async def strangers_learn_nothing(here: Venue) -> None:
    """Another address is another device; names and malformed requests are turned away."""
    assert (await here.shown("127.0.0.2")).document["title"] == "no_session"
    here.radio.station = "02-00-00-00-00-02"
    await here.radio.tell(start("s2"), (FRAMED[0], bytes((127, 0, 0, 2))))
    other = (await here.shown("127.0.0.2")).document
    assert (other["acct_session_id"], other["payments"], other["session_id"]) == ("s2", [], None)
    asked = [
        (request("GET", "/v1/session", host="rebound.example"), 400, "host"),
        (request("GET", "/"), 404, "unknown"),
        (request("POST", "/v1/payment", "{}"), 400, "keys"),
        (request("POST", "/v1/payment", "[" * 2_000), 400, "not_json"),
        (request("POST", "/v1/payment", " " * (BODY_OCTETS_MAX + 1)), 413, "body_size"),
        (b"GET /v1/session HTTP/1.1\r\nx: " + b"y" * HEAD_OCTETS_MAX, 431, "head_size"),
    ]
    for octets, status, title in asked:
        answer = await ask(here.address, octets, "127.0.0.2")
        assert (answer.status, answer.document["title"]) == (status, title)


async def hear_of_it_after_a_restart(ada: Paying, folder: NodeFolder, waiting: Payment) -> None:
    """The agent goes on where it was; the session ends with more reported than was signed for."""
    service, session_id = ada.channels.service, waiting.ack.session_id
    async with at(ada, folder) as (node, radio):
        await until(lambda: standing(node)["payments_waiting"] == 0)
        with ada.scene.place.base.store.read() as unit:
            found = service.standing(unit, session_id)
        assert found is not None
        assert found.session.acked == waiting.ack.counters
        assert found.channel.voucher_minor == waiting.max_claimable_minor
        reported = 3 * SLICE_OCTETS + LIES_OCTETS
        await radio.tell(stop("s1", session_time_s=31, octets_out=reported), FRAMED)
        await until(lambda: standing(node)["waiting"] == 0)
    with ada.scene.place.base.store.write() as unit:
        service.end(unit, session_id)


async def settle_what_was_acknowledged(ada: Paying, folder: Path, waiting: Payment) -> None:
    """Use is owed as far as both say; it is marked so, its receipt verifies, it is claimed."""
    place, closed = ada.scene.place, await asyncio.to_thread(ada.scene.settle)
    assert closed
    with place.base.store.read() as unit:
        (usage,) = [one for one in place.base.usage.every(unit) if one.counters_to.octets_out]
        receipt = place.issuer.issue(unit, usage.usage_id)
    assert usage.counters_to == waiting.ack.counters
    assert isinstance(receipt, str)
    verdict = Verifier(place.manifest, place.client).verify(receipt)
    assert (verdict.included, verdict.final) == (True, True)
    assert usage.rung is Rung.CO_SIGNED
    assert len(verdict.signed_by) == 2
    export_usage(place.base, folder / "usage")
    records = {one.usage_id: one for one in read_records(folder / "usage")}
    assert Evidence.ACKNOWLEDGED in records[usage.usage_id].evidence
    await ada.tend(everything=True)
    state = ada.contract.channel(ada.payer.channel_id).ask(place.client)
    assert state.total_claimed_minor == waiting.ack.cumulative_minor > 0
    ada.agrees()
