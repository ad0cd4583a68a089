"""What a home keeps of nodes' meters, and when it counts as evidence."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import Connection, create_engine
from tests.access.agent.scene import NODE, Home, Scene, interim, start, stop
from tests.access.fakes import NOW_US, Bench

from opencarrier.access.agent.counters import Flag
from opencarrier.access.agent.statement import BEGINNING, Flaw, Signed, Statement, sign
from opencarrier.access.meters.service import UNGRANTED, MeterBook, MeterReason, Taken
from opencarrier.access.meters.tables import STATEMENTS, metadata
from opencarrier.kernel.clock import SECOND_US
from opencarrier.kernel.ids import Id
from opencarrier.kernel.refusals import Refusal
from opencarrier.kernel.signatures import KeySigner, Signature
from opencarrier.spine.parties import PartyId
from opencarrier.spine.people import Person
from opencarrier.spine.usage import Counters

OTHER = KeySigner(b"\x09" * 32)
AUTHORISATION = b"a" * 16
NODE_ID = "node_cafe_1"
NOW_S = NOW_US // SECOND_US


@pytest.fixture
def unit() -> Iterator[Connection]:
    engine = create_engine("sqlite://")
    with engine.begin() as connection:
        metadata.create_all(connection)
        yield connection
    engine.dispose()


@pytest.fixture
def book(unit: Connection) -> MeterBook:
    made = MeterBook()
    assert made.add_key(unit, NODE_ID, NODE.address, at_us=NOW_US) is None
    return made


def statements(count: int, *, octets: int = 100, started_s: int = NOW_S) -> list[Signed]:
    chain: list[Signed] = []
    previous = BEGINNING
    for number in range(count):
        told = Statement(
            nas_identifier="cafe-1",
            acct_session_id="s1",
            started_s=started_s,
            class_digest=Id(b"c" * 32),
            sequence=number,
            previous=previous,
            status=3,
            event_s=NOW_S + 60 * number,
            session_time_s=60 * number,
            octets_in=octets * number,
            octets_out=number,
            flags=Flag.NONE,
        )
        chain.append(sign(told, NODE))
        previous = told.head
    return chain


def take(book: MeterBook, unit: Connection, signed: Signed, node_id: str = NODE_ID) -> object:
    outcome = book.take(unit, signed, node_id=node_id, authorisation_id=AUTHORISATION, at_us=NOW_US)
    return outcome.reason if isinstance(outcome, Refusal) else outcome


def evidence(book: MeterBook, unit: Connection, octets_in: int) -> object:
    return book.evidence(
        unit,
        nas_identifier="cafe-1",
        acct_session_id="s1",
        authorisation_id=AUTHORISATION,
        used=Counters(session_time_s=1, octets_in=octets_in, octets_out=1),
    )


def test_the_first_statement_that_shows_the_use_is_its_evidence(
    book: MeterBook, unit: Connection
) -> None:
    chain = statements(4)
    assert [take(book, unit, one) for one in (*chain, chain[0])] == [Taken.NEW] * 4 + [Taken.KNOWN]
    for octets_in, place in ((1, 1), (100, 1), (101, 2), (300, 3)):
        found = evidence(book, unit, octets_in)
        assert getattr(found, "head", None) == chain[place].statement.head
    assert evidence(book, unit, 301) is None
    assert [list(signed) for _, signed in book.chains(unit)] == [chain]


def test_a_statement_that_was_learned_first_gets_its_authorisation_with_its_accounting(
    book: MeterBook, unit: Connection
) -> None:
    """Else it would be no evidence, and stay when its person is erased."""
    first, second = statements(2)
    for signed in (first, second):
        book.take(unit, signed, node_id=NODE_ID, authorisation_id=None, at_us=NOW_US)
    assert take(book, unit, first) is Taken.KNOWN
    other = book.take(unit, first, node_id=NODE_ID, authorisation_id=b"b" * 16, at_us=NOW_US)
    assert other is Taken.KNOWN
    found = evidence(book, unit, 100)
    assert getattr(found, "head", None) == second.statement.head
    person = Person(party_id=PartyId("sub_1"), authorisations=(AUTHORISATION,))
    assert len(book.held(unit, person)[STATEMENTS.name]) == 2
    book.erase(unit, person)
    assert not list(book.chains(unit))


def test_a_fork_is_kept_told_and_no_evidence(book: MeterBook, unit: Connection) -> None:
    for signed in statements(3):
        take(book, unit, signed)
    lie = statements(3, octets=999)[2]
    assert take(book, unit, lie) is Taken.FORK
    assert evidence(book, unit, 100) is None
    found = list(book.forks(unit))
    assert found[0][0] == NODE_ID
    assert found[0][2].flaw is Flaw.FORK


def test_a_second_beginning_of_one_session_is_no_evidence(
    book: MeterBook, unit: Connection
) -> None:
    for signed in (*statements(3), *statements(3, started_s=NOW_S + 1)):
        take(book, unit, signed)
    assert evidence(book, unit, 100) is None


def test_what_is_not_taken(book: MeterBook, unit: Connection) -> None:
    (first, second) = statements(2)
    forged = Signed(second.statement, Signature(NODE.address, first.signature.octets))
    assert take(book, unit, forged) is MeterReason.SIGNATURE
    assert take(book, unit, sign(first.statement, OTHER)) is MeterReason.UNKNOWN_KEY
    assert take(book, unit, first, "node_other") is MeterReason.OTHER_NODE


def test_a_key_signs_up_to_its_end(book: MeterBook, unit: Connection) -> None:
    first, second = statements(2)
    assert book.end_key(unit, NODE.address, at_us=second.statement.event_s * SECOND_US) is None
    assert book.end_key(unit, NODE.address, at_us=NOW_US + 10**12) is None
    assert take(book, unit, first) is Taken.NEW
    assert take(book, unit, second) is MeterReason.KEY_NOT_VALID_THEN
    assert book.end_key(unit, OTHER.address, at_us=NOW_US) is not None


def test_a_key_belongs_to_one_node_and_a_node_has_not_too_many(
    book: MeterBook, unit: Connection
) -> None:
    assert book.add_key(unit, NODE_ID, NODE.address, at_us=NOW_US + 5) is None
    refusal = book.add_key(unit, "node_other", NODE.address, at_us=NOW_US)
    assert refusal is not None
    assert refusal.reason is MeterReason.KEY_OF_ANOTHER_NODE
    for number in range(63):
        key = KeySigner(bytes((number + 20,)) * 32).address
        assert book.add_key(unit, NODE_ID, key, at_us=NOW_US) is None
    refusal = book.add_key(unit, NODE_ID, OTHER.address, at_us=NOW_US)
    assert refusal is not None
    assert refusal.reason is MeterReason.TOO_MANY_KEYS


def test_a_persons_statements_are_told_and_erased(book: MeterBook, unit: Connection) -> None:
    take(book, unit, statements(1)[0])
    person = Person(party_id=PartyId("sub_1"), authorisations=(AUTHORISATION,))
    assert len(book.held(unit, person)[STATEMENTS.name]) == 1
    book.erase(unit, person)
    assert book.held(unit, person) == {STATEMENTS.name: []}


def test_what_was_erased_is_not_learned_again(book: MeterBook, unit: Connection) -> None:
    """A file fetched from the node before still has what the access point called the session."""
    first, second = statements(2)
    take(book, unit, first)
    person = Person(party_id=PartyId("sub_1"), authorisations=(AUTHORISATION,))
    for _ in range(2):
        book.erase(unit, person)
        for signed in (first, second):
            found = book.authorisation_of(unit, signed.statement)
            assert found is None
            refusal = book.take(unit, signed, node_id=NODE_ID, authorisation_id=found, at_us=NOW_US)
            assert isinstance(refusal, Refusal)
            assert refusal.reason is MeterReason.ERASED
    assert not list(book.chains(unit))


def test_a_session_without_a_class_is_of_no_erased_grant(book: MeterBook, unit: Connection) -> None:
    bare = [sign(replace(one.statement, class_digest=UNGRANTED), NODE) for one in statements(2)]
    assert take(book, unit, bare[0]) is Taken.NEW
    book.erase(unit, Person(party_id=PartyId("sub_1"), authorisations=(AUTHORISATION,)))
    found = book.take(unit, bare[1], node_id=NODE_ID, authorisation_id=None, at_us=NOW_US)
    assert found is Taken.NEW


async def test_statements_come_with_accounting_to_a_home_that_knows_the_key(
    tmp_path: Path,
) -> None:
    book = MeterBook()
    home = Home(bench=Bench(meters=book))
    units = home.bench.units
    metadata.create_all(units.engine)
    with units.write() as unit:
        book.add_key(unit, NODE_ID, NODE.address, at_us=NOW_US)
    scene = Scene(tmp_path / "node.sqlite", home=home)
    async with scene.open() as radio:
        await scene.attach()
        await radio.tell(start(event_s=NOW_S))
        await radio.tell(interim(event_s=NOW_S + 60, session_time_s=60, octets_in=500))
        await radio.tell(stop(event_s=NOW_S + 90, session_time_s=90, octets_in=900))
        await scene.delivered(3)
        home.bench.clock.set(scene.now_us + 1)
    assert home.service.metrics.statements == {"new": 3}
    with units.read() as unit:
        found = book.evidence(
            unit,
            nas_identifier="cafe-1",
            acct_session_id="s1",
            authorisation_id=home.bench.policy.granted[0].authorisation_id,
            used=Counters(session_time_s=90, octets_in=900, octets_out=0),
        )
    assert found is not None
    assert found.kid == NODE.address


async def test_a_home_that_does_not_know_the_key_keeps_the_accounting_all_the_same(
    tmp_path: Path,
) -> None:
    book = MeterBook()
    home = Home(bench=Bench(meters=book))
    metadata.create_all(home.bench.units.engine)
    scene = Scene(tmp_path / "node.sqlite", home=home)
    async with scene.open() as radio:
        await radio.tell(start(event_s=NOW_S))
        await scene.delivered(1)
    assert home.service.metrics.statements == {"unknown_key": 1}
    assert len(scene.sink.observations) == 1


def test_a_later_statement_says_what_a_missing_one_did(book: MeterBook, unit: Connection) -> None:
    chain = statements(4)
    for signed in (chain[0], chain[3]):
        take(book, unit, signed)
    found = evidence(book, unit, 100)
    assert getattr(found, "head", None) == chain[3].statement.head
    loose = sign(replace(chain[2].statement, previous=Id(b"x" * 32)), NODE)
    take(book, unit, loose)
    assert evidence(book, unit, 100) is None
