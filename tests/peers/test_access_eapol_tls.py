"""Debian's unmodified `eapol_test` by EAP-TLS and EAP-TTLS, over UDP, with policy and hold.

TLS 1.2 and 1.3, EC and RSA chains, full and resumed: every time its link keys are ours. Whoever is
to be turned away is, also when a session would be resumed.
"""

from __future__ import annotations

import asyncio
import re
import shutil
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from tests.access.fakes import HOME, NAS, REALM, SECRET, SUBSCRIBER, Bench, FakeReason
from tests.access.tls import PASSWORD, USER, Pki, Source, material, pki

from opencarrier.access.model import AccessSettings
from opencarrier.access.service import AccessService
from opencarrier.access.udp import Bind, UdpServer
from opencarrier.access.wire.tls_material import TlsLimits
from opencarrier.access.wire.tls_tunnel import fingerprint
from opencarrier.identity.pki import issue
from opencarrier.identity.pki.model import DAY_S, Algorithm, Holder
from opencarrier.kernel.clock import SECOND_US, FixedClock
from opencarrier.kernel.refusals import Refusal
from opencarrier.spine.parties import Subscriber

EAPOL_TEST = shutil.which("eapol_test")
pytestmark = [
    pytest.mark.peer,
    pytest.mark.skipif(EAPOL_TEST is None, reason="eapol_test is not installed"),
]

NOW_US = time.time_ns() // 1_000
OTHER_US = NOW_US + 1
"""Of another federation: `pki` makes one per instant."""

SOMEBODY = Subscriber(party_id=SUBSCRIBER, home=HOME, plan_id="plan_1")
WAYS = ("tls", "pap", "mschapv2")


@dataclass(frozen=True)
class Run:
    succeeded: bool
    log: str

    def keys(self, right: int, wrong: int = 0) -> bool:
        return f"MPPE keys OK: {right}  mismatch: {wrong}" in self.log


@dataclass
class Place:
    """A running server and a folder for the program's files."""

    folder: Path
    world: Pki = field(default_factory=lambda: pki(Algorithm.EC, NOW_US))
    bench: Bench = field(default_factory=lambda: Bench(clock=FixedClock(NOW_US)))

    def __post_init__(self) -> None:
        self.source = Source(material(self.world))
        self.bench.tls = self.source
        self.bench.passwords.users[USER] = PASSWORD
        self.know(self.world.client)
        self.bench.directory.subscribers[USER] = SOMEBODY
        self.service: AccessService = self.bench.service()

    def know(self, holder: Holder) -> None:
        self.bench.directory.subscribers[fingerprint(holder.certificate)] = SOMEBODY

    async def run(self, way: str, version: str, *, again: int = 0, **changes: Any) -> Run:
        server = UdpServer(self.service, Bind(auth_port=0, acct_port=0))
        await server.start()
        try:
            return await self._run(server.auth_address[1], way, version, again, changes)
        finally:
            await server.stop()

    async def _run(
        self, port: int, way: str, version: str, again: int, changes: dict[str, Any]
    ) -> Run:
        config = self.folder / "eapol.conf"
        config.write_text(self.config(way, version, **changes))
        process = await asyncio.create_subprocess_exec(
            *(EAPOL_TEST or "", "-c", str(config), "-t", "10", "-r", str(again)),
            *("-N", f"32:s:{NAS}", "-N", "89:x:00"),
            *("-a", "127.0.0.1", "-p", str(port), "-s", SECRET.decode()),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        try:
            output, _ = await asyncio.wait_for(process.communicate(), timeout=60)
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        log = output.decode(errors="replace")
        return Run(process.returncode == 0 and log.rstrip().endswith("SUCCESS"), log)

    def config(
        self,
        way: str,
        version: str,
        *,
        holder: Holder | None = None,
        password: str = PASSWORD,
        user: str = USER,
        anchors: bytes = b"",
        fragment: int = 1_300,
        ocsp: int = 0,
    ) -> str:
        held, path = holder or self.world.client, self.folder
        (path / "ca.pem").write_bytes(anchors or self.world.anchors)
        (path / "chain.pem").write_bytes(held.chain_pem)
        (path / "key.pem").write_bytes(held.key_pem)
        lines = [
            'ssid="test"',
            "key_mgmt=WPA-EAP",
            f'ca_cert="{path / "ca.pem"}"',
            'domain_suffix_match="home.example"',
            f"fragment_size={fragment}",
            f"ocsp={ocsp}",
            f'phase1="tls_disable_tlsv1_3={int(version == "1.2")}"',
        ]
        if way == "tls":
            lines += ["eap=TLS", f'identity="anonymous@{REALM}"']
            lines += [f'client_cert="{path / "chain.pem"}"', f'private_key="{path / "key.pem"}"']
        else:
            lines += ["eap=TTLS", f'identity="{user}@{REALM}"', f'password="{password}"']
            lines += [f'anonymous_identity="anonymous@{REALM}"', f'phase2="auth={way.upper()}"']
        return "fast_reauth=1\nnetwork={\n" + "".join(f" {line}\n" for line in lines) + "}\n"


@pytest.mark.parametrize("algorithm", [Algorithm.EC, Algorithm.RSA])
@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize("way", WAYS)
async def test_let_in_and_resumed_with_matching_keys(
    way: str, version: str, algorithm: Algorithm, tmp_path: Path
) -> None:
    place = Place(tmp_path, pki(algorithm, NOW_US))
    run = await place.run(way, version, again=2)
    assert run.succeeded, run.log
    assert run.keys(3), run.log
    assert f"SSL: Using TLS version TLSv{version}" in run.log
    finished = re.findall("SSL: Handshake finished - resumed=([01])", run.log)
    full = finished.index("1")
    assert set(finished[:full]) == {"0"}
    assert set(finished[full:]) == {"1"}
    assert len(finished[full:]) % 2 == 0
    assert place.service.metrics.accepts == 3
    assert len(place.bench.policy.granted) == 3
    assert "Attribute 25 (Class)" in run.log
    assert "Attribute 89 (Chargeable-User-Identity)" in run.log


@pytest.mark.parametrize("version", ["1.2", "1.3"])
async def test_a_device_that_demands_a_stapled_response_gets_a_fresh_one(
    version: str, tmp_path: Path
) -> None:
    place = Place(tmp_path)
    world, made = place.world, place.source.material
    for ago_s, valid_s in ((60, 3_600), (7_200, 3_600)):
        response = issue.status_response(
            world.branch.issuing,
            world.server.certificate,
            None,
            now_us=NOW_US - ago_s * SECOND_US,
            valid_s=valid_s,
        )
        place.source.material = replace(made, staple=response.public_bytes(Encoding.DER))
        run = await place.run("tls", version, ocsp=2)
        assert run.succeeded is (ago_s < valid_s), run.log
        assert "OCSP" in run.log
    assert place.service.metrics.rejects == {"tls_alert": 1}
    assert (await place.run("tls", version, ocsp=1)).succeeded


@pytest.mark.parametrize("version", ["1.2", "1.3"])
async def test_a_wrong_password_and_a_stranger_are_turned_away(
    version: str, tmp_path: Path
) -> None:
    place = Place(tmp_path)
    for way in ("pap", "mschapv2"):
        for changes in ({"password": "guess"}, {"user": "nobody"}):
            run = await place.run(way, version, **changes)
            assert not run.succeeded
            assert run.keys(0, 1)
    assert place.service.metrics.rejects == {"password_wrong": 4}
    assert not place.bench.policy.granted
    assert "authentication_failed" in run.log


@pytest.mark.parametrize("version", ["1.2", "1.3"])
async def test_certificates_that_do_not_count_are_turned_away(version: str, tmp_path: Path) -> None:
    """Another federation's, an expired one, a revoked one, one that no subscriber has."""
    place, other = Place(tmp_path), pki(Algorithm.EC, OTHER_US)
    world = place.world
    gone, unknown = world.subscriber("gone"), world.subscriber("unknown")
    short = world.subscriber("short", valid_s=DAY_S)
    for holder in (gone, short, other.client):
        place.know(holder)
    place.source.material = replace(
        place.source.material, revocations=world.revocations(gone, valid_s=9 * DAY_S)
    )
    assert (await place.run("tls", version)).succeeded
    for holder in (gone, unknown, other.client):
        assert not (await place.run("tls", version, holder=holder)).succeeded
    place.bench.clock.set(NOW_US + 2 * DAY_S * SECOND_US)
    assert not (await place.run("tls", version, holder=short)).succeeded
    assert dict(place.service.metrics.rejects) == {
        "certificate_revoked": 1,
        "subscriber_unknown": 1,
        "certificate_untrusted": 1,
        "certificate_expired": 1,
    }
    assert len(place.bench.policy.granted) == 1


@pytest.mark.parametrize("version", ["1.2", "1.3"])
async def test_a_device_that_does_not_know_our_anchor_goes(version: str, tmp_path: Path) -> None:
    place = Place(tmp_path)
    run = await place.run("pap", version, anchors=pki(Algorithm.EC, OTHER_US).anchors)
    assert not run.succeeded
    assert dict(place.service.metrics.rejects) == {"tls_alert": 1}


@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize("way", WAYS)
async def test_what_was_revoked_in_between_is_not_resumed(
    way: str, version: str, tmp_path: Path
) -> None:
    """The first time let in, then no subscriber's any more: resumed by TLS, refused by the home."""
    place = Place(tmp_path)
    authorise = place.bench.policy.authorise

    def once(*asked: Any) -> Any:
        place.bench.directory.subscribers.clear()
        return authorise(*asked)

    place.bench.policy.authorise = once  # type: ignore[method-assign]
    run = await place.run(way, version, again=1)
    assert not run.succeeded
    assert run.keys(1, 1)
    assert "SSL: Handshake finished - resumed=1" in run.log
    assert dict(place.service.metrics.rejects) == {"subscriber_unknown": 1}
    assert len(place.bench.policy.granted) == 1


async def test_without_money_a_session_is_not_resumed(tmp_path: Path) -> None:
    place = Place(tmp_path)
    authorise = place.bench.policy.authorise

    def once(*asked: Any) -> Any:
        granted = authorise(*asked)
        place.bench.policy.refusal = Refusal(FakeReason.INSUFFICIENT_CREDIT)
        return granted

    place.bench.policy.authorise = once  # type: ignore[method-assign]
    run = await place.run("mschapv2", "1.3", again=1)
    assert run.keys(1, 1)
    assert dict(place.service.metrics.rejects) == {"insufficient_credit": 1}


async def test_small_fragments_both_ways(tmp_path: Path) -> None:
    """Server and program cut at about 200 octets: many rounds, the same keys."""
    place = Place(tmp_path, pki(Algorithm.RSA, NOW_US))
    place.bench.settings = AccessSettings(tls=TlsLimits(fragment_octets=200))
    place.service = place.bench.service()
    run = await place.run("tls", "1.3", fragment=200)
    assert run.succeeded, run.log
    assert run.keys(1)
    assert place.service.metrics.challenges > 20
