"""Ask the process that serves a folder, where a command must not do its work beside it."""

from __future__ import annotations

import json
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from opencarrier.app.folder import Running
from opencarrier.app.output import CommandError, Exit
from opencarrier.app.system import SystemEntropy

TIMEOUT_S = 120
LOOK_S = 5
ANSWER_OCTETS_MAX = 1 << 20


def get(running: Running, path: str) -> dict[str, Any]:
    """Get what the running process says on loopback; nothing where it does not answer."""
    assert running.http.startswith("http://"), "we wrote the address ourselves"
    request = Request(  # noqa: S310 - http, asserted above
        running.http + path, headers={"Authorization": f"Bearer {running.token}"}
    )
    try:
        with urlopen(request, timeout=LOOK_S) as answer:  # noqa: S310 - as above
            told: dict[str, Any] = json.loads(answer.read(ANSWER_OCTETS_MAX))
            return told
    except (OSError, ValueError):
        return {}


def post(running: Running, path: str) -> dict[str, Any]:
    """Post to the running process on loopback; its refusal ends the command with 1."""
    assert running.http.startswith("http://"), "we wrote the address ourselves"
    request = Request(  # noqa: S310 - http, asserted above
        running.http + path,
        method="POST",
        data=b"",
        headers={
            "Authorization": f"Bearer {running.token}",
            "Idempotency-Key": SystemEntropy().octets("idempotency", 16).hex(),
            "Content-Type": "application/json",
        },
    )
    try:
        with urlopen(request, timeout=TIMEOUT_S) as answer:  # noqa: S310
            told: dict[str, Any] = json.loads(answer.read(ANSWER_OCTETS_MAX))
            return told
    except HTTPError as error:
        problem = json.loads(error.read(ANSWER_OCTETS_MAX) or b"{}")
        raise CommandError(
            Exit.REFUSED, str(problem.get("detail", error.reason)), "see: opencarrier status"
        ) from None
    except (URLError, TimeoutError) as error:
        raise CommandError(
            Exit.UNKNOWN,
            f"{running.http} does not answer: {error}",
            "ask again; nothing is doubled",
        ) from None
