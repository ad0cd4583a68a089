"""Two sides without a shared database: one statement over any channel, and what a liar gains."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from dataclasses import replace
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opencarrier.clearing.exchange import party as party_module
from opencarrier.clearing.exchange import wire
from opencarrier.clearing.exchange.model import PPM, Branch, Entry, Message, Summary, Terms
from opencarrier.clearing.exchange.party import Party
from opencarrier.clearing.exchange.statement import Standing
from opencarrier.clearing.exchange.tree import EMPTY, EntryTree, summary_of
from opencarrier.kernel.encoding import encode
from opencarrier.kernel.ids import derive
from opencarrier.kernel.refusals import PeerError
from opencarrier.kernel.signatures import KeySigner, Signature, verify

FIRST, SECOND = sorted(
    (KeySigner(bytes([number]) * 32) for number in (1, 2)), key=lambda signer: signer.address
)
TERMS = Terms(
    domain="test",
    asset="eip155:1/erc20:0x01",
    sequence=1,
    first=FIRST.address,
    second=SECOND.address,
    tolerance_ppm=30_000,
)
CUT_US = 1_000


def entry(
    number: int, amount_minor: int = 1_000, *, signer: KeySigner = FIRST, **more: Any
) -> Entry:
    """A usage that the first owes the second for, unless said otherwise."""
    values = {"end_us": 500, "octets_in": number} | more
    return Entry(
        usage_id=derive("u", number), debtor=signer.address, amount_minor=amount_minor, **values
    )


def side(
    signer: KeySigner, entries: list[Entry], cut_us: int = CUT_US, terms: Terms = TERMS
) -> Party:
    return Party(terms, signer.address, entries, cut_us=cut_us, sign=signer.sign)


def both(first: list[Entry], second: list[Entry], **more: Any) -> tuple[Party, Party]:
    return side(FIRST, first, **more), side(SECOND, second, **more)


def talk(one: Party, two: Party, rounds: int = 40) -> None:
    """Speak in turns over a good line."""
    for _ in range(rounds):
        two.receive(one.say())
        one.receive(two.say())
        if one.peer_complete and two.peer_complete:
            return


def test_equal_sides_sign_one_statement_in_three_rounds() -> None:
    entries = [entry(n) for n in range(100)] + [entry(200, 7, signer=SECOND)]
    one, two = both(entries, entries[::-1])
    talk(one, two, 3)
    assert one.complete
    assert two.complete
    assert one.statement == two.statement
    assert (one.statement.first_owes_minor, one.statement.second_owes_minor) == (100_000, 7)
    assert one.statement.differences == ()
    for party, signature in ((FIRST, two.peer_signature), (SECOND, one.peer_signature)):
        assert verify(one.statement.digest, Signature(party.address, signature))


def test_the_cut_is_the_earlier_of_both_and_takes_what_ended_by_then() -> None:
    entries = [entry(1, end_us=999), entry(2, end_us=1_000), entry(3, end_us=1_001)]
    one, two = side(FIRST, entries, 5_000), side(SECOND, entries, 1_000)
    talk(one, two)
    assert one.statement == two.statement
    assert (one.statement.cut_us, one.statement.agreed.count) == (1_000, 2)


@pytest.mark.parametrize(
    ("debtors", "creditors", "standing", "agreed", "disputed"),
    [
        (970_000, 1_000_000, Standing.WITHIN_TOLERANCE, 970_000, 0),
        (969_999, 1_000_000, Standing.DISPUTED, 969_999, 30_001),
        (1_000_000, 970_000, Standing.WITHIN_TOLERANCE, 970_000, 0),
        (1_000_000, 969_999, Standing.DISPUTED, 969_999, 0),
        (None, 5, Standing.ONE_SIDED, None, 0),
        (5, None, Standing.UNCLAIMED, None, 0),
    ],
)
def test_what_differs_is_named_with_its_consequence(
    debtors: int | None,
    creditors: int | None,
    standing: Standing,
    agreed: int | None,
    disputed: int,
) -> None:
    """Both sides of the tolerance; the creditor never gets more than it asks."""
    common = [entry(n) for n in range(60)]
    sides = [
        [*common, *([] if amount is None else [entry(99, amount)])]
        for amount in (debtors, creditors)
    ]
    one, two = both(*sides)
    talk(one, two)
    assert one.complete
    assert one.statement == two.statement
    (named,) = one.statement.differences
    assert (named.usage_id, named.standing) == (derive("u", 99), standing)
    assert (None if named.agreed is None else named.agreed.amount_minor) == agreed
    assert named.disputed_minor == disputed
    assert one.statement.first_owes_minor == 60_000 + (agreed or 0)


def test_an_entry_that_each_says_the_other_owes_is_agreed_for_nobody() -> None:
    one, two = both([entry(1, 5)], [entry(1, 5, signer=SECOND)])
    talk(one, two)
    assert [d.standing for d in one.statement.differences] == [Standing.DEBTOR_DIFFERS]
    assert one.statement.agreed == EMPTY


def _sets(numbers: st.SearchStrategy[int]) -> st.SearchStrategy[list[Entry]]:
    amounts = st.sampled_from([0, 1, 970, 1_000, 10**18])
    return st.dictionaries(numbers, amounts, max_size=90).map(
        lambda found: [
            entry(n, amount, signer=SECOND if n % 3 == 0 else FIRST) for n, amount in found.items()
        ]
    )


@given(_sets(st.integers(0, 120)), _sets(st.integers(0, 120)), st.integers(0, 2**32))
@settings(max_examples=60, deadline=None)
def test_any_channel_leads_to_the_same_statement(
    mine: list[Entry], theirs: list[Entry], seed: int
) -> None:
    """Lost, doubled, late and reordered messages; a good line is no more than quicker."""
    calm = both(mine, theirs)
    talk(*calm)
    wild = both(mine, theirs)
    random, under_way = Random(seed), ([], [])  # type: ignore[var-annotated]
    for _ in range(600):
        sender = random.randrange(2)
        if random.random() < 0.6:
            under_way[1 - sender].append(wild[sender].say())
        box = under_way[sender]
        if box and random.random() < 0.7:
            octets = box[random.randrange(len(box))]
            if random.random() < 0.5:
                wild[sender].receive(octets)
            if random.random() < 0.6:
                box.remove(octets)
        if all(p.complete for p in wild):
            break
    talk(*wild)
    assert all(party.complete for party in (*calm, *wild))
    assert {party.statement.digest for party in (*calm, *wild)} == {calm[0].statement.digest}
    _nobody_lost(calm[0], mine, theirs)


def _nobody_lost(party: Party, first: list[Entry], second: list[Entry]) -> None:
    """Whoever is honest pays no more than it has, and gets all but a tolerance, named or agreed."""
    named = {d.usage_id: d for d in party.statement.differences}
    sides = [{e.usage_id: e for e in entries} for entries in (first, second)]
    different = {u for u in sides[0].keys() | sides[1].keys() if sides[0].get(u) != sides[1].get(u)}
    assert set(named) == different
    owed = 0
    for own, signer in zip(sides, (FIRST, SECOND), strict=True):
        for usage, mine in own.items():
            found = named.get(usage)
            agreed = mine if found is None else found.agreed
            if agreed is None:
                assert found.standing in (Standing.ONE_SIDED, Standing.UNCLAIMED)
                continue
            assert agreed.amount_minor <= mine.amount_minor
            if mine.debtor != signer.address:
                secured = agreed.amount_minor + (found.disputed_minor if found else 0)
                larger = max(mine.amount_minor, secured)
                assert (mine.amount_minor - secured) * PPM <= larger * TERMS.tolerance_ppm
            else:
                owed += agreed.amount_minor
    assert owed == party.statement.first_owes_minor + party.statement.second_owes_minor


def test_it_goes_on_where_it_was_from_what_it_kept() -> None:
    """Replaying the messages that told something new gives the same side again, at any point."""
    mine, theirs = [entry(n) for n in range(90)], [entry(n, n) for n in range(50, 140)]
    one, two = both(mine, theirs)
    kept: list[bytes] = []
    for _ in range(7):
        two.receive(one.say())
        octets = two.say()
        if one.receive(octets):
            kept.append(octets)
        again = side(FIRST, mine)
        for old in kept:
            again.receive(old)
        assert asked_nothing(again).say() == asked_nothing(one).say()
    assert one.complete
    assert again.complete


def asked_nothing(party: Party) -> Party:
    """A copy that was asked nothing: what a peer was owed it asks for again."""
    other = copy(party)
    other._owed = ()
    return other


def _spoken(signer: KeySigner, **fields: Any) -> bytes:
    values = {"exchange_id": TERMS.exchange_id, "sender": signer.address, "cut_us": CUT_US}
    return wire.seal(Message(**(values | fields)), signer.sign)


@pytest.mark.parametrize(
    "second",
    [{"cut_us": 999}, {"head": Summary(2, bytes(32))}, {"statement": derive("s", 2)}],
)
def test_two_words_of_one_peer_are_a_proof_that_is_kept(second: dict[str, Any]) -> None:
    one = side(FIRST, [entry(1)])
    fields = {"head": Summary(1, bytes(32)), "statement": derive("s", 1)}
    said, other = _spoken(SECOND, **fields), _spoken(SECOND, **(fields | second))
    assert one.receive(said)
    assert one.receive(other)
    assert one.proof == (said, other)
    assert all(wire.unseal(octets, SECOND.address) for octets in one.proof)
    assert not one.receive(_spoken(SECOND, **fields))
    assert one.statement is None
    assert not one.complete


def _no_change(one: Party, octets: bytes, reason: str) -> None:
    before = one.say()
    with pytest.raises(PeerError) as caught:
        one.receive(octets)
    assert caught.value.reason == reason
    assert one.say() == before


def test_what_is_not_the_peers_or_not_ours_changes_nothing() -> None:
    stranger = KeySigner(b"\x03" * 32)
    one = side(FIRST, [entry(n) for n in range(40)])
    two = side(SECOND, [entry(n, 5) for n in range(40)])
    one.receive(two.say())
    _no_change(one, _spoken(stranger), "wrong_key")
    forged = wire.seal(
        Message(exchange_id=TERMS.exchange_id, sender=SECOND.address, cut_us=1), stranger.sign
    )
    _no_change(one, forged, "wrong_key")
    _no_change(one, one.say(), "wrong_key")
    replayed = _spoken(SECOND, exchange_id=replace(TERMS, sequence=2).exchange_id)
    _no_change(one, replayed, "other_exchange")
    _no_change(one, bytes(wire.OCTETS_MAX + 1), "too_long")
    _no_change(one, encode([b"", bytes(65)]), "wrong_key")
    _no_change(one, encode([1, 2]), "not_a_message")
    _no_change(one, _spoken(SECOND, ask=tuple(["a"] * (wire.ASK_MAX + 1))), "too_many")


def test_a_branch_that_is_not_what_its_parent_said_is_refused() -> None:
    one = side(FIRST, [entry(n) for n in range(40)])
    theirs = EntryTree([entry(n, 5) for n in range(40)])
    one.receive(_spoken(SECOND, head=theirs.head))
    lie = replace(theirs.branch(""), children=(EMPTY,) * 16)
    _no_change(one, _spoken(SECOND, head=theirs.head, tell=(lie,)), "wrong_branch")
    assert one.receive(_spoken(SECOND, head=theirs.head, tell=(theirs.branch(""),)))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"debtor": "0x" + "ab" * 20}, "wrong_entry"),
        ({"end_us": CUT_US + 1}, "wrong_entry"),
        ({"amount_minor": -1}, "out_of_bounds"),
        ({"amount_minor": 1 << 63}, "out_of_bounds"),
    ],
)
def test_an_entry_out_of_bounds_is_refused(change: dict[str, Any], reason: str) -> None:
    one = side(FIRST, [entry(1)])
    branch = Branch(prefix="", entries=(replace(entry(1), **change),))
    head = summary_of(branch)
    one.receive(_spoken(SECOND, head=head))
    _no_change(one, _spoken(SECOND, head=head, tell=(branch,)), reason)


def test_entries_out_of_order_or_twice_are_refused() -> None:
    one = side(FIRST, [entry(1)])
    for entries in ((entry(1), entry(1)), tuple(sorted(map(entry, (1, 2)), key=_backwards))):
        branch = Branch(prefix="", entries=entries)
        party = side(FIRST, [entry(1)])
        party.receive(_spoken(SECOND, head=summary_of(branch)))
        told = _spoken(SECOND, head=summary_of(branch), tell=(branch,))
        _no_change(party, told, "wrong_branch")
    assert not one.complete


def _backwards(item: Entry) -> int:
    return -int.from_bytes(item.usage_id, "big")


@pytest.mark.parametrize(("most", "signed"), [(40, True), (39, False)])
def test_more_differences_than_allowed_sign_nothing(
    monkeypatch: pytest.MonkeyPatch, most: int, signed: bool
) -> None:
    monkeypatch.setattr(party_module, "DIFFERENCES_MAX", most)
    one, two = both([entry(n) for n in range(40)], [entry(n, 5) for n in range(40)])
    talk(one, two)
    assert (one.complete, one.too_many) == (signed, not signed)


def test_the_fullest_message_is_within_the_limit() -> None:
    """32 branches of 16 entries at their largest, and of 16 children."""
    most = (1 << 63) - 1
    full = replace(
        entry(1, most),
        end_us=most,
        octets_in=most,
        octets_out=most,
        duration_s=most,
        corrects=bytes(32),
    )
    for branch in (
        Branch(prefix="f" * 64, entries=(full,) * 16),
        Branch(prefix="f" * 64, children=(Summary(10**6, bytes(32)),) * 16),
    ):
        told = _spoken(SECOND, tell=(branch,) * wire.ASK_MAX, ask=("f" * 64,) * wire.ASK_MAX)
        assert len(told) <= wire.OCTETS_MAX


@given(st.binary(max_size=300))
@settings(max_examples=60)
def test_octets_of_any_kind_are_a_peers_mistake(octets: bytes) -> None:
    for read in (wire.exchange_of, lambda o: wire.unseal(o, SECOND.address)):
        assert _raises(read, octets)
    with_body = encode([octets, bytes(65)])
    assert _raises(lambda o: wire.unseal(o, SECOND.address), with_body)


def _raises(call: Callable[[bytes], object], octets: bytes) -> bool:
    try:
        call(octets)
    except PeerError:
        return True
    return False


def test_an_entry_without_terms_is_told_as_before_there_were_any():
    plain = Entry(usage_id=derive("u"), debtor="0x" + "1" * 40, end_us=5, amount_minor=7)
    agreed = replace(plain, terms=derive("terms"))
    assert [len(entry.fields()) for entry in (plain, agreed)] == [8, 9]
    assert [wire.read_entry(entry.fields()) for entry in (plain, agreed)] == [plain, agreed]
    assert plain.leaf != agreed.leaf
    for wrong in ([*agreed.fields(), b""], [*plain.fields(), None], [*plain.fields(), b"short"]):
        with pytest.raises(PeerError):
            wire.read_entry(wrong)
