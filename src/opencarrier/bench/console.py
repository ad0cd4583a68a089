"""How fast the console answers, and how much it sends, with 1.7 million nodes on the map."""

from __future__ import annotations

import asyncio
import gzip
import http.client
import json
import os
import re
import time
from collections.abc import Iterator
from hashlib import sha256
from itertools import islice
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlencode, urlsplit

from sqlalchemy import insert, update

from opencarrier.app.bootstrap import Onchain, onchain, open_installation
from opencarrier.app.config import Settings
from opencarrier.app.daemon import serving
from opencarrier.app.folder import Folder
from opencarrier.identity import store
from opencarrier.identity.model import PartyKind
from opencarrier.identity.places import store as places
from opencarrier.kernel.entropy import SeededEntropy
from opencarrier.kernel.refusals import Refusal
from opencarrier.spine.parties import PartyId

NODES = 1_700_000
OPERATORS = 200
HOSTS = 20_000
BATCH = 20_000
TIMES = 15
PAUSE_S = 0.05
LISTENS_S = 120
UDEG = 1_000_000

CITIES = (
    (48.9, 2.4), (51.5, -0.1), (40.4, -3.7), (52.5, 13.4), (41.9, 12.5), (59.9, 10.8),
    (50.4, 30.5), (55.8, 37.6), (41.0, 29.0), (30.0, 31.2), (14.7, -17.4), (6.5, 3.4),
    (-1.3, 36.8), (-26.2, 28.0), (33.6, -7.6), (24.7, 46.7), (25.2, 55.3), (28.6, 77.2),
    (19.1, 72.9), (13.1, 80.3), (23.8, 90.4), (13.8, 100.5), (21.0, 105.9), (-6.2, 106.8),
    (14.6, 121.0), (31.2, 121.5), (39.9, 116.4), (35.7, 139.7), (34.7, 135.5), (37.6, 127.0),
    (-33.9, 151.2), (-37.8, 145.0), (40.7, -74.0), (34.1, -118.2), (41.9, -87.6), (29.8, -95.4),
    (43.7, -79.4), (19.4, -99.1), (4.7, -74.1), (-12.0, -77.0), (-23.6, -46.6), (-34.6, -58.4),
    (-33.4, -70.7), (37.8, -122.4), (47.6, -122.3),
)  # fmt: skip
"""Where nodes gather; every tenth is somewhere else."""

PATHS = {
    "the page": "/",
    "its live part": "/network/now",
    "figures": "/v1/network",
    "where sessions stand": "/v1/network/live",
}

VIEWS = {
    "the world": (-180, -90, 180, 90, 3),
    "Europe": (-16, 32, 48, 64, 5),
    "one country": (0, 40, 16, 56, 7),
    "one city": (2, 48, 3, 49, 9),
}
"""Parts of the map: west, south, east, north in degrees, and the level a wide window asks for."""


def run(nodes: int = NODES) -> dict[str, Any]:
    """Load, serve, ask; times are milliseconds of wall clock, medians of 15 where asked again."""
    with TemporaryDirectory(prefix="console") as name:
        folder = Folder(Path(name) / "data")
        settings = Settings(radius_port=0, acct_port=0, http_port=0)
        base = open_installation(folder, settings, entropy=SeededEntropy(1))
        try:
            with onchain(base) as place:
                return asyncio.run(_measured(place, nodes))
        finally:
            base.close()


async def _measured(place: Onchain, nodes: int) -> dict[str, Any]:
    started_s = time.monotonic()
    load(place, nodes)
    loaded_s = time.monotonic() - started_s
    async with serving(place) as served:
        address = urlsplit(served.running.http)
        assert address.hostname is not None
        assert address.port is not None
        told = await asyncio.to_thread(_asked, address.hostname, address.port)
        return {
            "cores": os.cpu_count() or 1,
            "nodes": nodes,
            "loaded_s": round(loaded_s),
            **told,
        }


def _asked(host: str, port: int) -> dict[str, Any]:
    ask = Asking(host, port)
    first_ms = ask.timed("/")
    answers = {"the page, first": first_ms}
    for name, path in PATHS.items():
        answers[name] = median(ask.timed(path) for _ in range(TIMES))
    cells = {}
    for name, path in _views():
        first_ms = ask.timed(path)
        cells[name] = {
            "first_ms": round(first_ms),
            "again_ms": round(median(ask.timed(path) for _ in range(TIMES))),
            "cells": len(json.loads(ask.body)["cells"]),
            "octets": ask.octets,
        }
    return {
        "answers_ms": {name: round(ms) for name, ms in answers.items()},
        "cells": cells,
        "page_octets": ask.weight("/", dict(_views())["the world"]),
    }


def _views() -> Iterator[tuple[str, str]]:
    for name, (west, south, east, north, level) in VIEWS.items():
        edges = {"west": west, "south": south, "east": east, "north": north}
        query = {edge: degrees * UDEG for edge, degrees in edges.items()}
        yield name, f"/v1/network/cells?{urlencode({**query, 'level': level})}"


class Asking:
    """A browser's requests, one after another, once the server listens: compressed and timed."""

    def __init__(self, host: str, port: int, cookie: str = "") -> None:
        self.body = b""
        self.status = 0
        self.octets = 0
        self._headers = {"Accept-Encoding": "gzip"}
        if cookie:
            self._headers["Cookie"] = cookie
        self._connection = http.client.HTTPConnection(host, port)
        ends_s = time.monotonic() + LISTENS_S
        while True:
            try:
                self._connection.connect()
                return
            except ConnectionRefusedError:
                if time.monotonic() > ends_s:
                    raise
            time.sleep(PAUSE_S)

    def timed(self, path: str, *, any_status: bool = False) -> float:
        """Ask; return the milliseconds, keep the body and how much was sent."""
        began_s = time.perf_counter()
        self._connection.request("GET", path, headers=self._headers)
        answer = self._connection.getresponse()
        sent = answer.read()
        took_s = time.perf_counter() - began_s
        self.status = answer.status
        assert any_status or answer.status == 200, f"{path}: {answer.status}"
        packed = answer.headers["Content-Encoding"] == "gzip"
        self.octets, self.body = len(sent), gzip.decompress(sent) if packed else sent
        return took_s * 1_000

    def weight(self, path: str, *more: str) -> int:
        """Return what a page, the files it names and further answers send altogether."""
        self.timed(path)
        total, page = self.octets, self.body.decode()
        named = set(re.findall(r'"(/static/[^"#]+)', page))
        modules = ("line.js", "theme.js", "map.js", "chart.js", "countdown.js")
        root = re.search(r"/static/[0-9a-f]+/", page)
        assert root is not None
        for address in sorted(named | {root[0] + module for module in modules}) + list(more):
            self.timed(address)
            total += self.octets
        return total


def load(place: Onchain, nodes: int) -> None:
    """Put operators, hosts and many nodes with their places into the tables, then sum them up."""
    identity = place.base.identity
    operators: list[PartyId] = []
    with place.base.store.write() as unit:
        for number in range(OPERATORS):
            made = identity.register.add_operator(
                unit, name=f"Operator {number:03d}", jurisdiction="FR", address=_address(number)
            )
            assert not isinstance(made, Refusal), made
            operators.append(made.party_id)
        hosts = _hosts(nodes)
        unit.execute(insert(store.parties), hosts)
        made_nodes = _nodes(nodes, operators, hosts)
        while rows := list(islice(made_nodes, BATCH)):
            unit.execute(insert(store.nodes), [node for node, _ in rows])
            unit.execute(insert(places.PLACES), [where for _, where in rows])
        identity.places.sum_up_anew(unit)
        places.count(unit, PartyKind.HOST.value, len(hosts))
        places.count(unit, places.NODES, nodes)
        for index, operator in enumerate(operators):
            own = len(range(index, nodes, len(operators)))
            places.count(unit, f"{places.NODES}/{operator}", own)
        unit.execute(update(store.changes).values(state=bytes(32)))


def _hosts(nodes: int) -> list[dict[str, Any]]:
    return [
        {
            "party_id": f"host_{number:032x}",
            "kind": PartyKind.HOST.value,
            "name": f"Host {number:06d}",
            "address": _address(OPERATORS + number),
            "jurisdiction": None,
        }
        for number in range(min(HOSTS, nodes))
    ]


def _nodes(
    nodes: int, operators: list[PartyId], hosts: list[dict[str, Any]]
) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    for number in range(nodes):
        operator = operators[number % len(operators)]
        latitude, longitude = _place(number)
        node_id = f"node-{number:07d}"
        yield (
            {
                "node_id": node_id,
                "nas_identifier": node_id,
                "operator": operator,
                "host": hosts[number % len(hosts)]["party_id"],
            },
            {
                "node_id": node_id,
                "latitude_udeg": latitude,
                "longitude_udeg": longitude,
                "precision_m": 800,
                "attester": operator,
                "stated_us": 0,
            },
        )


def _place(number: int) -> tuple[int, int]:
    """Return a point near a city, thinner the farther away; every tenth anywhere people live."""
    dice = sha256(number.to_bytes(8, "big")).digest()
    if dice[0] < 26:
        latitude = -35 * UDEG + int.from_bytes(dice[1:5], "big") % (95 * UDEG)
        longitude = -120 * UDEG + int.from_bytes(dice[5:9], "big") % (270 * UDEG)
    else:
        city = CITIES[dice[1] * dice[2] * len(CITIES) >> 16]
        reach = dice[3] * dice[4] * 80
        latitude = round(city[0] * UDEG) + reach * (dice[5] - 128) // 128
        longitude = round(city[1] * UDEG) + reach * (dice[6] - 128) // 128
    return latitude // 10_000 * 10_000, longitude // 10_000 * 10_000


def _address(number: int) -> str:
    return f"0x{number + 1:040x}"
