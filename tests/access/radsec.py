"""A federation's certificates on disk, and both ends of RadSec connections around the bench."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding

from opencarrier.access.radsec.trust import TrustFiles
from opencarrier.access.wire.authenticators import check_response
from opencarrier.access.wire.radius import Packet, parse
from opencarrier.app.system import SystemClock, SystemEntropy
from opencarrier.identity.pki import issue
from opencarrier.identity.pki.model import Algorithm, Federation, Holder, Revoked, Role, Wanted
from opencarrier.kernel.clock import SECOND_US
from opencarrier.spine.parties import RadiusClient

SECRET = b"radsec"
ENTROPY = SystemEntropy()
LATER_S = 86_400


class Pki:
    """One federation in a folder; each end's chain and key are files that TLS can load."""

    def __init__(self, folder: Path, *, roots: int = 2) -> None:
        self.folder = folder
        self.now_us = SystemClock().now_us()
        self.federation: Federation = issue.federation(
            entropy=ENTROPY, now_us=self.now_us, roots=roots
        )
        self.roots = folder / "roots.pem"
        self.roots.write_bytes(self.federation.trust_pem)

    def end(
        self,
        name: str,
        *,
        branch: int = 0,
        role: Role = Role.COMBINED,
        ago_s: int = 0,
        **names: Any,
    ) -> Holder:
        """Issue a certificate, valid for a day from `ago_s` seconds before now."""
        wanted = Wanted(role=role, common_name=name, valid_s=LATER_S, **names)
        made = issue.issue(
            self.federation.branches[branch].issuing,
            wanted,
            algorithm=Algorithm.EC,
            entropy=ENTROPY,
            now_us=self.now_us - ago_s * SECOND_US,
        )
        assert isinstance(made, Holder), made
        return made

    def files(self, holder: Holder, name: str, *, lists: bool = False) -> TrustFiles:
        """Write an end's files, over those it had."""
        chain, key = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        chain.write_bytes(holder.chain_pem)
        key.write_bytes(holder.key_pem)
        return TrustFiles(
            chain=chain, key=key, roots=self.roots, lists=self.lists() if lists else None
        )

    def lists(self, *revoked: Holder) -> Path:
        """Write every authority's list; each issuing one's has what is revoked of it."""
        octets = b""
        for branch in self.federation.branches:
            for authority in branch.authorities:
                entries = [
                    Revoked(one.certificate.serial_number, self.now_us)
                    for one in revoked
                    if one.issuer is authority
                ]
                octets += issue.revocation_list(
                    authority, entries, number=1, now_us=self.now_us, valid_s=LATER_S
                ).public_bytes(Encoding.PEM)
        path = self.folder / "lists.pem"
        path.write_bytes(octets)
        return path

    def context(
        self, files: TrustFiles | None, *, version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3
    ) -> ssl.SSLContext:
        """A plain client of the standard library, not ours."""
        context = ssl.create_default_context(cafile=str(self.roots))
        context.check_hostname = False
        context.minimum_version = context.maximum_version = version
        if files is not None:
            context.load_cert_chain(files.chain, files.key)
        return context


class Dialled:
    """A stream to a RadSec server, in packets."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def to(cls, address: tuple[str, int], context: ssl.SSLContext) -> Dialled:
        return cls(*await asyncio.open_connection(*address, ssl=context))

    async def packet(self) -> bytes:
        async with asyncio.timeout(10):
            head = await self.reader.readexactly(4)
            return head + await self.reader.readexactly(int.from_bytes(head[2:], "big") - 4)

    async def ask(self, octets: bytes) -> Packet:
        self.writer.write(octets)
        reply = await self.packet()
        packet = parse(reply)
        check_response(reply, packet, SECRET, octets[4:20])
        return packet

    async def is_closed(self) -> bool:
        """Whether the server ends it; whatever else it sends first is read."""
        try:
            async with asyncio.timeout(10):
                while await self.reader.read(65_536):
                    pass
        except (ConnectionError, ssl.SSLError):
            return True
        except TimeoutError:
            return False
        return True

    def close(self) -> None:
        self.writer.transport.abort()


@contextmanager
def raising_nothing() -> Iterator[list[dict[str, Any]]]:
    """No task or callback of the loop may end in an exception nobody took."""
    found: list[dict[str, Any]] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: found.append(context))
    yield found
    assert not found, found


async def until(condition: Callable[[], bool]) -> None:
    for _ in range(1000):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it never came to that")


def known_as(prefix: str, operator: Any, client_id: str = "peer") -> RadiusClient:
    return RadiusClient(client_id=client_id, prefix=prefix, secret=SECRET, operator=operator)
