"""RADIUS answers before what it does not need is loaded."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from tests.app.scene import scene, taken

from opencarrier.access.wire.authenticators import accounting_request
from opencarrier.access.wire.dictionary import AcctStatus, Code, Type
from opencarrier.access.wire.radius import integer, text
from opencarrier.app import daemon

SECRET = b"a secret of this test"


async def test_accounting_is_acknowledged_while_http_is_being_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[bytes] = []
    load = daemon._loaded

    def loaded(place, radius, *more):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as access_point:
            access_point.settimeout(30)
            access_point.sendto(report, radius.udp.acct_address)
            heard.append(access_point.recv(4096))
        return load(place, radius, *more)

    monkeypatch.setattr(daemon, "_loaded", loaded)
    with scene(tmp_path, radius_port=0, acct_port=0, http_port=0) as made:
        base = made.place.base
        with base.store.write() as unit:
            operator = made.visited.party_id
            taken(
                base.identity.clients.add(
                    unit, prefix="127.0.0.1/32", secret=SECRET, operator=operator
                )
            )
        report = accounting_request(
            7,
            [
                integer(Type.ACCT_STATUS_TYPE, AcctStatus.START),
                text(Type.ACCT_SESSION_ID, "s"),
                text(Type.NAS_IDENTIFIER, made.node.nas_identifier),
            ],
            SECRET,
        )
        async with daemon.serving(made.place) as served:
            assert served.web.radius is not None
    ((code, identifier, *_),) = heard
    assert (code, identifier) == (Code.ACCOUNTING_RESPONSE, 7)
