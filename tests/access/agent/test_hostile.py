"""An access point with the right secret and anything else in its packets."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.access.agent.scene import AP_SECRET, Scene
from tests.access.fakes import NAS, NOW_US

from opencarrier.access.agent.agent import PROXY_STATE_OCTETS_MAX, Ask, Keep
from opencarrier.access.agent.holders import EXTENDED_TYPE_1
from opencarrier.access.agent.model import Source
from opencarrier.access.agent.statement import flaws
from opencarrier.access.model import Listener, Origin
from opencarrier.access.server import Dropped, Send
from opencarrier.access.upstream.model import Reply
from opencarrier.access.wire.authenticators import access_request, accounting_request
from opencarrier.access.wire.dictionary import AcctStatus, Code, Type
from opencarrier.access.wire.radius import (
    PACKET_OCTETS_MAX,
    Attribute,
    Packet,
    integer,
    parse,
    text,
)

NUMBERS = (
    Type.ACCT_STATUS_TYPE,
    Type.ACCT_SESSION_TIME,
    Type.ACCT_INPUT_OCTETS,
    Type.ACCT_INPUT_GIGAWORDS,
    Type.ACCT_OUTPUT_OCTETS,
    Type.ACCT_DELAY_TIME,
    Type.EVENT_TIMESTAMP,
)
word = st.one_of(st.integers(0, 9), st.integers(0, (1 << 32) - 1))
attribute = st.one_of(
    st.tuples(st.integers(1, 255), st.binary(max_size=20)),
    st.builds(integer, st.sampled_from(NUMBERS), word),
    st.builds(lambda name: text(Type.ACCT_SESSION_ID, name), st.sampled_from(["a", "b", "\xe9"])),
    st.builds(
        lambda name: text(Type.CALLING_STATION_ID, name),
        st.sampled_from(["02-00-00-00-00-01", "020000000002", ""]),
    ),
    st.builds(
        lambda status: integer(Type.ACCT_STATUS_TYPE, status), st.sampled_from(list(AcctStatus))
    ),
    st.tuples(
        st.sampled_from([EXTENDED_TYPE_1, int(Type.FRAMED_IPV6_PREFIX)]), st.binary(max_size=24)
    ),
)
packets = st.lists(st.lists(attribute, max_size=9), min_size=1, max_size=6)


@settings(max_examples=20)
@given(packets)
def test_whatever_is_signed_is_answered_or_dropped_for_a_reason(
    sent: list[list[Attribute]],
) -> None:
    """Nothing is raised, what is told of a session never falls, no chain breaks."""
    with TemporaryDirectory() as folder:
        scene = Scene(Path(folder) / "node.sqlite", source=Source.AUTO)
        scene.kernel.set(5, 5)
        agent = scene.agent()
        for number, attributes in enumerate(sent):
            acct = accounting_request(number, attributes, AP_SECRET)
            kept = agent.receive(_from(Listener.ACCT), acct, now_s=1.0)
            if isinstance(kept, Keep):
                agent.keep([kept.ticket], NOW_US + number)
            auth = access_request(number, bytes(16), attributes, AP_SECRET)
            asked = agent.receive(_from(Listener.AUTH), auth, now_s=1.0)
            if isinstance(asked, Ask):
                assert agent.turned_away(asked.ticket, "hub_silent").datagram
            assert isinstance(asked, Ask | Send | Dropped)
        assert agent.metrics.dropped["store_failed"] == 0
        chains: dict[tuple[str, str, int], list] = {}
        for signed in agent.store.statements():
            chains.setdefault(signed.statement.chain, []).append(signed)
        assert all(flaws(chain) == [] for chain in chains.values())
        agent.housekeep(NOW_US)
        agent.sample()
        agent.store.close()


def _from(listener: Listener) -> Origin:
    return Origin(listener, ("127.0.0.1", 9))


async def test_proxy_state_that_comes_back_leaves_room_for_an_answer(tmp_path: Path) -> None:
    """2,048 octets of it are answered whatever the home says; one more is dropped for it."""
    scene = Scene(tmp_path / "node.sqlite")
    async with scene.open():
        agent = scene.running.agent
        origin = Origin(Listener.AUTH, ("127.0.0.1", 9))
        states = [(int(Type.PROXY_STATE), b"p" * 128)] * (PROXY_STATE_OCTETS_MAX // 128)
        who = [text(Type.USER_NAME, "someone"), text(Type.NAS_IDENTIFIER, NAS)]
        who.append(text(Type.CALLING_STATION_ID, "02-00-00-00-00-01"))
        asked = agent.receive(
            origin, access_request(1, bytes(16), [*who, *states], AP_SECRET), now_s=0.0
        )
        assert isinstance(asked, Ask)
        long = [(int(Type.REPLY_MESSAGE), b"x" * 253)] * 8
        for number, (told, code) in enumerate(
            (([], Code.ACCESS_CHALLENGE), (long, Code.ACCESS_REJECT))
        ):
            packet = Packet(Code.ACCESS_CHALLENGE, number, bytes(16), tuple(told))
            reply = Reply(packet, asked.ticket.packet.authenticator, b"radsec")
            sent = agent.replied(asked.ticket, reply, NOW_US)
            assert parse(sent.datagram).code == code
            assert len(sent.datagram) <= PACKET_OCTETS_MAX
        more = [*who, *states, (int(Type.PROXY_STATE), b"p")]
        dropped = agent.receive(origin, access_request(2, bytes(16), more, AP_SECRET), now_s=0.0)
        assert dropped == Dropped("proxy_state_long")
