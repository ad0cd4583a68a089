"""FreeRADIUS's `radclient` sends accounting and is answered."""

from __future__ import annotations

import asyncio
import shutil

import pytest
from tests.access.fakes import HOME, NAS, REALM, SECRET, Bench

from opencarrier.access.udp import Bind, UdpServer
from opencarrier.spine.usage import Counters, Status

RADCLIENT = shutil.which("radclient")
pytestmark = [
    pytest.mark.peer,
    pytest.mark.skipif(RADCLIENT is None, reason="radclient is not installed"),
]

SESSION = f"""
Acct-Session-Id = "5ebe12"
User-Name = "someone@{REALM}"
NAS-Identifier = "{NAS}"
"""


async def radclient(port: int, kind: str, packets: str, *, secret: str = SECRET.decode()) -> str:
    process = await asyncio.create_subprocess_exec(
        RADCLIENT or "",
        *("-x", "-r", "1", "-t", "2", f"127.0.0.1:{port}", kind, secret),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await asyncio.wait_for(process.communicate(packets.encode()), timeout=20)
    return output.decode()


async def test_accounting_is_answered_and_kept() -> None:
    bench = Bench()
    service = bench.service()
    server = UdpServer(service, Bind(auth_port=0, acct_port=0))
    await server.start()
    packets = (
        f"{SESSION}Acct-Status-Type = Start\n\n"
        f"{SESSION}Acct-Status-Type = Stop\nAcct-Session-Time = 60\nAcct-Input-Octets = 7\n"
        "Acct-Input-Gigawords = 0\nAcct-Output-Octets = 5\nAcct-Output-Gigawords = 2\n"
    )
    output = await radclient(server.acct_address[1], "acct", packets)
    await server.stop()
    assert output.count("Received Accounting-Response") == 2, output
    start, stop = sorted(bench.sink.observations, key=lambda o: o.status)
    assert (start.status, start.home, start.counters) == (Status.START, HOME, None)
    assert stop.counters == Counters(session_time_s=60, octets_in=7, octets_out=2 * 2**32 + 5)
    assert service.metrics.accounting_responses == 2


async def test_a_wrong_secret_is_not_answered() -> None:
    bench = Bench()
    service = bench.service()
    server = UdpServer(service, Bind(auth_port=0, acct_port=0))
    await server.start()
    output = await radclient(
        server.acct_address[1], "acct", f"{SESSION}Acct-Status-Type = Start\n", secret="wrong"
    )
    await server.stop()
    assert "Received" not in output
    assert service.metrics.as_mapping()["dropped"] == {"request_authenticator": 1}


async def test_the_server_says_that_it_is_there() -> None:
    server = UdpServer(Bench().service(), Bind(auth_port=0, acct_port=0))
    await server.start()
    status = "Message-Authenticator = 0x00\n"
    auth = await radclient(server.auth_address[1], "status", status)
    await server.stop()
    assert "Received Access-Accept" in auth, auth
