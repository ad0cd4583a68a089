"""Hosts are paid through the venue's distributor: after the delay, under the guardian's veto."""

from __future__ import annotations

import pytest

from opencarrier.app.bootstrap import onchain, open_installation
from opencarrier.app.config import ConfigError, Settings
from opencarrier.app.folder import Folder
from opencarrier.chain.contracts import RewardDistributor
from opencarrier.kernel.clock import SECOND_US
from opencarrier.rewards.model import RewardReason

from .scene import Scene, scene, taken

DELAY_S = 3_600
GUARDIAN = "0x" + "1a" * 20


def earn(made: Scene, name: str) -> None:
    made.use(name, octets=5_000_000, grant=made.authorise())
    made.settle()


def agrees(made: Scene) -> bool:
    with made.place.base.store.read() as unit:
        return made.place.settlement.reconcile(unit).agrees


def test_a_host_waits_for_the_delay_and_the_books_agree(tmp_path):
    """Two cycles, one claim; before the delay it is told when, afterwards nothing is due."""
    with scene(tmp_path, rewards_delay_s=DELAY_S) as made:
        for name in ("first", "second"):
            earn(made, name)
        with made.place.base.store.read() as unit:
            host = made.place.base.identity.directory.host(unit, made.node.host)
            earned = made.place.rewards.lifetime(unit, host.payout)
        first = taken(made.errands.withdraw(host))
        assert 0 < first.amount_minor < earned
        waiting = made.errands.withdraw(host)
        assert waiting.reason is RewardReason.NOT_READY
        assert "2026-01-05T12:00" in waiting.detail
        made.clock.set(made.clock.now_us() + DELAY_S * SECOND_US)
        second = taken(made.errands.withdraw(host))
        assert first.amount_minor + second.amount_minor == second.lifetime_minor == earned
        assert made.errands.withdraw(host).reason is RewardReason.NOTHING_DUE
        assert agrees(made)


def test_the_guardian_is_whom_the_settings_name(tmp_path):
    """The hub where none is named; the delay stands in the contract; no address is refused."""
    for number, (name, wanted) in enumerate((("", None), (GUARDIAN.upper(), GUARDIAN))):
        settings = Settings(rewards_delay_s=77, rewards_guardian=name.replace("0X", "0x"))
        base = open_installation(Folder(tmp_path / str(number)), settings)
        try:
            with onchain(base) as place:
                pool = RewardDistributor(place.manifest.distributor)
                assert pool.guardian().ask(place.client) == (wanted or base.hub.address)
                assert pool.delay_s().ask(place.client) == 77
        finally:
            base.close()
    base = open_installation(Folder(tmp_path / "bad"), Settings(rewards_guardian="me"))
    try:
        with pytest.raises(ConfigError, match="rewards_guardian"), onchain(base):
            pass
    finally:
        base.close()
