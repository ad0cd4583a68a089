"""What agreements tolerate, as a CSV: visited, home, volume_ppm, duration_ppm, duration_s."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from opencarrier.kernel.refusals import PeerError
from opencarrier.spine.parties import PartyId
from opencarrier.usage.matching import PPM, Tolerance, Tolerances

ROWS_MAX: Final = 1_000_000
_BOUNDS: Final = {"volume_ppm": PPM, "duration_ppm": PPM, "duration_s": 10**6}
_COLUMNS: Final = ("visited", "home", *_BOUNDS)


def read_tolerances(path: Path) -> Tolerances:
    """Read a pair's tolerances a line; `PeerError` names the line that is none, or a pair twice."""
    told: dict[tuple[PartyId, PartyId | None], Tolerance] = {}
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        if tuple(reader.fieldnames or ()) != _COLUMNS:
            raise PeerError("tolerances", f"the columns are {', '.join(_COLUMNS)}")
        for row in reader:
            pair = (PartyId(row["visited"] or ""), PartyId(row["home"] or ""))
            if not all(pair) or None in row or pair in told or len(told) == ROWS_MAX:
                raise PeerError("tolerances", f"line {reader.line_num}: one line a pair")
            told[pair] = Tolerance(**_figures(row, reader.line_num))
    return told


def _figures(row: Mapping[str, str | None], line: int) -> dict[str, int]:
    figures = {name: _figure(row[name] or "", most) for name, most in _BOUNDS.items()}
    wrong = [name for name, value in figures.items() if value is None]
    if wrong:
        name = wrong[0]
        raise PeerError("tolerances", f"line {line}: {name} is 0 to {_BOUNDS[name]}")
    return {name: value for name, value in figures.items() if value is not None}


def _figure(text: str, most: int) -> int | None:
    digits = text.isascii() and text.isdigit() and len(text) <= len(str(most))
    return int(text) if digits and int(text) <= most else None
