"""`opencarrier session`: orders placed by command, kept for the process that brings them."""

from __future__ import annotations

import json
from pathlib import Path

from opencarrier.access.orders.model import Attach
from opencarrier.app.bootstrap import open_installation
from opencarrier.app.config import Settings
from opencarrier.app.folder import Folder
from opencarrier.kernel.ids import derive, to_hex
from opencarrier.spine.access import Accepted, Offered, Quote
from opencarrier.spine.parties import PartyId

KNOWN, UNKNOWN = "ab" * 16, "cd" * 16
ACCEPTED = Accepted(
    authorisation_id=bytes.fromhex(KNOWN),
    home=PartyId("op_home"),
    visited=PartyId("op_here"),
    nas_identifier="cafe-1",
    offered=Offered(quote=Quote("USD", 900)),
    granted_us=1,
    expires_us=2,
    digest=derive("test/terms"),
)


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
        assert base.accepted.keep(unit, ACCEPTED)
    base.close()
    data = ("--data", str(folder.root))
    run("session", "change", KNOWN, "--rate", "16000", "--or-end", "--reason", "free tier", *data)
    run("session", "end", KNOWN, "--reason", "fraud", *data)
    run("session", "end", KNOWN, *data)
    orders = json.loads(run("session", "orders", "--json", *data))["orders"]
    told = [(one["kind"], one["state"], one["reason"]) for one in orders]
    assert told == [("disconnect", "open", "fraud"), ("change", "replaced", "free tier")]
    (terms,) = json.loads(run("session", "terms", "--json", *data))["terms"]
    assert (terms["currency"], terms["nano_per_kib"], terms["signature"]) == ("USD", 900, None)
    assert terms["digest"] == to_hex(ACCEPTED.digest)
    assert "is not known" in run("session", "end", UNKNOWN, *data, code=1)
    assert "no authorisation" in run("session", "end", "abc", *data, code=2)
    assert "nothing is to change" in run("session", "change", KNOWN, *data, code=2)
    assert "1 to 64" in run("session", "end", KNOWN, "--reason", "", *data, code=2)
