"""RadSec as the settings have it: off without certificates, beside UDP with them, and shown."""

from __future__ import annotations

import socket
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from tests.access.radsec import ENTROPY, Pki, until

from opencarrier.access.hub.backward import WayBack
from opencarrier.access.model import Metrics
from opencarrier.access.radsec.client import RadsecServerAt, RadsecUpstream
from opencarrier.access.radsec.trust import Trust
from opencarrier.access.upstream.model import Reply
from opencarrier.access.wire.dictionary import Code
from opencarrier.app.bootstrap import Installation, open_installation
from opencarrier.app.config import Settings
from opencarrier.app.folder import Folder, FolderError
from opencarrier.app.listening import Radius
from opencarrier.app.metrics import exposition
from opencarrier.app.radsec_trust import trust_of
from opencarrier.app.system import SystemClock
from opencarrier.spine.parties import Operator
from opencarrier.usage.model import Totals

NOTHING = Totals(
    sessions=0,
    sessions_open=0,
    observations=0,
    observations_pending=0,
    usages=0,
    cuts=0,
    estimated=False,
)
PORTS = Settings(radius_port=0, acct_port=0, radsec_port=0)


def with_settings(base: Installation, **named: object) -> Installation:
    base.settings = replace(PORTS, **named)  # type: ignore[arg-type]
    return base


async def test_radsec_is_on_with_certificates_and_who_is_connected_is_shown(tmp_path: Path) -> None:
    pki = Pki(tmp_path, roots=1)
    pki.files(pki.end("aaa", dns_names=("aaa.home.example",)), "server")
    peer = pki.files(pki.end("hub", dns_names=("hub.example",)), "peer")
    base = open_installation(Folder(tmp_path / "data"), PORTS)
    with base.store.write() as unit:
        operator = base.identity.register.add_operator(unit, name="Lumen", jurisdiction="FR")
        assert isinstance(operator, Operator)
        base.identity.clients.add(unit, prefix="dns:hub.example", operator=operator.party_id)
    assert trust_of(with_settings(base)) is None
    with pytest.raises(FolderError, match="radsec_key and radsec_roots"):
        trust_of(with_settings(base, radsec_chain="../server.pem"))
    named = {
        "radsec_chain": "../server.pem",
        "radsec_key": "../server.key",
        "radsec_roots": "../roots.pem",
    }
    with pytest.raises(FolderError, match="RadSec certificates"):
        trust_of(with_settings(base, **named | {"radsec_key": "../peer.key"}))
    trust = trust_of(with_settings(base, **named))
    radius = Radius(base, base.access(), trust)
    await radius.start()
    assert radius.radsec is not None
    upstream = RadsecUpstream(
        "home",
        RadsecServerAt(host="127.0.0.1", port=radius.radsec.address[1]),
        Trust(peer),
        clock=SystemClock(),
        entropy=ENTROPY,
    )
    assert isinstance(await upstream.request(Code.STATUS_SERVER, []), Reply)
    (line,) = radius.lines()
    assert (line["peer"], line["certificate"]) == ("dns:hub.example", "hub.example")
    await upstream.stop()
    await until(lambda: not radius.lines())
    eap = Counter({"tls resumed": 2, "ttls password_wrong": 1})
    told = exposition(Metrics(eap=eap, tls_open=3), NOTHING, None, radius.counters())
    assert 'opencarrier_eap_outcomes_total{method="tls",outcome="resumed"} 2\n' in told
    assert "opencarrier_tls_open 3\n" in told
    assert "opencarrier_tls_displaced_total 0\n" in told
    assert "opencarrier_radsec_connections_total 1\n" in told
    assert 'opencarrier_radsec_closed_total{reason="peer_closed"} 1\n' in told
    await radius.stop()
    with socket.socket(type=socket.SOCK_DGRAM) as udp:
        udp.bind(("127.0.0.1", 0))
        at = udp.getsockname()[1]
        ordered = with_settings(base, orders_port=at)
        second = Radius(ordered, base.access(), None, WayBack(ENTROPY))
        with pytest.raises(FolderError, match="Disconnect and CoA on"):
            await second.start()
    third = Radius(ordered, base.access(), None, WayBack(ENTROPY))
    await third.start()
    assert third.incoming is not None
    assert third.incoming.address == ("127.0.0.1", at)
    await third.stop()
    assert radius.incoming is None, "off unless it is set"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        settings = {**named, "radsec_port": taken.getsockname()[1]}
        second = Radius(with_settings(base, **settings), base.access(), trust)
        with pytest.raises(FolderError, match="RadSec on"):
            await second.start()
    base.close()
