"""kill -9 at every named point of a paid session: no unit is lost, none is doubled.

After a restart the story comes to its end by itself: what the contract claimed and settled is what
the books say, and what the device acknowledged at its price.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
from pathlib import Path

import pytest
from tests.app.scene import scene
from tests.crash import channel_story
from tests.forking import ran

from opencarrier.app.bootstrap import onchain, open_installation
from opencarrier.app.config import Settings
from opencarrier.app.folder import Folder
from opencarrier.chain.contracts import BatchChannels, StableToken
from opencarrier.kernel.clock import FixedClock
from opencarrier.kernel.crash import VARIABLE
from opencarrier.kernel.entropy import SeededEntropy
from opencarrier.kernel.ids import derive
from opencarrier.kernel.signatures import KeySigner
from opencarrier.ledger import chart
from opencarrier.ledger import service as ledger

ROOT = Path(__file__).parents[2]
SOURCES = ROOT / "src" / "opencarrier"
MONEY_MINOR = 20_000_000
DUE_MINOR = 15_236 + 3_047
"""Three megabytes, 2,930 begun KiB, at 5,200 nano, and a fifth of tax."""

pytestmark = [pytest.mark.crash, pytest.mark.timeout(240)]


def points() -> list[str]:
    """Every crash point of the room, and the passes of those that are passed often."""
    found: set[str] = set()
    for path in (SOURCES / "channels").glob("*.py"):
        found |= set(re.findall(r'crashpoint\("([^"]+)"\)', path.read_text()))
    often = {"channels.taken:3", "channels.kept:3", "channels.prepared:2", "channels.prepared:3"}
    return sorted(found | often | {"channels.before_prepare:2", "channels.before_prepare:3"})


@pytest.fixture(scope="module")
def prepared(tmp_path_factory) -> Path:
    """A folder whose subscriber has a wallet with money on chain."""
    root = tmp_path_factory.mktemp("channels") / "data"
    with scene(root) as made:
        token = StableToken(made.place.manifest.token)
        mint = token.mint(KeySigner(channel_story.MAIN).address, MONEY_MINOR)
        made.place.work.do(derive("test", "mint"), mint)
    return root


def run(root: Path, crash_at: str = "") -> int:
    environment = {k: v for k, v in os.environ.items() if k != VARIABLE}
    if crash_at:
        environment[VARIABLE] = crash_at
    done = ran([str(root)], environment, module="tests.crash.channel_story")
    assert done.returncode in (0, -signal.SIGKILL), done.stderr
    return done.returncode


def test_every_step_has_a_point() -> None:
    assert len(points()) >= 9


@pytest.mark.parametrize("point", points())
def test_killed_at_a_named_point(prepared: Path, tmp_path: Path, point: str) -> None:
    root = tmp_path / "data"
    shutil.copytree(prepared, root)
    assert run(root, point) == -signal.SIGKILL, "the point was passed"
    assert run(root) == 0
    check(root)


def check(root: Path) -> None:
    base = open_installation(
        Folder(root),
        Settings(cycle_s=0),
        clock=FixedClock(channel_story.AT_US),
        entropy=SeededEntropy(12),
    )
    with onchain(base) as place, base.store.read() as unit:
        assert place.channels is not None
        (channel,) = place.channels.service.channels(unit)
        contract = BatchChannels(place.channels.service.venue.contract)
        state = contract.channel(channel.channel_id).ask(place.client)
        token = StableToken(place.manifest.token)
        assert channel.due_minor == channel.claimed_minor > 0
        assert state.total_claimed_minor == state.balance_minor == channel.due_minor
        receiver, payer = channel.config.receiver, channel.config.payer
        assert token.balance_of(receiver).ask(place.client) == channel.due_minor
        assert token.balance_of(payer).ask(place.client) == MONEY_MINOR - channel.due_minor
        for account in (chart.vouchers(channel.seller), chart.claimed(channel.seller)):
            assert ledger.balance(unit, place.manifest.asset, account).posted_minor == 0
        prepaid = ledger.balance(
            unit, place.manifest.asset, chart.prepaid(channel.subscriber)
        ).posted_minor
        assert prepaid == 50_000_000 + channel.due_minor, "what was paid is the subscriber's"
        assert ledger.check(unit).findings == ()
        assert set(ledger.sum_minor(unit).values()) == {0}
        assert channel.due_minor == DUE_MINOR
    base.close()
