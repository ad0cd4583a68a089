"""The software USIM: fresh, stale and forged challenges, and its lines on a control socket."""

from __future__ import annotations

import pytest
from tests.access.fakes import OPC, K, usim

from opencarrier.identity.milenage import AMF_SEPARATION_BIT, Milenage
from opencarrier.sim.usim import DELTA, Answered, NotGenuine, OutOfStep, control_reply

RAND = bytes(range(16))


def autn(sqn: int, k: bytes = K) -> bytes:
    return Milenage(k, OPC).vector(RAND, sqn, AMF_SEPARATION_BIT).autn


def test_a_fresh_challenge_is_answered_once() -> None:
    card = usim()
    answered = card.authenticate(RAND, autn(33))
    made = Milenage(K, OPC).vector(RAND, 33, AMF_SEPARATION_BIT)
    assert answered == Answered(made.xres, made.ck, made.ik)
    again = card.authenticate(RAND, autn(33))
    assert isinstance(again, OutOfStep)
    assert Milenage(K, OPC).open_auts(RAND, again.auts) == 33


def test_vectors_may_come_out_of_order_within_the_array() -> None:
    card = usim()
    assert isinstance(card.authenticate(RAND, autn(3 << 5 | 3)), Answered)
    assert isinstance(card.authenticate(RAND, autn(2 << 5 | 2)), Answered)
    assert isinstance(card.authenticate(RAND, autn(2 << 5 | 3)), OutOfStep)


@pytest.mark.parametrize(("ahead", "taken"), [(DELTA, True), (DELTA + 1, False)])
def test_a_jump_too_far_is_out_of_step(ahead: int, taken: bool) -> None:
    card = usim(highest_sqn=7 << 5)
    answer = card.authenticate(RAND, autn(7 + ahead << 5))
    assert isinstance(answer, Answered) is taken


def test_every_flipped_bit_of_autn_is_not_genuine() -> None:
    card, good = usim(), autn(64)
    for at in range(16):
        for bit in range(8):
            bad = good[:at] + bytes([good[at] ^ 1 << bit]) + good[at + 1 :]
            assert isinstance(card.authenticate(RAND, bad), NotGenuine)
    assert isinstance(card.authenticate(RAND, good), Answered)


def test_the_lines_of_the_control_socket() -> None:
    card = usim()
    head = f"<3>CTRL-REQ-SIM-0:UMTS-AUTH:{RAND.hex()}:"
    made = Milenage(K, OPC).vector(RAND, 64, AMF_SEPARATION_BIT)
    reply = control_reply(card, f"{head}{autn(64).hex()} needed for SSID x".encode())
    want = f"CTRL-RSP-SIM-0:UMTS-AUTH:{made.ik.hex()}:{made.ck.hex()}:{made.xres.hex()}"
    assert reply == want.encode()
    stale = control_reply(card, f"{head}{autn(64).hex()} needed".encode())
    assert stale is not None
    assert stale.startswith(b"CTRL-RSP-SIM-0:UMTS-AUTS:")
    forged = control_reply(card, f"{head}{autn(96, bytes(16)).hex()} needed".encode())
    assert forged == b"CTRL-RSP-SIM-0:UMTS-FAIL"
    assert control_reply(card, b"<3>CTRL-EVENT-EAP-SUCCESS") is None
    assert repr(card) == "Usim(<sealed>)"
