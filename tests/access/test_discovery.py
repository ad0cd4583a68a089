"""From a realm to its servers: selection, hostile answers, the memory, and a name server's wire."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence

import dns.asyncresolver
import dns.message
import dns.rrset
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.access.fakes import FakeMonotonic, peer_error

from opencarrier.access.discovery import answers, names
from opencarrier.access.discovery.model import (
    TAG,
    Answer,
    DiscoverySettings,
    Found,
    Kind,
    Naptr,
    Nothing,
    Peer,
    Question,
    Srv,
)
from opencarrier.access.discovery.resolver import Resolver
from opencarrier.access.discovery.rules import by_weight, fitting, lookup
from opencarrier.access.discovery.service import Discovery
from opencarrier.kernel.entropy import SeededEntropy
from opencarrier.sim.dns import ZoneServer, realm_records

REALM = "idp.example"
CLOSED = DiscoverySettings(private=True)


def run(
    realm: str,
    zone: dict[Question, Answer],
    settings: DiscoverySettings = CLOSED,
    *,
    accounting: bool = False,
):
    """Drive the machine with a zone in memory; return its outcome and what it asked."""
    machine, asked = lookup(realm, settings, lambda most: most, accounting=accounting), []
    try:
        question = next(machine)
        while True:
            asked.append(question)
            question = machine.send(zone.get(question, Answer((), 120)))
    except StopIteration as end:
        return end.value, asked


def zone_of(servers: Sequence[Srv], *, address: str = "127.0.0.1") -> dict[Question, Answer]:
    pointer = Naptr(50, 50, "s", TAG, "", f"_radiustls._tcp.{REALM}.")
    return {
        Question(REALM, Kind.NAPTR): Answer((pointer,), 900),
        Question(f"_radiustls._tcp.{REALM}", Kind.SRV): Answer(tuple(servers), 800),
        **{Question(s.target.rstrip("."), Kind.A): Answer((address,), 700) for s in servers},
    }


def test_servers_come_by_priority_with_the_shortest_lifetime() -> None:
    found, asked = run(
        REALM, zone_of([Srv(2, 0, 2083, "b.example."), Srv(1, 0, 2084, "a.example.")])
    )
    assert found == Found(
        (Peer("a.example", 2084, ("127.0.0.1",)), Peer("b.example", 2083, ("127.0.0.1",))), 120
    )
    assert asked[0] == Question(REALM, Kind.NAPTR)


@pytest.mark.parametrize(("ttl_s", "kept_s"), [(0, 60), (59, 60), (61, 61), (2_000_000, 86_400)])
def test_a_lifetime_has_a_floor_and_a_ceiling(ttl_s: int, kept_s: int) -> None:
    zone = zone_of([Srv(1, 0, 2083, "a.example.")])
    zone[Question("a.example", Kind.AAAA)] = Answer(("::1",), ttl_s)
    zone = {question: Answer(answer.records, ttl_s) for question, answer in zone.items()}
    assert run(REALM, zone)[0].ttl_s == kept_s


def test_only_fitting_pointers_of_the_lowest_order_count() -> None:
    def at(
        order: int, preference: int, flags: str = "s", tag: str = TAG, regexp: str = ""
    ) -> Naptr:
        return Naptr(order, preference, flags, tag, regexp, "x.example.")

    first, second = at(20, 1), at(20, 7)
    others = [at(10, 1, tag="x-eduroam:radius.tls"), at(10, 1, flags=""), at(10, 1, regexp="!a!b!")]
    assert fitting([second, at(30, 0), *others, first], (TAG,)) == [first, second]
    assert fitting([at(1, 5, tag="b"), at(1, 5, tag="a")], ("b", "a"))[0].service == "b"


@pytest.mark.parametrize("flags", ["u", "p", "sa", ""])
def test_a_pointer_that_is_not_final_is_none(flags: str) -> None:
    assert not fitting([Naptr(1, 1, flags, TAG, "", "x.example.")], (TAG,))


def test_accounting_may_have_servers_of_its_own() -> None:
    own = "aaa+acct:radius.tls.tcp"
    pointers = (
        Naptr(1, 1, "a", TAG, "", "auth.example."),
        Naptr(9, 9, "a", own, "", "acct.example."),
    )
    zone = {
        Question(REALM, Kind.NAPTR): Answer(pointers, 900),
        Question("auth.example", Kind.A): Answer(("127.0.0.1",), 900),
        Question("acct.example", Kind.A): Answer(("127.0.0.1",), 900),
    }

    def host(*, accounting: bool, tags: tuple[str, ...] = (own,)) -> str:
        limits = DiscoverySettings(private=True, accounting_tags=tags)
        return run(REALM, zone, limits, accounting=accounting)[0].peers[0].host

    assert host(accounting=False) == "auth.example"
    assert host(accounting=True) == "acct.example"
    assert host(accounting=True, tags=("x-none:radius.tls",)) == "auth.example"


def test_a_pointer_to_addresses_has_the_port_of_radsec() -> None:
    zone = {
        Question(REALM, Kind.NAPTR): Answer((Naptr(1, 1, "a", TAG, "", "a.example."),), 900),
        Question("a.example", Kind.AAAA): Answer(("::1",), 900),
    }
    assert run(REALM, zone)[0].peers == (Peer("a.example", 2083, ("::1",)),)


def test_there_is_no_fallback() -> None:
    zone = zone_of([Srv(1, 0, 2083, "a.example.")])
    zone[Question(REALM, Kind.A)] = Answer(("127.0.0.1",), 900)
    del zone[Question(REALM, Kind.NAPTR)]
    found, asked = run(REALM, zone)
    assert found == Nothing("realm_unknown", 120)
    assert asked == [Question(REALM, Kind.NAPTR)]


def test_a_realm_of_3gpp_is_asked_as_its_public_name_only() -> None:
    found, asked = run("wlan.mnc001.mcc262.3gppnetwork.org", {})
    assert found == Nothing("realm_unknown", 120)
    assert [q.name for q in asked] == ["wlan.mnc001.mcc262.pub.3gppnetwork.org"]
    public = "wlan.mnc001.mcc262.pub.3gppnetwork.org"
    assert names.realm_name(public) == public


@pytest.mark.parametrize(
    "realm",
    ["", "localhost", "127.0.0.1", "a..b", "-a.example", "x" * 64 + ".example",
     "a b.example", "a\n.example", "$(reboot).example", "a." * 127 + "example", "é" * 300 + ".fr"],
)  # fmt: skip
def test_a_realm_that_is_no_name_costs_no_question(realm: str) -> None:
    found, asked = run(realm, {})
    assert found.reason == "name_refused"
    assert not asked


def test_a_realm_beyond_ascii_is_asked_in_a_labels() -> None:
    assert names.realm_name("Bücher.Example") == "xn--bcher-kva.example"
    assert names.realm_name("A.example.") == "a.example"


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "10.0.0.1", "169.254.169.254", "::1", "fe80::1", "fd00::1",
                "224.0.0.1", "0.0.0.0", "::ffff:127.0.0.1", "64:ff9b::10.0.0.1",
                "64:ff9b:1::10.0.0.1", "2002:a00:1::1", "::10.0.0.1", "fec0::1"],
)  # fmt: skip
def test_a_strangers_record_cannot_make_us_call_inside(address: str) -> None:
    zone = zone_of([Srv(1, 0, 2083, "a.example.")], address=address)
    assert run(REALM, zone, DiscoverySettings())[0] == Nothing("realm_without_servers", 120)
    for public in ("1.1.1.1", "2606:4700::1111", "64:ff9b::1.1.1.1", "2002:101:101::1"):
        assert peer_error(lambda text=public: names.address(text, private=False)) == "parsed"


def test_what_a_realm_may_cost_is_bounded() -> None:
    many = [Srv(1, 1, 2083, f"h{n}.example.") for n in range(40)]
    found, asked = run(REALM, zone_of(many))
    assert len(found.peers) == CLOSED.peers_max
    assert len(asked) <= CLOSED.questions_max
    dead, asked = run(REALM, {k: v for k, v in zone_of(many).items() if k.kind is not Kind.A})
    assert dead.reason == "realm_without_servers"
    assert len(asked) == CLOSED.questions_max


def test_bad_servers_are_passed_over() -> None:
    bad = [Srv(0, 0, 2083, "."), Srv(0, 0, 0, "zero.example."), Srv(0, 0, 2083, "b ad.example.")]
    found, _ = run(REALM, zone_of([*bad, Srv(1, 0, 2083, "good.example.")]))
    assert [peer.host for peer in found.peers] == ["good.example"]


def test_chance_follows_the_weights() -> None:
    dice = random.Random(4).randint
    light, heavy = Srv(1, 100, 1, "light"), Srv(1, 300, 1, "heavy")
    first = [by_weight([light, heavy], lambda most: dice(0, most))[0] for _ in range(2_000)]
    assert 0.68 < first.count(heavy) / 2_000 < 0.82
    last = Srv(2, 65_535, 1, "last")
    assert all(
        by_weight([last, light, heavy], lambda most: dice(0, most))[2] == last for _ in range(50)
    )


# The wire.

QUESTION = Question(REALM, Kind.NAPTR)


def wire_answer(*texts: str, question: Question = QUESTION, identifier: int = 7) -> bytes:
    query = dns.message.from_wire(answers.write(question, identifier))
    reply = dns.message.make_response(query)
    for text in texts:
        name, kind, data = text.split(" ", 2)
        reply.answer.append(dns.rrset.from_text(name, 300, "IN", kind, data))
    return reply.to_wire()


RECORD = f'{REALM}. NAPTR 50 60 "S" "{TAG.upper()}" "" _x.{REALM}.'


def test_an_answer_is_read_and_another_questions_is_not() -> None:
    octets = wire_answer(RECORD)
    expected = Naptr(50, 60, "s", TAG, "", f"_x.{REALM}.")
    assert answers.read(octets, QUESTION, 7) == Answer((expected,), 300)
    assert peer_error(answers.read, octets, QUESTION, 8) == "dns_mismatch"
    other = Question("other.example", Kind.NAPTR)
    assert peer_error(answers.read, octets, other, 7) == "dns_mismatch"
    assert peer_error(answers.read, answers.write(QUESTION, 7), QUESTION, 7) == "dns_mismatch"


def test_an_answer_of_another_class_is_no_answer() -> None:
    """`IN` ends the question (RFC 1035 section 4.1.2); the library reads no records of class 0."""
    octets = wire_answer(RECORD)
    name = octets[12:].split(b"\0", 1)[0] + b"\0"
    of_class_zero = octets.replace(name + b"\0\x23\0\1", name + b"\0\x23\0\0")
    assert of_class_zero != octets
    assert peer_error(answers.read, of_class_zero, QUESTION, 7) == "dns_mismatch"


def test_aliases_and_records_have_a_limit() -> None:
    chain = [f"n{n}.example. CNAME n{n + 1}.example." for n in range(12)]
    start = Question("n0.example", Kind.A)
    fits = wire_answer(*chain[:8], "n8.example. A 192.0.2.1", question=start)
    assert answers.read(fits, start, 7) == Answer(("192.0.2.1",), 300)
    long = wire_answer(*chain[:9], "n9.example. A 192.0.2.1", question=start)
    assert peer_error(answers.read, long, start, 7) == "dns_chain"
    loop = wire_answer(
        "n0.example. CNAME n1.example.", "n1.example. CNAME n0.example.", question=start
    )
    assert peer_error(answers.read, loop, start, 7) == "dns_chain"
    for count, outcome in ((32, "parsed"), (33, "dns_records_max")):
        many = dns.message.from_wire(wire_answer(question=start))
        addresses = [f"192.0.2.{n}" for n in range(count)]
        many.answer.append(dns.rrset.from_text_list("n0.example.", 1, "IN", "A", addresses))
        assert peer_error(answers.read, many.to_wire(), start, 7) == outcome


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_any_octets_end_in_a_value_or_a_peer_error(data: st.DataObject) -> None:
    octets = bytearray(wire_answer(RECORD, f"{REALM}. CNAME other.example."))
    for _ in range(data.draw(st.integers(1, 6))):
        octets[data.draw(st.integers(0, len(octets) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(octets)))
    peer_error(answers.read, bytes(octets[:cut]), QUESTION, 7)
    peer_error(answers.read, data.draw(st.binary(max_size=80)), QUESTION, 7)


# The memory, and a name server.


class Counting:
    def __init__(self) -> None:
        self.asked = 0
        self.gate: asyncio.Event | None = None

    async def __call__(self, question: Question) -> Answer:
        self.asked += 1
        if self.gate is not None:
            await self.gate.wait()
        return Answer((), 300)


def discovery(ask: object, clock: FakeMonotonic, **limits: object) -> Discovery:
    settings = DiscoverySettings(private=True, **limits)  # type: ignore[arg-type]
    return Discovery(ask, settings, entropy=SeededEntropy(1), monotonic=clock)  # type: ignore


async def test_nobody_is_remembered_for_a_while_in_bounded_room() -> None:
    ask, clock = Counting(), FakeMonotonic()
    memory = discovery(ask, clock, entries_max=2)
    for _ in range(3):
        assert await memory.find("a.example") == Nothing("realm_unknown", 300)
    assert ask.asked == 1
    clock.now_s += 299.9
    await memory.find("A.Example")
    assert ask.asked == 1
    clock.now_s += 0.2
    await memory.find("a.example")
    assert ask.asked == 2
    await memory.find("b.example")
    await memory.find("c.example")
    assert len(memory) == 2
    assert memory.known("a.example") is None


class Named(Counting):
    """Nobody's name server answers but those of example."""

    async def __call__(self, question: Question) -> Answer:
        self.asked += 1
        if self.gate is not None or not question.name.endswith("example"):
            await asyncio.Event().wait()
        return zone_of([Srv(0, 0, 2083, "a.idp.example")]).get(question, Answer((), 60))


def asking(memory: Discovery, asker: str, *realms: str) -> list[asyncio.Task[Found | Nothing]]:
    return [asyncio.create_task(memory.find(realm, asker=asker)) for realm in realms]


async def test_a_realm_is_asked_once_for_all_and_few_at_a_time() -> None:
    ask, clock = Counting(), FakeMonotonic()
    ask.gate = asyncio.Event()
    memory = discovery(ask, clock, lookups_max=2)
    tasks = asking(memory, "one", "a.example", "a.example", "b.example")
    await asyncio.sleep(0)
    tasks += asking(memory, "other", "c.example")
    busy = Nothing("discovery_busy", 0)
    assert await asyncio.gather(*tasks[:2]) == [busy, busy]
    ask.gate.set()
    assert {outcome.reason for outcome in await asyncio.gather(*tasks[2:])} == {"realm_unknown"}
    assert ask.asked == 3
    assert memory.known("a.example") is None
    assert memory.metrics["discovery_busy"] == 1


async def test_made_up_realms_keep_nobody_out_whose_name_server_answers() -> None:
    """Of a peer that asks for them, of another, and of the same: its phones have real ones too."""
    clock = FakeMonotonic()
    memory = discovery(Named(), clock, lookups_max=6, lookups_per_asker_max=4)
    slow = asking(memory, "flood", *(f"r{n}.slow.test" for n in range(40)))
    slow += asking(memory, "second", *(f"r{n}.slow.org" for n in range(40)))
    await asyncio.sleep(0)
    for asker in ("flood", "second", "honest"):
        found = await memory.find(REALM, asker=asker)
        assert isinstance(found, Found)
        clock.now_s += found.ttl_s  # it has to be asked again
    await asyncio.sleep(0)
    assert sum(not one.done() for one in slow) <= 6
    await memory.stop()
    assert {one.reason for one in await asyncio.gather(*slow)} == {"discovery_busy"}


async def test_what_was_found_holds_on_where_there_is_no_room_to_ask_again() -> None:
    ask, clock = Named(), FakeMonotonic()
    memory = discovery(ask, clock, lookups_max=1, ttl_max_s=120, entries_max=1)
    found = await memory.find(REALM)
    await memory.find("nobody.example")  # pushes out nobody who was found
    assert memory.known(REALM) == found
    ask.gate = asyncio.Event()
    for later_s, holds in ((60, True), (121, False)):
        clock.now_s += later_s
        [again] = asking(memory, "one", REALM)
        await asyncio.sleep(0)
        [slow] = asking(memory, "two", "slow.test")
        outcome = await again
        assert (outcome == found) is holds
        slow.cancel()
        await memory.stop()


async def test_whoever_asks_may_give_up_while_others_wait() -> None:
    ask = Counting()
    ask.gate = asyncio.Event()
    memory = discovery(ask, FakeMonotonic())
    first, second = asking(memory, "one", "a.example", "a.example")
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    assert first.cancelled()
    ask.gate.set()
    assert await second == Nothing("realm_unknown", 300)


async def test_a_lookup_ends_in_time() -> None:
    ask = Counting()
    ask.gate = asyncio.Event()
    memory = discovery(ask, FakeMonotonic(), lookup_s=0.01)
    assert await memory.find("a.example") == Nothing("dns_timeout", 30)


async def test_over_the_wire_a_realm_leads_to_its_servers() -> None:
    server = ZoneServer(realm_records(REALM, [("a.idp.example", "127.0.0.1", 3001)]))
    server.records[("b.example", "CNAME")] = ["alias.example."]
    server.records[("alias.example", "CNAME")] = [REALM + "."]
    big = [f'50 {n} "s" "x-filler{n}:radius.tls" "" filler{n}.example.' for n in range(30)]
    server.records[("big.example", "NAPTR")] = [*big, *server.records[(REALM, "NAPTR")]]
    await server.start()
    resolver = Resolver([("127.0.0.1", 1), server.address], SeededEntropy(2), wait_s=2)
    memory = discovery(resolver.ask, FakeMonotonic())
    try:
        expected = (Peer("a.idp.example", 3001, ("127.0.0.1",)),)
        for realm in (REALM, "b.example", "big.example"):
            found = await memory.find(realm)
            assert isinstance(found, Found), (realm, found)
            assert found.peers == expected
        assert server.asked.count(("big.example", "NAPTR")) == 2  # cut, then over TCP
        assert await memory.find("nobody.example") == Nothing("realm_unknown", 120)
        stub = dns.asyncresolver.Resolver(configure=False)
        stub.nameservers, stub.port = [server.address[0]], server.address[1]
        heard = await stub.resolve(f"_radiustls._tcp.{REALM}", "SRV")
        assert [r.to_text() for r in heard] == ["0 0 3001 a.idp.example."]
    finally:
        await server.stop()
    silent = await Resolver([("127.0.0.1", 1)], SeededEntropy(2), wait_s=0.05).ask(QUESTION)
    assert silent == Answer((), 0, failed="dns_timeout")
