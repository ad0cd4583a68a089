"""Accounts stake by every way in, renew, are read back and leave."""

from __future__ import annotations

from contract_evm import FAR_S, MAX
from contract_story import CHAIN_ID, Step, Story

from opencarrier.chain import typed_data
from opencarrier.chain.client import ChainClient
from opencarrier.chain.contracts import StableToken, StakeDiscount, Tier
from opencarrier.chain.model import Call
from opencarrier.chain.typed_data import Authorization
from opencarrier.kernel.signatures import KeySigner

TOKEN = 1_000_000
DAY_S = 86_400
SALT = b"\x05" * 32
TIERS = tuple(
    Tier(min_amount=100 * TOKEN, min_lock_s=days * DAY_S, discount_ppm=10_000 * days)
    for days in range(1, 17)
)

REFUSALS = {
    "stake by stranger": "token: short allowance",
    "extend to shorter": "lock: shorter",
    "withdraw too early": "stake: locked",
    "withdraw twice": "stake: none",
    "signature again": "signature: bad",
    "authorization again": "authorization: used",
}
"""Every step that fails, and the reason its Error(string) spells."""


def play(client: ChainClient) -> list[Step]:
    """Tell the whole story."""
    story = Story(client)
    _Staking(story).tell()
    return story.steps


class _Staking:
    """A token, a stake contract with as many tiers as there can be, three accounts."""

    def __init__(self, story: Story) -> None:
        self.story = story
        self.owner, self.stranger = story.people["owner"], story.people["stranger"]
        self.members = [story.people[f"member {i}"] for i in range(3)]
        owner = self.owner.address
        deployment = StableToken.deployment(
            name="Test Dollar", symbol="USDt", version="1", owner=owner
        )
        self.token = StableToken(story.deploy("deploy token", deployment))
        terms = StakeDiscount.deployment(token=self.token.address, tiers=TIERS, cap_ppm=10**6)
        self.stakes = StakeDiscount(story.deploy("deploy stake discount", terms))
        for contract in (self.token, self.stakes):
            contract.check_code(story.client.code(contract.address))

    def tell(self) -> None:
        tell, owner, token = self.story.tell, self.owner, self.token
        tell("set minter", owner, token.set_minter(owner.address, allowed=True))
        for member in self.members:
            tell("mint", owner, token.mint(member.address, 1_000 * TOKEN))
            tell("approve", member, token.approve(self.stakes.address, MAX))
        self._stake()
        self._by_signature()
        self._leave()

    def _stake(self) -> None:
        alice, stakes = self.members[0], self.stakes
        tell = self.story.tell
        tell("stake first", alice, stakes.stake(100 * TOKEN, DAY_S))
        tell("increase", alice, stakes.increase(TOKEN))
        tell("extend", alice, stakes.extend(2 * DAY_S))
        tell("stake more", alice, stakes.stake(TOKEN, 2 * DAY_S))
        self.story.fail("stake by stranger", self.stranger, stakes.stake(1, DAY_S))
        self.story.fail("extend to shorter", alice, stakes.extend(DAY_S))

    def _by_signature(self) -> None:
        bob, carol = self.members[1:]
        signed, authorized = self._signed(bob), self._authorized(carol)
        self.story.tell("stake by signature", self.stranger, signed)
        self.story.fail("signature again", self.stranger, signed)
        self.story.tell("stake by authorization", self.stranger, authorized)
        self.story.fail("authorization again", self.stranger, authorized)
        self.story.tell("stake with permit", bob, self._permitted(bob))

    def _leave(self) -> None:
        alice, bob, carol = self.members
        early = self.stakes.withdraw(alice.address)
        self.story.fail("withdraw too early", self.stranger, early)
        self.story.pass_time(3 * DAY_S)
        for member in (alice, bob, carol):
            self.story.tell("withdraw", self.stranger, self.stakes.withdraw(member.address))
        self.story.fail("withdraw twice", self.stranger, self.stakes.withdraw(alice.address))
        self._read_back(alice)

    def _read_back(self, member: KeySigner) -> None:
        """Sent as transactions, so that both chains tell what they answered and at what cost."""
        at = self.story.now_s - 2 * DAY_S
        for name, query in (
            ("read discount", self.stakes.discount_ppm_at(member.address, at)),
            ("read total", self.stakes.total_at(at)),
            ("read votes", self.stakes.past_votes(member.address, at)),
        ):
            self.story.tell(name, self.stranger, query.call)

    def _signed(self, member: KeySigner) -> Call:
        digest = typed_data.stake_digest(
            self.stakes.signing_domain(CHAIN_ID),
            account=member.address,
            amount_minor=TOKEN,
            lock_s=DAY_S,
            nonce=0,
            deadline_s=FAR_S,
        )
        return self.stakes.stake_by_signature(
            account=member.address,
            amount=TOKEN,
            lock_s=DAY_S,
            deadline=FAR_S,
            signature=member.sign(digest).octets,
        )

    def _authorized(self, member: KeySigner) -> Call:
        given = Authorization(
            sender=member.address,
            receiver=self.stakes.address,
            amount_minor=TOKEN,
            valid_after_s=0,
            valid_before_s=FAR_S,
            nonce=typed_data.stake_authorization_nonce(DAY_S, SALT),
        )
        domain = self.token.signing_domain().ask(self.story.client)
        signature = member.sign(typed_data.receive_digest(domain, given)).octets
        return self.stakes.stake_with_authorization(
            given, lock_s=DAY_S, salt=SALT, signature=signature
        )

    def _permitted(self, member: KeySigner) -> Call:
        digest = typed_data.permit_digest(
            self.token.signing_domain().ask(self.story.client),
            owner=member.address,
            spender=self.stakes.address,
            amount_minor=TOKEN,
            nonce=0,
            deadline_s=FAR_S,
        )
        return self.stakes.stake_with_permit(
            amount=TOKEN,
            lock_s=DAY_S,
            deadline=FAR_S,
            signature=member.sign(digest).octets,
        )
