"""The demo: the story of `sim` played on an installation of `app`, in simulated time."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlsplit

from opencarrier.app.bootstrap import Onchain, Real, onchain, open_installation
from opencarrier.app.config import Settings, settle_on
from opencarrier.app.daemon import look_for_port, serving
from opencarrier.app.folder import Folder, FolderError
from opencarrier.app.http import Web
from opencarrier.app.output import Exit
from opencarrier.app.system import SystemClock, SystemEntropy
from opencarrier.app.teller import Teller
from opencarrier.demo.guests import invite
from opencarrier.demo.live import live
from opencarrier.demo.profiles import certify
from opencarrier.demo.stage import DemoStage, Endpoints
from opencarrier.kernel.clock import SECOND_US, FixedClock
from opencarrier.kernel.entropy import SeededEntropy
from opencarrier.sim import world
from opencarrier.sim.cast import Script, source_of
from opencarrier.sim.story import Story, Told

DOMAIN = "opencarrier-demo"
SLICE_OCTETS = 20_000_000
SLICE_S = 900


class DemoEntropy:
    """The seed's octets, but for the hub's key: it is the same in every demo, and so is the venue.

    That lets the demo's manifest be pinned in the package.
    """

    def __init__(self, seed: int) -> None:
        self._seeded = SeededEntropy(seed)
        self._fixed = SeededEntropy(0)

    def octets(self, label: str, size: int) -> bytes:
        """Return the label's next octets."""
        source = self._fixed if label == f"key/{DOMAIN}" else self._seeded
        return source.octets(label, size)


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """How the demo was asked for."""

    seed: int
    leave: bool
    http_port: int
    lost_permille: int
    doubled_permille: int
    data: Path | None
    as_json: bool


def run(request: Request) -> int:
    """Run the demo; the exit code is 0 when every cycle settled and every receipt verified."""
    _check_loopback()
    look_for_port(Settings(http_port=request.http_port))
    with ExitStack() as stack:
        if request.data is None:
            root = Path(stack.enter_context(TemporaryDirectory(prefix="opencarrier-demo-")))
        else:
            root = request.data
        folder = Folder(root.resolve())
        stack.enter_context(folder.lock())
        if folder.begun:
            raise FolderError(f"{folder.root} holds data", "the demo needs a new folder")
        clock, entropy = FixedClock(world.SETUP_US), DemoEntropy(request.seed)
        settle_on(folder.config, "domain", DOMAIN)
        settings = Settings(
            domain=DOMAIN,
            radius_port=0,
            acct_port=0,
            http_port=request.http_port,
            cycle_s=world.CYCLE_US // SECOND_US,
            slice_octets=SLICE_OCTETS,
            slice_s=SLICE_S,
            **certify(folder.root, request.http_port, clock=clock, entropy=entropy),
        )
        base = open_installation(
            folder,
            settings,
            clock=clock,
            entropy=entropy,
            people=Real(SystemClock(), SystemEntropy()),
        )
        stack.callback(base.close)
        place = stack.enter_context(onchain(base))
        return asyncio.run(_play(place, clock, request))


def _check_loopback() -> None:
    """See that each operator's access points can speak from a loopback address of their own."""
    for number in range(len(world.OPERATORS)):
        source = source_of(number)
        with socket.socket(type=socket.SOCK_DGRAM) as probe:
            try:
                probe.bind((source, 0))
            except OSError as error:
                raise FolderError(
                    f"{source} cannot be used on this machine: {error.strerror}",
                    f"on macOS, first: sudo ifconfig lo0 alias {source}",
                ) from None


async def _play(place: Onchain, clock: FixedClock, request: Request) -> int:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with serving(place) as served:
        place.base.folder.announce(served.running)
        served.web.ready = served.web.shell.demo = True
        http = urlsplit(served.running.http)
        endpoints = Endpoints(
            auth=served.auth,
            acct=served.acct,
            http=(http.hostname or "", http.port or 0),
            rpc=served.running.rpc,
        )
        stage = DemoStage(place, clock, endpoints)
        script = Script(
            seed=request.seed,
            lost_permille=request.lost_permille,
            doubled_permille=request.doubled_permille,
        )
        with Teller(served.web.tell, quiet=request.as_json) as teller:
            link = served.web.owner_link(served.running.http)
            teller.banner(served.running, place, request, _people(), link)
            story = Story(stage, script, teller.tell)
            telling = asyncio.create_task(_tell(place, served.web, story, teller))
            stopping = asyncio.create_task(stop.wait())
            await asyncio.wait({telling, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if not telling.done():
                telling.cancel()
                return int(Exit.INTERRUPTED)
            told = telling.result()
        result = _result(stage, told, served.web)
        if request.as_json:
            print(json.dumps(result, indent=2), flush=True)
        else:
            teller.table(result)
        if not request.leave:
            await live(
                stage,
                served.web,
                story.cast,
                stopping,
                seed=request.seed,
                quiet=request.as_json,
            )
        stopping.cancel()
    records = sum(cycle["records"] for cycle in result["cycles"])
    return int(Exit.DONE if result["receipts_verified"] == records else Exit.REFUSED)


def _people() -> str:
    """Name the first of each operator's subscribers with their SIMs."""
    first = world.people()[:: world.PEOPLE_PER_OPERATOR]
    return ", ".join(f"{person.name} ({person.imsi})" for person in first) + " and 36 more"


async def _tell(place: Onchain, web: Web, story: Story, teller: Teller) -> Told:
    await story.set_up()
    invite(place.base, web.guests.cast)
    return await story.play(step=teller.step)


def _result(stage: DemoStage, told: Told, web: Web) -> dict[str, Any]:
    """Put the outcome in the terms that scripts match on."""
    counted = web.metrics()
    return {
        "cycles": [_without_state(asdict(line)) for line in stage.cycles()],
        "ledger": {"sum_minor": stage.ledger_sum(), "agrees": stage.agrees()},
        "hosts": [
            {
                "name": line.name,
                "earned_minor": line.earned_minor,
                "withdrawn_minor": line.withdrawn_minor,
            }
            for line in stage.hosts()
        ],
        "operators": [asdict(line) for line in stage.operators()],
        "channels": {
            "opened": told.bought.channels,
            "vouchers": told.bought.vouchers,
            "operators": [asdict(line) for line in stage.channels()],
        },
        "stakers": [asdict(line) for line in stage.stakers()],
        "radius": {
            "accepts": told.accepts,
            "rejects": told.rejects,
            "accounting_responses": told.accounting_responses,
            "retransmissions": told.retransmissions,
            "duplicates": counted.duplicates,
        },
        "receipts_verified": told.receipts_verified,
    }


def _without_state(line: dict[str, Any]) -> dict[str, Any]:
    assert line.pop("state") == "final", "the story waits for every cycle"
    return line
