"""Webhooks over TLS against servers of the standard library, with certificates of every kind."""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from standardwebhooks import Webhook
from tests.app.scene import scene

from opencarrier.app.bootstrap.installation import Real
from opencarrier.app.config import ConfigError
from opencarrier.app.courier import Courier, trust_in
from opencarrier.kernel.clock import SECOND_US, FixedClock
from opencarrier.webhooks.model import INSTALLATION, DeliveryState, Obstacle

NAME = "machine.example"
NOW = datetime.now(UTC)
DAY = timedelta(days=1)


class Authority:
    """Issues certificates; `root` is its own."""

    def __init__(self, folder, name: str) -> None:
        self.folder, self.key = folder, ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.made = self._made(self.name, self.key, NOW + DAY, is_root=True)
        self.root = folder / f"{name}.pem"
        self.root.write_bytes(self.made.public_bytes(Encoding.PEM))

    def server(self, *names: str, until: datetime = NOW + DAY) -> ssl.SSLContext:
        """Return what a server with a certificate for these names shows."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
        made = self._made(subject, key, until, names=names)
        pem = self.folder / "server.pem"
        secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        pem.write_bytes(made.public_bytes(Encoding.PEM) + secret)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pem)
        return context

    def _made(self, subject, key, until, *, names=(), is_root=False):
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(NOW - 3 * DAY)
            .not_valid_after(until)
            .add_extension(x509.BasicConstraints(ca=is_root, path_length=None), critical=True)
        )
        if names:
            known = [
                x509.IPAddress(IPv4Address(one)) if one[0].isdigit() else x509.DNSName(one)
                for one in names
            ]
            builder = builder.add_extension(x509.SubjectAlternativeName(known), critical=False)
        return builder.sign(self.key, SHA256())


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    with scene(tmp_path_factory.mktemp("tls"), webhook_networks="127.0.0.0/8") as made:
        now_us = int(datetime.now(UTC).timestamp()) * SECOND_US  # a signature is of now
        made.place.base.real = Real(FixedClock(now_us), made.place.base.entropy)
        yield made.place.base


@pytest.fixture(scope="module")
def authorities(tmp_path_factory):
    folder = tmp_path_factory.mktemp("authorities")
    return Authority(folder, "ours"), Authority(folder, "others")


async def sent(base, context, *, roots, answer=b"HTTP/1.1 204 No Content\r\n\r\n", host=NAME):
    """Send a ping to a server over TLS; return how it stands, the secret, and what was heard."""
    heard = []

    async def serve(reader, writer):
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = dict(line.split(": ", 1) for line in head[1:] if line)
        heard.append((headers, await reader.readexactly(int(headers["Content-Length"]))))
        writer.write(answer)
        await writer.drain()
        writer.close()

    async def resolve(host, port):
        return ["127.0.0.1"]

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    with base.store.write() as unit:
        url = f"https://{host}:{port}/in"
        shown = base.webhooks.add(unit, INSTALLATION, url, (), plain=False)
        base.webhooks.ping(unit, shown.endpoint)
        attempt = base.webhooks.next(unit, shown.endpoint.endpoint)
    before, base.settings = base.settings, replace(base.settings, webhook_roots=str(roots))
    try:
        outcome = await Courier(base, resolve).send(attempt)
    finally:
        base.settings = before
        server.close()
    with base.store.write() as unit:
        base.webhooks.tried(unit, attempt, outcome)
        (row,) = base.webhooks.deliveries(unit, shown.endpoint, before=None, limit=2)
        base.webhooks.remove(unit, shown.endpoint)
    return row, shown.secret, heard


@pytest.mark.parametrize("host", [NAME, "127.0.0.1"])
async def test_who_shows_a_good_certificate_of_a_root_we_named_hears(base, authorities, host):
    ours, _ = authorities
    row, secret, heard = await sent(base, ours.server(host), roots=ours.root, host=host)
    assert (row.state, row.status, row.obstacle) == (DeliveryState.DELIVERED, 204, None)
    ((headers, body),) = heard
    assert Webhook(secret).verify(body, headers)["type"] == "ping"


@pytest.mark.parametrize(("names", "until", "signed_by", "obstacle", "says"), [
    (["other.example"], NOW + DAY, 0, Obstacle.OTHER_NAME, "mismatch"),
    (["10.0.0.1"], NOW + DAY, 0, Obstacle.OTHER_NAME, "mismatch"),
    ([NAME], NOW - DAY, 0, Obstacle.EXPIRED, "expired"),
    ([NAME], NOW + DAY, 1, Obstacle.UNTRUSTED, "issuer certificate"),
])  # fmt: skip
async def test_who_shows_another_hears_nothing_and_is_tried_again(
    base, authorities, names, until, signed_by, obstacle, says
):
    """The request, with what it tells, is not sent before the certificate was believed."""
    context = authorities[signed_by].server(*names, until=until)
    row, _, heard = await sent(base, context, roots=authorities[0].root)
    assert heard == []
    assert (row.state, row.status, row.obstacle) == (DeliveryState.WAITING, 0, obstacle)
    assert says in row.answer
    assert row.next_us > row.tried_us


async def test_a_server_elsewhere_that_it_names_is_not_followed(base, authorities):
    ours, _ = authorities
    answer = b"HTTP/1.1 307 Moved\r\nLocation: https://elsewhere.example/\r\n\r\n"
    row, _, heard = await sent(base, ours.server(NAME), roots=ours.root, answer=answer)
    assert len(heard) == 1
    assert (row.state, row.status, row.obstacle) == (
        DeliveryState.WAITING, 307, Obstacle.REDIRECTED,
    )  # fmt: skip


def test_a_file_without_roots_is_told(base, tmp_path):
    for text in (None, "no certificate"):
        path = tmp_path / "roots.pem"
        if text is not None:
            path.write_text(text)
        with pytest.raises(ConfigError, match="webhook_roots"):
            trust_in(replace(base.settings, webhook_roots=str(path)))
