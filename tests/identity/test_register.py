"""Adding the same again is the same; something else is refused, by the lowest reason."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Connection, select

from opencarrier.identity import rules, store
from opencarrier.identity.model import Party, PartyKind, SimKeys
from opencarrier.identity.service import Identity
from opencarrier.kernel.clock import FixedClock
from opencarrier.kernel.refusals import Refusal
from opencarrier.spine.access import Credential, CredentialKind
from opencarrier.spine.parties import Host, Node, Operator, RadiusClient, Subscriber

from .conftest import World

KEYS = SimKeys(bytes(16), bytes(range(16)))
ADDRESS = "0x" + "ab" * 20
OTHER_ADDRESS = "0x" + "cd" * 20


def code(made: object) -> str:
    return made.code if isinstance(made, Refusal) else "done"


def dump(unit: Connection) -> list[Any]:
    return [list(unit.execute(select(table))) for table in store.metadata.sorted_tables]


def operator(**change: Any) -> dict[str, Any]:
    base = {
        "name": "Kite Wireless",
        "jurisdiction": "KE",
        "realms": ["kite.example"],
        "plmns": ["639-96"],
        "address": ADDRESS,
    }
    return base | change


def test_party_ids_are_opaque_and_repeatable(world, lumen: Operator) -> None:
    prefix, _, digits = lumen.party_id.partition("_")
    assert prefix == "op"
    assert len(digits) == 32
    assert int(digits, 16) > 0
    assert "lumen" not in lumen.party_id.lower()


def test_the_same_operator_again_is_the_same(unit: Connection, identity: Identity) -> None:
    first = identity.register.add_operator(unit, **operator())
    before = dump(unit)
    assert identity.register.add_operator(unit, **operator()) == first
    assert identity.register.add_operator(unit, **operator(address=None)) == first
    assert identity.register.add_operator(unit, **operator(plmns=["63996"])) == first
    assert dump(unit) == before


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"jurisdiction": "TZ"}, "exists_with_different_jurisdiction"),
        ({"realms": []}, "exists_with_different_realms"),
        ({"realms": ["kite.example", "b.example"]}, "exists_with_different_realms"),
        ({"plmns": []}, "exists_with_different_plmns"),
        ({"address": OTHER_ADDRESS}, "exists_with_different_address"),
        ({"address": "nonsense"}, "invalid_address"),
        ({"name": "Kite 2"}, "realm_taken"),
        ({"name": "Kite 2", "realms": []}, "plmn_taken"),
        ({"name": "Kite 2", "realms": [], "plmns": ["639960"]}, "plmn_taken"),
        ({"name": "Kite 2", "realms": [], "plmns": ["639096"]}, "plmn_taken"),
        ({"name": "Kite 2", "realms": [], "plmns": []}, "address_taken"),
        ({"name": ""}, "invalid_name"),
        ({"name": " x"}, "invalid_name"),
        ({"name": "x" * 65}, "invalid_name"),
        ({"name": "x\n"}, "invalid_name"),
        ({"name": "Kite 2", "jurisdiction": "Kenya"}, "invalid_jurisdiction"),
        ({"name": "Kite 2", "realms": ["a b.example"]}, "invalid_realm"),
        ({"name": "Kite 2", "realms": ["nodot"]}, "invalid_realm"),
        (
            {"name": "Kite 2", "realms": ["wlan.mnc001.mcc001.3gppnetwork.org"]},
            "invalid_realm",
        ),
        ({"name": "Kite 2", "plmns": ["63"]}, "invalid_plmn"),
        ({"name": "Kite 2", "realms": [], "plmns": ["64001", "640010"]}, "invalid_plmn"),
        ({"name": "Kite 2", "realms": [], "plmns": [], "address": "0x12"}, "invalid_address"),
        (
            {"name": "Kite 2", "realms": [], "plmns": [], "address": "0x" + "0" * 40},
            "invalid_address",
        ),
    ],
)
def test_an_operator_that_is_refused_changes_nothing(
    unit: Connection, identity: Identity, change: dict[str, Any], expected: str
) -> None:
    identity.register.add_operator(unit, **operator())
    before = dump(unit)
    assert code(identity.register.add_operator(unit, **operator(**change))) == expected
    assert dump(unit) == before


def test_realms_have_a_limit(unit: Connection, identity: Identity) -> None:
    limit = rules.REALMS_PER_OPERATOR_MAX
    realms = [f"r{number}.example" for number in range(limit + 1)]
    refused = identity.register.add_operator(unit, **operator(realms=realms, plmns=[]))
    assert code(refused) == "invalid_realm"
    made = identity.register.add_operator(unit, **operator(realms=realms[1:], plmns=[]))
    assert code(made) == "done"


def test_an_operator_grows_by_a_realm(
    unit: Connection, identity: Identity, lumen: Operator, baobab: Operator
) -> None:
    add = identity.register.add_realm
    grown = add(unit, lumen.party_id, realm="b.example", plmn="20894")
    assert isinstance(grown, Operator)
    assert grown.realms == ("b.example", "lumen.example")
    assert grown.plmns == ("20893", "20894")
    assert add(unit, lumen.party_id, realm="b.example", plmn=None) == grown
    assert code(add(unit, baobab.party_id, realm="b.example", plmn=None)) == "realm_taken"
    assert code(add(unit, baobab.party_id, realm=None, plmn="20894")) == "plmn_taken"
    assert identity.directory.home_of(unit, "b.example") == grown


def test_a_host_is_paid_at_one_address(
    unit: Connection, identity: Identity, lumen: Operator
) -> None:
    add = identity.register.add_host
    made = add(unit, name="Café", payout="0x" + "AB" * 20)
    assert isinstance(made, Host)
    assert made.payout == ADDRESS
    assert add(unit, name="Café", payout=ADDRESS) == made
    assert code(add(unit, name="Café", payout=OTHER_ADDRESS)) == "exists_with_different_address"
    assert code(add(unit, name="Kiosk", payout=ADDRESS)) == "address_taken"
    assert code(add(unit, name="Kiosk", payout=lumen.address)) == "address_taken"
    change = identity.register.change_payout
    moved = change(unit, made.party_id, payout=OTHER_ADDRESS)
    assert isinstance(moved, Host)
    assert moved.payout == OTHER_ADDRESS
    assert identity.directory.host(unit, made.party_id) == moved
    assert code(add(unit, name="Kiosk", payout=ADDRESS)) == "address_taken", "it was the Café's"
    assert change(unit, made.party_id, payout=ADDRESS) == made
    assert code(change(unit, lumen.party_id, payout=OTHER_ADDRESS)) == "unknown_host"
    assert code(change(unit, made.party_id, payout=lumen.address)) == "address_taken"
    assert code(change(unit, made.party_id, payout="0x")) == "invalid_address"


def test_a_host_names_whom_its_shares_go_to(
    unit: Connection, world: World, identity: Identity
) -> None:
    """A split counts for cycles closed after it; the cycles before keep what they had."""
    split, directory = identity.register.split_host, identity.directory
    host = identity.register.add_host(unit, name="Café", payout=ADDRESS)
    assert isinstance(host, Host)

    def at(us: int) -> list[tuple[str, int]]:
        found = directory.beneficiaries(unit, host.party_id, at_us=us)
        return [(one.payout, one.share_ppm) for one in found]

    first_us = world.clock.now_us()
    both = [(OTHER_ADDRESS.upper().replace("X", "x"), 250_000), (ADDRESS, 750_000)]
    split(unit, host.party_id, [(OTHER_ADDRESS, 1_000_000)])
    split(unit, host.party_id, both)
    world.clock.set(first_us + 10)
    split(unit, host.party_id, [(OTHER_ADDRESS, 1_000_000)])
    whole = [(ADDRESS, 1_000_000)]
    shared = sorted([(ADDRESS, 750_000), (OTHER_ADDRESS, 250_000)])
    assert [at(first_us), at(first_us + 1), at(first_us + 10)] == [whole, shared, shared]
    assert at(first_us + 11) == [(OTHER_ADDRESS, 1_000_000)]
    world.clock = FixedClock(first_us + 9)
    behind = world.another().register
    assert code(behind.split_host(unit, host.party_id, both)) == "invalid_window"
    assert at(first_us + 11) == [(OTHER_ADDRESS, 1_000_000)]


@pytest.mark.parametrize(
    ("named", "reason"),
    [
        ([], "invalid_split"),
        ([(ADDRESS, 999_999)], "invalid_split"),
        ([(ADDRESS, 1_000_001)], "invalid_split"),
        ([(ADDRESS, 600_000), (OTHER_ADDRESS, 400_001)], "invalid_split"),
        ([(ADDRESS, 500_000), (ADDRESS.upper().replace("X", "x"), 500_000)], "invalid_split"),
        ([(ADDRESS, 1_000_000), (OTHER_ADDRESS, 0)], "invalid_split"),
        ([(ADDRESS, 1_000_001), (OTHER_ADDRESS, -1)], "invalid_split"),
        ([("0x" + "00" * 20, 1_000_000)], "invalid_address"),
        ([("me", 1_000_000)], "invalid_address"),
    ],
)
def test_a_split_that_is_not_the_whole_is_refused(
    unit: Connection, identity: Identity, named: list[tuple[str, int]], reason: str
) -> None:
    host = identity.register.add_host(unit, name="Café", payout=ADDRESS)
    assert isinstance(host, Host)
    assert code(identity.register.split_host(unit, host.party_id, named)) == reason
    found = identity.directory.beneficiaries(unit, host.party_id, at_us=1 << 62)
    assert [(one.payout, one.share_ppm) for one in found] == [(ADDRESS, 1_000_000)]


def test_a_host_names_sixteen_addresses_at_most(
    unit: Connection, identity: Identity, lumen: Operator
) -> None:
    host = identity.register.add_host(unit, name="Café", payout=ADDRESS)
    assert isinstance(host, Host)
    named = [(f"0x{n:040x}", 62_500) for n in range(1, 17)]
    made = identity.register.split_host(unit, host.party_id, named)
    assert [(one.payout, one.share_ppm) for one in made] == named
    many = [*named[1:], (f"0x{17:040x}", 62_499), (f"0x{18:040x}", 1)]
    assert sum(share for _, share in many) == 1_000_000
    assert code(identity.register.split_host(unit, host.party_id, many)) == "invalid_split"
    assert code(identity.register.split_host(unit, lumen.party_id, named)) == "unknown_host"


@pytest.mark.parametrize("kind", [PartyKind.TAX, PartyKind.PROTOCOL])
def test_other_members_have_an_address_too(
    unit: Connection, identity: Identity, kind: PartyKind
) -> None:
    made = identity.register.add_party(unit, kind=kind, name="Treasury", address=ADDRESS)
    assert isinstance(made, Party)
    assert made.party_id.startswith(f"{kind.value}_")
    assert identity.register.add_party(unit, kind=kind, name="Treasury") == made
    other = identity.register.add_party(unit, kind=kind, name="Treasury", address=OTHER_ADDRESS)
    assert code(other) == "exists_with_different_address"
    held = identity.register.add_party(unit, kind=kind, name="Second")
    assert isinstance(held, Party)
    assert held.address is not None
    assert identity.notary.sign(unit, held.address, bytes(32)) is not None
    assert identity.notary.sign(unit, made.address, bytes(32)) is None, "its key is not here"


def test_nodes(unit: Connection, identity: Identity, lumen: Operator, baobab: Operator) -> None:
    cafe, kiosk = (identity.register.add_host(unit, name=name) for name in ("Café", "Kiosk"))
    assert isinstance(cafe, Host)
    assert isinstance(kiosk, Host)

    def add(**change: Any) -> Node | Refusal:
        base = {"node_id": "n1", "operator": lumen.party_id, "host": cafe.party_id}
        return identity.register.add_node(unit, **(base | change))

    made = add()
    assert isinstance(made, Node)
    assert made.nas_identifier == "n1"
    assert add() == made
    assert code(add(operator=baobab.party_id)) == "exists_with_different_operator"
    assert code(add(host=kiosk.party_id)) == "exists_with_different_host"
    assert code(add(nas_identifier="ap")) == "exists_with_different_nas_identifier"
    assert code(add(node_id="n2", nas_identifier="n1")) == "nas_identifier_taken"
    assert code(add(node_id="n2", operator=cafe.party_id)) == "unknown_operator"
    assert code(add(node_id="n2", host=lumen.party_id)) == "unknown_host"
    assert code(add(node_id="n2", nas_identifier="")) == "invalid_name"
    assert code(add(node_id="n2", nas_identifier="é" * 127)) == "invalid_name"
    assert code(add(node_id="n2", nas_identifier="é" * 126)) == "done"
    assert [node.node_id for node in identity.directory.nodes(unit)] == ["n1", "n2"]


def test_a_client_s_protection_is_its_own_setting(
    unit: Connection, identity: Identity, lumen: Operator
) -> None:
    made = identity.clients.add(unit, prefix="any", operator=lumen.party_id, client_id="federation")
    assert (made.require_message_authenticator, made.limit_proxy_state) == (None, True)
    for required in (True, False, None):
        changed = identity.clients.protect(
            unit, "federation", require_message_authenticator=required, limit_proxy_state=False
        )
        assert identity.directory.peer(unit, ("any",)) == changed
        assert changed.require_message_authenticator is required
        assert not changed.limit_proxy_state
    unknown = identity.clients.protect(
        unit, "nobody", require_message_authenticator=None, limit_proxy_state=True
    )
    assert code(unknown) == "unknown_client"


def test_clients(unit: Connection, identity: Identity, lumen: Operator, baobab: Operator) -> None:
    def add(**change: Any) -> RadiusClient | Refusal:
        base = {"prefix": "10.0.0.0/8", "secret": b"secret", "operator": lumen.party_id}
        return identity.clients.add(unit, **(base | change))

    made = add()
    assert isinstance(made, RadiusClient)
    assert made.client_id == "10.0.0.0/8"
    assert add() == made
    assert code(add(secret=b"other")) == "exists_with_different_secret"
    assert code(add(operator=baobab.party_id)) == "exists_with_different_operator"
    assert code(add(client_id="10.0.0.0/8", prefix="11.0.0.0/8")) == "exists_with_different_prefix"
    assert code(add(client_id="named")) == "prefix_taken"
    assert code(add(prefix="10.0.0.1/8")) == "invalid_prefix"
    assert code(add(prefix="somewhere")) == "invalid_prefix"
    assert code(add(prefix="10.1.0.0/16", secret=b"")) == "invalid_secret"
    assert code(add(prefix="10.1.0.0/16", secret=b"x" * 254)) == "invalid_secret"
    assert code(add(prefix="10.1.0.0/16", operator="op_0")) == "unknown_operator"
    assert code(add(prefix="10.1.0.0/16", secret=b"x" * 253)) == "done"
    assert code(identity.clients.change_secret(unit, "named", secret=b"x")) == "unknown_client"
    assert code(identity.clients.change_secret(unit, made.client_id, secret=b"")) == (
        "invalid_secret"
    )
    assert code(identity.clients.remove(unit, "named")) == "unknown_client"
    assert [one.client_id for one in identity.clients.all(unit)] == ["10.0.0.0/8", "10.1.0.0/16"]


def test_subscribers_and_sims(
    unit: Connection, identity: Identity, lumen: Operator, baobab: Operator
) -> None:
    def add(**change: Any) -> Subscriber | Refusal:
        base = {"name": "Ada", "home": lumen.party_id, "plan_id": "plan"}
        return identity.subscriptions.add(unit, **(base | change))

    ada, bo = add(), add(name="Bo")
    assert isinstance(ada, Subscriber)
    assert isinstance(bo, Subscriber)
    assert add() == ada
    assert code(add(plan_id="other")) == "exists_with_different_plan"
    assert code(add(home=baobab.party_id)) == "exists_with_different_operator"
    assert code(add(name="Chidi", home=ada.party_id)) == "unknown_operator"
    moved = identity.subscriptions.change_plan(unit, ada.party_id, plan_id="other")
    assert moved == identity.directory.subscriber(unit, ada.party_id)
    assert code(identity.subscriptions.change_plan(unit, lumen.party_id, plan_id="x")) == (
        "unknown_subscriber"
    )

    def sim(**change: Any) -> object:
        base = {"subscriber": ada.party_id, "imsi": "208930000000001", "keys": KEYS}
        return identity.subscriptions.add_credential(unit, **(base | change))

    made = sim()
    assert sim() == made
    assert code(sim(subscriber=bo.party_id)) == "exists_with_different_subscriber"
    assert code(sim(keys=SimKeys(KEYS.k, KEYS.k))) == "exists_with_different_secret"
    assert code(sim(imsi="608970000000001")) == "foreign_imsi"
    for wrong in ("", "2089300000000", "2089300000000001", "20893000000000x", "٢" * 15):
        assert code(sim(imsi=wrong)) == "invalid_imsi"
    assert code(sim(imsi="208930000000002", keys=SimKeys(b"short", KEYS.opc))) == "invalid_secret"
    assert code(sim(imsi="208930000000002", sqn=1 << 48)) == "invalid_secret"
    assert code(sim(subscriber="sub_0")) == "unknown_subscriber"
    assert code(sim(imsi="208930000000002")) == "done", "one party, two SIMs"
    sims = identity.subscriptions.credentials(unit, ada.party_id)
    assert [one.imsi for one in sims] == ["208930000000001", "208930000000002"]
    found = identity.directory.subscriber_by_imsi(unit, "208930000000002")
    assert found == moved
    assert identity.directory.subscriber_by_imsi(unit, "208930000000003") is None
    card = Credential(CredentialKind.SIM, "208930000000002")
    assert identity.directory.subscriber_by(unit, card) == found
    identity.subscriptions.bar(unit, card.value, barred=True)
    assert identity.directory.subscriber_by(unit, card) is None
    assert identity.directory.subscriber_by_imsi(unit, card.value) == found


def test_the_same_sim_again_keeps_its_sequence(
    unit: Connection, identity: Identity, lumen: Operator
) -> None:
    ada = identity.subscriptions.add(unit, name="Ada", home=lumen.party_id, plan_id="plan")
    assert isinstance(ada, Subscriber)
    again: Callable[[], object] = lambda: identity.subscriptions.add_credential(  # noqa: E731
        unit, subscriber=ada.party_id, imsi="208930000000001", keys=KEYS
    )
    again()
    identity.authentication.vector(unit, "208930000000001", b"WLAN")
    again()
    (sim,) = identity.subscriptions.credentials(unit, ada.party_id)
    assert sim.sqn == 1 << 5 | 1


@given(st.text(max_size=30))
def test_no_text_makes_a_reader_fail(text: str) -> None:
    """Every reader returns its value or a refusal, whatever it is given."""
    for read in (rules.read_realm, rules.read_plmn, rules.read_prefix, rules.read_address):
        assert isinstance(read(text), str | Refusal)
    rules.candidate_prefixes(text)
    assert rules.canonical_realm(rules.canonical_realm(text)) == rules.canonical_realm(text)
