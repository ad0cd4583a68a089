"""A name server for tests and the demo: one zone in a mapping, over UDP and TCP on loopback."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset

LOOPBACK = "127.0.0.1"
PAYLOAD_OCTETS = 512
"""What fits a datagram where the query says nothing (RFC 1035 section 2.3.4)."""

Records = Mapping[tuple[str, str], Sequence[str]]
"""By name and type, records as a zone file writes them: `("example.org", "A"): ["192.0.2.1"]`."""


class ZoneServer:
    """Answers from `records`, which may be changed while it runs; `asked` is what it was asked.

    Whatever is not there is NXDOMAIN, or no data where the name has other types, with a SOA of
    `negative_ttl_s`.
    """

    def __init__(
        self, records: Records, *, ttl_s: int = 300, negative_ttl_s: int = 120, apex: str = "."
    ) -> None:
        self.records: dict[tuple[str, str], Sequence[str]] = dict(records)
        self.asked: list[tuple[str, str]] = []
        self._ttl_s = ttl_s
        self._negative_ttl_s = negative_ttl_s
        self._apex = apex
        self._transport: asyncio.DatagramTransport | None = None
        self._tcp: asyncio.Server | None = None

    @property
    def address(self) -> tuple[str, int]:
        """Where it is asked, over both transports."""
        assert self._tcp is not None
        name = self._tcp.sockets[0].getsockname()
        return str(name[0]), int(name[1])

    async def start(self, port: int = 0) -> None:
        """Open both sockets on one port of loopback."""
        self._tcp = await asyncio.start_server(self._stream, LOOPBACK, port)
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_datagram_endpoint(
            lambda: _Datagrams(self), local_addr=self.address
        )

    async def stop(self) -> None:
        """Close both sockets."""
        if self._transport is not None:
            self._transport.close()
        if self._tcp is not None:
            self._tcp.close()
            await self._tcp.wait_closed()

    def answer(self, octets: bytes, *, over_tcp: bool) -> bytes | None:
        """Answer a query; None for what is none."""
        try:
            query = dns.message.from_wire(octets)
        except dns.exception.DNSException:
            return None
        if len(query.question) != 1:
            return None
        reply = dns.message.make_response(query, recursion_available=True)
        self._fill(reply, query.question[0].name, query.question[0].rdtype)
        size = 65_535 if over_tcp else max(query.payload, PAYLOAD_OCTETS)
        try:
            return reply.to_wire(max_size=size)
        except dns.exception.TooBig:
            cut = dns.message.make_response(query, recursion_available=True)
            cut.flags |= dns.flags.TC
            return cut.to_wire()

    def _fill(self, reply: Any, name: dns.name.Name, kind: dns.rdatatype.RdataType) -> None:
        plain = name.to_text(omit_final_dot=True).lower()
        self.asked.append((plain, kind.name))
        names = {known for known, _ in self.records}
        found = self.records.get((plain, kind.name))
        alias = self.records.get((plain, "CNAME"))
        if found is not None:
            reply.answer.append(dns.rrset.from_text_list(name, self._ttl_s, "IN", kind, found))
        elif alias is not None:
            reply.answer.append(dns.rrset.from_text(name, self._ttl_s, "IN", "CNAME", alias[0]))
            if len(reply.answer) < len(self.records):
                self._fill(reply, dns.name.from_text(alias[0]), kind)
        else:
            if plain not in names:
                reply.set_rcode(dns.rcode.NXDOMAIN)
            start = f"ns.invalid. nobody.invalid. 1 60 60 60 {self._negative_ttl_s}"
            reply.authority.append(
                dns.rrset.from_text(self._apex, self._negative_ttl_s, "IN", "SOA", start)
            )

    async def _stream(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            size = int.from_bytes(await reader.readexactly(2), "big")
            reply = self.answer(await reader.readexactly(size), over_tcp=True)
            if reply is not None:
                writer.write(len(reply).to_bytes(2, "big") + reply)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, server: ZoneServer) -> None:
        self._server = server
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        reply = self._server.answer(data, over_tcp=False)
        if reply is not None:
            self._transport.sendto(reply, addr)


def realm_records(
    realm: str, servers: Sequence[tuple[str, str, int]], *, tag: str = "aaa+auth:radius.tls.tcp"
) -> dict[tuple[str, str], Sequence[str]]:
    """Return the records by which a realm's servers `(host, address, port)` are found, in order."""
    service = f"_radiustls._tcp.{realm}"
    records: dict[tuple[str, str], Sequence[str]] = {
        (realm, "NAPTR"): [f'50 50 "s" "{tag}" "" {service}.'],
        (service, "SRV"): [
            f"{place} 0 {port} {host}." for place, (host, _, port) in enumerate(servers)
        ],
    }
    for host, address, _ in servers:
        records[(host, "AAAA" if ":" in address else "A")] = [address]
    return records
