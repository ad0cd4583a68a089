"""A debtor short of collateral is removed by rule; the others are settled, it is paid for later."""

from __future__ import annotations

from tests.app.scene import Scene, scene, taken

from opencarrier.app.terms import Terms, draft_agreement
from opencarrier.identity.model import PartyKind
from opencarrier.ledger import chart
from opencarrier.ledger import service as ledger
from opencarrier.spine.usage import Counters, Observation, Status

BEYOND_COLLATERAL = 80_000_000_000
LITTLE = 50_000_000


def add_third(made: Scene):
    """Add a third operator, with money and an agreement with the visited one."""
    base, asset = made.place.base, made.place.manifest.asset
    with base.store.write() as unit:
        third = taken(
            base.identity.register.add_operator(unit, name="Third", jurisdiction="KE", plmns=[])
        )
        taken(base.identity.register.add_party(unit, kind=PartyKind.TAX, name="tax KE"))
        agreement = taken(
            draft_agreement(
                base,
                unit,
                asset,
                home="Third",
                visited="Visited",
                terms=Terms(
                    unit="octets_total", step=1024, price_nano=1_000, minimum_minor=0, tax_ppm=0
                ),
                host_ppm=600_000,
                protocol_ppm=0,
            )
        )
        signatures = base.rating.sign_agreement(unit, agreement, base.identity.notary)
        taken(base.rating.add_agreement(unit, agreement, signatures, at_us=made.clock.now_us()))
    taken(made.errands.deposit(third, 100_000_000, reference="third"))
    return third


def use(made: Scene, home, name: str, octets: int) -> None:
    observation = Observation(
        status=Status.STOP,
        home=home.party_id,
        visited=made.visited.party_id,
        nas_key=made.node.nas_identifier,
        node_id=made.node.node_id,
        authorisation_id=None,
        acct_session_id=name,
        counters=Counters(session_time_s=60, octets_in=0, octets_out=octets),
        subject="pseudonym",
        event_us=made.clock.now_us() + 60_000_000,
        terminate_cause=1,
        reporter=made.visited.party_id,
        source="test",
        packet_digest=bytes(32),
    )
    with made.place.base.store.write() as unit:
        made.place.base.usage.record(unit, [observation])


def collateral(made: Scene, operator) -> int:
    with made.place.base.store.read() as unit:
        account = chart.collateral(operator.party_id)
        return ledger.balance(unit, made.place.manifest.asset, account).posted_minor


def test_a_short_debtor_waits_and_the_others_are_paid(tmp_path):
    """Home cannot bear its debt: its position waits, Third's is settled; a deposit pays it."""
    with scene(tmp_path / "data", one_sided_window_s=0) as made:
        third = add_third(made)
        use(made, made.home, "too much", BEYOND_COLLATERAL)
        use(made, third, "a little", LITTLE)
        before = {op.name: collateral(made, op) for op in (made.home, third, made.visited)}

        assert made.settle() == 1
        with made.place.base.store.read() as unit:
            (cycle, attempt), *_ = made.place.settlement.cycles(unit)
            assert made.place.settlement.reconcile(unit, charges=True).agrees
        assert (cycle.state.value, attempt.records) == ("final", 1)
        assert [(item.reason, item.debtor) for item in made.closed.cleared.deferred] == [
            ("short_of_collateral", made.home.party_id)
        ]
        assert collateral(made, made.home) == before["Home"]
        assert collateral(made, third) == before["Third"] - attempt.gross_minor
        assert collateral(made, made.visited) > before["Visited"]

        taken(made.errands.deposit(made.home, 100_000_000, reference="more"))
        assert made.settle() == 2
        with made.place.base.store.read() as unit:
            (cycle, attempt), *_ = made.place.settlement.cycles(unit)
            assert made.closed.cleared.deferred == ()
            assert made.place.settlement.reconcile(unit, charges=True).agrees
            (usage_id,) = made.place.clearing.usages(unit, cycle.cycle_id)
            assert isinstance(made.place.issuer.issue(unit, usage_id), str)
        assert (cycle.state.value, attempt.records) == ("final", 1)
        assert collateral(made, made.home) == before["Home"] + 100_000_000 - attempt.gross_minor
