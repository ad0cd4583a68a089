"""Adding and changing operators, hosts, their nodes and the parties that charges have legs for."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, insert, update

from opencarrier.identity import rules, store
from opencarrier.identity.directory import Directory
from opencarrier.identity.keyring import Keyring
from opencarrier.identity.model import IdentityReason, Party, PartyKind
from opencarrier.identity.places import store as places
from opencarrier.kernel.clock import Clock
from opencarrier.kernel.entropy import Entropy
from opencarrier.kernel.refusals import Refusal
from opencarrier.kernel.signatures import Address
from opencarrier.spine.parties import Beneficiary, Host, Node, Operator, PartyId

PARTY_OCTETS = 16


class Register:
    """Everything that is added or changed; each call stands in the caller's unit.

    Adding what exists with the same content returns it; with other content it is refused with
    `exists_with_different_<field>`. A refusal leaves the unit as it was.
    """

    def __init__(
        self, directory: Directory, keyring: Keyring, *, clock: Clock, entropy: Entropy
    ) -> None:
        self._directory = directory
        self._keyring = keyring
        self._clock = clock
        self._entropy = entropy

    def add_operator(
        self,
        unit: Connection,
        *,
        name: str,
        jurisdiction: str,
        realms: Sequence[str] = (),
        plmns: Sequence[str] = (),
        address: str | None = None,
        party_id: PartyId | None = None,
    ) -> Operator | Refusal:
        """Add an operator with its own realms and network codes.

        Without an address a key is made and held here: this installation signs for it. One that
        signs elsewhere may bring the `party_id` it has there.
        """
        refusal = (
            rules.checked_name(name)
            or rules.checked_jurisdiction(jurisdiction)
            or rules.checked_address(address)
            or rules.checked_party(party_id, PartyKind.OPERATOR)
        )
        owned = rules.read_realms(realms, plmns)
        if refusal is not None or isinstance(owned, Refusal):
            return refusal or owned  # type: ignore[return-value] # one of the two is a refusal
        known = store.party_named(unit, PartyKind.OPERATOR, name)
        if known is not None:
            other = _other_id(known, party_id)
            return other or _same_operator(unit, known, jurisdiction, owned, address)
        taken = _first_taken(unit, owned)
        if taken is not None:
            return taken
        made = self._add_party(
            unit,
            PartyKind.OPERATOR,
            name,
            address=address,
            jurisdiction=jurisdiction,
            party_id=party_id,
        )
        if isinstance(made, Refusal):
            return made
        for realm, plmn in owned:
            unit.execute(
                insert(store.realms).values(realm=realm, plmn=plmn, operator=made.party_id)
            )
        self._directory.changed(unit, "realms", made.party_id, [realm for realm, _ in owned])
        operator = store.operator(unit, made.party_id)
        assert operator is not None
        return operator

    def add_realm(
        self, unit: Connection, operator: PartyId, *, realm: str | None, plmn: str | None
    ) -> Operator | Refusal:
        """Give an operator one more realm or network code."""
        found = store.operator(unit, operator)
        if found is None:
            return Refusal(IdentityReason.UNKNOWN_OPERATOR, operator)
        given = (tuple(filter(None, (realm,))), tuple(filter(None, (plmn,))))
        owned = rules.read_realms(*given)
        if isinstance(owned, Refusal):
            return owned
        for name, code in owned:
            if store.realm_owner(unit, name) == operator:
                continue
            taken = _first_taken(unit, ((name, code),))
            if taken is not None:
                return taken
            unit.execute(insert(store.realms).values(realm=name, plmn=code, operator=operator))
            self._directory.changed(unit, "realm", operator, name)
        return store.operator(unit, operator) or found

    def add_host(self, unit: Connection, *, name: str, payout: str | None = None) -> Host | Refusal:
        """Add a host and where it is paid; without an address a key is made and held here."""
        refusal = rules.checked_name(name) or rules.checked_address(payout)
        if refusal is not None:
            return refusal
        known = store.party_named(unit, PartyKind.HOST, name)
        if known is None:
            made = self._add_party(unit, PartyKind.HOST, name, address=payout)
            if isinstance(made, Refusal):
                return made
            known = made
        elif payout is not None and rules.read_address(payout) != known.address:
            return _different(IdentityReason.EXISTS_WITH_DIFFERENT_ADDRESS, name)
        host = store.host(unit, known.party_id)
        assert host is not None
        return host

    def add_party(
        self,
        unit: Connection,
        *,
        kind: PartyKind,
        name: str,
        address: str | None = None,
        party_id: PartyId | None = None,
    ) -> Party | Refusal:
        """Add a tax or protocol party, a member that others' charges have legs for."""
        assert kind in (PartyKind.TAX, PartyKind.PROTOCOL), "the others have their own functions"
        refusal = (
            rules.checked_name(name)
            or rules.checked_address(address)
            or rules.checked_party(party_id, kind)
        )
        if refusal is not None:
            return refusal
        known = store.party_named(unit, kind, name)
        if known is None:
            return self._add_party(unit, kind, name, address=address, party_id=party_id)
        other = _other_id(known, party_id)
        if other is not None:
            return other
        if address is not None and rules.read_address(address) != known.address:
            return _different(IdentityReason.EXISTS_WITH_DIFFERENT_ADDRESS, name)
        return known

    def change_payout(self, unit: Connection, host: PartyId, *, payout: str) -> Host | Refusal:
        """Pay a host elsewhere from now on; what was entitled before stays where it was."""
        known = store.host(unit, host)
        if known is None:
            return Refusal(IdentityReason.UNKNOWN_HOST, host)
        address = rules.read_address(payout)
        if not isinstance(address, str):
            return address
        if address != known.payout:
            taken = _address_taken(unit, address, but=host)
            if taken is not None:
                return taken
            self._keyring.add(unit, host, address=address)
            unit.execute(
                update(store.parties)
                .where(store.parties.c.party_id == host)
                .values(address=address)
            )
            self._directory.changed(unit, "payout", host, address)
        return store.host(unit, host) or known

    def split_host(
        self, unit: Connection, host: PartyId, named: Sequence[tuple[str, int]]
    ) -> Sequence[Beneficiary] | Refusal:
        """Name whom a host's shares go to, for the cycles that are closed after this instant.

        What was earned in cycles closed before stays whose it was. Returned ascending by address.
        """
        beneficiaries = rules.read_split(named)
        if isinstance(beneficiaries, Refusal):
            return beneficiaries
        if store.host(unit, host) is None:
            return Refusal(IdentityReason.UNKNOWN_HOST, host)
        now_us = self._clock.now_us()
        newest_us = store.split_from_us(unit, host, before_us=None)
        if newest_us is not None and now_us < newest_us:
            return Refusal(IdentityReason.INVALID_WINDOW, "the clock is before the last split")
        store.put_split(unit, host, beneficiaries, valid_from_us=now_us)
        return beneficiaries

    def add_node(
        self,
        unit: Connection,
        *,
        node_id: str,
        operator: PartyId,
        host: PartyId,
        nas_identifier: str | None = None,
    ) -> Node | Refusal:
        """Add a host's node that serves for an operator; its NAS-Identifier is its id if none."""
        nas = node_id if nas_identifier is None else nas_identifier
        refusal = rules.checked_name(node_id) or rules.checked_nas_identifier(nas)
        if refusal is not None:
            return refusal
        if store.operator(unit, operator) is None:
            return Refusal(IdentityReason.UNKNOWN_OPERATOR, operator)
        if store.host(unit, host) is None:
            return Refusal(IdentityReason.UNKNOWN_HOST, host)
        wanted = Node(node_id=node_id, nas_identifier=nas, operator=operator, host=host)
        known = store.node(unit, column="node_id", value=node_id)
        if known is not None:
            return known if known == wanted else _other_node(known, wanted)
        if store.node(unit, column="nas_identifier", value=nas) is not None:
            return Refusal(IdentityReason.NAS_IDENTIFIER_TAKEN, f"{nas!r} is another node's")
        unit.execute(
            insert(store.nodes).values(
                node_id=node_id, nas_identifier=nas, operator=operator, host=host
            )
        )
        places.count(unit, places.NODES)
        places.count(unit, f"{places.NODES}/{operator}")
        self._directory.changed(unit, "node", node_id, nas, operator, host)
        return wanted

    def _add_party(
        self,
        unit: Connection,
        kind: PartyKind,
        name: str,
        *,
        address: str | None = None,
        jurisdiction: str | None = None,
        party_id: PartyId | None = None,
    ) -> Party | Refusal:
        given = None if address is None else rules.read_address(address)
        if isinstance(given, Refusal):
            return given
        if given is not None:
            taken = _address_taken(unit, given)
            if taken is not None:
                return taken
        if party_id is None:
            party_id = new_party_id(self._entropy, kind, name)
        elif store.party(unit, party_id) is not None:
            return Refusal(IdentityReason.PARTY_TAKEN, party_id)
        unit.execute(
            insert(store.parties).values(
                party_id=party_id,
                kind=kind.value,
                name=name,
                address=given,
                jurisdiction=jurisdiction,
            )
        )
        if given is None:
            given = self._keyring.mint(unit, party_id, name=name).kid
            unit.execute(
                update(store.parties)
                .where(store.parties.c.party_id == party_id)
                .values(address=given)
            )
        else:
            added = self._keyring.add(unit, party_id, address=given)
            assert not isinstance(added, Refusal), added
        places.count(unit, kind.value)
        self._directory.changed(unit, "party", party_id, name, given, jurisdiction)
        found = store.party(unit, party_id)
        assert found is not None
        return found


def new_party_id(entropy: Entropy, kind: PartyKind, name: str) -> PartyId:
    """Return a fresh opaque id, a prefix and 32 hex digits; the label is `party/<kind>/<name>`."""
    digits = entropy.octets(f"party/{kind.value}/{name}", PARTY_OCTETS).hex()
    return PartyId(f"{kind.prefix}_{digits}")


def _first_taken(unit: Connection, owned: Sequence[tuple[str, str | None]]) -> Refusal | None:
    codes = store.all_plmns(unit)
    for realm, plmn in owned:
        if plmn is not None:
            for other, owner in codes:
                if rules.plmns_collide(plmn, other):
                    return Refusal(IdentityReason.PLMN_TAKEN, f"{plmn} meets {other} of {owner}")
        owner_of_realm = store.realm_owner(unit, realm)
        if owner_of_realm is not None:
            return Refusal(IdentityReason.REALM_TAKEN, f"{realm} is {owner_of_realm}'s")
    return None


def _same_operator(
    unit: Connection,
    known: Party,
    jurisdiction: str,
    owned: Sequence[tuple[str, str | None]],
    address: str | None,
) -> Operator | Refusal:
    operator = store.operator(unit, known.party_id)
    assert operator is not None
    if operator.jurisdiction != jurisdiction:
        return _different(IdentityReason.EXISTS_WITH_DIFFERENT_JURISDICTION, known.name)
    if set(operator.realms) != {realm for realm, plmn in owned if plmn is None}:
        return _different(IdentityReason.EXISTS_WITH_DIFFERENT_REALMS, known.name)
    if set(operator.plmns) != {plmn for _, plmn in owned if plmn is not None}:
        return _different(IdentityReason.EXISTS_WITH_DIFFERENT_PLMNS, known.name)
    if address is not None and rules.read_address(address) != operator.address:
        return _different(IdentityReason.EXISTS_WITH_DIFFERENT_ADDRESS, known.name)
    return operator


def _other_node(known: Node, wanted: Node) -> Refusal:
    if known.operator != wanted.operator:
        return _different(IdentityReason.EXISTS_WITH_DIFFERENT_OPERATOR, known.node_id)
    if known.host != wanted.host:
        return _different(IdentityReason.EXISTS_WITH_DIFFERENT_HOST, known.node_id)
    return _different(IdentityReason.EXISTS_WITH_DIFFERENT_NAS_IDENTIFIER, known.node_id)


def _address_taken(
    unit: Connection, address: Address, *, but: PartyId | None = None
) -> Refusal | None:
    row = store.key_row(unit, address)
    if row is None or row.party == but:
        return None
    return Refusal(IdentityReason.ADDRESS_TAKEN, f"{address} is {row.party}'s")


def _other_id(known: Party, party_id: PartyId | None) -> Refusal | None:
    if party_id in (None, known.party_id):
        return None
    return _different(IdentityReason.EXISTS_WITH_DIFFERENT_ID, known.name)


def _different(reason: IdentityReason, name: str) -> Refusal:
    return Refusal(reason, name)
