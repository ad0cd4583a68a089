"""What homes elsewhere agreed to: the first word stands, and prices use until it expires."""

from __future__ import annotations

from dataclasses import replace

from opencarrier.kernel.ids import derive
from opencarrier.rating.accepted import AcceptedBook
from opencarrier.rating.changes import TermChanges
from opencarrier.spine.access import Accepted, Offered, Quote
from opencarrier.spine.money import Kind
from opencarrier.spine.records import RcoiClass
from opencarrier.spine.usage import Stretch, Usage

from .roaming import line, roaming
from .test_live_roaming import furnished, wifi
from .worlds import HOME, KIB, START_US, VISITED, World, counters, usage

SECOND_US = 1_000_000
TERMS = Accepted(
    authorisation_id=b"a" * 16,
    home=HOME,
    visited=VISITED,
    nas_identifier="node-1",
    offered=Offered(quote=Quote("USD", 1_500)),
    granted_us=START_US,
    expires_us=START_US + 60 * SECOND_US,
    digest=derive("test/terms"),
)


def of_terms(name: str, terms: Accepted, *, start_us: int = START_US) -> Usage:
    return replace(
        usage(name, after=counters(100 * KIB), start_us=start_us),
        authorisation_id=terms.authorisation_id,
    )


def charged(world: World, *usages: Usage) -> dict[bytes, int]:
    made, waiting = world.rate(*usages)
    assert not waiting
    assert {charge.kind for charge in made} == {Kind.WHOLESALE}
    return {charge.usage_id: charge.amount_minor for charge in made}


def test_the_first_word_about_an_authorisation_stands() -> None:
    world, book = furnished(roaming(wifi(in_band=True))), AcceptedBook()
    assert book.keep(world.unit, TERMS)
    assert book.keep(world.unit, TERMS)
    for other in (
        replace(TERMS, offered=Offered(quote=Quote("USD", 1))),
        replace(TERMS, expires_us=TERMS.expires_us + 1),
        replace(TERMS, nas_identifier="node-2"),
    ):
        assert not book.keep(world.unit, other)
    own = world.granted().authorisation_id
    assert not book.keep(world.unit, replace(TERMS, authorisation_id=own))
    assert list(book.lines(world.unit)) == [TERMS]
    assert book.find(world.unit, [own, TERMS.authorisation_id]) == {TERMS.authorisation_id: TERMS}
    world.close()


def test_use_is_priced_by_what_was_accepted_until_it_expires() -> None:
    world, book = furnished(roaming(wifi(in_band=True))), AcceptedBook()
    assert book.keep(world.unit, TERMS)
    last = of_terms("last", TERMS, start_us=TERMS.expires_us - 1)
    after = of_terms("after", TERMS, start_us=TERMS.expires_us)
    unknown = of_terms("unknown", replace(TERMS, authorisation_id=b"u" * 16))
    amounts = charged(world, last, after, unknown)
    assert [amounts[one.usage_id] for one in (last, after, unknown)] == [150, 200, 200]
    world.close()


def test_a_session_is_cut_where_its_rate_ends() -> None:
    world, book = furnished(roaming(wifi(in_band=True))), AcceptedBook()
    assert book.keep(world.unit, TERMS)
    stretch = Stretch(
        session_id=derive("test/session"),
        authorisation_id=TERMS.authorisation_id,
        home=HOME,
        visited=VISITED,
        start_us=START_US,
        end_us=TERMS.expires_us + 1,
    )
    found = TermChanges().changes(world.unit, [stretch])
    assert found == {stretch.session_id: [TERMS.expires_us]}
    world.close()


def test_what_is_settlement_free_for_a_home_elsewhere_costs_nothing_here_either() -> None:
    world, book = furnished(roaming(line(), wifi(rcoi=(RcoiClass.NONE,)))), AcceptedBook()
    free = replace(TERMS, offered=Offered(rcoi=RcoiClass.SETTLEMENT_FREE))
    assert book.keep(world.unit, free)
    one = of_terms("free", free)
    assert charged(world, one) == {one.usage_id: 0}
    world.close()
