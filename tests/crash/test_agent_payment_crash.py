"""The node agent is killed around a payment: what it answered for, and kept, comes to the home."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.access.agent.scene import start
from tests.access.agent.test_payments import Payments
from tests.access.fakes import NAS, REALM, Bench, usim
from tests.access.radsec import until
from tests.app.test_node_agent import folder_with
from tests.app.test_node_http import with_payments
from tests.app.test_node_payments import FRAMED, ask, request
from tests.crash.test_agent_crash import radio_to, serving

from opencarrier.access.udp import Bind, UdpServer
from opencarrier.chain.typed_data import ChannelConfig, channel_id, voucher_digest
from opencarrier.channels.carried import Contract, pack
from opencarrier.channels.model import Payment, UsageAck
from opencarrier.channels.typed_data import ack_digest
from opencarrier.channels.wire import write_brought
from opencarrier.kernel.ids import Id
from opencarrier.kernel.signatures import Address, KeySigner
from opencarrier.sim.eap_peer import AkaPrimePeer
from opencarrier.sim.radio import Attached, Patience
from opencarrier.spine.ids import session_id as session_id_of

pytestmark = pytest.mark.crash

CONTRACT = Contract(chain_id=31_337, address=Address("0x" + "ab" * 20))
DEVICE = KeySigner(b"\x21" * 32)
CONFIG = ChannelConfig(
    payer=DEVICE.address,
    payer_authorizer=DEVICE.address,
    receiver=Address("0x" + "cd" * 20),
    receiver_authorizer=Address("0x" + "cd" * 20),
    token=Address("0x" + "ef" * 20),
    withdraw_delay_s=86_400,
    salt=bytes(32),
)
TABLE = f'port = 0\nchain_id = {CONTRACT.chain_id}\ncontract = "{CONTRACT.address}"'


def signed(session_id: Id, sequence: int) -> Payment:
    channel = Id(channel_id(CONTRACT.vouchers, CONFIG))
    ack = UsageAck(
        session_id=session_id,
        sequence=sequence,
        octets_in=sequence,
        octets_out=sequence,
        duration_s=sequence,
        tariff_hash=bytes(32),
        channel_id=channel,
        cumulative_minor=sequence,
    )
    voucher = voucher_digest(CONTRACT.vouchers, channel, 1_000 + sequence)
    return Payment(
        max_claimable_minor=1_000 + sequence,
        voucher_signature=DEVICE.sign(voucher).octets,
        ack=ack,
        ack_signature=DEVICE.sign(ack_digest(CONTRACT.acks, ack)).octets,
    )


@pytest.mark.parametrize(
    "point", ["node.paid:1", "node.paid:3", "node.delivered:3", "node.delivered:4"]
)
async def test_a_payment_survives_the_agent(tmp_path: Path, point: str) -> None:
    """Killed between its commit and its answer, or between the home's answer and its note of it."""
    book = Payments()
    bench = Bench(payments=book)
    server = UdpServer(bench.service(), Bind(auth_port=0, acct_port=0))
    await server.start()
    hub = (
        f'transport = "udp"\nport = {server.auth_address[1]}\n'
        f'acct_port = {server.acct_address[1]}\nsecret_file = "hub.secret"\n'
    )
    folder = folder_with(tmp_path, hub)
    with_payments(folder, TABLE)
    sent: list[Payment] = []
    async with serving(folder, point) as (process, told):
        radio = await radio_to(told, Patience())
        assert isinstance(await radio.attach(AkaPrimePeer(usim(), REALM)), Attached)
        await radio.tell(start("s1"), FRAMED)
        grant = bench.policy.granted[0]
        session_id = session_id_of(grant.authorisation_id, NAS, "s1")
        where = ("127.0.0.1", told["payments_port"])
        while process.returncode is None:
            payment = signed(session_id, len(sent) + 1)
            sent.append(payment)
            try:
                body = write_brought(CONFIG, payment)
                answer = await ask(where, request("POST", "/v1/payment", body))
                assert answer.document["state"] == "taken", answer
            except (OSError, IndexError):
                break
        radio.close()
        assert await asyncio.wait_for(process.wait(), timeout=20) == -9
    async with serving(folder):
        await until(lambda: pack(sent[-1]) in {one[:2] for one in book.taken})
    await server.stop()
    arrived = [one[:2] for one in book.taken]
    assert list(dict.fromkeys(arrived)) == [pack(payment) for payment in sent]
    assert {one[2] for one in book.taken} == {session_id}
