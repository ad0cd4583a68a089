"""The OCSP response a server staples: while it is fresh, of its own certificate, and good."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from OpenSSL import SSL
from tests.access.tls import PASSWORD, TLS_REALM, USER, Pki, Scene, Source, material, pki

from opencarrier.access.wire import eap
from opencarrier.identity.pki import issue
from opencarrier.identity.pki.model import Holder, Revoked
from opencarrier.kernel.clock import SECOND_US
from opencarrier.sim.tls_peer import Login

PAP = Login(user_name=USER, password=PASSWORD)


def status_of(world: Pki, holder: Holder, *, ago_s: int = 0, gone: bool = False) -> bytes:
    """An OCSP response that holds for an hour, from some seconds before now."""
    taken_back = Revoked(holder.certificate.serial_number, world.now_us) if gone else None
    response = issue.status_response(
        world.branch.issuing,
        holder.certificate,
        taken_back,
        now_us=world.now_us - ago_s * SECOND_US,
        valid_s=3_600,
    )
    return response.public_bytes(Encoding.DER)


def stapled(scene: Scene, version: str) -> bytes:
    """What a client that asks for it is told of the server's certificate, over plain OpenSSL."""
    heard: list[bytes] = []
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    wanted = SSL.TLS1_2_VERSION if version == "1.2" else SSL.TLS1_3_VERSION
    context.set_min_proto_version(wanted)
    context.set_max_proto_version(wanted)
    context.set_ocsp_client_callback(lambda _, octets, data: heard.append(octets) or True)
    client = SSL.Connection(context, None)
    client.set_connect_state()
    client.request_ocsp()
    tunnel = None
    while not heard:
        with suppress(SSL.WantReadError):
            client.do_handshake()
        flight = client.bio_read(16_384)
        tunnel = tunnel or scene.server.open(eap.EapType.TTLS, TLS_REALM, "c", flight)
        tunnel.feed(flight)
        client.bio_write(tunnel.pending())
    scene.server.close(tunnel)
    return heard[0]


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_a_fresh_response_is_stapled_and_no_other(version: str) -> None:
    world = pki()
    good = status_of(world, world.server)
    scene = Scene(source=Source(replace(material(world), staple=good)))
    assert stapled(scene, version) == good
    scene.later(3_600)
    assert stapled(scene, version) == b""
    for useless in (
        b"",
        b"no DER",
        good[:-1],
        status_of(world, world.client),
        status_of(world, world.server, gone=True),
        status_of(world, world.server, ago_s=3_600),
        status_of(world, world.server, ago_s=-60),
    ):
        scene = Scene(source=Source(replace(material(world), staple=useless)))
        assert stapled(scene, version) == b""


def test_another_response_to_staple_ends_no_resumption() -> None:
    scene = Scene()
    known = scene.plain_device()
    scene.attempt(known, PAP)
    fresh = status_of(scene.world, scene.world.server)
    scene.source.material = replace(scene.source.material, staple=fresh)
    assert scene.attempt(known, PAP).peer.resumed
    assert stapled(scene, "1.3") == fresh
