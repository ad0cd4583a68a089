"""The salted record leaves and the tree of a cycle: pair, jurisdiction, domain. Pure.

    leaf         encode(["opencarrier/record", usage_id, commit(usage), commit(wholesale),
                         commit(retail) or null])
    commit       SHA-256(encode(["opencarrier/part", name, HMAC-SHA256(salt, name), part]))
    pair         records ascending by usage id;    its root enters the position's id
    jurisdiction position ids ascending;           the creditors' jurisdiction
    domain       encode([jurisdiction, root]) ascending

A level's root is sealed with the number of its leaves, so no path can claim another size. Trees
have the shape of RFC 9162 section 2.1.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping, Sequence
from hashlib import sha256

from opencarrier.clearing.model import Commitments, RecordPath, SaltedRecord
from opencarrier.kernel.encoding import Value, encode
from opencarrier.kernel.ids import Id, derive
from opencarrier.kernel.merkle import Path, Tree, leaf_hash, root_from_path
from opencarrier.kernel.money import INT64_MAX
from opencarrier.kernel.signatures import Address
from opencarrier.spine import ids
from opencarrier.spine.money import Charge, RatedUsage, StakeReading
from opencarrier.spine.usage import Counters

_ADDRESS = re.compile(r"0x[0-9a-f]{40}")
USAGE, WHOLESALE, RETAIL = "usage", "wholesale", "retail"
PAIR, JURISDICTION, DOMAIN = "pair-root", "jurisdiction-root", "records-root"


def usage_part(rated: RatedUsage) -> dict[str, Value]:
    """Return a record's usage part: what was used, where and when; nothing names a person.

    Where the session was chosen from several that could serve, it says from which.
    """
    usage = rated.usage
    return {
        "usage_id": usage.usage_id,
        "session_id": usage.session_id,
        "home": usage.home,
        "visited": usage.visited,
        "host": rated.host,
        "node_id": usage.node_id,
        "counters_from": _counters(usage.counters_from),
        "counters_to": _counters(usage.counters_to),
        "start_us": usage.start_us,
        "end_us": usage.end_us,
        "weak": usage.weak,
        "closed_by": usage.closed_by,
        "rung": int(usage.rung),
        **({} if rated.choice is None else {"choice": rated.choice.terms()}),
    }


def charge_part(charge: Charge) -> dict[str, Value]:
    """Return a record's wholesale or retail part: the charge with everything rating read.

    A charge at a discount also says where the chain tells the discount.
    """
    return {
        "charge_id": charge.charge_id,
        "usage_id": charge.usage_id,
        "kind": int(charge.kind),
        "payer": charge.payer,
        "seller": charge.seller,
        "asset": charge.asset,
        "amount_minor": charge.amount_minor,
        "discount_minor": charge.discount_minor,
        "tariff_hash": charge.tariff_hash,
        "agreement_hash": charge.agreement_hash,
        "rule_version": charge.rule_version,
        "inputs": charge.inputs,
        "allocations": [
            [int(leg.role), leg.party, leg.account, leg.amount_minor] for leg in charge.allocations
        ],
        **({} if charge.stake is None else {"stake": stake_terms(charge.stake)}),
    }


def stake_terms(reading: StakeReading) -> dict[str, Value]:
    """Return where a discount was read, as a retail part shows it."""
    return {
        "contract": reading.contract,
        "account": reading.account,
        "timepoint_s": reading.timepoint_s,
    }


def stake_reading(terms: Value) -> StakeReading:
    """Read `stake_terms` back; ValueError for anything it would not write."""
    match terms:
        case {"contract": str(contract), "account": str(account), "timepoint_s": int(at_s)}:
            reading = StakeReading(
                contract=Address(contract), account=Address(account), timepoint_s=at_s
            )
            addresses = all(_ADDRESS.fullmatch(address) for address in (contract, account))
            number = not isinstance(at_s, bool) and 0 <= at_s <= INT64_MAX
            if addresses and number and stake_terms(reading) == terms:
                return reading
    raise ValueError("not where a discount was read")


def part_salt(record_salt: bytes, name: str) -> bytes:
    """Return the salt of one part; who learns it learns nothing of the other parts."""
    return hmac.digest(record_salt, name.encode(), "sha256")


def commit(name: str, salt: bytes, part: Value) -> bytes:
    """Return the hash that stands for a part, salted so that it cannot be guessed."""
    return sha256(encode(["opencarrier/part", name, salt, part])).digest()


def part_salts(record_salt: bytes) -> dict[str, bytes]:
    """Return the salts of a record's three parts, by name."""
    return {name: part_salt(record_salt, name) for name in (USAGE, WHOLESALE, RETAIL)}


def commitments(record: SaltedRecord) -> Commitments:
    """Commit to the three parts of a record."""
    return committed(record.rated, part_salts(record.salt))


def committed(
    rated: RatedUsage, salts: Mapping[str, bytes], *, retail: bytes | None = None
) -> Commitments:
    """Commit to a record's parts with their salts; `retail` stands for a part that has none."""
    if RETAIL in salts and rated.retail is not None:
        retail = commit(RETAIL, salts[RETAIL], charge_part(rated.retail))
    return Commitments(
        usage=commit(USAGE, salts[USAGE], usage_part(rated)),
        wholesale=commit(WHOLESALE, salts[WHOLESALE], charge_part(rated.wholesale)),
        retail=retail,
    )


def leaf_data(usage_id: Id, parts: Commitments) -> bytes:
    """Return what is hashed as a record's leaf."""
    fields: list[Value] = ["opencarrier/record", usage_id]
    return encode([*fields, parts.usage, parts.wholesale, parts.retail])


def record_leaf(record: SaltedRecord) -> bytes:
    """Return a record's leaf hash."""
    return leaf_hash(leaf_data(record.rated.usage.usage_id, commitments(record)))


def sealed_root(level: str, size: int, root: bytes) -> bytes:
    """Bind a tree's head to the number of its leaves."""
    return derive(level, size, root)


def pair_root(leaf_hashes: Sequence[bytes]) -> bytes:
    """Return the root over a position's records; the hashes ascend by usage id."""
    tree = Tree(leaf_hashes)
    return sealed_root(PAIR, tree.size, tree.root)


def jurisdiction_tree(position_ids: Sequence[Id]) -> Tree:
    """Return the tree over the positions whose creditors are in one jurisdiction."""
    return Tree([leaf_hash(identifier) for identifier in sorted(position_ids)])


def domain_tree(roots: Mapping[str, bytes]) -> Tree:
    """Return the tree over the jurisdictions' sealed roots."""
    leaves = [leaf_hash(encode([name, roots[name]])) for name in sorted(roots)]
    return Tree(leaves)


def seal_jurisdiction(tree: Tree) -> bytes:
    """Return a jurisdiction's root as it enters the domain."""
    return sealed_root(JURISDICTION, tree.size, tree.root)


def seal_domain(tree: Tree) -> bytes:
    """Return the records root as it enters the settlement."""
    return sealed_root(DOMAIN, tree.size, tree.root)


def records_root(positions: Mapping[str, Sequence[Id]]) -> bytes:
    """Return the root over position ids by jurisdiction, in whatever order they come."""
    roots = {name: seal_jurisdiction(jurisdiction_tree(ids_)) for name, ids_ in positions.items()}
    return seal_domain(domain_tree(roots))


def position_of_record(leaf: bytes, path: RecordPath) -> Id | None:
    """Walk from a record's leaf data to its position; None if the path has no such shape."""
    return _position_of_leaf(leaf_hash(leaf), path)


def root_of_record(leaf: bytes, path: RecordPath) -> bytes | None:
    """Walk from a record's leaf data to the records root; None if the path has no such shape.

    This is the whole check of inclusion: equal to the root the venue holds, or not included.
    """
    return root_of_leaf(leaf_hash(leaf), path)


def root_of_leaf(leaf: bytes, path: RecordPath) -> bytes | None:
    """Walk from a leaf's hash to the records root, as `root_of_record` does from its data."""
    position = _position_of_leaf(leaf, path)
    if position is None:
        return None
    jurisdiction = _climb(JURISDICTION, leaf_hash(position), path.position)
    if jurisdiction is None:
        return None
    return _climb(DOMAIN, leaf_hash(encode([path.jurisdiction, jurisdiction])), path.domain)


def _position_of_leaf(leaf: bytes, path: RecordPath) -> Id | None:
    pair = _climb(PAIR, leaf, path.record)
    if pair is None:
        return None
    return ids.position_id(
        path.cycle_id,
        path.debtor,
        path.creditor,
        path.asset,
        rung=path.rung,
        pair_root=pair,
        amount_minor=path.amount_minor,
    )


def _climb(level: str, leaf: bytes, path: Path) -> bytes | None:
    root = root_from_path(leaf, path)
    return None if root is None else sealed_root(level, path.size, root)


def _counters(counters: Counters) -> list[int]:
    return [counters.session_time_s, counters.octets_in, counters.octets_out]
