"""kill -9 around a request under a key: what was done is never done twice, whatever was heard."""

from __future__ import annotations

import json
import signal
from contextlib import suppress
from http.client import HTTPException
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from tests.crash.driver import Phone, opened, play, running, up

pytestmark = [pytest.mark.crash, pytest.mark.timeout(240)]

AFTER = {
    "once.begun": (200, False),
    "once.done": (409, False),
    "once.kept": (200, True),
}
"""Where the process died: what the same request is answered afterwards, and whether again."""


def close(found) -> tuple[int, dict, bool]:
    """Close a cycle under the one key: the status, the answer, whether it is an old one."""
    headers = {"Authorization": f"Bearer {found.token}", "Idempotency-Key": "the one"}
    request = Request(f"{found.http}/v1/cycles/close", data=b"", headers=headers)
    try:
        with urlopen(request, timeout=60) as answer:
            told = json.loads(answer.read())
            return answer.status, told, "idempotency-replayed" in answer.headers
    except HTTPError as error:
        return error.code, json.loads(error.read()), False


@pytest.mark.parametrize("point", AFTER)
def test_a_cycle_that_was_closed_once_is_not_closed_again(data, point):
    phone = Phone()
    with up(data, crash_at=point) as process:
        found = running(data, process)
        assert found is not None
        play(found, phone)
        with suppress(OSError, HTTPException):
            close(found)
        assert process.wait(30) == -signal.SIGKILL
    status, replayed = AFTER[point]
    with up(data) as process:
        found = running(data, process)
        assert found is not None
        code, told, old = close(found)
        assert (code, old) == (status, replayed), told
        if status == 409:
            assert told["title"] == "outcome_unknown"
            assert close(found)[:2] == (code, told), "and it stays so"
        else:
            assert told["state"] == "final"
            assert close(found) == (200, told, True)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    with opened(data) as place, place.base.store.read() as unit:
        ordered = [cycle for cycle, attempt in place.settlement.cycles(unit) if attempt is not None]
    assert len(ordered) == 1
