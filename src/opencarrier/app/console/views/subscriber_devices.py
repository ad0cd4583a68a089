"""What lets a subscriber's devices on, and how a new one gets there; a lost one is put out."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection

from opencarrier.app.bootstrap import Installation
from opencarrier.spine.access import CredentialKind
from opencarrier.spine.parties import Subscriber

LOST = "lost_phone"
"""The reason that ends the sessions of a lost phone."""

SHOWN_MAX = 100
SESSIONS_MAX = 1_000
"""Running sessions that are ended at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceLine:
    """A SIM, certificate or password; `ends` are the last digits of what tells it from others."""

    kind: str
    ends: str
    expires_us: int | None
    holds: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class DevicesView:
    """What lets a subscriber on; `missing` says why no profile can be made here, if so."""

    party: str
    home: str
    devices: tuple[DeviceLine, ...]
    missing: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkView:
    """A link that gives one profile once; it is shown this once and kept nowhere."""

    url: str
    expires_us: int
    uses: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LostView:
    """What was done about a lost phone: sessions told to end, and credentials that let nobody on.

    `unreachable` sessions end by themselves when their time is over: it is not known where they
    are served.
    """

    sessions_ended: int
    unreachable: int
    revoked: int


def devices_view(
    base: Installation, unit: Connection, subscriber: Subscriber, *, missing: str
) -> DevicesView:
    """Return what lets a subscriber's devices on, what holds first."""
    identity, party, now_us = base.identity, subscriber.party_id, base.clock.now_us()
    home = identity.directory.operator(unit, subscriber.home)
    assert home is not None, "a subscriber without a home"
    sims = [
        DeviceLine(kind="sim", ends=sim.imsi[-4:], expires_us=None, holds=not sim.barred)
        for sim in identity.subscriptions.credentials(unit, party)
    ]
    logins = [
        DeviceLine(
            kind=login.credential.kind.value,
            ends=login.credential.value[-4:],
            expires_us=login.expires_us,
            holds=login.holds(now_us),
        )
        for login in identity.logins.of(unit, party)
    ]
    devices = sorted([*sims, *logins], key=lambda line: not line.holds)
    return DevicesView(
        party=party, home=home.name, devices=tuple(devices[:SHOWN_MAX]), missing=missing
    )


def put_out(base: Installation, unit: Connection, subscriber: Subscriber) -> LostView:
    """End a subscriber's sessions and let nobody on with what it has, nor by a link to more.

    Once that is done there is nothing to do again.
    """
    party, at_us = subscriber.party_id, base.clock.now_us()
    lasting = base.subscribers.lasting(unit, party, at_us=at_us, limit=SESSIONS_MAX)
    base.identity.enrolments.close(unit, party)
    known = [
        base.orders.disconnect(unit, grant.authorisation_id, reason=LOST, at_us=at_us)
        for grant in lasting
    ]
    return LostView(
        sessions_ended=sum(known),
        unreachable=len(known) - sum(known),
        revoked=_revoke(base, unit, subscriber),
    )


def _revoke(base: Installation, unit: Connection, subscriber: Subscriber) -> int:
    identity, party = base.identity, subscriber.party_id
    sims = [one for one in identity.subscriptions.credentials(unit, party) if not one.barred]
    for sim in sims:
        identity.subscriptions.bar(unit, sim.imsi, barred=True)
    logins = [one for one in identity.logins.of(unit, party) if one.revoked_us is None]
    for login in logins:
        assert login.credential.kind is not CredentialKind.SIM
        identity.logins.revoke(unit, login.credential)
    return len(sims) + len(logins)
