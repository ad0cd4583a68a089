"""Who is who: realms, prefixes, nodes; and that a change is seen in time."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Connection

from opencarrier.identity import rules
from opencarrier.identity.directory import RECHECK_S, REMEMBERED_MAX, Memory
from opencarrier.identity.model import PartyKind
from opencarrier.identity.service import Identity
from opencarrier.kernel.refusals import Refusal
from opencarrier.spine.parties import Operator, RadiusClient


def add_client(
    unit: Connection, identity: Identity, prefix: str, operator: Operator
) -> RadiusClient:
    made = identity.clients.add(
        unit, prefix=prefix, secret=f"secret of {prefix}".encode(), operator=operator.party_id
    )
    assert isinstance(made, RadiusClient)
    return made


def test_the_longest_prefix_holds(
    unit: Connection, identity: Identity, lumen: Operator, baobab: Operator
) -> None:
    for prefix, operator in (
        ("10.0.0.0/8", lumen),
        ("10.1.0.0/16", baobab),
        ("10.1.2.3/32", lumen),
        ("2001:db8::/32", baobab),
    ):
        add_client(unit, identity, prefix, operator)
    for source, expected in (
        ("10.9.9.9", "10.0.0.0/8"),
        ("10.1.9.9", "10.1.0.0/16"),
        ("10.1.2.3", "10.1.2.3/32"),
        ("::ffff:10.1.2.3", "10.1.2.3/32"),
        ("2001:db8:1::1", "2001:db8::/32"),
        ("fe80::1%eth0", None),
        ("11.0.0.1", None),
        ("not an address", None),
        ("", None),
    ):
        found = identity.directory.client(unit, source)
        assert (found.prefix if found else None) == expected, source
        assert found is None or found.secret == f"secret of {expected}".encode()


def test_a_certificate_s_most_certain_known_name_holds(
    unit: Connection, identity: Identity, lumen: Operator, baobab: Operator
) -> None:
    finger = "AB" * 32
    for prefix, operator in (
        (f"sha256:{finger}", lumen),
        ("dns:Radsec.Example.net", baobab),
        ("dns:*.example.net", lumen),
        ("wba:LUMEN:DE", lumen),
        ("ip:2001:DB8::0001", baobab),
        ("realm:*.lumen.example", lumen),
        ("any", baobab),
    ):
        add_client(unit, identity, prefix, operator)
    for names, expected in (
        ((f"sha256:{'ab' * 32}", "dns:radsec.example.net", "any"), f"sha256:{'ab' * 32}"),
        (("sha256:x1", "dns:other.example", "dns:radsec.example.net"), "dns:radsec.example.net"),
        (("sha256:x2", "dns:*.example.net", "any"), "dns:*.example.net"),
        (("sha256:x3", "wba:lumen:de", "any"), "wba:lumen:de"),
        (("sha256:x4", "ip:2001:db8::1", "any"), "ip:2001:db8::1"),
        (("sha256:x5", "any"), "any"),
        (("sha256:x6", "dns:none.example"), None),
    ):
        found = identity.directory.peer(unit, names)
        assert (found.prefix if found else None) == expected, names
        assert found is None or found.secret == b"radsec"


@pytest.mark.parametrize(
    "text",
    ["sha256:ab", "dns:", "dns:*", "dns:a b.example", "ip:x", "realm:nodot", "wba:", "any:", "dns"],
)
def test_what_names_no_certificate_is_refused(text: str) -> None:
    refused = rules.read_prefix(text)
    assert isinstance(refused, Refusal)
    assert refused.code == "invalid_prefix"


@given(st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)))
def test_candidates_are_all_prefixes_that_hold_an_address(address) -> None:
    mapped = getattr(address, "ipv4_mapped", None)
    wanted = mapped or address
    prefixes = [ip_network(prefix) for prefix in rules.candidate_prefixes(str(address))]
    assert [prefix.prefixlen for prefix in prefixes] == list(range(wanted.max_prefixlen, -1, -1))
    assert all(ip_address(wanted) in prefix for prefix in prefixes)


@pytest.mark.parametrize(
    ("realm", "name"),
    [
        ("lumen.example", "Lumen Mobile"),
        ("LUMEN.example.", "Lumen Mobile"),
        ("wlan.mnc093.mcc208.3gppnetwork.org", "Lumen Mobile"),
        ("WLAN.MNC093.MCC208.3gppnetwork.org", "Lumen Mobile"),
        ("wlan.mnc093.mcc208.pub.3gppnetwork.org", "Lumen Mobile"),
        ("nai.epc.mnc093.mcc208.3gppnetwork.org", "Lumen Mobile"),
        ("wlan.mnc097.mcc608.3gppnetwork.org", "Baobab Telecom"),
        ("wlan.mnc93.mcc208.3gppnetwork.org", None),
        ("wlan.mnc094.mcc208.3gppnetwork.org", None),
        ("other.example", None),
        ("x.lumen.example", None),
        ("", None),
    ],
)
def test_a_realm_names_its_home(
    unit: Connection,
    identity: Identity,
    lumen: Operator,
    baobab: Operator,
    realm: str,
    name: str | None,
) -> None:
    found = identity.directory.home_of(unit, realm)
    assert (found.name if found else None) == name


def test_a_node_of_another_operator_is_refused(
    unit: Connection, identity: Identity, lumen: Operator, baobab: Operator
) -> None:
    host = identity.register.add_host(unit, name="Café Lumière")
    assert not isinstance(host, Refusal)
    identity.register.add_node(
        unit, node_id="cafe-1", operator=lumen.party_id, host=host.party_id, nas_identifier="ap1"
    )
    own = add_client(unit, identity, "10.0.0.0/8", lumen)
    foreign = add_client(unit, identity, "11.0.0.0/8", baobab)
    found = identity.directory.node_of(unit, own, "ap1")
    assert found == identity.directory.node_by_id(unit, "cafe-1")
    for client, nas, code in ((foreign, "ap1", "foreign_node"), (own, "ap2", "unknown_node")):
        refused = identity.directory.node_of(unit, client, nas)
        assert isinstance(refused, Refusal)
        assert refused.code == code


def test_everybody_is_listed_in_order(
    unit: Connection, identity: Identity, lumen: Operator, baobab: Operator
) -> None:
    operators = identity.directory.operators(unit)
    assert [one.party_id for one in operators] == sorted((lumen.party_id, baobab.party_id))
    assert lumen in operators
    assert identity.directory.party_at(unit, lumen.address) == identity.directory.party(
        unit, lumen.party_id
    )
    for text in (lumen.name, lumen.party_id):
        named = identity.directory.named(unit, PartyKind.OPERATOR, text)
        assert named is not None
        assert named.party_id == lumen.party_id
        assert identity.directory.named(unit, PartyKind.HOST, text) is None


def test_a_change_of_ones_own_is_seen_at_once(
    unit: Connection, identity: Identity, lumen: Operator
) -> None:
    assert identity.directory.client(unit, "10.0.0.1") is None
    made = add_client(unit, identity, "10.0.0.0/8", lumen)
    assert identity.directory.client(unit, "10.0.0.1") == made
    changed = identity.clients.change_secret(unit, made.client_id, secret=b"another secret")
    assert identity.directory.client(unit, "10.0.0.1") == changed
    assert identity.clients.remove(unit, made.client_id) is None
    assert identity.directory.client(unit, "10.0.0.1") is None


def test_a_secret_changes_alone_and_not_over_tls(
    unit: Connection, identity: Identity, lumen: Operator
) -> None:
    """With another secret than RFC 6614's a certificate's packets would all be unsigned."""
    hub = identity.clients.add(unit, prefix="dns:hub.example", operator=lumen.party_id)
    assert isinstance(hub, RadiusClient)
    refused = identity.clients.change_secret(unit, hub.client_id, secret=b"another secret")
    assert isinstance(refused, Refusal)
    assert refused.code == "invalid_secret"
    assert identity.clients.change_secret(unit, hub.client_id, secret=b"radsec") == hub
    assert identity.directory.peer(unit, ["dns:hub.example"]) == hub
    made = add_client(unit, identity, "10.0.0.0/8", lumen)
    identity.clients.protect(
        unit, made.client_id, require_message_authenticator=False, limit_proxy_state=False
    )
    changed = identity.clients.change_secret(unit, made.client_id, secret=b"another secret")
    assert isinstance(changed, RadiusClient)
    assert changed.require_message_authenticator is False
    assert changed == identity.directory.client(unit, "10.0.0.1")


def test_a_change_of_another_process_is_seen_in_time(
    unit: Connection, world, identity: Identity, lumen: Operator
) -> None:
    other = world.another()
    assert identity.directory.client(unit, "10.0.0.1") is None
    made = add_client(unit, other, "10.0.0.0/8", lumen)
    assert identity.directory.client(unit, "10.0.0.1") is None, "remembered for a moment"
    world.now_s += RECHECK_S
    assert identity.directory.client(unit, "10.0.0.1") == made
    assert RECHECK_S < 1


def test_a_change_that_was_rolled_back_is_forgotten(
    world, identity: Identity, lumen: Operator, unit: Connection
) -> None:
    """Another change takes the place of the lost one; a counter would not tell them apart."""
    unit.commit()
    made = add_client(unit, identity, "10.0.0.0/8", lumen)
    assert identity.directory.client(unit, "10.0.0.1") == made
    unit.rollback()
    world.another().clients.add(
        unit, prefix="12.0.0.0/8", secret=b"another", operator=lumen.party_id
    )
    world.now_s += RECHECK_S
    assert identity.directory.client(unit, "10.0.0.1") is None
    assert identity.directory.client(unit, "12.0.0.1") is not None


def test_memory_is_bounded_and_strangers_push_out_nobody() -> None:
    memory = Memory(limit=3)
    asked: list[str] = []

    def load(subject: str, answer: str | None) -> str | None:
        asked.append(subject)
        return answer

    assert memory.recall("client", "known", lambda: load("known", "yes")) == "yes"
    for number in range(50):
        name = str(number)
        assert memory.recall("client", name, lambda name=name: load(name, None)) is None
        assert memory.size() <= 4
    assert memory.recall("client", "known", lambda: load("known", "no")) == "yes"
    assert asked.count("known") == 1
    assert memory.recall("node", "known", lambda: load("node", "other")) == "other"
    assert REMEMBERED_MAX <= 100_000
