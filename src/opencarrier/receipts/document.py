"""Receipts to text and back, every key known."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, TypedDict

from opencarrier.clearing.model import RecordPath
from opencarrier.kernel.decoding import decode
from opencarrier.kernel.encoding import EncodingError, Value, encode
from opencarrier.kernel.ids import ID_OCTETS, Id
from opencarrier.kernel.merkle import PATH_MAX, Path
from opencarrier.kernel.money import AssetId
from opencarrier.kernel.refusals import PeerError
from opencarrier.kernel.signatures import SIGNATURE_OCTETS, Address, Signature
from opencarrier.receipts import form
from opencarrier.receipts.model import (
    FORMAT,
    PARTS,
    DueReceipt,
    Opened,
    Part,
    Receipt,
    Sealed,
    SettlementPointer,
)
from opencarrier.spine.parties import PartyId
from opencarrier.spine.usage import Rung

SIGNATURES_MAX: Final = 2
HASH_OCTETS: Final = 32
ADDRESS_OCTETS: Final = 20

SETTLED_KEYS: Final = ("path", "agreement_signatures", "statement_signatures", "settlement")
_RECEIPT: Final = ("format", "usage_id", *PARTS, *SETTLED_KEYS)
_PATH: Final = (
    "record",
    "cycle_id",
    "debtor",
    "creditor",
    "asset",
    "rung",
    "amount_minor",
    "position",
    "jurisdiction",
    "domain",
)
_SETTLEMENT: Final = (
    "chain_id",
    "clearing_house",
    "sequence",
    "cycle_id",
    "settlement_id",
    "tx_hash",
)


class Settled(TypedDict):
    """What receipts of all kinds end with."""

    path: RecordPath
    agreement_signatures: tuple[Signature, ...]
    statement_signatures: tuple[Signature, ...]
    settlement: SettlementPointer


def write_receipt(receipt: Receipt) -> str:
    """Write a receipt in its one spelling."""
    return form.write(
        {
            "format": FORMAT,
            "usage_id": form.to_json(receipt.usage_id),
            "usage": write_part(receipt.usage),
            "wholesale": write_part(receipt.wholesale),
            "retail": write_part(receipt.retail),
            **write_settled(receipt),
        }
    )


def write_settled(receipt: Receipt | DueReceipt) -> dict[str, Any]:
    """Write what receipts of all kinds end with: the path, signatures, where it was settled."""
    path, settlement = receipt.path, receipt.settlement
    return {
        "path": {
            "record": _write_path(path.record),
            "cycle_id": form.to_json(path.cycle_id),
            "debtor": form.to_json(path.debtor),
            "creditor": form.to_json(path.creditor),
            "asset": form.to_json(path.asset),
            "rung": int(path.rung),
            "amount_minor": path.amount_minor,
            "position": _write_path(path.position),
            "jurisdiction": form.to_json(path.jurisdiction),
            "domain": _write_path(path.domain),
        },
        "agreement_signatures": [_write_signature(s) for s in receipt.agreement_signatures],
        "statement_signatures": [_write_signature(s) for s in receipt.statement_signatures],
        "settlement": {
            "chain_id": settlement.chain_id,
            "clearing_house": settlement.clearing_house,
            "sequence": settlement.sequence,
            "cycle_id": form.to_json(settlement.cycle_id),
            "settlement_id": form.to_json(settlement.settlement_id),
            "tx_hash": form.to_json(settlement.tx_hash),
        },
    }


def read_receipt(text: str) -> Receipt:
    """Read a receipt; `PeerError` with reason `form` for any other text than `write_receipt`'s."""
    document = form.keys(form.read(text), _RECEIPT, "the receipt")
    if document["format"] != FORMAT:
        raise PeerError("form", f"the format is not {FORMAT}")
    return Receipt(
        usage_id=read_id(document["usage_id"], "usage_id"),
        usage=read_part(document["usage"], "usage"),
        wholesale=read_part(document["wholesale"], "wholesale"),
        retail=read_part(document["retail"], "retail"),
        **read_settled(document),
    )


def read_settled(document: dict[str, Any]) -> Settled:
    """Read what `write_settled` writes; `PeerError` for what is out of form."""
    return Settled(
        path=_read_record_path(form.keys(document["path"], _PATH, "path")),
        agreement_signatures=_read_signatures(document["agreement_signatures"]),
        statement_signatures=_read_signatures(document["statement_signatures"]),
        settlement=_read_settlement(form.keys(document["settlement"], _SETTLEMENT, "settlement")),
    )


def read_id(value: Any, where: str) -> Id:
    """Read an id; `PeerError` for anything else."""
    return Id(form.octets(value, ID_OCTETS, where))


def write_part(part: Part) -> Any:
    """Write a part: nothing, its commitment, or its salt and content."""
    match part:
        case None:
            return None
        case Sealed():
            return {"commitment": form.to_json(part.commitment)}
        case Opened():
            return {"salt": form.to_json(part.salt), "content": _write_content(part.content)}


def _write_content(content: Mapping[str, Value]) -> Any:
    """Write a part's content; what rating read is shown opened, for people to read."""
    inputs = content.get("inputs")
    if not isinstance(inputs, bytes):
        return form.to_json(content)
    return form.to_json({**content, "inputs": decode(inputs)})


def _read_content(value: Any, where: str) -> dict[str, Value]:
    content = form.from_json(value)
    if not isinstance(content, dict):
        raise PeerError("form", f"{where}.content is not an object")
    if "inputs" in content:
        try:
            content["inputs"] = encode(content["inputs"])
        except EncodingError as error:
            raise PeerError("form", f"{where}.inputs: {error}") from None
    return content


def read_part(value: Any, where: str) -> Part:
    """Read a part; `PeerError` for what `write_part` would not write."""
    if value is None:
        return None
    if isinstance(value, dict) and "commitment" in value:
        sealed = form.keys(value, ("commitment",), where)
        return Sealed(commitment=form.octets(sealed["commitment"], HASH_OCTETS, where))
    opened = form.keys(value, ("salt", "content"), where)
    return Opened(
        salt=form.octets(opened["salt"], HASH_OCTETS, f"{where}.salt"),
        content=_read_content(opened["content"], where),
    )


def _write_path(path: Path) -> dict[str, Any]:
    return {
        "index": path.index,
        "size": path.size,
        "siblings": [form.to_json(sibling) for sibling in path.siblings],
    }


def _read_path(value: Any, where: str) -> Path:
    document = form.keys(value, ("index", "size", "siblings"), where)
    siblings = document["siblings"]
    if not isinstance(siblings, list) or len(siblings) > PATH_MAX:
        raise PeerError("form", f"{where}.siblings is not a list of at most {PATH_MAX}")
    return Path(
        form.number(document["index"], f"{where}.index"),
        form.number(document["size"], f"{where}.size"),
        tuple(form.octets(sibling, HASH_OCTETS, f"{where}.siblings") for sibling in siblings),
    )


def _read_record_path(document: dict[str, Any]) -> RecordPath:
    try:
        rung = Rung(form.number(document["rung"], "path.rung"))
    except ValueError:
        raise PeerError("form", "path.rung is no rung") from None
    return RecordPath(
        record=_read_path(document["record"], "path.record"),
        cycle_id=read_id(document["cycle_id"], "path.cycle_id"),
        debtor=PartyId(form.words(document["debtor"], "path.debtor")),
        creditor=PartyId(form.words(document["creditor"], "path.creditor")),
        asset=AssetId(form.words(document["asset"], "path.asset")),
        rung=rung,
        amount_minor=form.number(document["amount_minor"], "path.amount_minor"),
        position=_read_path(document["position"], "path.position"),
        jurisdiction=form.words(document["jurisdiction"], "path.jurisdiction"),
        domain=_read_path(document["domain"], "path.domain"),
    )


def _write_signature(signature: Signature) -> dict[str, str]:
    return {"kid": signature.kid, "octets": form.to_json(signature.octets)}


def _read_signatures(value: Any) -> tuple[Signature, ...]:
    if not isinstance(value, list) or len(value) > SIGNATURES_MAX:
        raise PeerError("form", f"signatures are a list of at most {SIGNATURES_MAX}")
    documents = [form.keys(item, ("kid", "octets"), "a signature") for item in value]
    return tuple(
        Signature(
            _address(document["kid"], "kid"),
            form.octets(document["octets"], SIGNATURE_OCTETS, "a signature"),
        )
        for document in documents
    )


def _read_settlement(document: dict[str, Any]) -> SettlementPointer:
    return SettlementPointer(
        chain_id=form.number(document["chain_id"], "settlement.chain_id"),
        clearing_house=_address(document["clearing_house"], "settlement.clearing_house"),
        sequence=form.number(document["sequence"], "settlement.sequence"),
        cycle_id=read_id(document["cycle_id"], "settlement.cycle_id"),
        settlement_id=read_id(document["settlement_id"], "settlement.settlement_id"),
        tx_hash=form.octets(document["tx_hash"], HASH_OCTETS, "settlement.tx_hash"),
    )


def _address(value: Any, where: str) -> Address:
    return Address("0x" + form.octets(value, ADDRESS_OCTETS, where).hex())
