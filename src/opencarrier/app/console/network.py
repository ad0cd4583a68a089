"""The first page: what the network is, does, and what became of it; its map and its figures."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Annotated, Any

from fastapi import FastAPI, Query, Request
from fastapi.responses import JSONResponse
from sqlalchemy import Connection
from starlette.responses import Response

from opencarrier.app.api import operation
from opencarrier.app.bootstrap import Onchain
from opencarrier.app.console.shell import Shell
from opencarrier.app.console.views.network import (
    CELLS,
    FIGURES,
    LIVE,
    STATES,
    CellsAnswer,
    Cursor,
    LiveAnswer,
    NetworkFigures,
    NetworkViews,
    figures,
)
from opencarrier.app.console.visitor import visitor_of
from opencarrier.identity.places.model import (
    LATITUDE_MAX_UDEG,
    LEVELS,
    LONGITUDE_MAX_UDEG,
    Box,
)

TITLE = "Network"
ANSWERS_MAX = 256
NAME_CHARACTERS_MAX = 64
DEGREES = "1e-6 degrees."

Name = Annotated[str, Query(max_length=NAME_CHARACTERS_MAX)]
Latitude = Annotated[int, Query(ge=-LATITUDE_MAX_UDEG, le=LATITUDE_MAX_UDEG, description=DEGREES)]
Longitude = Annotated[
    int, Query(ge=-LONGITUDE_MAX_UDEG, le=LONGITUDE_MAX_UDEG, description=DEGREES)
]
Level = Annotated[int, Query(ge=0, lt=LEVELS, description="How fine: 0 is 16 degrees a cell.")]


@dataclass(slots=True)
class MapCells:
    """Parts of the map that were asked for, kept while no node came or moved."""

    place: Onchain
    state: bytes = b""
    kept: OrderedDict[tuple[Box, int], dict[str, Any]] = field(default_factory=OrderedDict)

    def cells(self, box: Box, level: int) -> dict[str, Any]:
        """Return the cells of a part of the map in which there are nodes, larger ones if too many.

        Each is longitude and latitude of the middle of its nodes (1e-6 degrees), and how many.
        """
        with self.place.base.store.read() as unit:
            self._refresh(unit)
            found = self.kept.get((box, level))
            if found is None:
                found = self._asked(unit, box, level)
                self.kept[box, level] = found
                while len(self.kept) > ANSWERS_MAX:
                    self.kept.popitem(last=False)
        return found

    def _refresh(self, unit: Connection) -> None:
        state = self.place.base.identity.directory.state(unit)
        if state != self.state:
            self.state, self.kept = state, OrderedDict()

    def _asked(self, unit: Connection, box: Box, level: int) -> dict[str, Any]:
        filled = self.place.base.identity.places.filled(unit, box, level)
        return {
            "level": filled.level,
            "cells": [[c.longitude_udeg, c.latitude_udeg, c.nodes] for c in filled.cells],
        }


def network_routes(app: FastAPI, shell: Shell, views: NetworkViews) -> None:
    """Add the page, the part of it that is drawn again, and what both are drawn from."""
    _pages(app, shell, views)
    _api(app, MapCells(views.place), views)


def _pages(app: FastAPI, shell: Shell, views: NetworkViews) -> None:
    @app.get("/", include_in_schema=False)
    def page(request: Request, hosts: Name = "", operators: Name = "") -> Response:
        cursor = Cursor(hosts=hosts, operators=operators)
        view = views.seen_by(visitor_of(request), cursor, is_demo=shell.demo)
        return shell.page(
            request,
            "network/page.html",
            view,
            title=TITLE,
            section="network",
            states=STATES,
            cursor=cursor,
        )

    @app.get("/network/now", include_in_schema=False)
    def now(request: Request, hosts: Name = "", operators: Name = "") -> Response:
        cursor = Cursor(hosts=hosts, operators=operators)
        view = views.seen_by(visitor_of(request), cursor, is_demo=shell.demo)
        return shell.fragment(request, "network/now.html", view, states=STATES, cursor=cursor)


def _api(app: FastAPI, cells: MapCells, views: NetworkViews) -> None:
    asset = str(views.place.manifest.asset)

    @app.get("/v1/network", **operation("network", "How the network stands", example=FIGURES))
    def network() -> NetworkFigures:
        """Say how the network stands: nodes, sessions now, use in the last hours, money paid.

        `flows` are instants (microseconds) with the octets used in the five minutes from then on.
        """
        return figures(views.network(Cursor()), asset)

    @app.get(
        "/v1/network/cells",
        **operation("network", "Nodes in a part of the map", example=CELLS, model=CellsAnswer),
    )
    def in_box(
        west: Longitude, south: Latitude, east: Longitude, north: Latitude, level: Level
    ) -> Response:
        """Return the nodes in a part of the map, summed up by cells of 16 degrees / 2^level.

        All in 1e-6 degrees; `west` above `east` crosses the date line. A cell is longitude and
        latitude of the middle of its nodes, and how many. Where too many are filled, a lower
        `level` answers.
        """
        box = Box(west_udeg=west, south_udeg=min(south, north), east_udeg=east, north_udeg=north)
        return JSONResponse(cells.cells(box, level))

    @app.get("/v1/network/live", **operation("network", "Where sessions stand", example=LIVE))
    def live() -> LiveAnswer:
        """Return where sessions stand now: longitude, latitude (1e-6 degrees), how many."""
        return LiveAnswer(nodes=views.live_nodes())
