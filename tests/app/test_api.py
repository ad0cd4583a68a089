"""How routes are declared: cursors that are ours or refused, pages, operations."""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode
from dataclasses import dataclass

import pytest
from fastapi import FastAPI
from hypothesis import given
from hypothesis import strategies as st
from starlette.exceptions import HTTPException
from starlette.testclient import TestClient

from opencarrier.app.api import (
    CURSOR_CHARACTERS_MAX,
    EXAMPLE,
    INT64_MAX,
    TEXT_CHARACTERS_MAX,
    After,
    Body,
    Cursor,
    Limit,
    Page,
    operation,
)

ROWS = Cursor("rows", (int, str))


def encoded(told: object) -> str:
    return urlsafe_b64encode(json.dumps(told, separators=(",", ":")).encode()).decode().rstrip("=")


@given(st.integers(-INT64_MAX, INT64_MAX), st.text(st.characters(codec="utf-8"), max_size=20))
def test_a_cursor_comes_back_as_it_was_written(number, text):
    key = (number, text.replace("\x00", ""))
    assert ROWS.read(ROWS.write(key)) == key


@pytest.mark.parametrize(
    "told",
    [
        "x",
        "é",
        "bm9uZQ",
        encoded(["rows", 1, "a"]) + "=",
        encoded(["others", 1, "a"]),
        encoded(["rows", 1]),
        encoded(["rows", 1, "a", 2]),
        encoded(["rows", "1", "a"]),
        encoded(["rows", True, "a"]),
        encoded(["rows", 1.0, "a"]),
        encoded(["rows", INT64_MAX + 1, "a"]),
        encoded(["rows", 1, "a\x00"]),
        encoded(["rows", 1, "\ud800"]),
        encoded(["rows", 1, "a" * (TEXT_CHARACTERS_MAX + 1)]),
        encoded({"rows": 1}),
        urlsafe_b64encode(b'["rows", 1,"a"]').decode(),
        urlsafe_b64encode(b"[" * 300).decode(),
    ],
)
def test_a_cursor_that_is_none_of_ours_is_refused(told):
    with pytest.raises(HTTPException) as refused:
        ROWS.read(told)
    assert refused.value.status_code == 422


def test_the_longest_key_fits_where_a_cursor_is_taken():
    longest = Cursor("a-longer-name", (int, str, str))
    key = (-INT64_MAX, *["\U0001f600" * TEXT_CHARACTERS_MAX] * 2)
    assert len(longest.write(key)) <= CURSOR_CHARACTERS_MAX


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A row."""

    number: int
    amount_minor: int


@given(st.integers(0, 12), st.integers(1, 5))
def test_pages_joined_are_the_list(length, limit):
    rows = [Row(number=number, amount_minor=0) for number in range(length)]
    numbers, found, text = Cursor("numbers", (int,)), [], ""
    while True:
        key = numbers.read(text)
        after = -1 if key is None else key[0]
        asked = [row for row in rows if row.number > after][: limit + 1]
        page = numbers.page(asked, limit, lambda row: (row.number,))
        found += page.items
        assert len(page.items) <= limit
        if page.next is None:
            break
        text = page.next
    assert found == rows


def test_an_operation_shows_an_answer_a_body_and_why_it_refuses():
    app, row = FastAPI(), Row(number=1, amount_minor=5)
    listed = operation(
        "rows", "List rows", example=Page(items=[row], next=None), refuses={409: "No."}
    )

    @app.get("/rows", **listed)
    def rows(cursor: After = "", limit: Limit = 1) -> Page[Row]:
        """List them."""
        return Page(items=[row], next=cursor or str(limit))

    @app.post(
        "/rows", **operation("rows", "Add a row", example=row, body=Body(form=Row, example=row))
    )
    def add() -> Row:
        return row

    told = app.openapi()["paths"]["/rows"]
    assert told["get"]["tags"] == ["rows"]
    good = told["get"]["responses"]["200"]["content"]["application/json"]
    shown = json.loads(good[EXAMPLE])
    assert shown == {"items": [{"number": 1, "amount_minor": 5}], "next": None}
    assert good["schema"]["$ref"].endswith("Page_Row_")
    assert set(told["get"]["responses"]) == {"200", "409", "422"}
    taken = told["post"]["requestBody"]["content"]["application/json"]
    assert taken["schema"]["required"] == ["number", "amount_minor"]
    client = TestClient(app)
    assert client.get("/rows").json() == {**shown, "next": "1"}
    for query in ("limit=0", "limit=101", f"cursor={'x' * (CURSOR_CHARACTERS_MAX + 1)}"):
        assert client.get(f"/rows?{query}").status_code == 422
