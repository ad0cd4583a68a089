"""What each party is told of a netting: its own row, and the proof that all were told at once.

    row   encode(["opencarrier/party-row", party, asset, salt, mode, counterparty or null, net, rank
          or null, pays_in, gets_out, edges]), an edge [counterparty, rank or null, owes, owed,
          pays, gets]
    salt  HMAC-SHA256(the cycle's secret, encode(["row", party, asset]))

The rows' tree has the shape of RFC 9162 over all parties and assets, ascending. A party checks its
own edges with the ranks in its row; with a partner it compares the figures of their common edge. It
learns nobody else's corridors.
"""

from __future__ import annotations

import hmac
import json
import re
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from opencarrier.clearing.netting import OWED_WEIGHT, Edges, NettingMode, balances
from opencarrier.clearing.published import Published
from opencarrier.kernel.encoding import Value, encode
from opencarrier.kernel.merkle import Path as TreePath
from opencarrier.kernel.merkle import Tree, leaf_hash, root_from_path
from opencarrier.kernel.money import AssetId
from opencarrier.kernel.refusals import PeerError
from opencarrier.spine.parties import PartyId

ROW: Final = "row.json"
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")
Obligations = Mapping[AssetId, Edges]


def rows_of(owed: Obligations, netted: Mapping[AssetId, Published], secret: bytes) -> Tree:
    """Return the tree over every party's rows."""
    return Tree([leaf_hash(_leaf(row)) for row in _rows(owed, netted, secret)])


def write_rows(
    folder: Path, owed: Obligations, netted: Mapping[AssetId, Published], secret: bytes
) -> None:
    """Write each party's rows with their paths, into a folder of its own."""
    rows = _rows(owed, netted, secret)
    made = Tree([leaf_hash(_leaf(row)) for row in rows])
    by_party: defaultdict[PartyId, list[dict[str, Any]]] = defaultdict(list)
    for index, row in enumerate(rows):
        path = made.path(index)
        siblings = [sibling.hex() for sibling in path.siblings]
        proof = {"index": index, "size": path.size, "siblings": siblings}
        told = {**row, "salt": row["salt"].hex(), "proof": proof}
        by_party[row["party"]].append(told)
    for party, told_rows in by_party.items():
        place = party_folder(folder, party)
        place.mkdir(parents=True, exist_ok=True)
        place.joinpath(ROW).write_text(json.dumps(told_rows, indent=1) + "\n")


def party_folder(folder: Path, party: PartyId) -> Path:
    """Return a party's folder; `PeerError` where its id is no name for one."""
    if not _NAME.fullmatch(party):
        raise PeerError("party", f"{party!r} names no folder")
    return folder.joinpath(party)


def check_row(row: Mapping[str, Any], rows_root: bytes) -> str | None:
    """Say what is wrong with a row a party was given, None if nothing is: its own edges only."""
    try:
        told = {**row, "salt": bytes.fromhex(row["salt"])}
        proof = row["proof"]
        siblings = tuple(bytes.fromhex(item) for item in proof["siblings"])
        leaf = leaf_hash(_leaf(told))
        root = root_from_path(leaf, TreePath(proof["index"], proof["size"], siblings))
    except (KeyError, TypeError, ValueError) as error:
        return f"not a row: {error}"
    if root != rows_root:
        return "the row is not among those that were published"
    return _check_edges(row)


def _check_edges(row: Mapping[str, Any]) -> str | None:
    moved = row["gets_out"] - row["pays_in"]
    for partner, rank, owes, owed, pays, gets in row["edges"]:
        moved += gets - pays
        if row["mode"] == NettingMode.CCP:
            if (pays or gets) and row["counterparty"] not in (partner, row["party"]):
                return f"{partner} is no counterparty after novation"
            continue
        if not (0 <= pays <= owes and 0 <= gets <= owed):
            return f"more stays with {partner} than is owed"
        if row["mode"] == NettingMode.CIRCULAR:
            climb = rank - row["rank"]
            if _climbs_wrong(climb, owes, pays) or _climbs_wrong(-climb, owed, gets):
                return f"what stays with {partner} is not least"
    net = sum(owed - owes for _, _, owes, owed, _, _ in row["edges"])
    if row["net"] != net or moved != net:
        return f"the net is {net}, told {row['net']}, and {moved} moves"
    return None


def _climbs_wrong(climb: int, owed: int, stays: int) -> bool:
    return (stays > 0 and climb < OWED_WEIGHT) or (stays < owed and climb > OWED_WEIGHT)


def _leaf(row: Mapping[str, Any]) -> bytes:
    names = ("party", "asset", "salt", "mode", "counterparty", "net", "rank")
    fields: list[Value] = ["opencarrier/party-row", *(row[name] for name in names)]
    return encode([*fields, row["pays_in"], row["gets_out"], row["edges"]])


def _rows(
    owed: Obligations, netted: Mapping[AssetId, Published], secret: bytes
) -> list[dict[str, Any]]:
    return [
        row for asset in sorted(netted) for row in _asset_rows(asset, owed, netted[asset], secret)
    ]


def _asset_rows(
    asset: AssetId, owed: Obligations, told: Published, secret: bytes
) -> list[dict[str, Any]]:
    edges: defaultdict[PartyId, dict[PartyId, list[int]]] = defaultdict(dict)
    for place, flows in ((0, owed[asset]), (2, told.flows)):
        for (payer, payee), amount in flows.items():
            edges[payer].setdefault(payee, [0, 0, 0, 0])[place] += amount
            edges[payee].setdefault(payer, [0, 0, 0, 0])[place + 1] += amount
    nets = balances(owed[asset])
    return [
        {
            "party": party,
            "asset": asset,
            "salt": hmac.digest(secret, encode(["row", party, asset]), "sha256"),
            "mode": int(told.mode),
            "counterparty": told.counterparty,
            "net": nets.get(party, 0),
            "rank": told.ranks.get(party),
            "pays_in": told.paid_in.get(party, 0),
            "gets_out": told.paid_out.get(party, 0),
            "edges": [
                [partner, told.ranks.get(partner), *sums]
                for partner, sums in sorted(edges[party].items())
            ],
        }
        for party in sorted(edges)
    ]
