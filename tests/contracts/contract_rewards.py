"""A distributor by itself: whoever holds the clearing house's key funds and publishes."""

from __future__ import annotations

from contract_evm import Evm, Outcome, key

from opencarrier.chain import events
from opencarrier.chain.contracts import RewardDistributor, StableToken
from opencarrier.chain.model import Call
from opencarrier.kernel.keccak import keccak
from opencarrier.kernel.signatures import Address, KeySigner
from opencarrier.rewards.merkle import Tree
from opencarrier.rewards.model import EntitlementLeaf

DELAY_S = 3600


class Pool:
    """Owner, guardian, clearing house, stranger and two hosts around one distributor."""

    def __init__(self, delay_s: int = DELAY_S) -> None:
        self.evm = Evm()
        self.owner, self.guardian, self.house = key("owner"), key("guardian"), key("house")
        self.stranger = key("stranger")
        self.hosts = [key("host 0"), key("host 1")]
        self.token = self.new_token("Test Dollar")
        terms = {
            "clearing_house": self.house.address,
            "owner": self.owner.address,
            "guardian": self.guardian.address,
            "delay_s": delay_s,
        }
        call = RewardDistributor.deployment(**terms)
        self.rewards = RewardDistributor(self.evm.deploy(self.owner.address, call))
        self.cycles = 0

    def new_token(self, name: str) -> StableToken:
        owner = self.owner.address
        call = StableToken.deployment(name=name, symbol="USDt", version="1", owner=owner)
        token = StableToken(self.evm.deploy(owner, call))
        self.send(self.owner, token.set_minter(owner, allowed=True))
        return token

    def send(self, sender: KeySigner, call: Call) -> Outcome:
        return self.evm.send(sender.address, call)

    def told(self, outcome: Outcome) -> list[events.Event]:
        """The distributor's own events."""
        found = [self.rewards.event(log) for log in outcome.logs]
        return [event for event in found if event is not None]

    def leaf(self, account: str, lifetime: int, token: StableToken | None = None):
        address = (token or self.token).address
        return EntitlementLeaf(account=account, token=address, lifetime_minor=lifetime)

    def tree(self, amounts: dict[str, int], token: StableToken | None = None) -> Tree:
        return Tree([self.leaf(a, n, token) for a, n in amounts.items()])

    def publishing(self, root: bytes, amount: int, token: Address | None = None) -> Call:
        """The publication alone, without its money."""
        self.cycles += 1
        cycle_id = keccak(b"cycle %d" % self.cycles)
        data = RewardDistributor.artefact().call_data(
            "publish", token or self.token.address, cycle_id, root, amount
        )
        return Call(to=self.rewards.address, data=data)

    def publish(self, root: bytes, amount: int, token: StableToken | None = None) -> Outcome:
        """Do as the clearing house does: the money, then the root."""
        token = token or self.token
        self.send(self.owner, token.mint(self.rewards.address, amount))
        return self.send(self.house, self.publishing(root, amount, token.address))

    def ready(self, amounts: dict[str, int], *, money: int) -> Tree:
        """Publish a root over lifetime amounts that brings `money`, and wait until it pays."""
        tree = self.tree(amounts)
        self.publish(tree.root, money)
        self.pass_delay()
        return tree

    def pass_delay(self) -> None:
        self.evm.pass_time(self.rewards.delay_s().ask(self.evm))

    def claim(
        self, tree: Tree, account: str, lifetime: int, token: StableToken | None = None
    ) -> Call:
        leaf = self.leaf(account, lifetime, token)
        return self.rewards.claim(leaf.account, leaf.token, lifetime, tree.siblings(leaf))

    def tokens(self, account: Address) -> int:
        return self.token.balance_of(account).ask(self.evm)
