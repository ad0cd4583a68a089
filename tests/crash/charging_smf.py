"""A consumer of Nchf that remembers what it was answered: python -m tests.crash.charging_smf DATA.

It goes on with the first request it has no answer to, as the one before it did.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from tests.app.charging_consumer import MIB, Consumer, asks, charging, used
from tests.app.scene import IMSI

from opencarrier.app.http_charging import BASE

MEMORY = "smf.json"
USED = 9 * MIB
"""What the whole story uses."""


def play(data: Path) -> list[dict[str, Any]]:
    """Create, update and release a session at the installation in a folder; return the answers."""
    memory = data / MEMORY
    told: list[dict[str, Any]] = json.loads(memory.read_text()) if memory.exists() else []
    with charging(data) as (made, client):
        consumer = Consumer(client, made, IMSI)
        for number in range(len(told), 3):
            status, body = consumer.post(*_request(consumer, number, told))
            path = consumer.answered.get("location", "").partition(BASE)[2]
            told.append({"status": status, "body": body, "path": path})
            memory.write_text(json.dumps(told))
    return told


def _request(consumer: Consumer, number: int, told: list[dict[str, Any]]) -> tuple[str, Any]:
    if number == 0:
        return "/chargingdata", consumer.body(0, asks())
    if number == 1:
        return f"{told[0]['path']}/update", consumer.body(1, used(MIB, 7 * MIB, more=5 * MIB))
    return f"{told[0]['path']}/release", consumer.body(2, used(0, MIB))


if __name__ == "__main__":
    play(Path(sys.argv[1]))
