"""The chain's pages: blocks, a block, a transaction, a contract; and the same for programs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, TypeVar

from fastapi import FastAPI, Query, Request
from starlette.exceptions import HTTPException
from starlette.responses import Response

from opencarrier.app.api import INT64_MAX, After, Cursor, Page, operation
from opencarrier.app.bootstrap import Onchain
from opencarrier.app.console.shell import Shell
from opencarrier.app.console.views.chain import (
    BlockView,
    ChainViews,
    ContractView,
    TxView,
)
from opencarrier.app.forms.chain import ABSENT, BLOCK, BLOCKS_PAGE, CONTRACT, SILENT, TRANSACTION
from opencarrier.chain.errors import ChainError
from opencarrier.kernel.ids import from_hex

BLOCKS = 10
BLOCKS_MAX = 25
ROWS = Cursor("blocks", (int,))

T = TypeVar("T")
Limit = Annotated[int, Query(ge=1, le=BLOCKS_MAX, description="How many at most.")]


def chain_routes(app: FastAPI, shell: Shell, place: Onchain) -> None:
    """Add the pages and the routes."""
    views = ChainViews(place)
    _pages(app, shell, views)
    _api(app, views)


def _pages(app: FastAPI, shell: Shell, views: ChainViews) -> None:
    def drawn(request: Request, template: str, title: str, view: object) -> Response:
        return shell.page(
            request, template, view, title=title, section="chain", contracts=views.contracts
        )

    def silent(request: Request) -> Response:
        return shell.page(
            request,
            "chain/silent.html",
            title="Chain",
            section="chain",
            status=503,
            contracts=views.contracts,
        )

    @app.get("/chain", include_in_schema=False)
    def blocks(request: Request, cursor: After = "") -> Response:
        before = ROWS.read(cursor)
        try:
            view = _page(views, before, BLOCKS)
        except ChainError:
            return silent(request)
        return drawn(request, "chain/blocks.html", "Chain", view)

    @app.get("/chain/block/{number}", include_in_schema=False)
    def block(request: Request, number: str) -> Response:
        try:
            view = _found(views.block(_number(number)))
        except ChainError:
            return silent(request)
        return drawn(request, "chain/block.html", "Block", view)

    @app.get("/chain/tx/{tx_hash}", include_in_schema=False)
    def transaction(request: Request, tx_hash: str) -> Response:
        try:
            view = _found(views.transaction(_hash(tx_hash)))
        except ChainError:
            return silent(request)
        return drawn(request, "chain/tx.html", "Transaction", view)

    @app.get("/chain/contract/{name}", include_in_schema=False)
    def contract(request: Request, name: str) -> Response:
        try:
            view = _found(views.contract(name))
        except ChainError:
            return silent(request)
        return drawn(request, "chain/contract.html", "Contract", view)


def _api(app: FastAPI, views: ChainViews) -> None:
    @app.get(
        "/v1/chain/blocks",
        **operation(
            "chain",
            "Blocks, the newest first",
            example=BLOCKS_PAGE,
            refuses=SILENT,
        ),
    )
    def blocks(cursor: After = "", limit: Limit = BLOCKS) -> Page[BlockView]:
        """List blocks with their transactions, the newest first; times in microseconds."""
        before = ROWS.read(cursor)
        return _asked(lambda: _page(views, before, limit))

    @app.get(
        "/v1/chain/blocks/{number}",
        **operation(
            "chain",
            "A block",
            example=BLOCK,
            refuses=ABSENT,
        ),
    )
    def block(number: str) -> BlockView:
        """Return a block with its transactions, each with whom it is from and what it calls."""
        at = _number(number)
        return _found(_asked(lambda: views.block(at)))

    @app.get(
        "/v1/chain/transactions/{tx_hash}",
        **operation(
            "chain",
            "A transaction, decoded",
            example=TRANSACTION,
            refuses=ABSENT,
        ),
    )
    def transaction(tx_hash: str) -> TxView:
        """Return a transaction decoded by our ABIs: call and events, amounts in minor units."""
        octets = _hash(tx_hash)
        return _found(_asked(lambda: views.transaction(octets)))

    @app.get(
        "/v1/chain/contracts/{name}",
        **operation(
            "chain",
            "A contract and its roles",
            example=CONTRACT,
            refuses=ABSENT,
        ),
    )
    def contract(name: str) -> ContractView:
        """Return a contract of the venue: its address, and who holds its roles now."""
        return _found(_asked(lambda: views.contract(name)))


def _page(views: ChainViews, before: tuple[int | str, ...] | None, limit: int) -> Page[BlockView]:
    below = None if before is None else int(before[0])
    return ROWS.page(views.blocks(below, limit + 1), limit, lambda row: (row.number,))


def _asked(ask: Callable[[], T]) -> T:
    try:
        return ask()
    except ChainError:
        raise HTTPException(503, "the chain's node does not answer") from None


def _found(view: T | None) -> T:
    if view is None:
        raise HTTPException(404)
    return view


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or len(text) > 19 or int(text) > INT64_MAX:
        raise HTTPException(404)
    return int(text)


def _hash(text: str) -> bytes:
    try:
        return from_hex(text)
    except ValueError:
        raise HTTPException(404) from None
