"""Webhooks to the TLS server of OpenSSL, a process of its own with certificates of its own."""

from __future__ import annotations

import asyncio
import shutil
import socket
import subprocess
from dataclasses import replace

import pytest
from tests.app.scene import scene

from opencarrier.app.courier import Courier
from opencarrier.webhooks.model import INSTALLATION, DeliveryState, Obstacle

OPENSSL = shutil.which("openssl")
NAME = "machine.example"
pytestmark = [
    pytest.mark.peer,
    pytest.mark.skipif(OPENSSL is None, reason="openssl is not installed"),
]


def openssl(folder, *words: str) -> None:
    subprocess.run([OPENSSL, *words], cwd=folder, check=True, capture_output=True, timeout=30)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("openssl")
    for name, more in (
        ("good", ("-addext", f"subjectAltName=DNS:{NAME}", "-days", "2")),
        ("other", ("-addext", "subjectAltName=DNS:other.example", "-days", "2")),
    ):
        openssl(
            made, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
            "-nodes", "-subj", "/CN=x", "-keyout", f"{name}.key", "-out", f"{name}.pem", *more,
        )  # fmt: skip
    return made


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    with scene(tmp_path_factory.mktemp("hooks"), webhook_networks="127.0.0.0/8") as made:
        yield made.place.base


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


@pytest.mark.parametrize(("shown", "trusted", "state", "obstacle"), [
    ("good", "good", DeliveryState.DELIVERED, None),
    ("other", "other", DeliveryState.WAITING, Obstacle.OTHER_NAME),
    ("good", "other", DeliveryState.WAITING, Obstacle.UNTRUSTED),
])  # fmt: skip
def test_a_server_of_openssl_is_believed_by_its_certificate(
    base, folder, monkeypatch, shown, trusted, state, obstacle
):
    port = free_port()
    files = ("-cert", f"{shown}.pem", "-key", f"{shown}.key")
    process = subprocess.Popen(
        [OPENSSL, "s_server", "-quiet", "-4", "-accept", f"127.0.0.1:{port}", *files],
        cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    monkeypatch.setattr(
        base, "settings", replace(base.settings, webhook_roots=str(folder / f"{trusted}.pem"))
    )

    async def resolve(host, port):
        return ["127.0.0.1"]

    with base.store.write() as unit:
        url = f"https://{NAME}:{port}/"
        made = base.webhooks.add(unit, INSTALLATION, url, (), plain=False).endpoint
        base.webhooks.ping(unit, made)
        attempt = base.webhooks.next(unit, made.endpoint)
    try:
        process.stdin.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        process.stdin.flush()
        asyncio.run(_listening(port))
        outcome = asyncio.run(Courier(base, resolve).send(attempt))
    finally:
        process.kill()
        heard, _ = process.communicate()
    with base.store.write() as unit:
        base.webhooks.tried(unit, attempt, outcome)
        (row,) = base.webhooks.deliveries(unit, made, before=None, limit=2)
        base.webhooks.remove(unit, made)
    assert (row.state, row.obstacle) == (state, obstacle)
    assert (attempt.message.body in heard) == (obstacle is None)


async def _listening(port: int) -> None:
    """Wait until somebody listens: what is in /proc says so without a connection."""
    wanted = f"0100007F:{port:04X}"
    for _ in range(200):
        with open("/proc/net/tcp") as lines:
            if any(wanted in line and " 0A " in line for line in lines):
                return
        await asyncio.sleep(0.05)
    raise AssertionError("openssl does not listen")
