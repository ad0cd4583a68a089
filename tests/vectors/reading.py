"""Read the published vectors the way another implementation would."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent


def load(name: str) -> Any:
    """Return a vector file's content."""
    return json.loads((FOLDER / name).read_text(encoding="ascii"))


def value_of(plain: Any) -> Any:
    """Undo the notation of `encoding.json` for octets and large integers."""
    if isinstance(plain, list):
        return [value_of(item) for item in plain]
    if not isinstance(plain, dict):
        return plain
    if set(plain) == {"$octets"}:
        return bytes.fromhex(plain["$octets"][2:])
    if set(plain) == {"$integer"}:
        return int(plain["$integer"])
    return {key: value_of(item) for key, item in plain.items()}
