"""An authentication by EAP-TLS and EAP-TTLS/PAP: our server and FreeRADIUS on PostgreSQL.

The same devices come over UDP to each, as many at a time, with the same certificates and ciphers;
each server's processor time is its own and the database's. Ours asks policy, opens a hold and keeps
the authorisation; FreeRADIUS looks the user up and keeps one row of who was let in.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from opencarrier.app.system import SystemClock, SystemEntropy
from opencarrier.bench import freeradius, postgresql
from opencarrier.bench.processes import cpu_us
from opencarrier.bench.serving import (
    NODE,
    PASSWORD,
    REALM,
    SECRET,
    furnish,
    serving,
    station_of,
    user_of,
)
from opencarrier.identity.pki import issue
from opencarrier.identity.pki.model import DAY_S, Algorithm, Branch, Holder, Role, Wanted
from opencarrier.kernel.clock import SECOND_US
from opencarrier.kernel.refusals import Refusal
from opencarrier.sim.radio import Attached, Patience, Radio, RadioSettings
from opencarrier.sim.tls_peer import Login, TlsDevice, TlsPeer, Trust

PEOPLE = 32
"""How many devices come at the same time; each does so again and again."""

METHODS = (("eap_tls", "1.3"), ("eap_tls", "1.2"), ("eap_ttls_pap", "1.3"), ("eap_ttls_pap", "1.2"))
PATIENCE = Patience(first_s=4.0)
"""A loaded machine is slow; a repeat would be work that is not counted."""


@dataclass(frozen=True, slots=True)
class Certificates:
    """Whom both sides trust, the server's certificate and each person's."""

    anchors: bytes
    server: Holder
    devices: tuple[Holder, ...]

    def write(self, folder: Path) -> None:
        """Write what a server needs."""
        folder.mkdir(parents=True)
        (folder / "chain.pem").write_bytes(self.server.chain_pem)
        (folder / "key.pem").write_bytes(self.server.key_pem)
        (folder / "roots.pem").write_bytes(self.anchors)


def run(root: Path, attaches: int) -> dict[str, Any]:
    """Return microseconds of CPU per authentication, by method and server."""
    root.mkdir()
    figures: dict[str, Any] = {"attaches": attaches}
    certificates = federation()
    figures["sqlite_us"] = _ours(root / "sqlite", attaches, certificates, None)
    if postgresql.program("postgres") is None:
        return figures | {"postgresql": "not installed"}
    with postgresql.server(durable=True) as database:
        figures["postgresql_us"] = _ours(root / "postgresql", attaches, certificates, database)
        absent = freeradius.missing()
        if absent is not None:
            return figures | {"freeradius": f"{absent} is not installed"}
        theirs = _theirs(root / "freeradius", attaches, certificates, database)
    ours = figures["postgresql_us"]
    return figures | {
        "freeradius_postgresql_us": theirs,
        "postgresql_in_freeradius": {
            name: round(spent_us / theirs[name], 3) for name, spent_us in ours.items()
        },
    }


def _ours(
    folder: Path, attaches: int, certificates: Certificates, database: postgresql.Server | None
) -> dict[str, int]:
    url = "" if database is None else database.database()
    certificates.write(folder / "eap")
    theirs = [device.certificate_pem for device in certificates.devices]
    furnish(folder, url, people=PEOPLE, certificates=theirs)
    with serving("rooms", folder, url) as server:
        roots = [server.pid] + ([database.pid] if database else [])
        return _each(roots, server.ports["auth"], attaches, certificates)


def _theirs(
    folder: Path, attaches: int, certificates: Certificates, database: postgresql.Server
) -> dict[str, int]:
    url = database.database()
    freeradius.make_tables(url)
    users = {f"{user_of(number)}@{REALM}": PASSWORD for number in range(PEOPLE)}
    freeradius.add_users(url, users)
    certificates.write(folder / "eap")
    store = freeradius.Store(database.port, url.rpartition("/")[2])
    with freeradius.running(folder, store, secret=SECRET.decode()) as server:
        spent = _each([server.pid, database.pid], server.auth_port, attaches, certificates)
    assert freeradius.let_in(url) >= attaches * len(METHODS)
    return spent


def _each(
    roots: Sequence[int], port: int, attaches: int, certificates: Certificates
) -> dict[str, int]:
    spent = {}
    for method, version in METHODS:
        asyncio.run(_load(port, min(attaches, PEOPLE), method, version, certificates))  # warm
        before_us = sum(map(cpu_us, roots))
        asyncio.run(_load(port, attaches, method, version, certificates))
        used_us = sum(map(cpu_us, roots)) - before_us
        spent[f"{method}_{version}"] = max(1, used_us // attaches)
    return spent


async def _load(
    port: int, attaches: int, method: str, version: str, certificates: Certificates
) -> None:
    """Let each person attach again and again, none resuming what it had."""
    address = ("127.0.0.1", port)
    settings = RadioSettings(
        nas_identifier=NODE, secret=SECRET, auth=address, acct=address, patience=PATIENCE
    )
    radio = await Radio.open(settings, SystemEntropy())
    numbers = iter(range(attaches))

    async def person(number: int) -> None:
        for _ in numbers:
            outcome = await radio.attach(
                peer(number, method, version, certificates), station_of(number)
            )
            assert isinstance(outcome, Attached), outcome
            assert outcome.keys_match

    try:
        await asyncio.gather(*map(person, range(PEOPLE)))
        assert radio.retransmissions == 0, "a repeat is work that is not counted"
    finally:
        radio.close()


def peer(number: int, method: str, version: str, certificates: Certificates) -> TlsPeer:
    """Return a person's device at the beginning of an attempt."""
    name = f"{user_of(number)}@{REALM}"
    if method == "eap_tls":
        held = certificates.devices[number]
        trust = Trust(
            anchors=certificates.anchors, chain=held.chain_pem, key=held.key_pem, version=version
        )
        return TlsPeer(device=TlsDevice(trust), outer=name, entropy=SystemEntropy())
    login = Login(user_name=name, password=PASSWORD)
    device = TlsDevice(Trust(anchors=certificates.anchors, version=version))
    return TlsPeer(device=device, outer=name, entropy=SystemEntropy(), login=login)


def federation() -> Certificates:
    """Make a federation of its own, with EC keys throughout."""
    entropy = SystemEntropy()
    now_us = SystemClock().now_us() - DAY_S * SECOND_US
    branch = issue.branch(1, entropy=entropy, now_us=now_us, algorithm=Algorithm.EC)
    server = Wanted(role=Role.SERVER, common_name="aaa.bench", dns_names=("aaa.bench",))
    names = map(user_of, range(PEOPLE))
    devices = (
        Wanted(role=Role.SUBSCRIBER, common_name=name, nai=f"{name}@{REALM}") for name in names
    )
    return Certificates(
        branch.root.certificate_pem,
        _issued(branch, server, now_us),
        tuple(_issued(branch, device, now_us) for device in devices),
    )


def _issued(branch: Branch, wanted: Wanted, now_us: int) -> Holder:
    made = issue.issue(
        branch.issuing, wanted, algorithm=Algorithm.EC, entropy=SystemEntropy(), now_us=now_us
    )
    assert not isinstance(made, Refusal), made
    return made
