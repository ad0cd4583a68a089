"""Members deposit, settle, leave and claim; the token's signatures; crowds of up to 400."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from contract_evm import FAR_S, MAX, NOTICE_S, RULEBOOK, TERMS, key, sealed
from contract_story import CHAIN_ID, Step, Story

from opencarrier.chain import abi, typed_data
from opencarrier.chain.client import ChainClient
from opencarrier.chain.contracts import ClearingHouse, RewardDistributor, StableToken
from opencarrier.chain.model import Call
from opencarrier.chain.typed_data import Authorization
from opencarrier.kernel.keccak import keccak
from opencarrier.kernel.pair_tree import pair_hash
from opencarrier.kernel.signatures import Address, KeySigner
from opencarrier.rewards.merkle import Tree, leaf_hash
from opencarrier.rewards.model import EntitlementLeaf
from opencarrier.spine.money import Net, SettlementOrder

TOKEN = 1_000_000
CROWD_SIZES = (20, 100, 400)
HOSTS_DEPTH = 21

CROWD = """
# pragma version 0.4.3
# pragma evm-version cancun
interface House:
    def list_token(token: address, last_sequence: uint256): nonpayable
    def set_member(token: address, member: address, registered: bool): nonpayable
    def set_distributor(distributor: address): nonpayable
    def deposit(token: address, member: address, amount: uint256): nonpayable
    def set_mandate_by_signature(
        token: address,
        member: address,
        cap_per_cycle: uint256,
        valid_until: uint256,
        signature: Bytes[65],
    ): nonpayable
interface Token:
    def approve(spender: address, amount: uint256) -> bool: nonpayable

@external
def begin(token: Token, house: House, distributor: address):
    extcall token.approve(house.address, max_value(uint256))
    extcall house.list_token(token.address, 0)
    extcall house.set_distributor(distributor)

@external
def fill(
    token: address,
    house: House,
    members: DynArray[address, 100],
    mandates: DynArray[Bytes[65], 100],
    amount: uint256,
    valid_until: uint256,
):
    for i: uint256 in range(len(members), bound=100):
        extcall house.set_member(token, members[i], True)
        extcall house.deposit(token, members[i], amount)
        extcall house.set_mandate_by_signature(
            token, members[i], amount, valid_until, mandates[i]
        )
"""

BARE = """
# pragma version 0.4.3
# pragma evm-version cancun
# The least that moves net amounts all at once: no tokens, consent, sequence, rewards or solvency.
struct Net:
    member: address
    amount: int256

event Settled:
    batch_id: indexed(bytes32)
    nets_hash: bytes32

operator: address
balance_of: public(HashMap[address, int256])
settled: HashMap[bytes32, bool]

@deploy
def __init__(operator: address):
    self.operator = operator

@external
def fill(members: DynArray[address, 400], amount: int256):
    for member: address in members:
        self.balance_of[member] = amount

@external
def settle(batch_id: bytes32, nets: DynArray[Net, 400]):
    assert msg.sender == self.operator
    assert not self.settled[batch_id]
    self.settled[batch_id] = True
    sum: int256 = 0
    for net: Net in nets:
        balance: int256 = self.balance_of[net.member] + net.amount
        assert balance >= 0
        self.balance_of[net.member] = balance
        sum += net.amount
    assert sum == 0
    log Settled(batch_id=batch_id, nets_hash=keccak256(abi_encode(nets)))
"""


REFUSALS = {
    "register by stranger": "owner: not caller",
    "conflict": "settled: other content",
    "wrong sequence": "settle: sequence",
    "over cap": "mandate: over cap",
    "mandates too soon": "mandate: too soon",
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
        _Bare(story).tell()
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
        self.token, self.usd = story.token, story.token.address
        self.house = ClearingHouse(
            story.deploy(
                "deploy clearing house",
                ClearingHouse.deployment(
                    owner=owner,
                    settler=self.settler.address,
                    rulebook_hash=RULEBOOK,
                    terms=TERMS,
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
        tell("list token", owner, self.house.list_token(self.usd))
        tell("set distributor", owner, self.house.set_distributor(self.rewards.address))
        tell("set minter", owner, self.token.set_minter(owner.address, allowed=True))
        for member in self.members:
            tell("mint", owner, self.token.mint(member.address, 2 * TOKEN))
            tell(
                "register member",
                owner,
                self.house.set_member(self.usd, member.address, registered=True),
            )
            tell("approve", member, self.token.approve(self.house.address, MAX))
            tell("deposit", member, self.house.deposit(self.usd, member.address, TOKEN))
        self.story.fail(
            "register by stranger",
            self.stranger,
            self.house.set_member(self.usd, self.stranger.address, registered=True),
        )
        tell("mandate", self.members[0], self.house.set_mandate(self.usd, 500, FAR_S))

    def order(self, sequence: int, amounts: list[int], root: bytes = bytes(32)) -> SettlementOrder:
        nets = [
            Net(address=member.address, amount_minor=amount)
            for member, amount in zip(self.members, amounts, strict=True)
            if amount
        ]
        payers = [net for net in nets if net.amount_minor < 0]
        terms = {
            "token": self.usd,
            "cycle_id": keccak(b"cycle %d" % sequence),
            "nets": nets,
            "rewards_root": root,
            "rewards_minor": -sum(amounts),
        }
        draft = sealed(sequence=sequence, signatures=[None] * len(payers), **terms)
        signatures = [
            None
            if net.address == self.members[0].address
            else _debit(self.house, self.usd, draft, self._member(net.address), -net.amount_minor)
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
        tell("settle", settler, self.house.settle(self.usd, first))
        tell("settle again", settler, self.house.settle(self.usd, first))
        assert self.story.steps[-1].output == first.settlement_id
        fail(
            "conflict",
            settler,
            self.house.settle(self.usd, self.order(1, [-500, 100, 400])),
        )
        fail(
            "wrong sequence",
            settler,
            self.house.settle(self.usd, self.order(3, [0, -1, 1])),
        )
        fail(
            "over cap",
            settler,
            self.house.settle(self.usd, self.order(2, [-501, 0, 501])),
        )
        fail(
            "short",
            settler,
            self.house.settle(self.usd, self.order(2, [0, -TOKEN, TOKEN])),
        )
        fail(
            "by stranger",
            self.stranger,
            self.house.settle(self.usd, self.order(2, [0, -1, 1])),
        )
        wrong = self.order(2, [0, -1, 1])
        forged = _debit(self.house, self.usd, wrong, self.stranger, 1)
        wrong = sealed(
            token=self.usd,
            sequence=2,
            cycle_id=wrong.cycle_id,
            nets=wrong.nets,
            signatures=[forged],
        )
        fail("bad signature", settler, self.house.settle(self.usd, wrong))
        second = self.order(2, [-100, -100, 0], self.trees[1].root)
        fail("mandates too soon", settler, self.house.settle(self.usd, second))
        self.story.pass_time(TERMS.mandate_interval_s)
        tell("settle next", settler, self.house.settle(self.usd, second))

    def _leave(self) -> None:
        tell, fail, member = self.story.tell, self.story.fail, self.members[2]
        tell("request withdrawal", member, self.house.request_withdrawal(self.usd, MAX))
        fail("withdraw too early", member, self.house.withdraw(self.usd))
        tell("pause", self.owner, self.house.set_settle_paused(paused=True))
        self.story.pass_time(NOTICE_S)
        tell("withdraw", member, self.house.withdraw(self.usd))
        fail("withdraw twice", member, self.house.withdraw(self.usd))
        tell("resume", self.owner, self.house.set_settle_paused(paused=False))

    def _tree(self, each: int) -> Tree:
        return Tree([self._leaf(host, each) for host in self.hosts])

    def _leaf(self, host: Address, amount: int) -> EntitlementLeaf:
        return EntitlementLeaf(account=host, token=self.usd, lifetime_minor=amount)

    def claim(self, tree: Tree, host: Address, amount: int) -> Call:
        leaf = self._leaf(host, amount)
        return self.rewards.claim(host, leaf.token, amount, tree.siblings(leaf))

    def _claim(self) -> None:
        tell, fail, tree = self.story.tell, self.story.fail, self.trees[1]
        tell("claim", self.stranger, self.claim(tree, self.hosts[0], 150))
        fail("claim twice", self.stranger, self.claim(tree, self.hosts[0], 150))
        tell("claim another", self.stranger, self.claim(tree, self.hosts[1], 150))
        fail("claim old root", self.stranger, self.claim(self.trees[0], self.hosts[1], 100))


def _debit(
    house: ClearingHouse, token: Address, order: SettlementOrder, signer: KeySigner, amount: int
):
    digest = typed_data.debit_digest(
        house.signing_domain(CHAIN_ID),
        settlement_id=order.settlement_id,
        rulebook_hash=RULEBOOK,
        token=token,
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
        self.story = story
        self.settler = story.people["settler"]
        self.token, self.usd = story.token, story.token.address
        self.people = sorted((key(f"crowd {i}") for i in range(400)), key=lambda s: s.address)
        self.helper = _Text(story, "deploy crowd", CROWD)
        self.house = ClearingHouse(
            story.deploy(
                "deploy second house",
                ClearingHouse.deployment(
                    owner=self.helper.address,
                    settler=self.settler.address,
                    rulebook_hash=RULEBOOK,
                    terms=TERMS,
                ),
            )
        )
        self.rewards = RewardDistributor(
            story.deploy(
                "deploy second distributor",
                RewardDistributor.deployment(
                    clearing_house=self.house.address,
                    owner=self.helper.address,
                    guardian=key("guardian").address,
                    delay_s=0,
                ),
            )
        )
        self.sequence = 0

    def tell(self) -> None:
        self._fill()
        for size in CROWD_SIZES:
            self._settle(f"settle {size} members", size, signed=False)
            self._settle(f"settle {size} members, signed", size, signed=True)
            self._settle(f"settle {size} members, rewards", size, signed=False, rewards=True)
        self._claims()

    def _fill(self) -> None:
        story, owner = self.story, self.story.people["owner"]
        token, house = self.usd, self.house.address
        helper = self.helper
        story.tell("fund crowd", owner, self.token.mint(helper.address, 400 * TOKEN))
        begin = helper.call("begin", ["address"] * 3, token, house, self.rewards.address)
        story.tell("begin", owner, begin)
        types = ["address", "address", "address[]", "bytes[]", "uint256", "uint256"]
        for start in range(0, 400, 100):
            some = self.people[start : start + 100]
            members, mandates = [m.address for m in some], [self._mandate(m) for m in some]
            call = helper.call("fill", types, token, house, members, mandates, TOKEN, FAR_S)
            story.tell("fill", owner, call, ask=False)

    def _mandate(self, member: KeySigner) -> bytes:
        digest = typed_data.mandate_digest(
            self.house.signing_domain(CHAIN_ID),
            token=self.usd,
            member=member.address,
            cap_per_cycle_minor=TOKEN,
            valid_until_s=FAR_S,
            rulebook_hash=RULEBOOK,
            nonce=0,
        )
        return member.sign(digest).octets

    def _settle(self, name: str, size: int, *, signed: bool, rewards: bool = False) -> None:
        self.story.pass_time(TERMS.mandate_interval_s)
        call = self.house.settle(self.usd, self._order(size, signed=signed, rewards=rewards))
        self.story.tell(name, self.settler, call, ask=size < max(CROWD_SIZES))

    def _order(self, size: int, *, signed: bool, rewards: bool) -> SettlementOrder:
        self.sequence += 1
        nets = nets_of(self.people[:size], 70, 60 if rewards else 70)
        terms = {
            "token": self.usd,
            "cycle_id": keccak(b"crowd %d" % self.sequence),
            "nets": nets,
            "rewards_root": self._deep_root(self.sequence) if rewards else bytes(32),
            "rewards_minor": 5 * size if rewards else 0,
        }
        payers = self.people[:size:2]
        unsigned = sealed(sequence=self.sequence, signatures=[None] * len(payers), **terms)
        if not signed:
            return unsigned
        domain = (self.house, self.usd)
        signatures = [_debit(*domain, unsigned, member, 70) for member in payers]
        return sealed(sequence=self.sequence, signatures=signatures, **terms)

    def _deep_root(self, lifetime: int) -> bytes:
        """The root over one host and two million others nobody needs to see."""
        leaf = EntitlementLeaf(
            account=key("host 0").address,
            token=self.story.token.address,
            lifetime_minor=lifetime,
        )
        node = leaf_hash(leaf)
        for sibling in self._deep_siblings():
            node = pair_hash(node, sibling)
        return node

    def _deep_siblings(self) -> Iterator[bytes]:
        return (keccak(b"sibling %d" % level) for level in range(HOSTS_DEPTH))

    def _claims(self) -> None:
        stranger = self.story.people["stranger"]
        self.story.tell("claim first, depth 21", stranger, self._claim())
        self._settle("settle 2 members, later", 2, signed=False, rewards=True)
        self.story.tell("claim later, depth 21", stranger, self._claim())

    def _claim(self) -> Call:
        siblings = list(self._deep_siblings())
        host = key("host 0").address
        return self.rewards.claim(host, self.usd, self.sequence, siblings)


class _Bare:
    """The least a contract must do to move the same nets, beside ours in the same run."""

    def __init__(self, story: Story) -> None:
        self.story = story
        self.people = sorted((key(f"crowd {i}") for i in range(400)), key=lambda s: s.address)
        self.batch = _Text(
            story, "deploy bare batch", BARE, ["address"], story.people["settler"].address
        )

    def tell(self) -> None:
        settler = self.story.people["settler"]
        members = [member.address for member in self.people]
        fill = self.batch.call("fill", ["address[]", "int256"], members, TOKEN)
        self.story.tell("fill bare batch", settler, fill, ask=False)
        for size in CROWD_SIZES:
            rows = [(n.address, n.amount_minor) for n in nets_of(self.people[:size], 70, 70)]
            types = ["bytes32", "(address,int256)[]"]
            call = self.batch.call("settle", types, keccak(b"batch %d" % size), rows)
            self.story.tell(f"bare batch of {size} members", settler, call, ask=False)


class _Text:
    """A contract that stands in this file."""

    def __init__(
        self, story: Story, name: str, text: str, types: Sequence[str] = (), *values: object
    ) -> None:
        from vyper.compiler import compile_code

        built = compile_code(text, output_formats=["bytecode", "method_identifiers"])
        self.selectors = {
            signature.partition("(")[0]: bytes.fromhex(selector[2:].zfill(8))
            for signature, selector in built["method_identifiers"].items()
        }
        code = bytes.fromhex(built["bytecode"].removeprefix("0x")) + abi.encode(types, values)
        self.address = story.deploy(name, Call(to=None, data=code))

    def call(self, function: str, types: Sequence[str], *values: object) -> Call:
        return Call(to=self.address, data=self.selectors[function] + abi.encode(types, values))


def nets_of(people: Sequence[KeySigner], debit: int, credit: int) -> list[Net]:
    """Every other member pays."""
    return [
        Net(address=member.address, amount_minor=credit if i % 2 else -debit)
        for i, member in enumerate(people)
    ]
