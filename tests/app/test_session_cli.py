"""`opencarrier session`: orders placed by command, kept for the process that brings them."""

from __future__ import annotations

import json
from pathlib import Path

from opencarrier.access.orders.model import Attach
from opencarrier.app.bootstrap import open_installation
from opencarrier.app.config import Settings
from opencarrier.app.folder import Folder

KNOWN, UNKNOWN = "ab" * 16, "cd" * 16


def test_orders_are_placed_once_by_command_and_shown(run, tmp_path: Path) -> None:
    folder = Folder(tmp_path / "data")
    base = open_installation(folder, Settings())
    attach = Attach(
        authorisation_id=bytes.fromhex(KNOWN),
        client_id="cafe",
        transport="udp",
        host="192.0.2.10",
        nas_identifier="cafe-1",
        acct_session_id="a1",
        cui="pseudonym",
        expires_us=base.clock.now_us() + 10**9,
    )
    with base.store.write() as unit:
        base.orders.attached(unit, [attach])
    base.close()
    data = ("--data", str(folder.root))
    run("session", "change", KNOWN, "--rate", "16000", "--or-end", "--reason", "free tier", *data)
    run("session", "end", KNOWN, "--reason", "fraud", *data)
    run("session", "end", KNOWN, *data)
    orders = json.loads(run("session", "orders", "--json", *data))["orders"]
    told = [(one["kind"], one["state"], one["reason"]) for one in orders]
    assert told == [("disconnect", "open", "fraud"), ("change", "replaced", "free tier")]
    assert "is not known" in run("session", "end", UNKNOWN, *data, code=1)
    assert "no authorisation" in run("session", "end", "abc", *data, code=2)
    assert "nothing is to change" in run("session", "change", KNOWN, *data, code=2)
    assert "1 to 64" in run("session", "end", KNOWN, "--reason", "", *data, code=2)
