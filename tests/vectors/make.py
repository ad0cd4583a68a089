"""Write encoding.json, ids.json and merkle.json: `python tests/vectors/make.py`.

The vectors are for other implementations; the tests compare the files with what this makes, and
both with foreign implementations. A vector that changes is a change of the protocol.
"""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

from opencarrier.kernel.encoding import Value, encode
from opencarrier.kernel.ids import Id, to_hex
from opencarrier.kernel.merkle import Tree, leaf_hash
from opencarrier.kernel.money import AssetId
from opencarrier.kernel.signatures import Address
from opencarrier.ledger.model import account_id
from opencarrier.spine import ids
from opencarrier.spine.money import Kind, Net
from opencarrier.spine.parties import PartyId
from opencarrier.spine.usage import ZERO, Counters, Rung, Status

FOLDER = Path(__file__).parent
_EXACT_IN_JSON = 1 << 53

ENCODED: tuple[Value, ...] = (
    *(0, 1, 10, 23, 24, 25, 100, 255, 256, 65_535, 65_536, 1_000_000, 1_000_000_000_000),
    *((1 << 32) - 1, 1 << 32, (1 << 63) - 1, (1 << 64) - 1, 1 << 64, 1 << 127),
    *(-1, -10, -24, -25, -100, -1000, -(1 << 63), -(1 << 64), -(1 << 64) - 1, -(1 << 127)),
    *(False, True, None),
    *(b"", b"\x01\x02\x03\x04", bytes(range(24)), bytes(256)),
    *("", "a", "IETF", '"\\', "\u00fc", "\u6c34", "\U00010151", "x" * 24),
    *([], [1, 2, 3], [1, [2, 3], [4, 5]], list(range(1, 26))),
    {},
    {"a": 1, "b": [2, 3]},
    ["a", {"b": "c"}],
    {"e": "E", "d": "D", "c": "C", "b": "B", "a": "A"},
    {"aa": 1, "b": 2, "": 3, "\u00fc": 4, "a" * 24: 5},
    ["opencarrier/session", bytes(16), "node-7", "5F1A", None, {"octets_in": 147_699_750}],
)

REFUSED = {
    "1817": "an integer in more octets than it needs",
    "5800": "a length in more octets than it needs",
    "f97e00": "a float",
    "fb3ff8000000000000": "a float",
    "f7": "undefined",
    "9fff": "an indefinite length",
    "5f4101ff": "an indefinite length",
    "c11a514b67b0": "a tag other than 2 and 3",
    "c243010000": "a bignum that 64 bits hold",
    "c24a00010000000000000000": "a bignum with a leading zero",
    "a10102": "a map key that is not text",
    "a2616201616102": "map keys out of order",
    "a2616101616102": "a map key twice",
    "62c328": "text that is not UTF-8",
    "0000": "octets after the value",
    "8201": "an array cut short",
}


def encoding() -> dict[str, Any]:
    """Make the vectors of the canonical encoding."""
    return {
        "rule": "deterministic CBOR, RFC 8949 section 4.2.1; see opencarrier/kernel/encoding.py",
        "notation": {"$octets": "a byte string in hex", "$integer": "an integer beyond 2^53"},
        "encoded": [{"value": _plain(item), "octets": to_hex(encode(item))} for item in ENCODED],
        "refused": [{"octets": f"0x{octets}", "why": why} for octets, why in REFUSED.items()],
    }


def _plain(value: Value) -> Any:
    """Write a value in JSON without loss."""
    if isinstance(value, bytes):
        return {"$octets": to_hex(value)}
    if isinstance(value, int) and abs(value) > _EXACT_IN_JSON:
        return {"$integer": str(value)}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return value


HOME = PartyId("op_00000000000000000000000000000001")
VISITED = PartyId("op_00000000000000000000000000000002")
ASSET = AssetId("eip155:31337/erc20:0x5fbdb2315678afecb367f032d93f642f64180aa3")
AUTHORISATION = bytes(range(16))
HALFWAY = Counters(session_time_s=886, octets_in=73_849_875, octets_out=2_841_109_154)
END = Counters(session_time_s=1_773, octets_in=147_699_750, octets_out=5_682_218_308)
NETS = (
    Net(address=Address("0x00000000000000000000000000000000000000aa"), amount_minor=-1_000_000),
    Net(address=Address("0x00000000000000000000000000000000000000bb"), amount_minor=640_000),
)
TOKEN = Address("0x5fbdb2315678afecb367f032d93f642f64180aa3")
ROOT, REWARDS_ROOT = sha256(b"records").digest(), sha256(b"rewards").digest()


def spine_ids() -> dict[str, Any]:
    """Make one vector for each derived id; each builds on the ones before it."""
    session = ids.session_id(AUTHORISATION, "node-7", "5F1A0001")
    usage = ids.usage_id(session, ZERO, END)
    inputs_hash = sha256(b"inputs").digest()
    cycle = ids.cycle_id("demo", ASSET, 1)
    settlement = ids.settlement_id(
        cycle,
        token=TOKEN,
        records_root=ROOT,
        netting_mode=2,
        nets=NETS,
        rewards_root=REWARDS_ROOT,
        rewards_minor=360_000,
    )
    position = ids.position_id(
        cycle, HOME, VISITED, ASSET, rung=Rung.CO_SIGNED, pair_root=ROOT, amount_minor=1_000_000
    )
    charge = ids.charge_id(
        usage, Kind.WHOLESALE, inputs_hash=inputs_hash, rule_version="v1", amount_minor=250_000
    )
    weak = ids.weak_session_id(None, VISITED, "node-7", "5F1A0001", epoch_us=1_700_000_000_000_000)
    end, halfway = _counters(END), _counters(HALFWAY)
    derived = [
        _derived("session", session, AUTHORISATION, "node-7", "5F1A0001"),
        _derived("session/weak", weak, None, VISITED, "node-7", "5F1A0001", 1_700_000_000_000_000),
        _derived(
            "observation",
            ids.observation_id(session, VISITED, Status.INTERIM, HALFWAY),
            *(session, VISITED, int(Status.INTERIM), halfway),
        ),
        _derived(
            "observation",
            ids.observation_id(session, VISITED, Status.ON, None),
            *(session, VISITED, int(Status.ON), None),
        ),
        _derived("usage", usage, session, _counters(ZERO), end),
        _derived("usage", ids.usage_id(session, HALFWAY, END), session, halfway, end),
        _derived("charge", charge, usage, int(Kind.WHOLESALE), inputs_hash, "v1", 250_000),
        _derived("cycle", cycle, "demo", ASSET, 1),
        _derived(
            "position",
            position,
            *(cycle, HOME, VISITED, ASSET, int(Rung.CO_SIGNED), ROOT, 1_000_000),
        ),
        _derived("account", account_id(ASSET, "custody"), ASSET, "custody"),
    ]
    return {
        "rule": 'SHA-256 of the canonical encoding of ["opencarrier/" + tag, *fields]',
        "derived": derived,
        "settlement": _settlement(settlement, cycle),
    }


def _derived(tag: str, identifier: Id, *fields: Value) -> dict[str, Any]:
    return {
        "tag": tag,
        "fields": _plain(fields),
        "hashed": to_hex(encode([f"opencarrier/{tag}", *fields])),
        "id": to_hex(identifier),
    }


def _settlement(identifier: Id, cycle: Id) -> dict[str, Any]:
    return {
        "rule": "keccak256(abi.encode(typehash, token, cycle_id, records_root, netting_mode,"
        " nets_hash, rewards_root, rewards_amount)), nets_hash = keccak256(abi.encode(uint256[])),"
        " a net being address << 96 | int96",
        "typehash": to_hex(ids.SETTLEMENT_TYPEHASH),
        "token": TOKEN,
        "cycle_id": to_hex(cycle),
        "records_root": to_hex(ROOT),
        "netting_mode": 2,
        "nets": [[net.address, net.amount_minor] for net in NETS],
        "nets_hash": to_hex(ids.nets_hash(NETS)),
        "rewards_root": to_hex(REWARDS_ROOT),
        "rewards_amount": 360_000,
        "id": to_hex(identifier),
    }


def _counters(counters: Counters) -> list[int]:
    return [counters.session_time_s, counters.octets_in, counters.octets_out]


MERKLE_DATA = tuple(bytes.fromhex(text) for text in (
    "", "00", "10", "2021", "3031", "40414243", "5051525354555657",
    "606162636465666768696a6b6c6d6e6f", "70", "71", "72", "73", "74",
))  # fmt: skip


def merkle() -> dict[str, Any]:
    """Make trees of every size up to thirteen, with every leaf's path."""
    return {
        "rule": "RFC 9162 section 2.1: SHA-256, leaves prefixed 0x00, nodes 0x01",
        "entries": [to_hex(data) for data in MERKLE_DATA],
        "leaf_hashes": [to_hex(leaf_hash(data)) for data in MERKLE_DATA],
        "trees": [_tree(size) for size in range(len(MERKLE_DATA) + 1)],
    }


def _tree(size: int) -> dict[str, Any]:
    tree = Tree([leaf_hash(data) for data in MERKLE_DATA[:size]])
    paths = [[to_hex(digest) for digest in tree.path(i).siblings] for i in range(size)]
    return {"size": size, "root": to_hex(tree.root), "paths": paths}


FILES = {"encoding.json": encoding, "ids.json": spine_ids, "merkle.json": merkle}


def text(name: str) -> str:
    """Return what a file must contain."""
    return json.dumps(FILES[name](), indent=1, ensure_ascii=True) + "\n"


if __name__ == "__main__":
    for file_name in FILES:
        (FOLDER / file_name).write_text(text(file_name), encoding="ascii")
