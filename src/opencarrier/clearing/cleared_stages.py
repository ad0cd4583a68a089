"""What a cleared month knows of where money stands: netted in a cycle, in its root, booked."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from opencarrier.clearing.month import REPORT
from opencarrier.clearing.month_ledger import hold_of
from opencarrier.clearing.netting import NettingMode
from opencarrier.clearing.placed_positions import ClearedRecords, RecordPlace
from opencarrier.clearing.tree import root_of_leaf
from opencarrier.kernel.ids import Id, to_hex
from opencarrier.kernel.refusals import PeerError
from opencarrier.spine.stages import Stage, StageReason, Step
from opencarrier.spine.usage import Rung


class ClearedStages:
    """Answers the port `Stages` for usages of a cleared month; a use without money has nothing.

    Each path is climbed to the root that was published: `PeerError` where it leads elsewhere.
    """

    def __init__(self, cleared: Path) -> None:
        self._cleared = cleared
        self._is_there = cleared.joinpath(REPORT).exists()

    def steps(self, unit: object, about: Sequence[Id]) -> Sequence[Step]:
        """Return in which position usages were netted and where their leaves stand."""
        if not self._is_there:
            return []
        with ClearedRecords(self._cleared) as records:
            places = [(usage_id, records.find(usage_id)) for usage_id in about]
            return [
                step
                for usage_id, place in places
                if place is not None
                for step in self._placed(records, usage_id, place)
            ]

    @cached_property
    def _report(self) -> Mapping[str, Any]:
        told: Mapping[str, Any] = json.loads(self._cleared.joinpath(REPORT).read_text())
        return told

    @cached_property
    def _stays(self) -> Mapping[tuple[str, str, str], int]:
        """What of each obligation netting left, by asset, debtor and creditor."""
        told = json.loads(self._cleared.joinpath("flows.json").read_text())
        return {
            (asset, payer, payee): amount
            for asset, netted in told.items()
            for payer, payee, amount in netted["flows"]
        }

    def _placed(self, records: ClearedRecords, usage_id: Id, place: RecordPlace) -> Iterator[Step]:
        row = place.position
        yield self._netted(usage_id, row)
        yield self._in_root(records, usage_id, place)
        hold = hold_of(self._cleared, Id(row["position_id"]))
        if hold is not None:
            yield Step(
                stage=Stage.SETTLED,
                reason=StageReason.BOOKED.name.lower(),
                about=usage_id,
                at_us=hold.booked.at_us,
                facts={
                    "transfer_id": to_hex(hold.booked.transfer.transfer_id),
                    "hold": hold.state.name.lower(),
                    "position_minor": hold.booked.transfer.amount_minor,
                },
            )

    def _netted(self, usage_id: Id, row: Mapping[str, Any]) -> Step:
        mode = self._report["assets"][row["asset"]]["mode"]
        stays = self._stays.get((row["asset"], row["debtor"], row["creditor"]), 0)
        return Step(
            stage=Stage.NETTED,
            reason=StageReason.TAKEN_BY_CYCLE.name.lower(),
            about=usage_id,
            facts={
                "position_id": to_hex(row["position_id"]),
                "cycle_id": to_hex(row["cycle_id"]),
                "debtor": row["debtor"],
                "creditor": row["creditor"],
                "asset": row["asset"],
                "position_minor": int(row["amount_minor"]),
                "rung": Rung(row["rung"]).name.lower(),
                "mode": mode,
                "stays_minor": None if mode == NettingMode.CCP.name.lower() else stays,
            },
        )

    def _in_root(self, records: ClearedRecords, usage_id: Id, place: RecordPlace) -> Step:
        leaf, path = records.leaf(place), records.path(place)
        root = root_of_leaf(leaf, path)
        if root is None or to_hex(root) != self._report["records_root"]:
            raise PeerError("records_root", f"the path of {to_hex(usage_id)} leads elsewhere")
        return Step(
            stage=Stage.IN_ROOT,
            reason=StageReason.LEAF_OF_CYCLE.name.lower(),
            about=usage_id,
            facts={
                "leaf_index": place.leaf,
                "leaf_hash": to_hex(leaf),
                "pair_root": to_hex(place.position["pair_root"]),
                "jurisdiction": path.jurisdiction,
                "jurisdiction_root": to_hex(records.jurisdiction_roots[path.jurisdiction]),
                "records_root": to_hex(root),
            },
        )
