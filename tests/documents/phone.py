"""A phone that gets on at a node while a page is read: python -m tests.documents.phone NODE IMSI.

It knows what the page's reader laid out: `secret.txt`, `ki.hex`, `opc.hex` and the data folder.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

from opencarrier.access.wire.dictionary import AcctStatus
from opencarrier.app.system import SystemEntropy
from opencarrier.sim.eap_peer import AkaPrimePeer
from opencarrier.sim.radio import Attached, Radio, RadioSettings, Report
from opencarrier.sim.usim import Usim

OCTETS = 10_000_000
SECONDS = 60


async def visit(node: str, imsi: str) -> None:
    """Attach, use ten megabytes, leave."""
    data = Path(os.environ.get("OPENCARRIER_DATA", "opencarrier-data"))
    running = json.loads((data / "run.json").read_text())
    settings = RadioSettings(
        nas_identifier=node,
        secret=Path("secret.txt").read_text().strip().encode(),
        auth=("127.0.0.1", running["radius_port"]),
        acct=("127.0.0.1", running["acct_port"]),
    )
    k, opc = (bytes.fromhex(Path(name).read_text()) for name in ("ki.hex", "opc.hex"))
    radio = await Radio.open(settings, SystemEntropy())
    network = f"wlan.mnc{imsi[3:5]:0>3}.mcc{imsi[:3]}.3gppnetwork.org"
    got = await radio.attach(AkaPrimePeer(Usim(imsi=imsi, k=k, opc=opc), network))
    assert isinstance(got, Attached), got
    for status, seconds, octets in ((AcctStatus.START, 0, 0), (AcctStatus.STOP, SECONDS, OCTETS)):
        report = Report(
            status=status,
            acct_session_id="5F00A1B2",
            session_time_s=seconds,
            octets_in=0,
            octets_out=octets,
        )
        await radio.report(report, got)
    radio.close()


if __name__ == "__main__":
    asyncio.run(visit(*sys.argv[1:]))
