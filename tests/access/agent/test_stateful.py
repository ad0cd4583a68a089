"""An access point with every fault at once, a hub that comes and goes, an agent that restarts.

The model knows what flowed; whatever happened between, the last report of a session says that.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from tests.access.agent.scene import AP_SECRET, NODE, Scene
from tests.access.fakes import NOW_US

from opencarrier.access.agent.agent import Keep
from opencarrier.access.agent.counters import WORD
from opencarrier.access.agent.statement import Signed, judge, statement_of
from opencarrier.access.agent.store import sendable
from opencarrier.access.model import Listener, Origin
from opencarrier.access.wire.authenticators import accounting_request
from opencarrier.access.wire.dictionary import AcctStatus, Code, Type
from opencarrier.access.wire.radius import Packet, integer, text
from opencarrier.kernel.clock import SECOND_US

STATIONS = ("02-00-00-00-00-01", "02-00-00-00-00-02")
INTERIM_S = 60


@dataclass
class Use:
    """One session as it truly is, and as its access point counts it."""

    station: str
    name: str
    started_s: int
    octets: int = 0
    counted_from: int = 0
    counted_since_s: int = 0
    calls_it: str = ""
    restarted: bool = False
    told_s: int = 0
    delivered: list[int] = field(default_factory=list)


class Venue(RuleBasedStateMachine):
    """Hypothesis walks through what access point, hub and agent may do."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = TemporaryDirectory()
        self.scene = Scene(Path(self.folder.name) / "node.sqlite")
        self.agent = self.scene.agent()
        self.now_s = NOW_US // SECOND_US
        self.sent = 0
        self.uses: dict[str, Use] = {}
        self.open: dict[str, Use] = {}
        self.chains: dict[str, list[Signed]] = {}

    def teardown(self) -> None:
        """Let the hub take all that waits; then it knows what flowed."""
        for use in list(self.open.values()):
            self._tell(use, AcctStatus.STOP)
        self.deliver(10_000)
        for use in self.uses.values():
            assert use.delivered == sorted(use.delivered)
            assert use.delivered[-1] == use.octets
        for chain in self.chains.values():
            assert judge(chain, [NODE.address]) == []
        self.agent.store.close()
        self.folder.cleanup()

    @rule(station=st.sampled_from(STATIONS))
    def begin(self, station: str) -> None:
        if station in self.open:
            return
        self.now_s += 1
        name = f"s{len(self.uses)}"
        use = Use(station, name, self.now_s, counted_since_s=self.now_s, calls_it=name)
        self.uses[name] = self.open[station] = use
        self._tell(use, AcctStatus.START)

    @precondition(lambda self: self.open)
    @rule(data=st.data(), octets=st.integers(0, 3 << 30), again=st.booleans())
    def use(self, data: st.DataObject, octets: int, again: bool) -> None:
        """Use flows, and is reported; perhaps twice, as the answer was lost."""
        use = self._one(data)
        self.now_s += INTERIM_S
        use.octets += octets
        self._tell(use, AcctStatus.INTERIM_UPDATE)
        if again:
            self._tell(use, AcctStatus.INTERIM_UPDATE)

    @precondition(lambda self: self.open)
    @rule(data=st.data())
    def rename(self, data: st.DataObject) -> None:
        """The access point calls the session otherwise from now on."""
        use = self._one(data)
        if not use.restarted:
            use.calls_it = f"{use.name}-{self.sent}"

    @precondition(lambda self: self.open)
    @rule(data=st.data(), octets=st.integers(0, 3 << 26))
    def count_anew(self, data: st.DataObject, octets: int) -> None:
        """The access point forgets what it counted, and since when, and reports soon after.

        Later its Acct-Session-Time could be beyond the last one again, and nobody could tell.
        """
        use = self._one(data)
        if use.calls_it == use.name and use.told_s > 1:
            use.restarted = True
            use.counted_from, use.counted_since_s = use.octets, self.now_s
            self.now_s += 1
            use.octets += octets
            self._tell(use, AcctStatus.INTERIM_UPDATE)

    @precondition(lambda self: self.open)
    @rule(data=st.data())
    def end(self, data: st.DataObject) -> None:
        use = self._one(data)
        self.now_s += 1
        self._tell(use, AcctStatus.STOP)
        del self.open[use.station]

    @rule(count=st.integers(1, 5))
    def deliver(self, count: int) -> None:
        """The hub takes some of what waits."""
        while count > 0:
            rows = sendable(self.agent.store.waiting(), frozenset(), count)
            if not rows:
                return
            for row in rows:
                packet = Packet(Code.ACCOUNTING_REQUEST, 0, bytes(16), row.attributes)
                self._delivered(packet)
            with self.agent.store.write():
                self.agent.store.remove([row.number for row in rows])
            count -= len(rows)

    @rule()
    def restart(self) -> None:
        """The agent is started anew over its file."""
        self.agent.store.close()
        self.agent = self.scene.agent()

    @invariant()
    def nothing_failed(self) -> None:
        assert not self.agent.metrics.dropped

    def _one(self, data: st.DataObject) -> Use:
        return self.open[data.draw(st.sampled_from(sorted(self.open)))]

    def _tell(self, use: Use, status: AcctStatus) -> None:
        self.sent += 1
        use.told_s = self.now_s - use.counted_since_s
        attributes = [
            integer(Type.ACCT_STATUS_TYPE, status),
            text(Type.ACCT_SESSION_ID, use.calls_it),
            text(Type.CALLING_STATION_ID, use.station),
            integer(Type.EVENT_TIMESTAMP, self.now_s),
            integer(Type.ACCT_SESSION_TIME, use.told_s),
            integer(Type.ACCT_INPUT_OCTETS, (use.octets - use.counted_from) % WORD),
            integer(Type.ACCT_DELAY_TIME, self.sent % 7),
        ]
        datagram = accounting_request(self.sent % 256, attributes, AP_SECRET)
        origin = Origin(Listener.ACCT, ("127.0.0.1", 1_000 + self.sent))
        kept = self.agent.receive(origin, datagram, now_s=1.0)
        assert isinstance(kept, Keep)
        assert len(self.agent.keep([kept.ticket], self.now_s * SECOND_US)) == 1

    def _delivered(self, packet: Packet) -> None:
        name = packet.text(Type.ACCT_SESSION_ID) or ""
        high, low = Type.ACCT_INPUT_GIGAWORDS, Type.ACCT_INPUT_OCTETS
        octets = (packet.integer(high) or 0) * WORD + (packet.integer(low) or 0)
        self.uses[name].delivered.append(octets)
        signed = statement_of(packet)
        assert signed is not None
        self.chains.setdefault(name, []).append(signed)


TestVenue = Venue.TestCase
TestVenue.settings = settings(max_examples=12, stateful_step_count=20)
