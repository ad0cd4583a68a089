"""Orders of a home for a station here: the access point is told by the names it gave itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from tests.access.agent.scene import AP_SECRET, STATION, Scene, interim, start, stop
from tests.access.fakes import NAS, NOW_US, VISITED
from tests.access.test_upstream import Home

from opencarrier.access.agent.orders import NodeOrders
from opencarrier.access.dynamic import ErrorCause, ack, sound
from opencarrier.access.orders.reach import Reach
from opencarrier.access.wire.authenticators import request
from opencarrier.access.wire.dictionary import Code, Type
from opencarrier.access.wire.radius import Attribute, Packet, integer, parse, text
from opencarrier.kernel.clock import SECOND_US
from opencarrier.kernel.entropy import SeededEntropy
from opencarrier.kernel.refusals import PeerError
from opencarrier.sim.radio import Attached
from opencarrier.spine.parties import RadiusClient

HUB = RadiusClient(client_id="hub", prefix="", secret=b"radsec", operator=VISITED)
POINT = RadiusClient(client_id="agent", prefix="", secret=AP_SECRET, operator=VISITED)
NOW_S = NOW_US // SECOND_US


class Ordering:
    """The hub's end of the line, and an access point that does as it is told."""

    def __init__(self, orders: NodeOrders, access_point: Home) -> None:
        self.orders = orders
        self.access_point = access_point

    async def ask(self, *attributes: Attribute) -> Packet:
        octets = request(Code.DISCONNECT_REQUEST, 1, list(attributes), HUB.secret)
        return parse(await self.orders(octets, HUB))

    @property
    def heard(self) -> list[tuple[Attribute, ...]]:
        return [parse(octets).attributes[1:] for octets in self.access_point.heard]


@asynccontextmanager
async def ordering(scene: Scene) -> AsyncIterator[Ordering]:
    transport, access_point = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: Home(lambda octets: ack(sound(octets, POINT), [], AP_SECRET)),
        local_addr=("127.0.0.1", 0),
    )
    port = transport.get_extra_info("sockname")[1]
    reach = Reach(entropy=SeededEntropy(9), port=port, request_s=0.3)
    yield Ordering(NodeOrders(scene.running.agent, reach), access_point)
    await reach.stop()
    transport.close()


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path / "node.sqlite")


def cause(packet: Packet) -> tuple[int, int | None]:
    return packet.code, packet.integer(Type.ERROR_CAUSE)


def names(attached: Attached) -> Sequence[Attribute]:
    assert attached.user_name is not None
    assert attached.cui is not None
    return (
        (int(Type.USER_NAME), attached.user_name),
        (int(Type.CHARGEABLE_USER_IDENTITY), attached.cui),
    )


async def test_an_access_point_is_told_by_the_name_it_uses_now(scene: Scene) -> None:
    """It changed Acct-Session-Id and lost the identities; the home knows the first and all."""
    async with scene.open() as radio:
        attached = await scene.attach()
        assert isinstance(attached, Attached)
        await radio.tell(start("first", event_s=NOW_S))
        await radio.tell(interim("second", event_s=NOW_S + 60, session_time_s=60))
        async with ordering(scene) as hub:
            answer = await hub.ask(
                text(Type.NAS_IDENTIFIER, NAS),
                text(Type.ACCT_SESSION_ID, "first"),
                *names(attached),
                (int(Type.PROXY_STATE), b"the hub's"),
                integer(Type.EVENT_TIMESTAMP, NOW_S),
            )
            assert answer.code == Code.DISCONNECT_ACK
            assert answer.all(Type.PROXY_STATE) == (b"the hub's",)
            assert hub.heard == [
                (text(Type.ACCT_SESSION_ID, "second"), integer(Type.EVENT_TIMESTAMP, NOW_S))
            ]


async def test_an_order_fits_one_open_session_or_none(scene: Scene) -> None:
    gone = (Code.DISCONNECT_NAK, ErrorCause.SESSION_CONTEXT_NOT_FOUND)
    async with scene.open() as radio:
        attached = await scene.attach()
        assert isinstance(attached, Attached)
        await radio.tell(start("s1", event_s=NOW_S))
        async with ordering(scene) as hub:
            for attributes in (
                [text(Type.ACCT_SESSION_ID, "s2")],
                [text(Type.NAS_IDENTIFIER, "other"), text(Type.ACCT_SESSION_ID, "s1")],
                [text(Type.ACCT_SESSION_ID, "s1"), text(Type.USER_NAME, "another")],
                [text(Type.CALLING_STATION_ID, "02-00-00-00-00-02")],
                [text(Type.NAS_IDENTIFIER, NAS)],
            ):
                assert cause(await hub.ask(*attributes)) == gone
            assert hub.heard == []
            by_station = await hub.ask(text(Type.CALLING_STATION_ID, STATION))
            assert by_station.code == Code.DISCONNECT_ACK
            by_name = await hub.ask(*names(attached))
            assert by_name.code == Code.DISCONNECT_ACK
            await radio.tell(start("s2", event_s=NOW_S + 1))
            assert cause(await hub.ask(text(Type.CALLING_STATION_ID, STATION))) == gone
            await radio.tell(stop("s1", event_s=NOW_S + 9, session_time_s=9))
            assert cause(await hub.ask(text(Type.ACCT_SESSION_ID, "s1"))) == gone


async def test_an_access_point_that_is_silent_or_unheard_of_is_answered_for(scene: Scene) -> None:
    async with scene.open() as radio:
        await radio.tell(start("s1", event_s=NOW_S))
        async with ordering(scene) as hub:
            hub.access_point.answer = lambda octets: None
            silent = await hub.ask(text(Type.ACCT_SESSION_ID, "s1"))
            assert cause(silent)[1] == ErrorCause.OTHER_PROXY_PROCESSING_ERROR
    async with scene.open(), ordering(scene) as hub:
        unheard = await hub.ask(text(Type.ACCT_SESSION_ID, "s1"))
        assert cause(unheard)[1] == ErrorCause.REQUEST_NOT_ROUTABLE
        with pytest.raises(PeerError, match="request_authenticator"):
            await hub.orders(request(Code.COA_REQUEST, 1, [], b"wrong"), HUB)
