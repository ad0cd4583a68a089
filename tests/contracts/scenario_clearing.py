"""Members deposit, settle, leave and claim; the token's signatures; crowds of up to 400."""

from __future__ import annotations

from collections.abc import Iterator

from contract_evm import FAR_S, MAX, NOTICE_S, RULEBOOK, key, sealed
from contract_story import CHAIN_ID, Step, Story

from opencarrier.chain import abi, typed_data
from opencarrier.chain.client import ChainClient
from opencarrier.chain.contracts import ClearingHouse, RewardDistributor, StableToken
from opencarrier.chain.model import Call
from opencarrier.chain.typed_data import Authorization
from opencarrier.kernel.keccak import keccak
from opencarrier.kernel.signatures import Address, KeySigner
from opencarrier.rewards.merkle import Tree, leaf_hash, node_hash
from opencarrier.rewards.model import EntitlementLeaf
from opencarrier.spine.money import Net, SettlementOrder

TOKEN = 1_000_000
CROWD_SIZES = (2, 20, 100, 400)
HOSTS_DEPTH = 21

CROWD = """
# pragma version 0.4.3
# pragma evm-version cancun
interface House:
    def set_member(member: address, registered: bool): nonpayable
    def set_distributor(distributor: address): nonpayable
    def deposit(member: address, amount: uint256): nonpayable
interface Token:
    def approve(spender: address, amount: uint256) -> bool: nonpayable

@external
def begin(token: Token, house: House, distributor: address):
    extcall token.approve(house.address, max_value(uint256))
    extcall house.set_distributor(distributor)

@external
def fill(house: House, members: DynArray[address, 100], amount: uint256):
    for member: address in members:
        extcall house.set_member(member, True)
        extcall house.deposit(member, amount)
"""


REFUSALS = {
    "register by stranger": "owner: not caller",
    "conflict": "settled: other content",
    "wrong sequence": "settle: sequence",
    "over cap": "mandate: over cap",
    "short": "debit: short of collateral",
    "by stranger": "settle: not settler",
    "bad signature": "debit: bad signature",
    "withdraw too early": "withdrawal: notice",
    "withdraw twice": "withdrawal: not requested",
    "claim twice": "claim: nothing due",
    "claim old root": "claim: nothing due",
    "permit again": "permit: bad signature",
    "transfer by signature again": "authorization: used",
    "transfer to frozen": "token: frozen",
    "transfer while paused": "token: paused",
}
"""Every step that fails, and the reason its Error(string) spells."""


def play(client: ChainClient, *, crowd: bool = True) -> list[Step]:
    """Tell the whole story; with `crowd` also settlements of up to 400 members."""
    story = Story(client)
    _Clearing(story).tell()
    _token(story)
    if crowd:
        _Crowd(story).tell()
    return story.steps


class _Clearing:
    """Four contracts' life: deploy, register, deposit, mandate, settle, conflict, leave, claim."""

    def __init__(self, story: Story) -> None:
        self.story = story
        self.owner, self.settler = story.people["owner"], story.people["settler"]
        self.stranger = story.people["stranger"]
        self.members = sorted(
            (story.people[f"member {i}"] for i in range(3)), key=lambda signer: signer.address
        )
        owner = self.owner.address
        story.token = StableToken(
            story.deploy(
                "deploy token",
                StableToken.deployment(name="Test Dollar", symbol="USDt", version="1", owner=owner),
            )
        )
        self.token = story.token
        self.house = ClearingHouse(
            story.deploy(
                "deploy clearing house",
                ClearingHouse.deployment(
                    token=self.token.address,
                    owner=owner,
                    settler=self.settler.address,
                    notice_s=NOTICE_S,
                    rulebook_hash=RULEBOOK,
                ),
            )
        )
        self.rewards = RewardDistributor(
            story.deploy(
                "deploy distributor",
                RewardDistributor.deployment(
                    clearing_house=self.house.address,
                    owner=owner,
                    guardian=key("guardian").address,
                    delay_s=0,
                ),
            )
        )
        for contract in (self.token, self.house, self.rewards):
            contract.check_code(story.client.code(contract.address))

    def tell(self) -> None:
        self._prepare()
        self._settle()
        self._leave()
        self._claim()

    def _prepare(self) -> None:
        tell, owner = self.story.tell, self.owner
        tell("set distributor", owner, self.house.set_distributor(self.rewards.address))
        tell("set minter", owner, self.token.set_minter(owner.address, allowed=True))
        for member in self.members:
            tell("mint", owner, self.token.mint(member.address, 2 * TOKEN))
            tell("register member", owner, self.house.set_member(member.address, registered=True))
            tell("approve", member, self.token.approve(self.house.address, MAX))
            tell("deposit", member, self.house.deposit(member.address, TOKEN))
        self.story.fail(
            "register by stranger",
            self.stranger,
            self.house.set_member(self.stranger.address, registered=True),
        )
        tell("mandate", self.members[0], self.house.set_mandate(500, FAR_S))

    def order(self, sequence: int, amounts: list[int], root: bytes = bytes(32)) -> SettlementOrder:
        nets = [
            Net(address=member.address, amount_minor=amount)
            for member, amount in zip(self.members, amounts, strict=True)
            if amount
        ]
        payers = [net for net in nets if net.amount_minor < 0]
        terms = {
            "cycle_id": keccak(b"cycle %d" % sequence),
            "nets": nets,
            "rewards_root": root,
            "rewards_minor": -sum(amounts),
        }
        draft = sealed(sequence=sequence, signatures=[None] * len(payers), **terms)
        signatures = [
            None
            if net.address == self.members[0].address
            else _debit(self.house, draft, self._member(net.address), -net.amount_minor)
            for net in payers
        ]
        return sealed(sequence=sequence, signatures=signatures, **terms)

    def _member(self, address: Address) -> KeySigner:
        return next(member for member in self.members if member.address == address)

    def _settle(self) -> None:
        tell, fail, settler = self.story.tell, self.story.fail, self.settler
        self.hosts = [key(f"host {i}").address for i in range(4)]
        self.trees = [self._tree(100), self._tree(150)]
        first = self.order(1, [-500, -100, 200], self.trees[0].root)
        tell("settle", settler, self.house.settle(first))
        tell("settle again", settler, self.house.settle(first))
        assert self.story.steps[-1].output == first.settlement_id
        fail("conflict", settler, self.house.settle(self.order(1, [-500, 100, 400])))
        fail("wrong sequence", settler, self.house.settle(self.order(3, [0, -1, 1])))
        fail("over cap", settler, self.house.settle(self.order(2, [-501, 0, 501])))
        fail("short", settler, self.house.settle(self.order(2, [0, -TOKEN, TOKEN])))
        fail("by stranger", self.stranger, self.house.settle(self.order(2, [0, -1, 1])))
        wrong = self.order(2, [0, -1, 1])
        forged = _debit(self.house, wrong, self.stranger, 1)
        wrong = sealed(sequence=2, cycle_id=wrong.cycle_id, nets=wrong.nets, signatures=[forged])
        fail("bad signature", settler, self.house.settle(wrong))
        second = self.order(2, [-100, -100, 0], self.trees[1].root)
        tell("settle next", settler, self.house.settle(second))

    def _leave(self) -> None:
        tell, fail, member = self.story.tell, self.story.fail, self.members[2]
        tell("request withdrawal", member, self.house.request_withdrawal(MAX))
        fail("withdraw too early", member, self.house.withdraw())
        tell("pause", self.owner, self.house.set_settle_paused(paused=True))
        self.story.pass_time(NOTICE_S)
        tell("withdraw", member, self.house.withdraw())
        fail("withdraw twice", member, self.house.withdraw())
        tell("resume", self.owner, self.house.set_settle_paused(paused=False))

    def _tree(self, each: int) -> Tree:
        return Tree([self._leaf(host, each) for host in self.hosts])

    def _leaf(self, host: Address, amount: int) -> EntitlementLeaf:
        return EntitlementLeaf(account=host, token=self.token.address, lifetime_minor=amount)

    def claim(self, tree: Tree, host: Address, amount: int) -> Call:
        leaf = self._leaf(host, amount)
        return self.rewards.claim(host, leaf.token, amount, tree.siblings(leaf))

    def _claim(self) -> None:
        tell, fail, tree = self.story.tell, self.story.fail, self.trees[1]
        tell("claim", self.stranger, self.claim(tree, self.hosts[0], 150))
        fail("claim twice", self.stranger, self.claim(tree, self.hosts[0], 150))
        tell("claim another", self.stranger, self.claim(tree, self.hosts[1], 150))
        fail("claim old root", self.stranger, self.claim(self.trees[0], self.hosts[1], 100))


def _debit(house: ClearingHouse, order: SettlementOrder, signer: KeySigner, amount: int):
    digest = typed_data.debit_digest(
        house.signing_domain(CHAIN_ID),
        cycle_id=order.cycle_id,
        records_root=order.records_root,
        rulebook_hash=RULEBOOK,
        member=signer.address,
        amount_minor=amount,
    )
    return signer.sign(digest)


def _token(story: Story) -> None:
    """Transfers by signature, freeze and pause."""
    token: StableToken = story.token
    owner, stranger = story.people["owner"], story.people["stranger"]
    holder, other = story.people["member 0"], story.people["member 1"]
    story.tell("transfer", holder, token.transfer(other.address, 1))
    domain = token.signing_domain().ask(story.client)
    digest = typed_data.permit_digest(
        domain,
        owner=holder.address,
        spender=stranger.address,
        amount_minor=50,
        nonce=0,
        deadline_s=FAR_S,
    )
    permit = token.permit(
        owner=holder.address,
        spender=stranger.address,
        amount=50,
        deadline=FAR_S,
        signature=holder.sign(digest).octets,
    )
    story.tell("permit", stranger, permit)
    story.fail("permit again", stranger, permit)
    story.tell("transfer from", stranger, token.transfer_from(holder.address, other.address, 50))
    granted = Authorization(
        sender=holder.address,
        receiver=stranger.address,
        amount_minor=5,
        valid_after_s=0,
        valid_before_s=FAR_S,
        nonce=b"\x01" * 32,
    )
    signed = holder.sign(typed_data.transfer_digest(domain, granted)).octets
    story.tell("transfer by signature", owner, token.transfer_with_authorization(granted, signed))
    story.fail(
        "transfer by signature again", owner, token.transfer_with_authorization(granted, signed)
    )
    story.tell("freeze", owner, token.freeze(other.address))
    story.fail("transfer to frozen", holder, token.transfer(other.address, 1))
    story.tell("pause token", owner, token.set_paused(paused=True))
    story.fail("transfer while paused", holder, token.transfer(stranger.address, 1))
    story.tell("resume token", owner, token.set_paused(paused=False))


class _Crowd:
    """A second clearing house with 400 members, and a rewards tree of two million leaves."""

    def __init__(self, story: Story) -> None:
        from vyper.compiler import compile_code

        self.story = story
        self.people = sorted((key(f"crowd {i}") for i in range(400)), key=lambda s: s.address)
        built = compile_code(CROWD, output_formats=["bytecode", "method_identifiers"])
        self.selectors = {
            signature.partition("(")[0]: bytes.fromhex(selector[2:].zfill(8))
            for signature, selector in built["method_identifiers"].items()
        }
        code = bytes.fromhex(built["bytecode"].removeprefix("0x"))
        self.helper = story.deploy("deploy crowd", Call(to=None, data=code))
        token: Address = story.token.address
        self.house = ClearingHouse(
            story.deploy(
                "deploy second house",
                ClearingHouse.deployment(
                    token=token,
                    owner=self.helper,
                    settler=story.people["settler"].address,
                    notice_s=0,
                    rulebook_hash=RULEBOOK,
                ),
            )
        )
        self.rewards = RewardDistributor(
            story.deploy(
                "deploy second distributor",
                RewardDistributor.deployment(
                    clearing_house=self.house.address,
                    owner=self.helper,
                    guardian=key("guardian").address,
                    delay_s=0,
                ),
            )
        )

    def _call(self, function: str, types: list[str], *values: object) -> Call:
        return Call(to=self.helper, data=self.selectors[function] + abi.encode(types, values))

    def tell(self) -> None:
        story, owner = self.story, self.story.people["owner"]
        story.tell("fund crowd", owner, story.token.mint(self.helper, 400 * TOKEN))
        begin = (story.token.address, self.house.address, self.rewards.address)
        story.tell("begin", owner, self._call("begin", ["address"] * 3, *begin))
        for start in range(0, 400, 100):
            some = [member.address for member in self.people[start : start + 100]]
            types = ["address", "address[]", "uint256"]
            call = self._call("fill", types, self.house.address, some, TOKEN)
            story.tell("fill", owner, call, ask=False)
        for sequence, size in enumerate(CROWD_SIZES, 1):
            order = self._order(sequence, size)
            name = f"settle {size} members, signed"
            call = self.house.settle(order)
            story.tell(name, story.people["settler"], call, ask=size < max(CROWD_SIZES))
        self._claims()

    def _order(self, sequence: int, size: int) -> SettlementOrder:
        people = self.people[:size]
        nets = [
            Net(address=m.address, amount_minor=-70 if i % 2 == 0 else 60)
            for i, m in enumerate(people)
        ]
        terms = {
            "cycle_id": keccak(b"crowd %d" % sequence),
            "nets": nets,
            "rewards_root": self._deep_root(sequence),
            "rewards_minor": 5 * size,
        }
        draft = sealed(sequence=sequence, signatures=[None] * len(people[::2]), **terms)
        signatures = [_debit(self.house, draft, member, 70) for member in people[::2]]
        return sealed(sequence=sequence, signatures=signatures, **terms)

    def _deep_root(self, sequence: int) -> bytes:
        """The root over one host and two million others nobody needs to see."""
        leaf = EntitlementLeaf(
            account=key("host 0").address,
            token=self.story.token.address,
            lifetime_minor=sequence,
        )
        node = leaf_hash(leaf)
        for sibling in self._deep_siblings():
            node = node_hash(node, sibling)
        return node

    def _deep_siblings(self) -> Iterator[bytes]:
        return (keccak(b"sibling %d" % level) for level in range(HOSTS_DEPTH))

    def _claims(self) -> None:
        story = self.story
        last = len(CROWD_SIZES)
        claim = self._claim(last)
        story.tell("claim first, depth 21", story.people["stranger"], claim)
        order = self._order(last + 1, 2)
        story.tell("settle 2 members, later", story.people["settler"], self.house.settle(order))
        story.tell("claim later, depth 21", story.people["stranger"], self._claim(last + 1))

    def _claim(self, lifetime: int) -> Call:
        token: Address = self.story.token.address
        siblings = list(self._deep_siblings())
        return self.rewards.claim(key("host 0").address, token, lifetime, siblings)
