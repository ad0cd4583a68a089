"""Routes and their servers, who carries whom, and what the federation calls an operator."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Connection, select

from opencarrier.identity import store
from opencarrier.identity.routing import SERVERS_MAX, Wanted, read_server
from opencarrier.identity.service import Identity
from opencarrier.kernel.refusals import Refusal
from opencarrier.spine.parties import Operator, Route, RouteKind, foreign_node

from .conftest import World

SECRET = b"a secret of 16 octets"


def code(made: object) -> str:
    return made.code if isinstance(made, Refusal) else "done"


def to(pattern: str, upstream: str = "", **more: Any) -> Route:
    return Route(pattern=pattern, kind=RouteKind.UPSTREAM, upstream=upstream or pattern, **more)


def server(text: str = "tls://home.test", secret: bytes = SECRET) -> Wanted:
    made = read_server(text, secret)
    assert isinstance(made, Wanted), made
    return made


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("home.test", ("tls", "home.test", 2083, b"radsec")),
        ("tls://home.test:3000", ("tls", "home.test", 3000, b"radsec")),
        ("udp://192.0.2.1", ("udp", "192.0.2.1", 1812, SECRET)),
        ("udp://[2001:db8::1]:1645", ("udp", "2001:db8::1", 1645, SECRET)),
    ],
)
def test_a_server_is_read(text: str, expected: tuple[object, ...]) -> None:
    made = server(text)
    assert (made.transport, made.host, made.port, made.secret) == expected
    assert SECRET.decode() not in repr(made)


@pytest.mark.parametrize(
    "text", ["", "http://a.test", "a b", "a.test:0", "a.test:65535", "a.test:99999", "-a.test"]
)
def test_what_is_no_server_is_refused(text: str) -> None:
    assert code(read_server(text, SECRET)) == "invalid_server"


def test_the_same_route_again_is_the_same_and_another_is_refused(
    unit: Connection, identity: Identity
) -> None:
    add = identity.routing.add
    pair = [server(), server("udp://192.0.2.1")]
    assert add(unit, to("Home.Test"), pair) == to("home.test", "Home.Test")
    assert identity.directory.routes(unit) == [to("home.test", "Home.Test")]
    assert [s.secret for s in identity.directory.servers(unit, "Home.Test")] == [b"radsec", SECRET]
    before = list(unit.execute(select(store.servers)))
    assert code(add(unit, to("home.test", "Home.Test"), pair)) == "done"
    assert list(unit.execute(select(store.servers))) == before
    for route, servers in (
        (to("home.test", "Home.Test"), pair[:1]),
        (to("home.test", "Home.Test"), [server(), server("udp://192.0.2.1", b"x" * 16)]),
        (to("home.test", "Home.Test", inward=True), pair),
        (Route(pattern="home.test", kind=RouteKind.DISCOVER), []),
    ):
        assert code(add(unit, route, servers)) == "exists_with_different_route"


def test_a_route_may_lead_to_anothers_servers_which_stay_as_long_as_one_does(
    unit: Connection, identity: Identity
) -> None:
    add, remove = identity.routing.add, identity.routing.remove
    assert code(add(unit, to("*.home.test", "home.test"))) == "unknown_route"
    add(unit, to("home.test"), [server()])
    assert code(add(unit, to("*.home.test", "home.test"))) == "done"
    assert remove(unit, "home.test") is None
    assert identity.directory.servers(unit, "home.test")
    assert remove(unit, "*.home.test") is None
    assert not identity.directory.servers(unit, "home.test")
    assert code(remove(unit, "home.test")) == "unknown_route"


@pytest.mark.parametrize("pattern", ["", "nodot", "a.*.test", "**", "*.", "a b.test", "x" * 260])
def test_a_pattern_is_a_realm_a_suffix_or_all(
    unit: Connection, identity: Identity, pattern: str
) -> None:
    route = Route(pattern=pattern, kind=RouteKind.DISCOVER)
    assert code(identity.routing.add(unit, route)) == "invalid_realm"


def test_servers_of_a_route_are_few(unit: Connection, identity: Identity) -> None:
    many = [server(f"s{n}.test") for n in range(SERVERS_MAX + 1)]
    assert code(identity.routing.add(unit, to("a.test"), many)) == "invalid_server"
    assert code(identity.routing.add(unit, to("a.test"), many[1:])) == "done"


def test_secrets_of_servers_are_sealed_and_change_with_the_key(
    world: World, unit: Connection, identity: Identity
) -> None:
    identity.routing.add(unit, to("a.test"), [server("udp://192.0.2.1")])
    row = unit.execute(select(store.servers)).one()
    assert SECRET not in row.secret_sealed
    assert identity.vault.rotate(unit) > 0
    assert unit.execute(select(store.servers)).one().secret_sealed != row.secret_sealed
    assert world.another().directory.servers(unit, "a.test")[0].secret == SECRET


def test_a_client_carries_whom_it_is_told_to(
    unit: Connection, identity: Identity, lumen: Operator
) -> None:
    identity.clients.add(unit, prefix="192.0.2.1", secret=SECRET, operator=lumen.party_id)

    def carry(*operators: str, client_id: str = "192.0.2.1/32") -> str:
        return code(identity.routing.carry(unit, client_id, operators=operators, federation=True))

    plain = identity.directory.client(unit, "192.0.2.1")
    assert plain is not None
    assert not plain.federation
    assert not plain.carries_for(lumen.party_id)
    assert carry("op_" + "0" * 32) == "unknown_operator"
    assert carry("*", client_id="nobody") == "unknown_client"
    for named in ("*", lumen.party_id):
        assert carry(named) == "done"
        found = identity.directory.client(unit, "192.0.2.1")
        assert found is not None
        assert found.federation
        assert found.carries_for(lumen.party_id)
        assert found.carries_for("op_x") == (named == "*")  # type: ignore[arg-type]


def test_the_federation_names_an_operator_and_its_branches(
    unit: Connection, identity: Identity, lumen: Operator
) -> None:
    name, directory = identity.routing.name_operator, identity.directory
    assert directory.operator_named_by_wba(unit, "LUMEN:FR") is None
    assert name(unit, lumen.party_id, "lumen:fr") == "LUMEN:FR"
    assert name(unit, lumen.party_id, "LUMEN:FR") == "LUMEN:FR"
    for text in ("LUMEN:FR", "cafe.lumen:fr", "a.b.LUMEN:FR"):
        assert directory.operator_named_by_wba(unit, text) == lumen.party_id
    for text in ("XLUMEN:FR", "LUMEN:DE", "LUMEN", "", "."):
        assert directory.operator_named_by_wba(unit, text) is None
    assert directory.wba_id(unit, lumen.party_id) == "LUMEN:FR"
    other = identity.register.add_operator(unit, name="Other", jurisdiction="DE")
    assert isinstance(other, Operator)
    assert code(name(unit, other.party_id, "LUMEN:FR")) == "wba_id_taken"
    assert code(name(unit, other.party_id, "no country")) == "invalid_name"


def test_a_node_nobody_registered_is_its_operators_own(
    unit: Connection, identity: Identity, lumen: Operator
) -> None:
    made = foreign_node(lumen.party_id, "roof-7")
    assert len(made.node_id) <= 64
    found = identity.directory.node_by_id(unit, made.node_id)
    assert found is not None
    assert (found.operator, found.host) == (lumen.party_id, lumen.party_id)
    host = identity.directory.host(unit, found.host)
    assert host is not None
    assert host.payout == lumen.address
    [share] = identity.directory.beneficiaries(unit, found.host, at_us=1)
    assert (share.payout, share.share_ppm) == (lumen.address, 1_000_000)
    nobody = foreign_node("op_" + "0" * 32, "roof-7")  # type: ignore[arg-type]
    assert identity.directory.node_by_id(unit, nobody.node_id) is None


def test_realms_served_here_are_those_whose_key_or_subscribers_are(
    unit: Connection, identity: Identity, lumen: Operator
) -> None:
    far = identity.register.add_operator(
        unit,
        name="Far",
        jurisdiction="DE",
        realms=["far.example"],
        address="0x" + "ab" * 20,
    )
    assert isinstance(far, Operator)
    assert not identity.directory.serves(unit, "far.example")
    assert not identity.directory.serves(unit, "nobody.example")
    made = identity.subscriptions.add(unit, name="p", home=far.party_id, plan_id="basic")
    assert not isinstance(made, Refusal)
    assert identity.directory.serves(unit, "far.example")
    assert all(identity.directory.serves(unit, realm) for realm in lumen.realms)
