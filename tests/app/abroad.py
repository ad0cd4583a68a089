"""A phone of Lumen's, served at Borea's node: Lumen's access server over real sockets."""

from __future__ import annotations

from tests.app.scene import IMSI, OPC, K
from tests.app.two_installations import ASSET, NODE, START_US, Side, taken

from opencarrier.access.model import Transport
from opencarrier.access.udp import Bind, UdpServer
from opencarrier.access.wire.dictionary import AcctStatus, Type
from opencarrier.access.wire.radius import Attribute, text
from opencarrier.app.terms import Limits, Terms, draft_plan
from opencarrier.identity.model import SimKeys
from opencarrier.kernel.entropy import SeededEntropy
from opencarrier.kernel.ids import derive
from opencarrier.ledger import chart
from opencarrier.ledger import service as ledger
from opencarrier.ledger.model import Transfer
from opencarrier.sim.eap_peer import AkaPrimePeer
from opencarrier.sim.radio import Attached, Patience, Radio, RadioSettings, Report
from opencarrier.sim.usim import Usim
from opencarrier.spine.parties import Subscriber

NAME, MAC = "Ada Lovelace-Byron", "02-1B-44-11-3A-B7"
REALM = "wlan.mnc093.mcc208.3gppnetwork.org"
SECRET = b"between Borea and Lumen"
SECOND_US = 1_000_000


class StationRadio(Radio):
    """An access point that names its station to whoever it asks."""

    def _who(self) -> list[Attribute]:
        return [*super()._who(), text(Type.CALLING_STATION_ID, MAC)]


def furnish(lumen: Side, borea: Side) -> Subscriber:
    base = lumen.base
    own, peer = lumen.own.party_id, borea.own.party_id
    terms = Terms(unit="octets_total", step=1024, price_nano=5_200, minimum_minor=0, tax_ppm=0)
    limits = Limits(rate_cap_octets_per_s=250_000, session_s_max=3_600, interim_s=300)
    with base.store.write() as unit:
        identity = base.identity
        taken(identity.register.add_realm(unit, own, realm=None, plmn="20893"))
        taken(identity.clients.add(unit, prefix="127.0.0.0/8", operator=peer, secret=SECRET))
        plan = draft_plan(
            base, unit, ASSET, operator="Lumen", plan_id="prepaid", terms=terms, limits=limits
        )
        taken(base.rating.add_plan(unit, taken(plan), at_us=START_US))
        people = identity.subscriptions
        found = taken(people.add(unit, name=NAME, home=own, plan_id="prepaid"))
        keys = SimKeys(K, OPC)
        taken(people.add_credential(unit, subscriber=found.party_id, imsi=IMSI, keys=keys))
        for number, name in enumerate((chart.prepaid(found.party_id), chart.collateral(own))):
            ledger.ensure(unit, ASSET, [chart.CUSTODY, name])
            funds = Transfer(
                transfer_id=derive("transfer", "residency", number),
                asset=ASSET,
                debit=chart.CUSTODY,
                credit=name,
                amount_minor=10**12,
                code="deposit",
            )
            assert ledger.apply(unit, [funds], START_US) == [None]
    return found


async def served(lumen: Side, *used: tuple[AcctStatus, int, int]) -> list[bytes]:
    """Let a phone in and report (status, second, octets) of it; return what Lumen answered."""
    service, sent = lumen.base.access(), []
    server = UdpServer(service, Bind(auth_port=0, acct_port=0))
    await server.start()
    send = service._senders[Transport.UDP]

    def heard(effect) -> None:
        sent.append(effect.datagram)
        send(effect)

    service._senders[Transport.UDP] = heard
    settings = RadioSettings(
        nas_identifier=NODE,
        secret=SECRET,
        auth=server.auth_address,
        acct=server.acct_address,
        patience=Patience(first_s=2, tries=3),
    )
    radio = await StationRadio.open(settings, SeededEntropy(4))
    phone = AkaPrimePeer(Usim(imsi=IMSI, k=K, opc=OPC, highest_sqn=0), REALM)
    attached = await radio.attach(phone)
    assert isinstance(attached, Attached), attached
    for status, at_s, octets in ((AcctStatus.START, 0, 0), *used):
        report = Report(
            status=status,
            acct_session_id="session-1",
            event_s=START_US // SECOND_US + at_s,
            session_time_s=at_s,
            octets_in=0,
            octets_out=octets,
        )
        await radio.report(report, attached)
    radio.close()
    await server.stop()
    return sent
