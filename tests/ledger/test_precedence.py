"""Every refusal, from the service and from the rules, with later reasons present as well."""

import pytest
from sqlalchemy import Connection

from opencarrier.kernel.money import INT64_MAX
from opencarrier.ledger import rules, service
from opencarrier.ledger.model import Transfer, TransferReason

from .books import (
    BALANCING,
    EUR,
    EXPIRE,
    LINKED,
    NONE,
    PENDING,
    POST,
    VOID,
    XOF,
    codes,
    opened_state,
    transfer,
    transfer_id,
)

NOW = 1_000
SUB = "prepaid/sub_1"
BEYOND = INT64_MAX + 1

HISTORY: list[tuple[int, list[Transfer]]] = [
    (
        1,
        [
            transfer("top-up", "cash", SUB, 100),
            transfer("stock", "mirror", "cash", 100),
            transfer("open", SUB, "sales", 10, flags=PENDING),
            transfer("later", SUB, "sales", 10, flags=PENDING, expires_us=5_000),
            transfer("due", SUB, "sales", 10, flags=PENDING, expires_us=NOW),
            transfer("gone", SUB, "sales", 10, flags=PENDING, expires_us=10),
            transfer("posted", SUB, "sales", 10, flags=PENDING),
            transfer("voided", SUB, "sales", 10, flags=PENDING),
            transfer("posting", SUB, "sales", 4, flags=POST, hold="posted"),
            transfer("voiding", SUB, "sales", 0, flags=VOID, hold="voided"),
            transfer("same", "cash", "sales", 1, reference=transfer_id("why")),
        ],
    ),
    (20, [transfer("expiring", SUB, "sales", 0, flags=EXPIRE, hold="gone")]),
    (21, [transfer("full", "cash", "sales", INT64_MAX - 1_000, asset=XOF)]),
]
"""At `NOW`, `SUB` has 100 - 4 posted and 30 held, so 66 free; `mirror` may be credited 100."""

SAME = {"reference": transfer_id("why")}
WRONG_ALL_OVER = {"code": "other", "reference": None}

CASES: list[tuple[str, Transfer]] = [
    # Existence, each field with every later field different too.
    (
        "exists_with_different_flags",
        transfer("same", SUB, "mirror", 2, asset=XOF, hold="open", flags=POST, **WRONG_ALL_OVER),
    ),
    (
        "exists_with_different_hold_id",
        transfer("same", SUB, "mirror", 2, asset=XOF, hold="open", expires_us=1, **WRONG_ALL_OVER),
    ),
    (
        "exists_with_different_expires_us",
        transfer("same", SUB, "mirror", 2, asset=XOF, expires_us=1, **WRONG_ALL_OVER),
    ),
    ("exists_with_different_asset", transfer("same", SUB, "mirror", 2, asset=XOF)),
    ("exists_with_different_debit", transfer("same", SUB, "mirror", 2)),
    ("exists_with_different_credit", transfer("same", "cash", "mirror", 2)),
    ("exists_with_different_amount_minor", transfer("same", "cash", "sales", 2, code="other")),
    ("exists_with_different_code", transfer("same", "cash", "sales", 1, code="other")),
    ("exists_with_different_reference", transfer("same", "cash", "sales", 1)),
    ("exists", transfer("same", "cash", "sales", 1, **SAME)),
    # The transfer by itself.
    (
        "flags_are_mutually_exclusive",
        transfer("new", "no", "no", BEYOND, flags=PENDING | POST, expires_us=-1),
    ),
    ("flags_are_mutually_exclusive", transfer("new", "no", "no", -1, flags=POST | VOID)),
    ("flags_are_mutually_exclusive", transfer("new", "no", "no", 1, flags=VOID | EXPIRE)),
    ("flags_are_mutually_exclusive", transfer("new", "no", "no", 1, flags=POST | BALANCING)),
    ("amount_out_of_range", transfer("new", "no", "no", BEYOND, flags=VOID, expires_us=-1)),
    ("amount_out_of_range", transfer("new", "no", "no", -1)),
    ("amount_must_be_zero", transfer("new", "no", "no", 1, flags=VOID, expires_us=-1)),
    ("amount_must_be_zero", transfer("new", "no", "no", 1, flags=EXPIRE)),
    ("expires_us_reserved_for_holds", transfer("new", "no", "no", 1, expires_us=-1)),
    (
        "expires_us_out_of_range",
        transfer("new", "no", "no", 1, flags=PENDING, expires_us=0, hold="open"),
    ),
    (
        "expires_us_out_of_range",
        transfer("new", SUB, "sales", 1, flags=PENDING, expires_us=BEYOND),
    ),
    ("hold_id_missing", transfer("new", "no", "no", 1, flags=POST)),
    ("hold_id_reserved_for_resolution", transfer("new", "no", "no", 1, hold="open")),
    ("accounts_must_differ", transfer("new", "no", "no", 1)),
    # Its accounts, its hold.
    ("debit_account_not_found", transfer("new", "no", "none", 1, flags=POST, hold="no")),
    ("credit_account_not_found", transfer("new", SUB, "no", 999, flags=POST, hold="no")),
    ("hold_not_found", transfer("new", SUB, "sales", 999, flags=POST, hold="no")),
    ("hold_not_found", transfer("new", "cash", "sales", 1, flags=POST, hold="same")),
    ("hold_has_different_debit", transfer("new", "cash", "mirror", 999, flags=POST, hold="posted")),
    (
        "hold_has_different_debit",
        transfer("new", SUB, "sales", 1, flags=POST, hold="open", asset=XOF),
    ),
    ("hold_has_different_credit", transfer("new", SUB, "mirror", 999, flags=POST, hold="posted")),
    ("exceeds_hold", transfer("new", SUB, "sales", 11, flags=POST, hold="posted")),
    ("hold_already_posted", transfer("new", SUB, "sales", 6, flags=POST, hold="posted")),
    ("hold_already_posted", transfer("new", SUB, "sales", 0, flags=VOID, hold="posted")),
    ("hold_already_posted", transfer("new", SUB, "sales", 0, flags=EXPIRE, hold="posted")),
    ("hold_already_voided", transfer("new", SUB, "sales", 1, flags=POST, hold="voided")),
    ("hold_expired", transfer("new", SUB, "sales", 1, flags=POST, hold="gone")),
    ("hold_expired", transfer("new", SUB, "sales", 0, flags=EXPIRE, hold="gone")),
    ("hold_expired", transfer("new", SUB, "sales", 1, flags=POST, hold="due")),
    ("hold_expired", transfer("new", SUB, "sales", 0, flags=VOID, hold="due")),
    ("hold_not_yet_expired", transfer("new", SUB, "sales", 0, flags=EXPIRE, hold="later")),
    ("hold_not_yet_expired", transfer("new", SUB, "sales", 0, flags=EXPIRE, hold="open")),
    # What the accounts can bear.
    (
        "expires_us_has_passed",
        transfer("new", SUB, "mirror", INT64_MAX, flags=PENDING, expires_us=NOW),
    ),
    ("overflows_debits", transfer("new", "cash", "sales", 1_001, asset=XOF)),
    ("overflows_debits", transfer("new", SUB, "mirror", INT64_MAX)),
    ("overflows_credits", transfer("new", SUB, "sales", 1_001, asset=XOF)),
    ("exceeds_credits", transfer("new", SUB, "mirror", 101)),
    ("exceeds_credits", transfer("new", SUB, "sales", 67)),
    ("exceeds_credits", transfer("new", SUB, "sales", 67, flags=PENDING)),
    ("exceeds_debits", transfer("new", "cash", "mirror", 101)),
    ("exceeds_debits", transfer("new", "cash", "mirror", 101, flags=PENDING)),
    # At the edge, all is well.
    ("", transfer("new", SUB, "sales", 66)),
    ("", transfer("new", SUB, "sales", 66, flags=PENDING, expires_us=NOW + 1)),
    ("", transfer("new", SUB, "sales", 67, flags=BALANCING)),
    ("", transfer("new", SUB, "sales", 67, flags=BALANCING | PENDING)),
    ("", transfer("new", "cash", "mirror", 100)),
    ("", transfer("new", "cash", "sales", 1_000, asset=XOF)),
    ("", transfer("new", SUB, "sales", 10, flags=POST, hold="open")),
    ("", transfer("new", SUB, "sales", 0, flags=POST, hold="later")),
    ("", transfer("new", SUB, "sales", 0, flags=EXPIRE, hold="due")),
    ("", transfer("new", "cash", "sales", 0)),
]


@pytest.mark.parametrize(("code", "order"), CASES, ids=lambda item: getattr(item, "code", item))
def test_the_first_reason_is_given(unit: Connection, code: str, order: Transfer) -> None:
    state = opened_state()
    for at_us, batch in HISTORY:
        assert service.apply(unit, batch, at_us) == [None] * len(batch)
        state, outcomes = rules.apply(state, batch, at_us)
        assert outcomes == [None] * len(batch)
    by_rules = rules.apply_transfer(state, order, NOW)
    assert (by_rules.code if not isinstance(by_rules, rules.State) else "") == code
    (by_service,) = codes(service.apply(unit, [order], NOW))
    assert by_service == (code if code not in ("", "exists") else None)
    assert service.check(unit).findings == ()


def test_every_reason_is_in_the_table() -> None:
    chains = {"linked_event_failed", "linked_chain_open"}
    assert {code for code, _ in CASES} | chains == {
        "",
        *(reason.name.lower() for reason in TransferReason),
    }


def test_chains_give_their_own_reasons(unit: Connection) -> None:
    chain = [
        transfer(1, "cash", "sales", 1, flags=LINKED),
        transfer(2, SUB, "sales", 1, flags=LINKED),
        transfer(3, "cash", "nowhere", 1, flags=NONE),
    ]
    failed, first, opened_end = "linked_event_failed", "exceeds_credits", "linked_chain_open"
    assert codes(service.apply(unit, chain, NOW)) == [failed, first, failed]
    assert codes(rules.apply(opened_state(), chain, NOW)[1]) == [failed, first, failed]
    assert codes(service.apply(unit, chain[:2], NOW)) == [failed, opened_end]
    assert codes(rules.apply(opened_state(), chain[:2], NOW)[1]) == [failed, opened_end]
    assert service.balance(unit, EUR, "cash") == service.balance(unit, EUR, "absent")
