"""Bans at a venue: each deadline's both sides, and a peer who forges, replays, appeals for others,
decides twice or comes late.
"""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from sqlalchemy import select
from tests.memory import Memory

from opencarrier.app.banning import DAY_S, Banning, Wish
from opencarrier.app.registering import Registry
from opencarrier.app.retention import Forgetting, read_retention
from opencarrier.app.venue import NODE_TERMS
from opencarrier.bans import service as service_of_bans
from opencarrier.bans import store
from opencarrier.bans.model import (
    DRAFTS_MAX,
    PROPOSED_MAX,
    WORDS_OCTETS_MAX,
    Draft,
    reason_hash,
    words_hash,
)
from opencarrier.bans.service import BanService
from opencarrier.bans.signed import signed
from opencarrier.chain.contracts import NodeRegistry, StableToken, Stage
from opencarrier.chain.errors import RevertedError
from opencarrier.chain.model import Call
from opencarrier.chain.typed_data import BanStatement, ban_digest, node_registry_domain
from opencarrier.kernel.clock import SECOND_US
from opencarrier.kernel.ids import derive, to_hex
from opencarrier.kernel.refusals import Refusal
from opencarrier.kernel.signatures import Address, KeySigner
from opencarrier.spine.nodes import chain_node_id

from .scene import Scene, scene, taken

GUARDIANS = sorted((KeySigner(bytes([one]) * 32) for one in (21, 22, 23)), key=lambda k: k.address)
STRANGER = KeySigner(bytes([24]) * 32)
OTHER = "node-2"
BOND_MINOR = 9_000_000
DOMAIN = node_registry_domain(chain_id=1, contract=Address("0x" + "ab" * 20))


class Court:
    """A scene whose two nodes are their host's tokens, with what a ban of one needs."""

    def __init__(self, made: Scene) -> None:
        self.made, self.place = made, made.place
        self.node_id = made.node.node_id
        self.bans = Banning(made.place)
        self.contract = self.bans.contract
        register = made.place.base.identity.register
        with made.place.base.store.write() as unit:
            taken(
                register.add_node(
                    unit, node_id=OTHER, operator=made.visited.party_id, host=made.node.host
                )
            )
        registry = Registry(made.place)
        taken(registry.publish())
        for node_id in (self.node_id, OTHER):
            taken(registry.mint(node_id))
        self.began_s = made.clock.now_us() // SECOND_US

    def wish(self, **more) -> Wish:
        told = {"node_id": self.node_id, "code": "false_use", "days": 30, "slash_minor": 0}
        return Wish(**{**told, **more})

    def case(self, node_id: str = ""):
        with self.place.base.store.read() as unit:
            return self.place.bans.service.last(unit, chain_node_id(node_id or self.node_id))

    def draft(self, ban_id: bytes):
        with self.place.base.store.read() as unit:
            return self.place.bans.service.draft(unit, ban_id)

    def words(self, *texts: str) -> set[str]:
        """Return which of some words are kept for good."""
        digests = [words_hash(one) for one in texts]
        with self.place.base.store.read() as unit:
            return set(self.place.bans.service.words(unit, digests).values())

    def proposed(self) -> set[tuple[bytes, str]]:
        """Return which grounds wait for an appeal, by node."""
        with self.place.base.store.read() as unit:
            return {(row.node_key, row.words) for row in unit.execute(select(store.proposed))}

    def at(self, second: int) -> None:
        """Let the chain's next block be of a second."""
        self.made.clock.set(second * SECOND_US)

    def bond(self, amount_minor: int) -> None:
        token, work = StableToken(self.place.manifest.token), self.place.work
        hub = self.place.manager.sender
        key = chain_node_id(self.node_id)
        for name, call in (
            ("mint", token.mint(hub, amount_minor)),
            ("approve", token.approve(self.contract.address, amount_minor)),
            ("bond", self.contract.post_bond(key, amount_minor)),
        ):
            work.do(derive("test", name), call)

    def guarded(self, threshold: int) -> None:
        """Name guardians whose keys are elsewhere."""
        addresses = [Address(one.address) for one in GUARDIANS]
        taken(
            self.bans.appoint(
                guardians=addresses, threshold=threshold, arbiter=None, beneficiary=None
            )
        )

    def prepare(self, number: int) -> None:
        """Prepare bans of every length from two days on."""
        service, key = self.place.bans.service, chain_node_id(self.node_id)
        with self.place.base.store.write() as unit:
            for days in range(2, 2 + number):
                statement = BanStatement(
                    node_id=key,
                    reason_hash=reason_hash("other"),
                    evidence_root=bytes(32),
                    starts_at_s=self.began_s,
                    ends_at_s=self.began_s + days * DAY_S,
                    slash_minor=0,
                )
                draft = Draft(
                    node_id=self.node_id, code="other", statement=statement, by="", made_us=0
                )
                longest = NODE_TERMS["ban_s_max"]
                taken(service.prepare(unit, draft, now_s=self.began_s, ban_s_max=longest))

    def says_no(self, call: Call, sender: Address | None = None) -> str:
        """Return what the contract answers somebody who goes round us."""
        with pytest.raises(RevertedError) as caught:
            self.place.client.call(replace(call, sender=sender) if sender else call)
        return caught.value.reason or ""


def no(outcome) -> str:
    assert isinstance(outcome, Refusal), outcome
    return outcome.code


@pytest.fixture
def court(tmp_path):
    with scene(tmp_path) as made:
        yield Court(made)


def test_an_appeal_and_a_decision_count_until_their_last_second(court):
    court.bond(BOND_MINOR)
    begun = taken(court.bans.begin(court.wish(evidence="nobody was there", slash_minor=4_000_000)))
    case, appeal_s = court.case(), NODE_TERMS["appeal_s"]
    assert begun.tx_hash
    assert begun.waits is None
    assert (case.ban_id, case.stage) == (begun.draft.ban_id, Stage.OPEN)
    assert (case.reason_hash, case.evidence_root, case.escrow_minor) == (
        reason_hash("false_use"),
        words_hash("nobody was there"),
        4_000_000,
    )
    assert case.due_s == court.began_s + appeal_s
    assert no(court.bans.begin(court.wish())) == "already_banned"
    assert no(court.bans.decide(court.node_id, lifted=True)) == "not_appealed"
    court.at(case.due_s - 1)
    assert no(court.bans.close(court.node_id)) == "early"
    taken(court.bans.appeal(court.node_id, "we were open"))
    appealed = court.case()
    assert (appealed.stage, appealed.grounds_hash) == (Stage.APPEALED, words_hash("we were open"))
    assert appealed.due_s == case.due_s - 1 + NODE_TERMS["decision_s"]
    assert no(court.bans.appeal(court.node_id, "again")) == "not_open"
    court.at(appealed.due_s - 1)
    taken(court.bans.decide(court.node_id, lifted=True))
    assert court.case().stage is Stage.LIFTED
    assert not court.case().is_in_force(appealed.due_s)
    assert no(court.bans.decide(court.node_id, lifted=False)) == "not_appealed"
    assert no(court.bans.close(court.node_id)) == "not_open"
    assert court.contract.bond_of(chain_node_id(court.node_id)).ask(court.place.client) == (
        BOND_MINOR
    ), "what was held is the node's again"
    court.at(appealed.due_s)
    assert taken(court.bans.begin(court.wish())).tx_hash, "a node can be banned anew"


def test_a_second_later_silence_has_decided_and_the_contract_says_the_same(court):
    taken(court.bans.begin(court.wish()))
    case = court.case()
    owner = court.bans.owner_of(court.node_id)
    court.at(case.due_s)
    assert no(court.bans.appeal(court.node_id, "late")) == "late"
    assert court.says_no(court.contract.appeal(case.ban_id, bytes(32)), owner) == "appeal: late"
    taken(court.bans.close(court.node_id))
    upheld = court.case()
    assert upheld.stage is Stage.UPHELD
    assert upheld.is_in_force(upheld.ends_s - 1)
    assert not upheld.is_in_force(upheld.ends_s)

    taken(court.bans.begin(court.wish(node_id=OTHER)))
    taken(court.bans.appeal(OTHER, ""))
    other = court.case(OTHER)
    court.at(other.due_s)
    assert no(court.bans.decide(OTHER, lifted=False)) == "late"
    hub = court.place.manager.sender
    assert court.says_no(court.contract.decide(other.ban_id, lifted=False), hub) == "decide: late"
    taken(court.bans.close(OTHER))
    assert court.case(OTHER).stage is Stage.LIFTED, "an appeal that nobody decides succeeds"


def test_a_second_ban_takes_nobody_the_appeal_against_the_first(court):
    """A short ban ends before its appeal does: its bond waits still when the next one comes."""
    court.bond(BOND_MINOR)
    first = taken(court.bans.begin(court.wish(days=1, slash_minor=4_000_000))).draft.ban_id
    due_s = court.case().due_s
    court.at(court.began_s + DAY_S)
    second = taken(court.bans.begin(court.wish(days=1, slash_minor=5_000_000))).draft.ban_id
    assert court.bans.appealable(court.node_id).ban_id == first, "its time is over first"
    assert no(court.bans.appeal(court.node_id, "no", ban_id=bytes(32))) == "not_open"
    court.at(due_s - 1)
    for _ in range(2):
        taken(court.bans.appeal(court.node_id, "no"))
    assert no(court.bans.appeal(court.node_id, "no")) == "not_open"
    taken(court.bans.decide(court.node_id, lifted=False, ban_id=second))
    assert no(court.bans.decide(court.node_id, lifted=True, ban_id=second)) == "not_appealed"
    taken(court.bans.decide(court.node_id, lifted=True))
    bond = court.contract.bond_of(chain_node_id(court.node_id)).ask(court.place.client)
    assert bond == BOND_MINOR - 5_000_000, "the first was lifted, the second upheld"


def test_silence_ends_one_ban_after_the_other(court):
    taken(court.bans.begin(court.wish(days=1)))
    first = court.case()
    court.at(first.ends_s)
    taken(court.bans.begin(court.wish(days=30)))
    court.at(first.due_s)
    assert court.bans.appealable(court.node_id).ban_id == court.case().ban_id != first.ban_id
    taken(court.bans.close(court.node_id))
    assert no(court.bans.close(court.node_id)) == "early"
    court.at(court.case().due_s)
    assert no(court.bans.appeal(court.node_id, "late")) == "late"
    taken(court.bans.close(court.node_id))
    assert no(court.bans.close(court.node_id)) == "not_open"


def test_forged_and_replayed_signatures_count_for_nothing(court):
    """Each is refused here, and by the contract to whoever goes round us."""
    court.guarded(2)
    first, second, third = GUARDIANS
    begun = taken(court.bans.begin(court.wish()))
    assert begun.waits.code == "signatures_missing"
    draft, ban_id = begun.draft, begun.draft.ban_id
    digest = court.bans.digest(draft)
    other = replace(draft.statement, node_id=chain_node_id(OTHER))
    elsewhere = node_registry_domain(chain_id=1, contract=court.contract.address)
    good = first.sign(digest).octets
    forged = {
        "stranger": STRANGER.sign(digest).octets,
        "another node": second.sign(ban_digest(court.place.bans.service.domain, other)).octets,
        "another chain": second.sign(ban_digest(elsewhere, draft.statement)).octets,
        "one bit": bytes([good[0] ^ 1]) + good[1:],
        "high s": _high_s(good),
        "none": bytes(65),
    }
    for what, octets in forged.items():
        assert no(court.bans.sign(ban_id, octets)) == "not_guardian", what
        both = [octets, third.sign(digest).octets]
        assert court.says_no(court.contract.ban(draft.statement, both)).startswith("ban: "), what
    assert no(court.bans.sign(bytes(32), good)) == "unknown_ban"
    assert court.bans.sign(ban_id, good) == court.bans.sign(ban_id, good) == first.address
    assert no(court.bans.send(ban_id)) == "signatures_missing", "one guardian twice is one"
    assert court.bans.sign(ban_id, third.sign(digest).octets) == third.address
    sent = taken(court.bans.send(ban_id))
    assert court.bans.send(ban_id) == sent, "the same ban again is the same transaction"
    call = court.contract.ban(other, [good, third.sign(digest).octets])
    assert court.says_no(call) == "ban: not guardian", "a ban replayed at another node"
    assert court.case(OTHER) is None
    again = court.contract.ban(draft.statement, [good, third.sign(digest).octets])
    assert court.says_no(again) == "ban: already banned"
    raw = court.place.client.request("eth_getTransactionByHash", [sent])
    data = bytes.fromhex(raw["input"][2:])
    domain = court.place.bans.service.domain
    assert set(signed(data, ban_id, domain).signers) == {first.address, third.address}
    assert signed(data, bytes(32), domain) is None
    assert signed(data[:-1], ban_id, domain) is None
    assert signed(bytes(4) + data[4:], ban_id, domain) is None


def _high_s(signature: bytes) -> bytes:
    order = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
    s = order - int.from_bytes(signature[32:64], "big")
    return signature[:32] + s.to_bytes(32, "big") + bytes([55 - signature[64]])


def test_only_the_owner_appeals_and_only_the_arbiter_decides(court):
    taken(court.bans.begin(court.wish()))
    case = court.case()
    stranger = Banning(court.place, STRANGER)
    assert no(stranger.appeal(court.node_id, "for them")) == "other_key"
    appeal = court.contract.appeal(case.ban_id, bytes(32))
    assert court.says_no(appeal, Address(STRANGER.address)) == "node: not owner"
    taken(
        court.bans.appoint(
            guardians=[], threshold=1, arbiter=Address(STRANGER.address), beneficiary=None
        )
    )
    taken(court.bans.appeal(court.node_id, ""))
    assert no(court.bans.decide(court.node_id, lifted=True)) == "no_key"
    hub = court.place.manager.sender
    assert court.says_no(court.contract.decide(case.ban_id, lifted=True), hub) == (
        "decide: not arbiter"
    )
    court.place.work.do(derive("test", "gas"), Call(to=Address(STRANGER.address), value_wei=10**16))
    taken(stranger.decide(court.node_id, lifted=False))
    assert court.case().stage is Stage.UPHELD


def test_what_is_wanted_is_within_bounds_and_of_a_token(court):
    longest = NODE_TERMS["ban_s_max"] // DAY_S
    assert no(court.bans.begin(court.wish(code="because"))) == "unknown_reason"
    assert no(court.bans.begin(court.wish(days=longest + 1))) == "bad_times"
    assert no(court.bans.begin(court.wish(days=0))) == "bad_times"
    assert no(court.bans.begin(court.wish(slash_minor=-1, evidence="x" * 9))) == "bad_amount"
    assert no(court.bans.begin(court.wish(slash_minor=2**63))) == "bad_amount"
    assert no(court.bans.begin(court.wish(evidence="é" * 1_001))) == "bad_words"
    assert no(court.bans.begin(court.wish(node_id="nobody"))) == "not_a_token"
    assert not court.words("x" * 9), "what came to nothing leaves no words"
    court.guarded(3)
    known = taken(court.bans.begin(court.wish(days=longest)))
    court.prepare(DRAFTS_MAX - 1)
    assert no(court.bans.begin(court.wish(days=1))) == "too_many_drafts"
    assert taken(court.bans.begin(court.wish(days=longest))).draft == known.draft
    court.bans.drop(known.draft.ban_id)
    assert court.draft(known.draft.ban_id) is None
    last = taken(court.bans.begin(court.wish(days=1)))
    court.at(court.began_s + DAY_S)
    assert no(court.bans.send(last.draft.ban_id)) == "over"


def test_bans_by_others_are_followed_and_what_a_reorg_took_is_forgotten(court):
    """A ban that no draft of ours begins: its reason may be none of ours."""
    court.guarded(1)
    statement = BanStatement(
        node_id=chain_node_id(court.node_id),
        reason_hash=bytes([7]) * 32,
        evidence_root=bytes(32),
        starts_at_s=court.began_s,
        ends_at_s=court.began_s + DAY_S,
        slash_minor=0,
    )
    digest = ban_digest(court.place.bans.service.domain, statement)
    call = court.contract.ban(statement, [GUARDIANS[0].sign(digest).octets])
    court.place.work.do(derive("test", "ban"), call)
    assert court.case() is None
    assert not court.made.errands.follow_bans()
    case, base = court.case(), court.place.base
    assert (case.ban_id, case.reason_hash) == (statement.ban_id, bytes([7]) * 32)
    with base.store.read() as unit:
        keys = [chain_node_id(one) for one in (court.node_id, OTHER)]
        banned = court.place.bans.service.banned
        assert banned(unit, keys, court.began_s + DAY_S - 1) == {keys[0]}
        assert not banned(unit, keys, court.began_s + DAY_S)
    handler = court.place.bans.follower._follower._handler
    head = court.place.client.block_number()
    with base.store.write() as unit:
        handler.rewind(unit, head)
    assert court.case() == case
    waiting = court.place.bans.service.all_undecided
    with base.store.write() as unit:
        assert waiting(unit, after=None, limit=2) == [case]
        assert waiting(unit, after=(case.due_s, case.ban_id), limit=2) == []
        handler.rewind(unit, head - 1)
        assert waiting(unit, after=None, limit=2) == []
    assert court.case() is None


def test_grounds_that_are_only_looked_at_are_few_and_stay_if_the_chain_has_their_hash(court):
    """A wallet elsewhere sends nothing but the hash; the oldest of a node go, no other node's."""
    keys = {one: chain_node_id(one) for one in (court.node_id, OTHER)}
    long = "x" * WORDS_OCTETS_MAX
    assert court.bans.propose(OTHER, long) == words_hash(long)
    assert no(court.bans.propose(OTHER, long + "x")) == "bad_words"
    texts = [f"ground {number}" for number in range(PROPOSED_MAX + 1)]
    for number, text in enumerate((*texts, texts[1])):
        court.made.clock.set(court.began_s * SECOND_US + number)
        court.bans.propose(court.node_id, text)
    assert court.proposed() == {(keys[OTHER], long)} | {(keys[court.node_id], t) for t in texts[1:]}
    court.bans.propose(court.node_id, "one more")
    assert (keys[court.node_id], texts[1]) in court.proposed(), "looked at again it is new"
    assert (keys[court.node_id], texts[2]) not in court.proposed()
    assert not court.words(long, *texts)

    taken(court.bans.begin(court.wish()))
    actor = Banning(court.place)._act
    call = court.contract.appeal(court.case().ban_id, words_hash(texts[1]))
    taken(actor(court.bans.owner_of(court.node_id), ["elsewhere"], call))
    assert court.words(*texts) == {texts[1]}
    assert (keys[court.node_id], texts[1]) not in court.proposed()
    assert no(court.bans.appeal(court.node_id, texts[3])) == "not_open"
    assert court.words(*texts) == {texts[1]}, "what is not sent is not kept"


@pytest.mark.parametrize(("kept_days", "kept_s"), [("0", 30 * DAY_S), ("365 FR:366", 366 * DAY_S)])
def test_what_was_said_of_a_ban_is_forgotten_once_it_can_be_appealed_no_more(
    kept_days, kept_s, monkeypatch
):
    """A second before nothing is; the hashes that the chain has stay; one row at a time here."""
    monkeypatch.setattr(service_of_bans, "FORGOTTEN_MAX", 1)
    memory, forgetting = (
        Memory(store.metadata),
        Forgetting(BanService(DOMAIN), read_retention(kept_days)),
    )
    decided_s = 2_000
    said = {"evidence", "grounds", "of a draft", "of an appeal that failed"}
    statement = BanStatement(
        node_id=b"n" * 32,
        reason_hash=reason_hash("other"),
        evidence_root=words_hash("of a draft"),
        starts_at_s=0,
        ends_at_s=decided_s,
        slash_minor=0,
    )
    draft = Draft(node_id="node-1", code="other", statement=statement, by="", made_us=0)
    case = {"ban_id": b"c" * 32, "node_key": b"n" * 32, "reason_hash": bytes(32)}
    case |= {"evidence_root": words_hash("evidence"), "tx_hash": bytes(32), "escrow_minor": "0"}
    case |= {"starts_s": 0, "ends_s": 1_000, "block_number": 1, "log_index": 0}

    def words_left(now_s: int, steps: int) -> set[str]:
        with memory.begin() as unit:
            for _ in range(steps):
                forgetting.step(unit, now_s * SECOND_US)
            return set(unit.scalars(select(store.words.c.words)))

    with memory.begin() as unit:
        for text in said:
            at_us = (decided_s if text.endswith("failed") else 0) * SECOND_US
            store.put_words(unit, words_hash(text), text, at_us=at_us)
        store.add_case(unit, case)
        store.add_step(unit, b"c" * 32, Stage.OPEN, block_number=1, due_s=1_000)
        appeal = {"due_s": decided_s, "grounds_hash": words_hash("grounds")}
        store.add_step(unit, b"c" * 32, Stage.APPEALED, block_number=2, **appeal)
        store.put_draft(unit, draft)
        store.put_signature(unit, draft.ban_id, Address(STRANGER.address), bytes(65))
        store.put_proposed(unit, b"n" * 32, b"p" * 32, "looked at", at_us=0, limit=1)
    assert words_left(decided_s + kept_s - 3_600, 9) == said
    assert words_left(decided_s + kept_s, 9) == said
    late_s = decided_s + kept_s + 3_600
    assert len(words_left(late_s, 1)) == len(said) - 1, "one at a time"
    assert words_left(late_s, 9) == set()
    with memory.begin() as unit:
        for table in (store.drafts, store.signatures, store.proposed):
            assert not unit.execute(select(table)).all()
        kept = store.case(unit, b"c" * 32)
        assert (kept.evidence_root, kept.grounds_hash) == (
            words_hash("evidence"),
            words_hash("grounds"),
        )
    memory.dispose()


def test_a_venue_names_its_guardians(court):
    roles = court.bans.roles()
    hub = court.place.manager.sender
    assert (roles.guardians, roles.threshold, roles.arbiter) == ((hub,), 1, hub)
    assert NodeRegistry(court.contract.address).beneficiary().ask(court.place.client) == hub
    taken(court.bans.appoint(guardians=[], threshold=1, arbiter=None, beneficiary=hub))
    assert no(court.bans.appoint(guardians=[hub], threshold=2, arbiter=None, beneficiary=None)) == (
        "refused"
    )


def test_a_ban_by_commands_from_its_signature_to_its_end(run, tmp_path):
    with scene(tmp_path) as made:
        node_id = Court(made).node_id

    data = ("--data", str(tmp_path))

    def told(*words: str):
        return json.loads(run("node", *words, *data, "--json"))

    ban_id = told("ban", node_id, "--reason", "other", "--days", "1")["ban"]
    unknown = run("node", "appeal", node_id, "--ban", to_hex(bytes(32)), *data, code=1)
    assert "not_open" in unknown
    assert told("appeal", node_id, "--ban", ban_id, "--grounds", "no")["tx_hash"]
    assert told("decide", node_id, "--lift", "--ban", ban_id)["lifted"] is True
    (ban,) = told("standing", node_id)["bans"]
    assert (ban["ban_id"], ban["stage"], ban["grounds"]) == (ban_id, "lifted", "no")
