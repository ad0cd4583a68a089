"""A receipt of each kind there is: by tariff and by line, steered, at a stake, of an adjustment."""

from __future__ import annotations

from tests.app.scene import START_US, Scene, taken
from tests.app.test_live_deals import HOUR_US, at_third
from tests.app.test_staking import KEY, TIER, step
from tests.routing.test_routing import PLACE, advertise, attach, take

from opencarrier.app.bootstrap import Onchain
from opencarrier.app.closing import show
from opencarrier.app.staking import Stakes
from opencarrier.kernel.ids import from_hex
from opencarrier.routing import store
from opencarrier.spine.usage import Status

MARGIN_PPM = 100_000
"""A home with this `steering_margin_ppm` sends away whom somebody near serves better."""


def settle_every_kind(made: Scene, *, at_stake: bool = True) -> None:
    """Let a subscriber be steered, stake and go abroad, and settle two periods of a deal."""
    _steered(made)
    if at_stake:
        _staked(made)
    here, _ = at_third(made)
    grant = here.authorise()
    here.use("a", octets=1_777_777, grant=grant, status=Status.INTERIM)
    here.use("b", octets=12_345, grant=here.authorise(), seconds=10)
    here.clock.set(START_US + HOUR_US)
    here.use("a", octets=2_999_991, grant=grant, seconds=700)
    here.settle()
    here.use("late", octets=555_555, grant=None, ended_s=-1_800)
    for _ in range(3):
        here.settle()


def _steered(made: Scene) -> None:
    with made.place.base.store.write() as unit:
        store.put_place(unit, made.node.node_id, PLACE)
    for seller, price_nano in ((made.visited, 1_000), (made.home, 100)):
        assert take(made, advertise(made, seller.party_id, price_nano)) is None
    for _ in range(2):
        attach(made)
    made.use("steered", octets=5_000_000, grant=taken(attach(made)))
    made.use("plain", octets=3_000_000, grant=made.authorise())
    made.use("weak", octets=9_000_000, grant=None)


def _staked(made: Scene) -> None:
    stakes = Stakes(made.place)
    taken(stakes.fund(KEY.address, TIER.min_amount, reference="r"))
    taken(stakes.stake(KEY, TIER.min_amount, TIER.min_lock_s, reference="r"))
    taken(stakes.bind(made.subscriber, KEY))
    step(made)
    made.use("staked", octets=8_000_000, grant=made.authorise())


def texts_by_kind(place: Onchain) -> dict[str, list[str]]:
    """Every settled record's receipt by what is particular about it, wholly disclosed."""
    found: dict[str, list[str]] = {}
    with place.base.store.read() as unit:
        for cycle, _ in place.settlement.cycles(unit):
            told = show(place, unit, cycle.sequence)
            assert told is not None
            dues = [from_hex(name) for name in told["adjustment_ids"]]
            for record_id in (*dues, *place.clearing.usages(unit, cycle.cycle_id)):
                text = place.issuer.issue(unit, record_id)
                assert isinstance(text, str), text
                found.setdefault(kind_of(text), []).append(text)
    return found


def kind_of(text: str) -> str:
    """Name what is particular about a receipt."""
    marks = {
        '"adjustment": ': "adjustment",
        '"rule_version": "rating/v2"': "line",
        '"stake": ': "stake",
        '"choice": ': "choice",
        '"rung": 2': "co-signed",
    }
    return next((kind for mark, kind in marks.items() if mark in text), "one-sided")
