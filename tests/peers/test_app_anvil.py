"""The whole product on a real node: races, an RPC that times out after mining, a reorg.

Two installations with the same keys and two data folders share one anvil; whatever they do, the
chain holds one settlement per cycle and each ledger agrees with it.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.request import Request, urlopen

import pytest
from tests.app.scene import START_US, Scene, furnish, taken
from tests.crash.driver import settled_logs

from opencarrier.app.bootstrap import Installation, Onchain, onchain, open_installation
from opencarrier.app.config import Settings
from opencarrier.app.errands import Errands
from opencarrier.app.folder import Folder
from opencarrier.app.keeping import back_up
from opencarrier.app.venue import GasError
from opencarrier.kernel.clock import FixedClock
from opencarrier.kernel.entropy import SeededEntropy
from opencarrier.kernel.refusals import Refusal
from opencarrier.ledger import service as ledger
from opencarrier.receipts.verify import Verifier
from opencarrier.settlement.model import CycleState

pytestmark = [pytest.mark.peer, pytest.mark.timeout(240)]

CHAIN_ID = 31337
HOUR_US = 3_600_000_000
DRIVES_MAX = 60


def find_anvil() -> str | None:
    local = Path(__file__).parents[2] / ".peers" / "node_modules" / ".bin" / "anvil"
    for candidate in (os.environ.get("OPENCARRIER_ANVIL"), shutil.which("anvil"), str(local)):
        if candidate and Path(candidate).exists():
            return candidate
    return None


@pytest.fixture
def url() -> Iterator[str]:
    program = find_anvil()
    if program is None:
        pytest.skip("anvil is missing (npm @foundry-rs/anvil)")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        [program, "--port", str(port), "--chain-id", str(CHAIN_ID), "--silent"],
        start_new_session=True,
    )
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(100):
            try:
                rpc(address, "eth_chainId")
                break
            except OSError:
                time.sleep(0.1)
        yield address
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(10)


def rpc(url: str, method: str, *params: object) -> object:
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
    request = Request(url, data=body, headers={"Content-Type": "application/json"})
    with urlopen(request, timeout=10) as answer:
        told = json.loads(answer.read())
    assert "error" not in told, told
    return told["result"]


class World:
    """Installations on one anvil, each with its own folder and clock."""

    def __init__(self, url: str, root: Path, finality: str) -> None:
        self.url, self.root, self.finality = url, root, finality
        self._stack = ExitStack()

    def open(self, name: str, *, seed: int = 1, url: str | None = None) -> Onchain:
        clock = FixedClock(START_US)
        settings = Settings(
            cycle_s=0, chain=url or self.url, finality=self.finality, one_sided_window_s=0
        )
        base: Installation = open_installation(
            Folder(self.root / name), settings, clock=clock, entropy=SeededEntropy(seed)
        )
        self._stack.callback(base.close)
        if base.manifest() is None:
            rpc(self.url, "anvil_setBalance", base.hub.address, hex(10**21))
        return self._stack.enter_context(onchain(base))

    def furnish(self, place: Onchain) -> Scene:
        """Add the parties; anvil mines on demand, so finality needs blocks."""
        with mining(self.url):
            return furnish(place, place.base.clock)

    def close(self) -> None:
        self._stack.close()


@pytest.fixture
def world(url, tmp_path) -> Iterator[World]:
    made = World(url, tmp_path, "depth:2")
    yield made
    made.close()


@contextmanager
def mining(url: str) -> Iterator[None]:
    """Mine an empty block now and then, as a living chain does."""
    stop = threading.Event()

    def mine() -> None:
        while not stop.wait(0.1):
            rpc(url, "evm_mine")

    thread = threading.Thread(target=mine, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def settle(place: Onchain, *, at_us: int) -> None:
    """Close and drive to the end, whatever it is."""
    errands = Errands(place)
    place.base.clock.set(at_us)
    closed = errands.close(at_us)
    assert not isinstance(closed, Refusal), closed
    drive(place)


def drive(place: Onchain) -> None:
    errands = Errands(place)
    for _ in range(DRIVES_MAX):
        driven = errands.drive()
        if driven.is_settled or driven.halt is not None:
            break
        time.sleep(0.1)
    errands.follow()


def newest(place: Onchain):
    with place.base.store.read() as unit:
        return place.settlement.cycles(unit, limit=1)[0]


def agrees(place: Onchain) -> None:
    with place.base.store.read() as unit:
        assert ledger.check(unit).findings == ()
        assert set(ledger.sum_minor(unit).values()) == {0}
        reconciled = place.settlement.reconcile(unit, charges=True)
        assert reconciled.agrees, reconciled.findings


def twins(world: World) -> tuple[Scene, Onchain]:
    """An installation and its restored backup, with the same use recorded in both."""
    first = world.open("first")
    scene = world.furnish(first)
    scene.use("one", octets=50_000_000, grant=scene.authorise())
    back_up(first.base.folder, world.root / "second", first.base.settings)
    return scene, world.open("second")


def race(*places: Onchain) -> None:
    at_us = START_US + HOUR_US
    threads = [threading.Thread(target=settle, args=(p,), kwargs={"at_us": at_us}) for p in places]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_two_daemons_that_close_a_cycle_equally_settle_it_once(world):
    """Same facts, same id: one transaction moves money, both ledgers post it."""
    scene, second = twins(world)
    with mining(world.url):
        race(scene.place, second)
        outcomes = [newest(place) for place in (scene.place, second)]
    assert [cycle.state for cycle, _ in outcomes] == [CycleState.FINAL, CycleState.FINAL]
    assert len({attempt.order.settlement_id for _, attempt in outcomes}) == 1
    assert len({attempt.tx_hash for _, attempt in outcomes}) == 1
    assert len(settled_logs(scene.place)) == 1
    for place in (scene.place, second):
        agrees(place)


def test_two_daemons_that_close_a_cycle_differently_cannot_both_pay(world):
    """Other facts, same cycle: one settles; the other stops with an alarm and posts nothing."""
    scene, second = twins(world)
    scene.use("more", octets=70_000_000, grant=None)
    with mining(world.url):
        race(scene.place, second)
    outcomes = {newest(place)[0].state: place for place in (scene.place, second)}
    assert set(outcomes) == {CycleState.FINAL, CycleState.LOST}
    assert len(settled_logs(scene.place)) == 1
    agrees(outcomes[CycleState.FINAL])
    loser = outcomes[CycleState.LOST]
    with loser.base.store.read() as unit:
        halt = loser.settlement.halt(unit)
        assert halt is not None
        assert halt.alarm.value == "settled_otherwise"
        assert ledger.check(unit).findings == ()
        assert set(ledger.sum_minor(unit).values()) == {0}
    refusal = Errands(loser).close(START_US + 2 * HOUR_US)
    assert isinstance(refusal, Refusal)
    assert refusal.code == "halted"


def test_a_reorg_above_finality_changes_nothing_in_the_end(world):
    """The settlement is mined, reorganised away, sent again with its nonce, and final once."""
    world.finality = "depth:4"
    place = world.open("first")
    scene = world.furnish(place)
    scene.use("one", octets=50_000_000, grant=scene.authorise())
    at_us = START_US + HOUR_US
    place.base.clock.set(at_us)
    errands = Errands(place)
    with mining(world.url):
        closed = errands.close(at_us)
    assert not isinstance(closed, Refusal), closed
    assert errands.drive().cycle.state is CycleState.SENT
    assert len(settled_logs(place)) == 1
    rpc(world.url, "anvil_reorg", 1, [])
    assert settled_logs(place) == []
    place.base.clock.set(at_us + 120_000_000)
    with mining(world.url):
        drive(place)
    cycle, attempt = newest(place)
    assert cycle.state is CycleState.FINAL
    assert attempt.order.settlement_id == closed.attempt.order.settlement_id
    assert len(settled_logs(place)) == 1
    agrees(place)


class _Proxy(BaseHTTPRequestHandler):
    """Hands requests on, but for what the server says is to be lost."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        with urlopen(
            Request(self.server.upstream, data=body, headers={"Content-Type": "application/json"}),
            timeout=10,
        ) as answer:
            told = answer.read()
        if b"eth_sendRawTransaction" in body and self.server.lose_answers > 0:
            self.server.lose_answers -= 1
            self.connection.close()
            return
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(told)))
        self.end_headers()
        self.wfile.write(told)

    def log_message(self, *words: object) -> None:
        pass


def test_an_answer_lost_after_mining_moves_nothing_twice(world):
    """The node mined the settlement and the answer was lost: it is found, not sent again."""
    proxy = ThreadingHTTPServer(("127.0.0.1", 0), _Proxy)
    proxy.upstream, proxy.lose_answers = world.url, 0
    threading.Thread(target=proxy.serve_forever, daemon=True).start()
    try:
        place = world.open("first", url=f"http://127.0.0.1:{proxy.server_port}")
        scene = world.furnish(place)
        scene.use("one", octets=50_000_000, grant=scene.authorise())
        proxy.lose_answers = 1
        with mining(world.url):
            settle(place, at_us=START_US + HOUR_US)
        assert proxy.lose_answers == 0
        cycle, attempt = newest(place)
        assert cycle.state is CycleState.FINAL
        assert attempt.number == 1
        assert len(settled_logs(place)) == 1
        agrees(place)
        with place.base.store.read() as unit:
            usage_id = place.clearing.usages(unit, cycle.cycle_id)[0]
            text = taken(place.issuer.issue(unit, usage_id))
        verdict = Verifier(place.manifest, place.client).verify(text)
        assert verdict.final
        assert verdict.finality.startswith("final (depth:2")
    finally:
        proxy.shutdown()
        proxy.server_close()


def test_a_node_that_is_away_is_waited_for(world, tmp_path):
    """A close while the node is away is refused and loses nothing; later it goes through."""
    place = world.open("first")
    scene = world.furnish(place)
    scene.use("one", octets=50_000_000, grant=scene.authorise())
    away = place.client.web3.provider.endpoint_uri
    place.client.web3.provider.endpoint_uri = "http://127.0.0.1:9"
    at_us = START_US + HOUR_US
    place.base.clock.set(at_us)
    outcome = place.settlement.close(place.base.store.write, at_us=at_us)
    assert isinstance(outcome, Refusal)
    assert outcome.code == "venue_unavailable"
    place.client.web3.provider.endpoint_uri = away
    with mining(world.url):
        settle(place, at_us=at_us)
    assert newest(place)[0].state is CycleState.FINAL
    agrees(place)


def test_a_key_without_gas_is_named_before_anything_is_sent(url, tmp_path):
    """Putting up a venue and every later errand say whom to fund, and go on once it is."""
    settings = Settings(cycle_s=0, chain=url, finality="depth:1")
    base = open_installation(Folder(tmp_path / "poor"), settings, clock=FixedClock(START_US))
    try:
        with pytest.raises(GasError, match=base.hub.address), onchain(base):
            pass
        assert rpc(url, "eth_getTransactionCount", base.hub.address, "latest") == "0x0"
        rpc(url, "anvil_setBalance", base.hub.address, hex(10**18))
        with onchain(base) as place, base.store.write() as unit:
            made = base.identity.register.add_operator(unit, name="Home", jurisdiction="FR")
        rpc(url, "anvil_setBalance", base.hub.address, hex(1))
        with pytest.raises(GasError, match="has 1 wei"):
            Errands(place).deposit(taken(made), 5, reference="one")
        rpc(url, "anvil_setBalance", base.hub.address, hex(10**18))
        assert taken(Errands(place).deposit(taken(made), 5, reference="one")).balance_minor == 5
    finally:
        base.close()
