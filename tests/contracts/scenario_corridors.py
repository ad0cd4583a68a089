"""A corridor from its opening to its closing: claims accepted, silent, disputed, too late."""

from __future__ import annotations

from contract_evm import MAX, RULEBOOK, TERMS
from contract_story import Step, Story

from opencarrier.chain.client import ChainClient
from opencarrier.chain.contracts import ClearingHouse, StableToken, claim_id
from opencarrier.kernel.keccak import keccak

TOKEN = 1_000_000
WINDOW_S = 600

REFUSALS = {
    "claim without corridor": "corridor: not open",
    "claim over cap": "claim: over cap",
    "claim again": "claim: posted before",
    "finish too early": "claim: not due",
    "dispute too late": "claim: window over",
    "decide by stranger": "decide: not arbiter",
    "decide too late": "claim: time over",
    "claim after closing": "corridor: not open",
}
"""Every step that fails, and the reason its Error(string) spells."""


def play(client: ChainClient) -> list[Step]:
    """Tell the whole story."""
    story = Story(client)
    told = _Corridor(story)
    told.answered()
    told.disputed()
    told.closed()
    return story.steps


class _Corridor:
    """Member 0 owes member 1."""

    def __init__(self, story: Story) -> None:
        self.story = story
        self.owner, self.stranger = story.people["owner"], story.people["stranger"]
        self.debtor, self.creditor = story.people["member 0"], story.people["member 1"]
        owner = self.owner.address
        token = StableToken.deployment(name="Test Dollar", symbol="USDt", version="1", owner=owner)
        house = ClearingHouse.deployment(
            owner=owner, settler=owner, rulebook_hash=RULEBOOK, terms=TERMS
        )
        self.token = StableToken(story.deploy("deploy token", token))
        self.house = ClearingHouse(story.deploy("deploy clearing house", house))
        self.usd = self.token.address
        self._fill()

    def _fill(self) -> None:
        tell, owner, house = self.story.tell, self.owner, self.house
        tell("list token", owner, house.list_token(self.usd))
        tell("set arbiter", owner, house.set_arbiter(owner.address))
        tell("set minter", owner, self.token.set_minter(owner.address, allowed=True))
        tell("mint", owner, self.token.mint(owner.address, 2 * TOKEN))
        tell("approve", owner, self.token.approve(house.address, MAX))
        for member in (self.debtor, self.creditor):
            tell("register", owner, house.set_member(self.usd, member.address, registered=True))
            tell("deposit", owner, house.deposit(self.usd, member.address, TOKEN))

    def post(self, cycle: int, amount: int):
        return self.house.post_claim(
            self.usd,
            self.debtor.address,
            cycle_id=keccak(b"cycle %d" % cycle),
            records_root=keccak(b"records"),
            amount=amount,
        )

    def name(self, cycle: int) -> bytes:
        parties = {"debtor": self.debtor.address, "creditor": self.creditor.address}
        return claim_id(self.usd, keccak(b"cycle %d" % cycle), **parties)

    def answered(self) -> None:
        """Accepted at once, and paid after silence."""
        tell, fail, house = self.story.tell, self.story.fail, self.house
        fail("claim without corridor", self.creditor, self.post(1, 1))
        opening = house.open_corridor(
            self.usd, self.creditor.address, window_s=WINDOW_S, cap=TOKEN // 2
        )
        tell("open corridor", self.debtor, opening)
        fail("claim over cap", self.creditor, self.post(1, TOKEN))
        tell("claim", self.creditor, self.post(1, 1000))
        fail("claim again", self.creditor, self.post(1, 1))
        tell("accept", self.debtor, house.accept_claim(self.name(1)))
        tell("claim", self.creditor, self.post(2, 1000))
        fail("finish too early", self.stranger, house.finish_claim(self.name(2)))
        self.story.pass_time(WINDOW_S)
        fail("dispute too late", self.debtor, house.dispute_claim(self.name(2), 0))
        tell("finish", self.stranger, house.finish_claim(self.name(2)))

    def disputed(self) -> None:
        """Decided either way, agreed on, and left undecided."""
        tell, fail, house = self.story.tell, self.story.fail, self.house
        for cycle in (3, 4, 5, 6):
            tell("claim", self.creditor, self.post(cycle, 1000))
            tell("dispute", self.debtor, house.dispute_claim(self.name(cycle), 200))
        fail("decide by stranger", self.stranger, house.decide_claim(self.name(3), 0))
        tell("decide for creditor", self.owner, house.decide_claim(self.name(3), 700))
        tell("decide for debtor", self.owner, house.decide_claim(self.name(4), 100))
        tell("offer", self.debtor, house.agree_claim(self.name(5), 400))
        tell("agree", self.creditor, house.agree_claim(self.name(5), 400))
        self.story.pass_time(TERMS.arbitration_s)
        fail("decide too late", self.owner, house.decide_claim(self.name(6), 0))
        tell("finish undecided", self.stranger, house.finish_claim(self.name(6)))

    def closed(self) -> None:
        """No new claims after the notice; all money leaves."""
        tell, fail, house = self.story.tell, self.story.fail, self.house
        tell("close corridor", self.debtor, house.close_corridor(self.usd, self.creditor.address))
        for member in (self.debtor, self.creditor):
            tell("request withdrawal", member, house.request_withdrawal(self.usd, MAX))
        self.story.pass_time(TERMS.notice_s)
        fail("claim after closing", self.creditor, self.post(7, 1))
        for member in (self.debtor, self.creditor):
            tell("withdraw", member, house.withdraw(self.usd))
