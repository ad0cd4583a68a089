"""How an HTTP request is refused: a problem (RFC 9457)."""

from __future__ import annotations

from collections.abc import Mapping

from fastapi.responses import JSONResponse


def problem(
    status: int, title: str, detail: str, headers: Mapping[str, str] | None = None
) -> JSONResponse:
    """Answer with a problem (RFC 9457)."""
    return JSONResponse(
        {"type": "about:blank", "title": title, "status": status, "detail": detail},
        status_code=status,
        headers=headers,
        media_type="application/problem+json",
    )
