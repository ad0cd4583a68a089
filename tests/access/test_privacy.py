"""Encrypted identities at the running server: its keys come and go, and no IMSI is on the wire."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from sqlalchemy import Connection
from tests.access.fakes import IMSI, REALM, Bench, FakeMonotonic, FakeUnits, usim
from tests.access.test_radio import running

from opencarrier.access.privacy import TTL_S, PrivacyCache
from opencarrier.sim.eap_peer import AkaPeer, PeerMemory, PrivacyKey
from opencarrier.sim.radio import Attached, Rejected


@cache
def key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


class Keys:
    def __init__(self) -> None:
        self.held: dict[str, bytes] = {}
        self.asked = 0

    def make(self) -> None:
        pkcs8 = key().private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
        self.held["key=1"] = pkcs8

    def private_keys(self, unit: Connection) -> Mapping[str, bytes]:
        self.asked += 1
        return self.held


def test_a_key_is_known_within_seconds_and_gone_as_soon() -> None:
    source, now = Keys(), FakeMonotonic()
    cache = PrivacyCache(source, FakeUnits().read, monotonic=now)
    permanent = f"6{IMSI}@{REALM}"
    shown = PrivacyKey(key().public_key(), "key=1").encrypt(permanent)
    assert cache.open(shown) is None
    source.make()
    assert cache.open(shown) is None
    now.now_s += TTL_S
    assert cache.open(shown) == cache.open(shown) == permanent.encode()
    source.held.clear()
    now.now_s += TTL_S
    assert cache.open(shown) is None
    assert source.asked == 3


async def test_a_phone_that_has_the_key_never_shows_its_imsi() -> None:
    bench = Bench(privacy=Keys())
    bench.privacy.make()
    memory = PeerMemory()
    async with running(bench) as (service, radio):
        heard: list[bytes] = []
        receive = service.receive

        def listen(origin: object, datagram: bytes) -> None:
            heard.append(datagram)
            receive(origin, datagram)  # type: ignore[arg-type]

        service.receive = listen  # type: ignore[method-assign]
        for _ in range(3):
            privacy = PrivacyKey(key().public_key(), "key=1")
            peer = AkaPeer(usim_once(), REALM, memory=memory, privacy=privacy)
            attached = await radio.attach(peer)
            assert isinstance(attached, Attached)
            assert attached.keys_match
        stranger = PrivacyKey(key().public_key(), "key=2")
        turned = await radio.attach(AkaPeer(usim_once(), REALM, privacy=stranger))
        assert turned == Rejected(reason="authentication_failed")
    assert heard
    assert not any(IMSI.encode() in datagram for datagram in heard)
    assert bench.vectors.made == 1


@cache
def usim_once():  # type: ignore[no-untyped-def]
    return usim()
