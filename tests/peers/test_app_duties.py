"""An operator's duties on a real node: a corridor, claims for many, a payout address, the till."""

from __future__ import annotations

import pytest
from tests.app.scene import taken
from tests.app.test_distribution import OTHER, split
from tests.app.test_till import PAID, _credit, fill
from tests.peers.test_app_anvil import World, mining, rpc, url

from opencarrier.app.corridors import Corridors, Pair
from opencarrier.app.errands import Errands
from opencarrier.app.rewarding import Distribution
from opencarrier.app.till import TillDesk
from opencarrier.chain.contracts import StableToken
from opencarrier.kernel.ids import derive

pytestmark = [pytest.mark.peer, pytest.mark.timeout(240)]
__all__ = ["url"]


def test_duties_on_anvil(url, tmp_path):
    """Each is done once however often it is asked for, by keys that the hub gives their gas."""
    world = World(url, tmp_path, "depth:1")
    try:
        place = world.open("hub")
        made = world.furnish(place)
        with mining(url):
            corridors = Corridors(place)
            pair = Pair(debtor=made.home.address, creditor=made.visited.address)
            for _ in range(2):
                assert taken(corridors.open(pair, window_s=3_600, cap_minor=50_000))["open"]
            words = {
                "cycle_id": derive("test"),
                "records_root": derive("r"),
                "amount_minor": 40_000,
            }
            claim = bytes.fromhex(taken(corridors.claim(pair, **words))["claim_id"][2:])
            for _ in range(2):
                assert taken(corridors.accept(claim))["state"] == "ended"

            accounts = split(made)
            made.use("one", octets=50_000_000, grant=made.authorise())
            made.settle()
            rpc(url, "evm_increaseTime", place.base.settings.rewards_delay_s)
            rpc(url, "evm_mine")
            pool = Distribution(place)
            assert sorted(taken(pool.claim_many(accounts))["paid_minor"]) == accounts
            assert pool.claim_many(accounts).code == "nothing_due"
            with place.base.store.read() as unit:
                host = place.base.identity.directory.host(unit, made.node.host)
            for _ in range(2):
                change = taken(pool.request_payout(host.payout, OTHER.address))["change"]
                assert change["account"] == OTHER.address
            assert place.client.nonce(host.payout) == 1

            fill(made, PAID, "paid")
            with place.base.store.write() as unit:
                _credit(made, unit, PAID)
            for _ in range(2):
                taken(TillDesk(place).pay_out(made.home.address, 4_000, reference="one"))
            token = StableToken(place.manifest.token)
            assert token.balance_of(made.home.address).ask(place.client) == 4_000
            Errands(place).see_payments_through()
            with place.base.store.read() as unit:
                assert place.settlement.reconcile(unit).agrees
    finally:
        world.close()
