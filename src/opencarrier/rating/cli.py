"""The commands of rating as plain functions: a file in, one object out; `app` wires them.

Each takes the open unit and returns what `--json` prints, or the refusal. A file that cannot be
used raises `InputError`: `file: what`, and a hint of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from sqlalchemy import Connection

from opencarrier.kernel.ids import to_hex
from opencarrier.kernel.refusals import Refusal
from opencarrier.kernel.signatures import Signature, verify
from opencarrier.rating.adjustment_inputs import decode_inputs
from opencarrier.rating.adjustments import readjust
from opencarrier.rating.agreements.book import FILE_OCTETS_MAX, read_any, read_book, write_any
from opencarrier.rating.agreements.rows import AnyAgreement, rows_of, signers_of
from opencarrier.rating.documents import (
    DOCUMENT_OCTETS_MAX,
    read_plan,
)
from opencarrier.rating.model import Agreement
from opencarrier.rating.service import RatingService
from opencarrier.rating.terms import DocumentError
from opencarrier.spine.money import Due
from opencarrier.spine.ports import Notary

Result = dict[str, Any] | Refusal


class InputError(ValueError):
    """A file cannot be used: which, why, and on its own line what to do."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class _Read(Protocol):
    """A reader of one kind of document."""

    def __call__(self, source: str, /) -> Any: ...


def agreement_add(
    service: RatingService, unit: Connection, *, file: Path, notary: Notary | None, at_us: int
) -> Result:
    """`agreement add FILE`: take an agreement; sign it with the operators' keys held here.

    Signatures the file carries stand; those this installation can give are added. Where one is
    still missing the refusal is `signature_missing`, and `agreement sign` makes the file that
    the other operator completes.
    """
    agreement, signatures = _load(file, read_any)
    signatures = _signed(service, unit, agreement, signatures, notary)
    refusal = service.add_agreement(unit, agreement, signatures, at_us=at_us)
    if refusal is not None:
        return refusal
    return {**described(agreement), "signed_by": [item.kid for item in signatures]}


def agreement_sign(
    service: RatingService, unit: Connection, *, file: Path, notary: Notary
) -> dict[str, Any]:
    """`agreement sign FILE`: return the document with the signatures this installation can give.

    Either version; a signature in the file that does not hold is left out.
    """
    agreement, given = _load(file, read_any)
    held = tuple(item for item in given if verify(agreement.hash, item))
    signatures = _signed(service, unit, agreement, held, notary)
    told = _checked(agreement, signatures)
    return {**told, "document": write_any(agreement, signatures)}


def agreement_check(*, file: Path) -> dict[str, Any]:
    """`agreement check FILE`: read the agreements of a file, or say where they contradict.

    Nothing is opened but the file. `InputError` is `FILE:LINE: what`, with both lines where two
    contradict each other. `signed_by` are the parties' keys whose signatures hold.
    """
    source = _text(file, FILE_OCTETS_MAX)
    try:
        book = read_book(source, str(file))
    except DocumentError as error:
        raise InputError(error.what, error.hint) from None
    checked = [_checked(entry.agreement, entry.signatures) for entry in book.entries]
    return {"agreements": checked, "rows": sum(item["rows"] for item in checked)}


def agreement_adjustments(service: RatingService, unit: Connection) -> dict[str, Any]:
    """`agreement adjustments`: what deals made of the periods that are over.

    `amount_minor` is in the deal's currency, `owed_minor` what it came to in the asset.
    """
    return {"adjustments": [_adjusted(item) for item in service.adjusted(unit)]}


def tariff_add(service: RatingService, unit: Connection, *, file: Path, at_us: int) -> Result:
    """`tariff add FILE`: take a home operator's retail plan."""
    plan = _load(file, read_plan)
    refusal = service.add_plan(unit, plan, at_us=at_us)
    if refusal is not None:
        return refusal
    return {
        "plan_hash": to_hex(plan.hash),
        "plan_id": plan.plan_id,
        "home": plan.home,
        "valid_from_us": plan.price.window.start_us,
        "valid_until_us": plan.price.window.end_us,
    }


def _load(file: Path, read: _Read) -> Any:
    source = _text(file, DOCUMENT_OCTETS_MAX)
    try:
        return read(source)
    except DocumentError as error:
        raise InputError(f"{file}: {error.what}", error.hint) from None


def _text(file: Path, octets_max: int) -> str:
    """Read a file as text, and one octet more than is taken so that its reader can say so."""
    try:
        with file.open("rb") as stream:
            return stream.read(octets_max + 1).decode()
    except OSError as error:
        raise InputError(f"{file}: {error.strerror}", "check the path and its permission") from None
    except UnicodeDecodeError:
        raise InputError(f"{file}: it is not UTF-8 text", "save it as UTF-8") from None


def _checked(agreement: AnyAgreement, signatures: Sequence[Signature]) -> dict[str, Any]:
    signers = signers_of(agreement)
    held = {item.kid for item in signatures if verify(agreement.hash, item)}
    return {
        "agreement_hash": to_hex(agreement.hash),
        "parties": sorted(set(signers.values())),
        "rows": len(rows_of(agreement)),
        "deals": 0 if isinstance(agreement, Agreement) else len(agreement.deals),
        "signed_by": sorted(held & signers.keys()),
        "complete": held == signers.keys(),
    }


def _signed(
    service: RatingService,
    unit: Connection,
    agreement: AnyAgreement,
    given: tuple[Signature, ...],
    notary: Notary | None,
) -> tuple[Signature, ...]:
    """Return the given signatures and those this installation can add, ascending by key."""
    own = () if notary is None else service.sign_agreement(unit, agreement, notary)
    by_key = {item.kid: item for item in (*own, *given)}
    return tuple(by_key[kid] for kid in sorted(by_key))


def _adjusted(item: Due) -> dict[str, Any]:
    made = item.adjustment
    inputs = decode_inputs(made.inputs)
    return {
        "adjustment_id": to_hex(made.adjustment_id),
        "agreement_hash": to_hex(made.agreement_hash),
        "deal": inputs.deal.deal,
        "payer": made.payer,
        "seller": made.seller,
        "start_us": made.start_us,
        "end_us": made.end_us,
        "number": made.number,
        "verdict": readjust(made.inputs).owed.verdict.name.lower(),
        "currency": made.currency,
        "amount_minor": made.amount_minor,
        "owed_minor": item.amount_minor,
        "legs": {leg.role.name.lower(): leg.amount_minor for leg in item.allocations},
    }


def described(agreement: AnyAgreement) -> dict[str, Any]:
    """Say which agreement it is, whose, and how much it prices."""
    name = {"agreement_hash": to_hex(agreement.hash)}
    if isinstance(agreement, Agreement):
        pair = {"home": agreement.home, "visited": agreement.visited}
        return {**name, **pair, "tariffs": len(agreement.tariffs)}
    return {
        **name,
        "parties": [item.party for item in agreement.parties],
        "lines": len(agreement.lines),
        "deals": len(agreement.deals),
    }
