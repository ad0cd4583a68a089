"""kill -9 at each step of a claim that is pushed for a host: paid once, booked once.

The claim is a process of its own. After each death the same command is given again, by nobody who
remembers anything, and once more: the second finds nothing to pay.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess

import pytest
from tests.app.scene import scene
from tests.forking import ran

from opencarrier.app.bootstrap import onchain, open_installation
from opencarrier.app.config import Settings
from opencarrier.app.folder import Folder
from opencarrier.chain.contracts import RewardDistributor, StableToken
from opencarrier.chain.events import Claimed
from opencarrier.chain.model import LogFilter
from opencarrier.kernel.crash import VARIABLE
from opencarrier.ledger import chart
from opencarrier.ledger import service as ledger

pytestmark = [pytest.mark.crash, pytest.mark.timeout(240)]

POINTS = [
    "chain.tx.before_send",
    "chain.node.before_commit",
    "chain.node.in_commit",
    "chain.node.after_commit",
    "chain.tx.after_send",
    "chain.tx.before_save",
    "chain.tx.before_save:2",
    "chain.logs.before_apply",
    "chain.logs.after_apply",
]
"""Every step from the signed transaction to the booked claim."""


@pytest.fixture(scope="module")
def settled(tmp_path_factory):
    """A folder with one settled cycle, in which a host earned and was not paid."""
    root = tmp_path_factory.mktemp("settled") / "data"
    with scene(root, one_sided_window_s=0) as made:
        made.use("one", octets=50_000_000, grant=made.authorise())
        assert made.settle() == 1
    return root


def claim(root, crash_at: str = "") -> subprocess.CompletedProcess:
    environment = {k: v for k, v in os.environ.items() if k != VARIABLE}
    environment |= {"XDG_CONFIG_HOME": str(root / "config")}
    if crash_at:
        environment[VARIABLE] = crash_at
    return ran(["chain", "claim", "Host", "--json", "--data", str(root)], environment)


@pytest.mark.parametrize("point", POINTS)
def test_a_claim_killed_at_any_step_pays_once(settled, tmp_path, point):
    """No second effect, no lost unit; books, contracts and events agree."""
    root = tmp_path / "data"
    shutil.copytree(settled, root)
    assert claim(root, point).returncode == -signal.SIGKILL, "the point was passed"
    again = claim(root)
    assert again.returncode in (0, 1), again.stderr
    assert claim(root).returncode == 1, "nothing is left to pay"
    if again.returncode == 0:
        assert json.loads(again.stdout)["lifetime_minor"] > 0
    base = open_installation(Folder(root), Settings())
    try:
        with onchain(base) as place:
            check(place)
    finally:
        base.close()


def check(place) -> None:
    base, client = place.base, place.client
    with base.store.read() as unit:
        (host,) = base.identity.directory.hosts(unit)
        assert ledger.check(unit).findings == ()
        assert place.settlement.reconcile(unit, charges=True).agrees
        account = chart.entitled(host.payout, host.party_id)
        owed = ledger.balance(unit, place.manifest.asset, account)
    logs = client.logs(
        LogFilter(
            from_block=0,
            to_block=client.block_number(),
            addresses=(place.manifest.distributor,),
        )
    )
    pool = RewardDistributor(place.manifest.distributor)
    (paid,) = [event for event in map(pool.event, logs) if isinstance(event, Claimed)]
    held = StableToken(place.manifest.token).balance_of(host.payout).ask(client)
    assert held == paid.amount == paid.lifetime_amount > 0
    assert owed.posted_minor == 0
    assert place.index.check(base.store.write).differences == ()
