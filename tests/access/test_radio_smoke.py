from __future__ import annotations

from opencarrier.access.udp import Bind, UdpServer
from opencarrier.access.wire.dictionary import AcctStatus
from opencarrier.kernel.entropy import SeededEntropy
from opencarrier.sim.eap_peer import AkaPrimePeer
from opencarrier.sim.radio import Attached, Radio, RadioSettings, Report

from .fakes import NAS, REALM, SECRET, Bench, usim


async def test_a_phone_attaches_and_its_use_is_kept() -> None:
    bench = Bench()
    service = bench.service()
    server = UdpServer(service, Bind(auth_port=0, acct_port=0))
    await server.start()
    radio = await Radio.open(
        RadioSettings(
            nas_identifier=NAS, secret=SECRET, auth=server.auth_address, acct=server.acct_address
        ),
        SeededEntropy(2),
    )
    attached = await radio.attach(AkaPrimePeer(usim(), REALM))
    print(attached, service.metrics)
    assert isinstance(attached, Attached)
    assert attached.keys_match
    await radio.report(Report(status=AcctStatus.START, acct_session_id="a"), attached)
    await radio.report(
        Report(status=AcctStatus.STOP, acct_session_id="a", session_time_s=5), attached
    )
    print(bench.sink.observations, service.metrics)
    radio.close()
    await server.stop()
