"""A price agreed in band, kept by both of two installations, and what becomes of who forgets it.

A phone of Lumen's comes on at an access point of Borea's, which offers less than the list price.
Borea passes it on to Lumen over UDP, keeps what Lumen accepted, and rates its own record by it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import update
from tests.app.abroad import REALM, SECRET, furnish
from tests.app.scene import IMSI, OPC, K
from tests.app.test_visited_abroad import AP_SECRET, delivered, two_ports
from tests.app.test_visited_abroad import served as running
from tests.app.two_installations import (
    ASSET,
    NODE,
    SECOND_US,
    START_US,
    Side,
    Two,
    taken,
    two_installations,
)

from opencarrier.access import terms_token
from opencarrier.access.openroaming.attributes import rate_octets
from opencarrier.access.udp import Bind, UdpServer
from opencarrier.access.wire.dictionary import WBA, WBA_LINEAR_VOLUME_RATE, AcctStatus
from opencarrier.access.wire.radius import Attribute, vendor
from opencarrier.app.disputing import show
from opencarrier.app.exchanging import told
from opencarrier.app.passing_on import access_service
from opencarrier.clearing.exchange.statement import Cause, Difference, Statement
from opencarrier.clearing.exchange.told import entry_id
from opencarrier.identity.routing import read_server
from opencarrier.kernel.clock import Window
from opencarrier.kernel.entropy import SeededEntropy
from opencarrier.kernel.ids import Id, to_hex
from opencarrier.kernel.signatures import Signature, verify
from opencarrier.rating.agreements.model import Line, RoamingAgreement, Signatory
from opencarrier.rating.tables import accepted, authorisations
from opencarrier.sim.eap_peer import AkaPrimePeer
from opencarrier.sim.radio import Attached, Patience, Radio, RadioSettings, Rejected, Report
from opencarrier.sim.usim import Usim
from opencarrier.spine.access import Accepted, Quote, Rate, terms_digest
from opencarrier.spine.parties import Route, RouteKind
from opencarrier.spine.records import Qos, RcoiClass, Service

LIST_NANO, AGREED_NANO = 1_000_000, 900_000
"""1,000 minor units for 1,024 octets by the agreement; 900 as it is offered."""
KIB = 1_024
TIMEOUT_S = 3_600


def with_lines(lumen: Side, borea: Side) -> RoamingAgreement:
    """Wi-Fi whose price may be agreed in band."""
    home, visited, protocol = lumen.own, borea.own, borea.base.hub.party_id
    month = Window(START_US, START_US + 30 * 86_400 * SECOND_US)
    line = Line(
        line="wifi", home=home.party_id, visited=visited.party_id, window=month,
        services=(Service.WIFI,), qos=tuple(Qos), rcoi=(RcoiClass.NONE, RcoiClass.SETTLED),
        unit="octets_total", first_step=KIB, next_step=KIB, price_nano=LIST_NANO, fixed_minor=0,
        minimum_minor=0, currency="USD", tax_ppm=0, tax_included=False, host_ppm=600_000,
        in_band=True,
    )  # fmt: skip
    parties = sorted((home, visited), key=lambda item: item.party_id)
    return RoamingAgreement(
        parties=tuple(
            Signatory(party=item.party_id, address=item.address, tax_party=protocol)
            for item in parties
        ),
        asset=ASSET, currency="USD", protocol_party=protocol, protocol_ppm=10_000,
        periods_us=(month.start_us, month.end_us), lines=(line,), rates=(), deals=(),
    )  # fmt: skip


class OfferingRadio(Radio):
    """An access point that offers what it may be used for."""

    nano = AGREED_NANO

    def _who(self) -> list[Attribute]:
        rate = rate_octets(Rate(5, Quote("USD", self.nano)))
        return [*super()._who(), vendor(WBA, WBA_LINEAR_VOLUME_RATE, rate)]


@contextmanager
def both(root: Path) -> Iterator[Two]:
    """Lumen with a subscriber, Borea with an access point and the way to Lumen."""
    with two_installations(root, draft=with_lines) as two:
        furnish(two.lumen, two.borea)
        yield two


def lead_home(borea: Side, port: int) -> None:
    identity, own = borea.base.identity, borea.own.party_id
    with borea.base.store.write() as unit:
        taken(identity.register.add_realm(unit, borea.peer.party_id, realm=None, plmn="20893"))
        taken(identity.clients.add(unit, prefix="127.0.0.0/8", operator=own, secret=AP_SECRET))
        route = Route(pattern=REALM, kind=RouteKind.UPSTREAM, upstream=REALM)
        server = taken(read_server(f"udp://127.0.0.1:{port}", SECRET))
        taken(identity.routing.add(unit, route, [server]))


SESSIONS = {
    "honest": (60, 100 * KIB),
    "late": (TIMEOUT_S + 100, (TIMEOUT_S + 100) * KIB),
    "lowered": (60, 100 * KIB),
    "forgotten": (60, 100 * KIB),
    "forged": (60, 100 * KIB),
    "overcharged": (60, 100 * KIB),
}
"""By name: after how many seconds it stops, and with how many octets."""


@dataclass
class Played:
    """What was agreed of each session, how both sides stood after, and who was refused."""

    two: Two
    terms: dict[str, Accepted]
    statement: Statement
    refused: object

    def entry(self, name: str) -> Id:
        return entry_id(
            ASSET,
            visited=self.two.borea.own.address,
            home=self.two.lumen.own.address,
            nas_key=NODE,
            acct_session_id=name,
        )

    def difference(self, name: str) -> Difference:
        found = {item.usage_id: item for item in self.statement.differences}
        return found[self.entry(name)]


async def used(two: Two) -> tuple[dict[str, bytes], object]:
    """Let the phone in for each session; return what each is authorised by, and who was refused."""
    port = two_ports()
    lead_home(two.borea, port)
    front = access_service(two.borea.base, None)
    here = Bind(auth_port=port, acct_port=port + 1)
    phone = AkaPrimePeer(Usim(imsi=IMSI, k=K, opc=OPC, highest_sqn=0), REALM)
    async with (
        running(UdpServer(two.lumen.base.access(), here)),
        running(UdpServer(front, Bind(auth_port=0, acct_port=0))) as ap,
    ):
        settings = RadioSettings(
            nas_identifier=NODE,
            secret=AP_SECRET,
            auth=ap.auth_address,
            acct=ap.acct_address,
            patience=Patience(first_s=2, tries=3),
        )
        radio = await OfferingRadio.open(settings, SeededEntropy(4))
        granted = {name: await use(radio, phone, name) for name in SESSIONS}
        radio.nano = LIST_NANO + 1
        refused = await radio.attach(phone)
        radio.close()
        await delivered(two.borea.base)
    return granted, refused


async def use(radio: Radio, phone: AkaPrimePeer, name: str) -> bytes:
    """Play a session; return the authorisation its Access-Accept named."""
    attached = await radio.attach(phone)
    assert isinstance(attached, Attached), attached
    stop_s, octets = SESSIONS[name]
    for status, at_s, used_octets in ((AcctStatus.START, 0, 0), (AcctStatus.STOP, stop_s, octets)):
        report = Report(
            status=status,
            acct_session_id=name,
            event_s=START_US // SECOND_US + at_s,
            session_time_s=at_s,
            octets_in=0,
            octets_out=used_octets,
        )
        await radio.report(report, attached)
    token = terms_token.read(attached.classes)
    assert token is not None
    return token.authorisation_id


def lie(two: Two, granted: dict[str, bytes]) -> None:
    """Each side rewrites what it keeps of two sessions."""
    forgotten = dict.fromkeys(("quoted_currency", "quoted_nano_per_kib", "accepted_index"))
    for side, table, name, values in (
        (two.lumen, authorisations, "lowered", {"quoted_nano_per_kib": 90_000}),
        (two.lumen, authorisations, "forgotten", forgotten),
        (two.borea, accepted, "forged", {"quoted_nano_per_kib": LIST_NANO, "digest": bytes(32)}),
        (two.borea, accepted, "overcharged", {"quoted_nano_per_kib": LIST_NANO}),
    ):
        mine = table.c.authorisation_id == granted[name]
        with side.base.store.write() as unit:
            assert unit.execute(update(table).where(mine).values(**values)).rowcount == 1


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Played]:
    """Play all sessions, let both lie, and have the two settle."""
    with both(tmp_path_factory.mktemp("in-band")) as two:
        granted, refused = asyncio.run(used(two))
        with two.borea.base.store.read() as unit:
            known = {item.authorisation_id: item for item in two.borea.base.accepted.lines(unit)}
        assert set(known) == set(granted.values())
        lie(two, granted)
        for side in two.both():
            side.cycle(2)
        two.talk(6)
        one, other = (side.newest().statement for side in two.both())
        assert one is not None
        assert one == other
        yield Played(two, {name: known[key] for name, key in granted.items()}, one, refused)


def test_the_visited_side_keeps_what_was_agreed_with_the_homes_signature(played: Played) -> None:
    terms, two = played.terms["honest"], played.two
    assert terms.offered.quote == Quote("USD", AGREED_NANO)
    assert terms.expires_us == START_US + TIMEOUT_S * SECOND_US
    assert (terms.home, terms.visited) == (two.lumen.own.party_id, two.borea.own.party_id)
    assert terms.nas_identifier == NODE
    assert terms.digest == terms_digest(
        terms.authorisation_id,
        home=terms.home,
        visited=terms.visited,
        offered=terms.offered,
        rate=Rate(5, Quote("USD", AGREED_NANO)),
        expires_us=terms.expires_us,
    )
    assert verify(terms.digest, Signature(two.lumen.own.address, terms.signature))


def test_records_whose_terms_agree_are_rated_alike_to_the_unit(played: Played) -> None:
    """What a hundred seconds beyond the grant add is priced by the agreement, on both sides."""
    amounts = {"honest": 100 * 900, "late": TIMEOUT_S * 900 + 100 * 1_000}
    for side in played.two.both():
        told_of = {entry.usage_id: entry for entry in side.newest().counted}
        for name, amount in amounts.items():
            entry = told_of[played.entry(name)]
            assert (entry.amount_minor, entry.terms) == (amount, played.terms[name].digest)
    assert len(played.statement.differences) == 4


@pytest.mark.parametrize(
    ("name", "cause", "disputed", "agreed"),
    [
        ("lowered", Cause.TERMS, 81_000, 9_000),
        ("forgotten", Cause.TERMS, 0, 90_000),
        ("forged", Cause.TERMS, 10_000, 90_000),
        ("overcharged", Cause.PRICE, 10_000, 90_000),
    ],
)
def test_who_changes_or_forgets_the_rate_is_named_by_it(
    played: Played, name: str, cause: Cause, disputed: int, agreed: int
) -> None:
    """A home that forgets pays the list price it says, and no more than the network asks."""
    found = played.difference(name)
    assert (found.cause, found.disputed_minor) == (cause, disputed)
    assert found.agreed is not None
    assert found.agreed.amount_minor == agreed
    borea = played.two.borea
    lines = {line["usage_id"]: line for line in told(borea.newest())["differences"]}
    assert lines[to_hex(found.usage_id)]["cause"] == cause.value
    if disputed:
        shown = show(borea.base, borea.newest().terms.exchange_id, found.usage_id)
        assert taken(shown)["cause"] == cause.value


def test_above_the_list_price_nobody_gets_on_and_nothing_is_kept(played: Played) -> None:
    assert isinstance(played.refused, Rejected)
