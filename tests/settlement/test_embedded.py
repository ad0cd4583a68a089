"""The same service over the embedded node and the real contracts, alone and in a race."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest
from tests.chain.lying_node import LyingNode, saying, without_last
from tests.chain.sending import send
from tests.clearing.facts import host, key, operator, payout, rated

from opencarrier.chain.client import ChainClient, connect
from opencarrier.chain.contracts import (
    ClearingHouse,
    HouseTerms,
    RewardDistributor,
    StableToken,
    claim_id,
)
from opencarrier.chain.keys import LocalSigner
from opencarrier.chain.model import Call, Receipt
from opencarrier.chain.node import EmbeddedNode, NodeSettings
from opencarrier.chain.quorum import QuorumClient
from opencarrier.kernel.clock import FixedClock
from opencarrier.kernel.money import AssetId
from opencarrier.kernel.signatures import Address, KeySigner
from opencarrier.ledger import chart
from opencarrier.rewards.claims import Claims, Due
from opencarrier.settlement.bookings import NOTICE_MINOR_MAX
from opencarrier.settlement.model import Alarm, CycleState, Venue
from opencarrier.spine.money import RatedUsage

from .fake_chain import RULEBOOK
from .world import Installation

CHAIN_ID = 31337
HUB = LocalSigner(b"\x07" * 32)
PAYER = LocalSigner(b"\x08" * 32)
FUNDS = 10_000_000
TOKENS_MAX = 10**15
PARTIES = [operator(n) for n in range(4)]


class Chain:
    """An embedded node with the venue deployed; `hub` owns and settles, `payer` does the rest."""

    def __init__(self, path: Path) -> None:
        members = [KeySigner(_secret(party)) for party in PARTIES]
        assert [m.address for m in members] == [key(p).address for p in PARTIES]
        funded = [HUB.address, PAYER.address, *(m.address for m in members)]
        settings = NodeSettings(chain_id=CHAIN_ID, genesis=dict.fromkeys(funded, 10**22), dev=True)
        self.node = EmbeddedNode.open(path, settings, FixedClock(1_800_000_000_000_000))
        self.client: ChainClient = connect("embedded:", node=self.node)
        self._deploy()

    def mine(self) -> None:
        self.client.request("evm_mine", [])

    def through(self, second: LyingNode) -> QuorumClient:
        """The same chain, believed only where a second endpoint says the same."""
        return QuorumClient(self.client, connect("embedded:", node=second))

    def send(self, signer: LocalSigner, call: Call) -> Receipt:
        receipt = send(self.client, signer, call)
        assert receipt.succeeded
        return receipt

    def deploy(self, call: Call) -> Address:
        address = self.send(PAYER, call).contract_address
        assert address is not None
        return address

    def deposit(self, member: Address, amount: int) -> None:
        self.send(PAYER, self.token.mint(PAYER.address, amount))
        self.send(PAYER, self.house.deposit(self.token.address, member, amount))

    def another_token(self) -> StableToken:
        """List a second token and let the payer and the first member have and hold it."""
        owner = PAYER.address
        call = StableToken.deployment(name="Other", symbol="OTH", version="1", owner=owner)
        token = StableToken(self.deploy(call))
        self.send(PAYER, token.set_minter(owner, allowed=True))
        self.send(PAYER, token.mint(owner, FUNDS))
        self.send(PAYER, self.house.list_token(token.address))
        member = key(operator(0)).address
        self.send(PAYER, self.house.set_member(token.address, member, registered=True))
        return token

    def _deploy(self) -> None:
        owner = PAYER.address
        self.token = StableToken(
            self.deploy(
                StableToken.deployment(name="Dollar", symbol="USDt", version="1", owner=owner)
            )
        )
        self.house = ClearingHouse(
            self.deploy(
                ClearingHouse.deployment(
                    owner=owner,
                    settler=HUB.address,
                    rulebook_hash=RULEBOOK,
                    terms=HouseTerms(
                        notice_s=0, mandate_interval_s=0, bond_ppm=100_000, arbitration_s=60
                    ),
                )
            )
        )
        self.pool = RewardDistributor(
            self.deploy(
                RewardDistributor.deployment(
                    clearing_house=self.house.address, owner=owner, guardian=owner, delay_s=0
                )
            )
        )
        self.send(PAYER, self.house.list_token(self.token.address))
        self.send(PAYER, self.house.set_distributor(self.pool.address))
        self.send(PAYER, self.token.set_minter(owner, allowed=True))
        self.send(PAYER, self.token.approve(self.house.address, TOKENS_MAX))

    def install(self) -> Installation:
        venue = Venue(
            domain="test",
            asset=AssetId(f"eip155:{CHAIN_ID}/erc20:{self.token.address}"),
            chain_id=CHAIN_ID,
            token=self.token.address,
            clearing_house=self.house.address,
            distributor=self.pool.address,
            rulebook_hash=RULEBOOK,
        )
        return Installation(_Mining(self), HUB, venue=venue)

    def enrol(self, place: Installation) -> None:
        for party in place.people.parties:
            address = key(party).address
            self.send(PAYER, self.house.set_member(self.token.address, address, registered=True))
            if party in PARTIES:
                self.deposit(address, FUNDS)


class _Mining:
    """The client, with the `mine` that the installations' tests call."""

    def __init__(self, chain: Chain, client: ChainClient | None = None) -> None:
        self._client = client or chain.client
        self.mine = chain.mine

    def __getattr__(self, name: str) -> object:
        return getattr(self._client, name)


@pytest.fixture
def chain(tmp_path: Path) -> Iterator[Chain]:
    made = Chain(tmp_path / "chain.sqlite")
    yield made
    made.node.close()


def of(place: Installation, first: int = 0) -> list[RatedUsage]:
    pairs = [(0, 1), (0, 2), (1, 2), (2, 0), (3, 3), (0, 1)]
    return [
        rated(
            first + n,
            home=home,
            visited=visited,
            amount=1_000 * (n + 1),
            host_number=n % 3,
            asset=place.venue.asset,
        )
        for n, (home, visited) in enumerate(pairs)
    ]


def test_cycles_claims_and_withdrawals_agree_with_the_contracts(chain: Chain) -> None:
    place = chain.install()
    chain.enrol(place)
    assert place.follow() == ""
    for number in range(2):
        closed = place.close(of(place, 10 * number))
        assert closed.attempt is not None
        driven = place.settle()
        assert driven.cycle is not None
        assert driven.cycle.state is CycleState.FINAL
        order = closed.attempt.order
        assert chain.house.settled(order.cycle_id).ask(chain.client) == order.settlement_id
        place.assert_agrees()
    with place.engine.begin() as unit:
        claims = Claims(place.rewards, chain.pool)
        now_s = chain.client.block().timestamp_s
        due = claims.due(unit, payout(host(0)), chain=chain.client, now_s=now_s)
    assert isinstance(due, Due)
    chain.send(PAYER, claims.call(due))
    leaver = LocalSigner(_secret(operator(2)))
    chain.send(leaver, chain.house.request_withdrawal(chain.token.address, 1_234_567))
    chain.send(leaver, chain.house.withdraw(chain.token.address))
    assert place.follow() == ""
    assert place.balance(chart.entitled(payout(host(0)), host(0))) == 0
    place.assert_agrees()


def test_what_is_under_notice_is_known_to_the_books(chain: Chain) -> None:
    """From its final log on until it is paid or taken back; it is still collateral for debts."""
    place = chain.install()
    chain.enrol(place)
    place.follow()
    token, party = chain.token.address, operator(2)
    leaver = LocalSigner(_secret(party))
    noticed, held = chart.noticed(party), place.balance(chart.collateral(party))
    chain.send(leaver, chain.house.request_withdrawal(token, 1_000))
    place.follow()
    assert (place.balance(noticed), place.balance(chart.collateral(party))) == (1_000, held)
    chain.send(leaver, chain.house.cancel_withdrawal(token))
    place.follow()
    assert place.balance(noticed) == 0
    for amount in ((1 << 256) - 1, 700):
        chain.send(leaver, chain.house.request_withdrawal(token, amount))
        place.follow()
        assert place.balance(noticed) == min(amount, NOTICE_MINOR_MAX)
        if amount == 700:
            chain.send(leaver, chain.house.withdraw(token))
        else:
            chain.send(leaver, chain.house.cancel_withdrawal(token))
    assert place.follow() == ""
    assert (place.balance(noticed), place.balance(chart.collateral(party))) == (0, held - 700)
    place.assert_agrees()


def test_another_token_is_no_collateral_in_these_books(chain: Chain) -> None:
    """The clearing house holds several tokens; each has books of its own."""
    place = chain.install()
    chain.enrol(place)
    place.follow()
    held = place.balance(chart.collateral(operator(0)))
    other = chain.another_token()
    chain.send(PAYER, other.approve(chain.house.address, 5_000))
    member = LocalSigner(_secret(operator(0)))
    chain.send(PAYER, chain.house.deposit(other.address, member.address, 5_000))
    chain.send(member, chain.house.request_withdrawal(other.address, 1_000))
    place.follow()
    chain.send(member, chain.house.withdraw(other.address))
    assert place.follow() == ""
    assert place.balance(chart.collateral(operator(0))) == held
    assert place.balance(chart.noticed(operator(0))) == 0
    place.assert_agrees()


def test_claims_move_collateral_through_escrow(chain: Chain) -> None:
    """A disputed claim from post to decision: the ledger has what the contract has, each step."""
    place = chain.install()
    chain.enrol(place)
    debtor, creditor = (LocalSigner(_secret(operator(n))) for n in (0, 1))
    house, usd = chain.house, chain.token.address
    parties = {"debtor": debtor.address, "creditor": creditor.address}
    claimed = claim_id(usd, bytes(32), **parties)

    def told(sender: LocalSigner, call: Call) -> tuple[int, int, int]:
        chain.send(sender, call)
        assert place.follow() == ""
        place.assert_agrees()
        names = (f"collateral/{operator(0)}", f"escrow/{operator(0)}", f"collateral/{operator(1)}")
        owed, held, due = map(place.balance, names)
        return owed - FUNDS, held, due - FUNDS

    chain.send(PAYER, house.set_arbiter(PAYER.address))
    told(debtor, house.open_corridor(usd, creditor.address, window_s=600, cap=1000))
    terms = {"cycle_id": bytes(32), "records_root": bytes(32), "amount": 100}
    post = house.post_claim(usd, debtor.address, **terms)
    chain.send(creditor, post)
    chain.send(debtor, house.request_withdrawal(usd, 50))
    assert {line.what: line.other_minor for line in place.reconcile().findings} == {
        f"collateral/{operator(0)}": FUNDS - 100,
        f"escrow/{operator(0)}": 100,
        f"noticed/{operator(0)}": 50,
    }, "what the books have not followed yet is named"
    assert told(debtor, house.cancel_withdrawal(usd)) == (-100, 100, 0)
    assert told(debtor, house.dispute_claim(claimed, 20)) == (-108, 88, 20)
    assert told(PAYER, house.decide_claim(claimed, 30)) == (-42, 0, 42)


def test_a_member_short_at_the_venue_leaves_and_the_rest_is_paid(chain: Chain) -> None:
    place = chain.install()
    chain.enrol(place)
    place.follow()
    leaver = LocalSigner(_secret(operator(0)))
    chain.send(leaver, chain.house.request_withdrawal(chain.token.address, FUNDS))
    chain.send(leaver, chain.house.withdraw(chain.token.address))
    place.close(of(place))
    driven = place.settle()
    assert driven.cycle is not None
    assert (driven.cycle.state, driven.cycle.attempt) == (CycleState.FINAL, 2)
    with place.engine.begin() as unit:
        dead, _ = place.service.attempts(unit, driven.cycle.cycle_id)
    assert dead.reason == "reverted: debit: short of collateral"
    place.assert_agrees()


@pytest.mark.parametrize("same", [True, False])
def test_two_databases_race_on_one_chain(chain: Chain, same: bool) -> None:
    """One settlement per id; who closed it the same way posts, who did not halts."""
    a, b = chain.install(), chain.install()
    chain.enrol(a)
    for place in (a, b):
        place.follow()
    a.close(of(a))
    b.close(of(b) if same else of(b)[:3])
    a.drive()
    outcomes = [place.settle() for place in (b, a)]
    assert chain.house.last_sequence(chain.token.address).ask(chain.client) == 1
    for place in (a, b):
        place.check()
    a.assert_agrees()
    if same:
        assert all(driven.halt is None for driven in outcomes)
        b.assert_agrees()
    else:
        assert outcomes[0].halt is not None
        assert outcomes[0].halt.alarm is Alarm.SETTLED_OTHERWISE
        assert b.balance(f"collateral/{operator(0)}") == FUNDS
        assert b.held(f"collateral/{operator(0)}") == 0


def test_a_lying_endpoint_posts_nothing(chain: Chain) -> None:
    """By one of two endpoints a cycle is settled, by the other not: nothing is posted on either's
    word.

    Once a person has looked, the same cycle goes on where it stood and is settled once.
    """
    liar = LyingNode(chain.node.request)
    place = chain.install()
    chain.enrol(place)
    place.follow()
    closed = place.close(of(place))
    assert closed.attempt is not None
    liar.lies["eth_call"] = saying("0x" + "00" * 32)
    held = place.held(f"collateral/{operator(0)}")
    place.chain = _Mining(chain, chain.through(liar))
    place.restart()
    for _ in range(3):
        driven = place.drive()
    assert driven.halt is not None
    assert driven.halt.alarm is Alarm.ENDPOINTS_DIFFER
    assert place.held(f"collateral/{operator(0)}") == held > 0
    liar.lies.clear()
    place.chain = _Mining(chain, chain.through(liar))
    place.restart()
    assert place.drive().halt is not None, "only a person lets it go on"
    with place.engine.begin() as unit:
        place.service.resume(unit)
    driven = place.settle()
    assert driven.cycle is not None
    assert driven.cycle.state is CycleState.FINAL
    assert place.held(f"collateral/{operator(0)}") == 0
    assert chain.house.last_sequence(chain.token.address).ask(chain.client) == 1
    place.assert_agrees()


def test_a_log_kept_back_books_nothing(chain: Chain) -> None:
    """A deposit that one endpoint hides is not passed over: the follower stops before it."""
    liar = LyingNode(chain.node.request)
    place = chain.install()
    place.chain = _Mining(chain, chain.through(liar))
    place.restart()
    chain.enrol(place)
    liar.lies["eth_getLogs"] = without_last
    assert place.follow().startswith("halted")
    assert place.balance(f"collateral/{operator(3)}") == 0
    liar.lies.clear()
    place.chain = _Mining(chain, chain.through(liar))
    place.restart()
    assert place.follow() == ""
    assert place.balance(f"collateral/{operator(3)}") == FUNDS


def _secret(party: str) -> bytes:
    return sha256(party.encode()).digest()
