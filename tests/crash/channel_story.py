"""A paid session as a script that may die anywhere and be run again: `channel_story.py FOLDER`.

Every step is the same when it is done again: keys, signatures and ids follow from a seed.
"""

from __future__ import annotations

import sys
from pathlib import Path

from opencarrier.app.bootstrap import Onchain, onchain, open_installation
from opencarrier.app.config import Settings
from opencarrier.app.errands import Errands
from opencarrier.app.folder import Folder
from opencarrier.channels.model import Mode
from opencarrier.channels.rules import Standing
from opencarrier.channels.service import ChannelService
from opencarrier.kernel.clock import FixedClock
from opencarrier.kernel.entropy import SeededEntropy
from opencarrier.kernel.ids import Id, derive
from opencarrier.kernel.refusals import Refusal
from opencarrier.kernel.signatures import KeySigner
from opencarrier.rating.rules import v1
from opencarrier.sim.payer import Asked, Payer
from opencarrier.spine.access import AuthorisationRequest, Grant
from opencarrier.spine.usage import Counters

AT_US = 1_767_603_600_000_000 + 10_000_000
MAIN = bytes(31) + b"\x09"
DEPOSIT_MINOR = 5_000_000
GRANT = "grant"
PASSES = 6
USED = tuple(
    Counters(session_time_s=10 * number, octets_in=0, octets_out=number * 1_000_000)
    for number in range(4)
)


def main(root: Path) -> None:
    """Play the story to its end, from wherever it stands."""
    base = open_installation(
        Folder(root), Settings(cycle_s=0), clock=FixedClock(AT_US), entropy=SeededEntropy(11)
    )
    with onchain(base) as place:
        assert place.channels is not None
        play(place, place.channels.service, root)
    base.close()


def play(place: Onchain, channels: ChannelService, root: Path) -> None:
    payer, grant = payer_of(place, channels), granted(place, channels, root)
    opened = open_channel(place, channels, payer, grant)
    tend(place)
    with place.base.store.write() as unit:
        begun = channels.begin(unit, grant, opened, derive("test-session", "crash"), at_us=AT_US)
    if isinstance(begun, Standing):
        pay(place, channels, payer, begun)
    with place.base.store.write() as unit:
        channels.close(unit, opened)
    tend(place)


def granted(place: Onchain, channels: ChannelService, root: Path) -> Grant:
    """Attach once: the grant's id is remembered as an access point would."""
    rating, file = place.base.rating, root / GRANT
    with place.base.store.write() as unit:
        if file.exists():
            known = rating.grant(unit, file.read_bytes())
            if known is not None:
                return known
        directory = place.base.identity.directory
        subscriber = directory.subscriber_by_imsi(unit, "208930000000001")
        node = directory.node(unit, "node-1")
        assert subscriber is not None
        assert node is not None
        channels.enrol(unit, subscriber.party_id, Mode.HOME)
        request = AuthorisationRequest(
            subscriber=subscriber, visited=node.operator, node=node, at_us=AT_US
        )
        made = rating.authorise(unit, request)
        assert isinstance(made, Grant), made
        file.write_bytes(made.authorisation_id)
    return made


def payer_of(place: Onchain, channels: ChannelService) -> Payer:
    with place.base.store.read() as unit:
        plan = place.base.rating.plans(unit)[0]

    def price(counters: Counters) -> int:
        legs = v1.retail_legs(plan.price, 0, counters)
        return legs.seller_minor + legs.tax_minor

    return Payer(
        channels.venue,
        channels.settings,
        KeySigner(MAIN),
        SeededEntropy(4),
        price=price,
        day_cap_minor=10**9,
    )


def open_channel(place: Onchain, channels: ChannelService, payer: Payer, grant: Grant) -> Id:
    with place.base.store.write() as unit:
        home = place.base.identity.directory.operator(unit, grant.home)
        assert home is not None
        config, deposit = payer.open(home.address, DEPOSIT_MINOR, now_s=AT_US // 1_000_000)
        opened = channels.open(unit, grant, Mode.HOME, config, deposit, at_us=AT_US)
    assert not isinstance(opened, Refusal), opened
    return opened.channel_id


def pay(place: Onchain, channels: ChannelService, payer: Payer, begun: Standing) -> None:
    """Pay for what was used, as a phone that repeats what was not answered."""
    session = begun.session
    asked = Asked(
        session_id=session.session_id,
        tariff_hash=session.tariff_hash,
        base_minor=session.base_minor,
    )
    for used in USED:
        payment = payer.pay(asked, used, now_s=AT_US // 1_000_000)
        assert not isinstance(payment, Refusal), payment
        with place.base.store.write() as unit:
            channels.pay(unit, payment, at_us=AT_US)


def tend(place: Onchain) -> None:
    for _ in range(PASSES):
        Errands(place).tend_channels(everything=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
