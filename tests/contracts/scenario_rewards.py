"""A distributor's life: roots wait, are vetoed and pay; batches of a hundred; minimal references.

The references keep what is paid by account and one root, nothing else: beside ours over the same
token, and over a token that checks nothing but the balance.
"""

from __future__ import annotations

from collections.abc import Iterator

from contract_evm import key
from contract_story import Step, Story

from opencarrier.chain import abi
from opencarrier.chain.client import ChainClient
from opencarrier.chain.contracts import CLAIMS_MAX, RewardClaim, RewardDistributor, StableToken
from opencarrier.chain.model import Call
from opencarrier.kernel.keccak import keccak
from opencarrier.kernel.pair_tree import pair_hash
from opencarrier.kernel.signatures import Address
from opencarrier.rewards.merkle import Tree, leaf_hash
from opencarrier.rewards.model import EntitlementLeaf

DELAY_S = 60
DEPTH = 21
TOKEN = 1_000_000

REFERENCE = """
# pragma version 0.4.3
# pragma evm-version cancun
from ethereum.ercs import IERC20
root: bytes32
claimed: HashMap[address, HashMap[address, uint256]]

@external
def publish(root: bytes32):
    self.root = root

@external
def claim(account: address, token: address, lifetime: uint256, proof: DynArray[bytes32, 40]):
    node: bytes32 = keccak256(keccak256(abi_encode(account, token, lifetime)))
    for sibling: bytes32 in proof:
        if convert(node, uint256) < convert(sibling, uint256):
            node = keccak256(abi_encode(node, sibling))
        else:
            node = keccak256(abi_encode(sibling, node))
    assert node == self.root
    amount: uint256 = lifetime - self.claimed[account][token]
    self.claimed[account][token] = lifetime
    extcall IERC20(token).transfer(account, amount)
"""

PLAIN_TOKEN = """
# pragma version 0.4.3
# pragma evm-version cancun
from ethereum.ercs import IERC20
balanceOf: public(HashMap[address, uint256])

@external
def mint(account: address, amount: uint256):
    self.balanceOf[account] += amount

@external
def transfer(receiver: address, amount: uint256) -> bool:
    self.balanceOf[msg.sender] -= amount
    self.balanceOf[receiver] += amount
    log IERC20.Transfer(sender=msg.sender, receiver=receiver, value=amount)
    return True
"""

REFUSALS = {
    "publish by stranger": "publish: not clearing house",
    "publish without money": "publish: not funded",
    "publish again": "publish: known root",
    "publish over cap": "publish: over cap",
    "claim too early": "claim: not ready",
    "claim twice": "claim: nothing due",
    "claim old root": "claim: nothing due",
    "claim vetoed": "claim: vetoed",
    "claim false proof": "claim: bad proof",
    "claim beyond the root": "claim: over root",
    "veto too late": "veto: too late",
    "veto by stranger": "veto: not guardian",
    "apply payout too early": "change: not ready",
    "apply cap too early": "change: not ready",
}
"""Every step that fails, and the reason its Error(string) spells."""


def play(client: ChainClient) -> list[Step]:
    """Tell the whole story."""
    story = Story(client)
    life = _Life(story)
    life.tell()
    _Batches(life).tell()
    _references(life)
    return story.steps


class _Life:
    """One host among two million: claims, payout, cap, veto, each step and its refusals."""

    def __init__(self, story: Story) -> None:
        self.story = story
        people = story.people
        self.owner, self.house, self.stranger = (
            people[name] for name in ("owner", "settler", "stranger")
        )
        self.guardian, self.host = people["member 0"], people["member 1"]
        owner = self.owner.address
        self.token = StableToken(
            story.deploy(
                "deploy token",
                StableToken.deployment(name="Test Dollar", symbol="USDt", version="1", owner=owner),
            )
        )
        self.rewards = RewardDistributor(
            story.deploy(
                "deploy distributor",
                RewardDistributor.deployment(
                    clearing_house=self.house.address,
                    owner=owner,
                    guardian=self.guardian.address,
                    delay_s=DELAY_S,
                ),
            )
        )
        self.rewards.check_code(story.client.code(self.rewards.address))
        story.tell("set minter", self.owner, self.token.set_minter(owner, allowed=True))
        story.tell("fund", self.owner, self.token.mint(self.rewards.address, TOKEN))

    def tell(self) -> None:
        self._publish()
        self._claim()
        self._veto()
        self._payout()
        self._cap()

    def leaf(self, account: Address, lifetime: int) -> EntitlementLeaf:
        return EntitlementLeaf(account=account, token=self.token.address, lifetime_minor=lifetime)

    def publishing(self, root: bytes, amount: int) -> Call:
        data = RewardDistributor.artefact().call_data(
            "publish", self.token.address, keccak(b"cycle" + root), root, amount
        )
        return Call(to=self.rewards.address, data=data)

    def root(self, lifetime: int) -> bytes:
        return deep_root(self.leaf(self.host.address, lifetime))

    def claiming(self, lifetime: int) -> Call:
        siblings = list(deep_siblings())
        return self.rewards.claim(self.host.address, self.token.address, lifetime, siblings)

    def _publish(self) -> None:
        tell, fail = self.story.tell, self.story.fail
        tell("publish first", self.house, self.publishing(self.root(5), 5))
        tell("publish", self.house, self.publishing(self.root(7), 2))
        fail("publish by stranger", self.stranger, self.publishing(self.root(9), 2))
        fail("publish without money", self.house, self.publishing(self.root(9), TOKEN))
        fail("publish again", self.house, self.publishing(self.root(7), 2))
        fail("claim too early", self.stranger, self.claiming(5))

    def _claim(self) -> None:
        tell, fail = self.story.tell, self.story.fail
        self.story.pass_time(DELAY_S)
        tell("claim first, depth 21", self.stranger, self.claiming(5))
        tell("claim later, depth 21", self.stranger, self.claiming(7))
        fail("claim twice", self.stranger, self.claiming(7))
        fail("claim old root", self.stranger, self.claiming(5))
        fail("claim false proof", self.stranger, self.claiming(8))

    def _veto(self) -> None:
        tell, fail, token = self.story.tell, self.story.fail, self.token.address
        fail("veto too late", self.guardian, self.rewards.veto(token, self.root(7)))
        tell("publish", self.house, self.publishing(self.root(TOKEN), 1))
        tell("publish", self.house, self.publishing(self.root(10), 2))
        fail("veto by stranger", self.stranger, self.rewards.veto(token, self.root(TOKEN)))
        tell("veto", self.guardian, self.rewards.veto(token, self.root(TOKEN)))
        tell("publish", self.house, self.publishing(self.root(2 * TOKEN), 1))
        self.story.pass_time(DELAY_S)
        fail("claim vetoed", self.stranger, self.claiming(TOKEN))
        fail("claim beyond the root", self.stranger, self.claiming(2 * TOKEN))

    def _payout(self) -> None:
        tell, token, host = self.story.tell, self.token.address, self.host
        elsewhere = key("elsewhere").address
        tell("request payout", host, self.rewards.request_payout(token, elsewhere))
        tell("cancel payout", host, self.rewards.cancel_payout(token))
        tell("request payout", host, self.rewards.request_payout(token, elsewhere))
        apply = self.rewards.apply_payout(host.address, token)
        self.story.fail("apply payout too early", self.stranger, apply)
        self.story.pass_time(DELAY_S)
        tell("apply payout", self.stranger, apply)
        tell("claim elsewhere", self.stranger, self.claiming(10))

    def _cap(self) -> None:
        tell, fail, token, owner = self.story.tell, self.story.fail, self.token.address, self.owner
        tell("set cap", owner, self.rewards.set_cap(token, 1))
        fail("publish over cap", self.house, self.publishing(self.root(12), 2))
        tell("raise cap", owner, self.rewards.set_cap(token, TOKEN))
        fail("apply cap too early", self.stranger, self.rewards.apply_cap(token))
        tell("request guardian", owner, self.rewards.request_guardian(self.stranger.address))
        self.story.pass_time(DELAY_S)
        tell("apply cap", self.stranger, self.rewards.apply_cap(token))
        tell("apply guardian", self.stranger, self.rewards.apply_guardian())


class _Batches:
    """Claims for others, ten and as many as there may be, each to depth 21."""

    def __init__(self, life: _Life) -> None:
        self.life = life
        self.accounts = [key(f"crowd {i}").address for i in range(CLAIMS_MAX)]

    def tell(self) -> None:
        story, stranger = self.life.story, self.life.stranger
        for name, lifetime in (("first", 5), ("later", 6)):
            claims = self._publish(lifetime)
            story.pass_time(DELAY_S)
            for start, end in ((0, 10), (10, CLAIMS_MAX)):
                call = self.life.rewards.claim_many(claims[start:end])
                story.tell(f"claim {end - start} {name}, depth 21", stranger, call, ask=False)
        call = self.life.rewards.claim_many(claims)
        story.tell("claim 100 skipped, depth 21", stranger, call, ask=False)

    def _publish(self, lifetime: int) -> list[RewardClaim]:
        """A tree over the crowd, put deep into a larger one."""
        leaves = [self.life.leaf(account, lifetime) for account in self.accounts]
        tree, root = Tree(leaves), Tree(leaves).root
        above = list(deep_siblings())
        claims = []
        for leaf in leaves:
            siblings = tree.siblings(leaf)
            proof = [*siblings, *above[: DEPTH - len(siblings)]]
            claims.append(
                RewardClaim(
                    account=leaf.account, token=leaf.token, lifetime_amount=lifetime, proof=proof
                )
            )
        roots = {
            walk(leaf_hash(leaf), claim.proof) for leaf, claim in zip(leaves, claims, strict=True)
        }
        for number, found in enumerate(sorted(roots)):
            amount = len(leaves) * lifetime if number == 0 else 0
            self.life.story.tell("publish", self.life.house, self.life.publishing(found, amount))
        assert root not in roots
        return claims


def _references(life: _Life) -> None:
    """The same claim at contracts that check next to nothing."""
    plain = _deploy(life, "deploy plain token", PLAIN_TOKEN)
    for name, token in (("our", life.token.address), ("plain", plain)):
        at = _deploy(life, f"deploy reference over {name} token", REFERENCE)
        mint = StableToken(token).mint(at, TOKEN)
        life.story.tell(f"fund reference over {name} token", life.owner, mint)
        for when, lifetime in (("first", 5), ("later", 7)):
            leaf = EntitlementLeaf(account=life.host.address, token=token, lifetime_minor=lifetime)
            publish = _data("publish(bytes32)", ["bytes32"], deep_root(leaf))
            life.story.tell(
                f"publish to reference over {name} token", life.owner, Call(to=at, data=publish)
            )
            types = ["address", "address", "uint256", "bytes32[]"]
            values = (leaf.account, token, lifetime, list(deep_siblings()))
            data = _data("claim(address,address,uint256,bytes32[])", types, *values)
            step = f"reference claim {when}, depth 21, {name} token"
            life.story.tell(step, life.stranger, Call(to=at, data=data))


def _deploy(life: _Life, name: str, text: str) -> Address:
    from vyper.compiler import compile_code

    code = compile_code(text, output_formats=["bytecode"])["bytecode"]
    return life.story.deploy(name, Call(to=None, data=bytes.fromhex(code.removeprefix("0x"))))


def _data(signature: str, types: list[str], *values: object) -> bytes:
    return keccak(signature.encode())[:4] + abi.encode(types, values)


def deep_siblings() -> Iterator[bytes]:
    """The siblings of a leaf among two million that nobody needs to see."""
    return (keccak(b"sibling %d" % level) for level in range(DEPTH))


def deep_root(leaf: EntitlementLeaf) -> bytes:
    return walk(leaf_hash(leaf), deep_siblings())


def walk(node: bytes, siblings) -> bytes:
    """The root that siblings lead to."""
    for sibling in siblings:
        node = pair_hash(node, sibling)
    return node
