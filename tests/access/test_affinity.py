"""A conversation keeps to the worker that began it, whatever port its next datagram comes to."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given
from hypothesis import strategies as st

from opencarrier.access.affinity import Affinity, worker_of
from opencarrier.access.model import Listener, Origin
from opencarrier.access.wire.authenticators import access_request
from opencarrier.access.wire.dictionary import Type
from opencarrier.access.wire.radius import eap_message, parse, text
from opencarrier.sim.eap_peer import AkaPrimePeer

from .fakes import NAS, NOW_US, REALM, SECRET, usim
from .test_server import Driver

SOURCE = ("10.1.2.3", 40_000)
MOVED = ("fe80::1", 65_535)


def request(*attributes: tuple[int, bytes], code: int = 1) -> bytes:
    datagram = access_request(7, bytes(16), [text(Type.NAS_IDENTIFIER, NAS), *attributes], SECRET)
    return bytes((code,)) + datagram[1:]


@contextmanager
def workers(number: int) -> Iterator[list[Affinity]]:
    with TemporaryDirectory() as folder:
        made = [Affinity(Path(folder), one, number) for one in range(number)]
        try:
            yield made
        finally:
            for one in made:
                one.close()


def test_the_state_names_its_worker() -> None:
    assert worker_of(request((24, b"\x05rest"))) == 5
    assert worker_of(request((1, b"x"), (24, b"\x00"))) == 0
    assert worker_of(request()) is None
    assert worker_of(request((24, b""))) is None
    assert worker_of(request((24, b"\x05rest"), code=4)) is None


@given(st.binary(max_size=80))
def test_any_octets_name_a_worker_or_none(data: bytes) -> None:
    assert worker_of(b"\x01" + data) in {None, *range(256)}


def test_a_server_among_several_names_itself() -> None:
    for worker in (None, 0, 63):
        server = Driver(worker=worker).server
        asked = request(*eap_message(AkaPrimePeer(usim(), REALM, outer="a@b").identity()))
        origin = Origin(Listener.AUTH, ("127.0.0.1", 4_000))
        (sent,) = server.receive(origin, asked, now_s=1.0, now_us=NOW_US)
        state = parse(sent.datagram).get(Type.STATE)  # type: ignore[union-attr]
        assert state is not None
        assert len(state) == 16
        assert worker is None or state[0] == worker


async def test_anothers_conversation_is_handed_over_as_it_came() -> None:
    taken: list[tuple[int, bytes, tuple[str, int]]] = []
    with workers(3) as (first, second, third):
        for number, one in enumerate((first, second, third)):
            one.start(lambda data, source, number=number: taken.append((number, data, source)))
        of_second, of_third = request((24, b"\x01s")), request((24, b"\x02s"))
        assert first.handed_over(of_second, SOURCE)
        assert second.handed_over(of_third, MOVED)
        assert not second.handed_over(of_second, SOURCE)
        assert not first.handed_over(request(), SOURCE)
        assert not first.handed_over(request((24, b"\x03s")), SOURCE), "there is no fourth"
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert sorted(taken) == [(1, of_second, SOURCE), (2, of_third, MOVED)]


async def test_the_conversation_of_a_worker_that_went_is_nobodys() -> None:
    with workers(2) as (first, second):
        second.close()
        assert not first.handed_over(request((24, b"\x01s")), SOURCE)
        again = Affinity(first._folder, 1, 2)
        assert first.handed_over(request((24, b"\x01s")), SOURCE)
        again.close()


async def test_what_a_busy_worker_has_no_room_for_is_left_to_the_repeat() -> None:
    with workers(2) as (first, _):
        for _ in range(10_000):
            assert first.handed_over(request((24, b"\x01s")), SOURCE)
