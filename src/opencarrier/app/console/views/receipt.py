"""A receipt as its holder reads it: the file, what it says in plain words, what checks it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypedDict
from urllib.parse import urlsplit

from sqlalchemy import Connection

from opencarrier.app.bootstrap import Onchain
from opencarrier.app.config import ConfigError
from opencarrier.app.console.views.parties import parties_of
from opencarrier.app.console.visitor import Visitor
from opencarrier.clearing.model import DueProof
from opencarrier.identity.accounts.model import Role
from opencarrier.kernel.encoding import Value
from opencarrier.kernel.ids import Id, to_hex
from opencarrier.kernel.refusals import Refusal
from opencarrier.receipts.document import read_receipt
from opencarrier.receipts.due_document import is_due_receipt, read_due_receipt
from opencarrier.receipts.issue import AUDIENCES
from opencarrier.receipts.model import DueReceipt, Opened, Part, Receipt
from opencarrier.spine.money import Role as Leg
from opencarrier.spine.parties import PartyId

OWN_RPC = "/rpc"
BESIDE = "http://127.0.0.1:8545"
"""Where `opencarrier chain serve` and most nodes answer on one's own machine."""

LOOPBACK = ("http://127.0.0.1:*", "http://localhost:*")
NODES_MAX = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """Who gets a part of a price, why, and how much in minor units."""

    reason: str
    name: str
    amount_minor: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """What a use cost by one contract, minor units."""

    kind: str
    payer: str
    amount_minor: int
    discount_minor: int
    shares: Sequence[Share]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiptView:
    """A receipt: `text` is the file octet for octet; amounts in minor units.

    `start_us` and what was used are None where the usage is not disclosed.
    """

    record_id: str
    kind: str
    text: str
    debtor: str
    creditor: str
    sequence: int
    tx_hash: str
    start_us: int | None
    end_us: int | None
    octets: int | None
    duration_s: int | None
    node_id: str | None
    prices: Sequence[Price]
    sealed: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Checking:
    """What checks a receipt in a browser: the pinned venue, and the nodes a page may ask."""

    manifest: str
    domain: str
    contracts: Mapping[str, str]
    rpc: str
    nodes: Sequence[str]
    asks: Sequence[str]


def checking(place: Onchain) -> Checking:
    """Return what a page that checks receipts works with."""
    nodes = named_nodes(place.base.settings.console_rpc)
    fallback = OWN_RPC if place.node is not None else BESIDE
    return Checking(
        manifest=place.manifest.to_json(),
        domain=place.manifest.domain,
        contracts={name: pinned.address for name, pinned in place.manifest.contracts.items()},
        rpc=nodes[0] if nodes else fallback,
        nodes=[*nodes, *([OWN_RPC] if place.node is not None else []), BESIDE],
        asks=[*dict.fromkeys(map(_origin, nodes)), *LOOPBACK],
    )


def named_nodes(setting: str) -> list[str]:
    """Read the setting `console_rpc`; `ConfigError` for what is no address of a node."""
    nodes = setting.split()
    for node in nodes:
        found = urlsplit(node)
        plain = node.isascii() and node.isprintable() and not set(node) & set("'\";,*")
        if found.scheme not in ("http", "https") or not found.hostname or not plain:
            raise ConfigError(f"console_rpc has URLs of nodes, not {node!r}")
        if found.username or found.password:
            raise ConfigError("console_rpc is shown to everybody: no password in it")
    if len(nodes) > NODES_MAX:
        raise ConfigError(f"console_rpc has {NODES_MAX} nodes at most")
    return nodes


class Receipts:
    """Writes receipts for whoever may see them."""

    def __init__(self, place: Onchain) -> None:
        self._place = place

    def text(
        self, unit: Connection, visitor: Visitor, record_id: Id, audience: str = "all"
    ) -> str | Refusal | None:
        """Return a record's receipt with what its visitor may see of what it asks for.

        None where there is no such use, or it is another's; refused before it is settled.
        """
        seen = self._seen(unit, visitor, record_id)
        if not seen:
            return None
        return self._place.issuer.issue(unit, record_id, parts=seen & AUDIENCES[audience])

    def view(
        self, unit: Connection, visitor: Visitor, record_id: Id
    ) -> ReceiptView | Refusal | None:
        """Return a receipt as a page shows it."""
        text = self.text(unit, visitor, record_id)
        if text is None or isinstance(text, Refusal):
            return text
        names = _Names(self._place, unit)
        if is_due_receipt(text):
            return _of_due(text, read_due_receipt(text), names)
        return _of_usage(text, read_receipt(text), names)

    def _seen(self, unit: Connection, visitor: Visitor, record_id: Id) -> frozenset[str]:
        usage = self._place.base.usage.usage(unit, record_id)
        if usage is not None:
            return parties_of(self._place.base, unit, usage).parts_for(visitor)
        due = self._place.clearing.due_record(unit, record_id)
        if due is None:
            return frozenset()
        theirs = isinstance(due, DueProof) and _pair(due) & visitor.at(Role.OPERATOR)
        return AUDIENCES["all"] if visitor.is_owner or theirs else frozenset()


def _pair(due: DueProof) -> set[PartyId]:
    return {PartyId(str(due.part[name])) for name in ("payer", "seller")}


class _Placed(TypedDict):
    """What receipts of both kinds say of where they were settled."""

    debtor: str
    creditor: str
    sequence: int
    tx_hash: str


class _Names:
    """Names of operators, hosts and authorities; a person has none here."""

    def __init__(self, place: Onchain, unit: Connection) -> None:
        self._directory = place.base.identity.directory
        self._unit = unit

    def of(self, party: object) -> str:
        identifier = PartyId(str(party))
        if self._directory.subscriber(self._unit, identifier) is not None:
            return ""
        found = self._directory.party(self._unit, identifier)
        return str(party) if found is None else found.name


def _of_usage(text: str, receipt: Receipt, names: _Names) -> ReceiptView:
    parts: dict[str, Part] = {
        "usage": receipt.usage,
        "wholesale": receipt.wholesale,
        "retail": receipt.retail,
    }
    usage = receipt.usage.content if isinstance(receipt.usage, Opened) else {}
    opened = {name: part for name, part in parts.items() if isinstance(part, Opened)}
    return ReceiptView(
        record_id=to_hex(receipt.usage_id),
        kind="usage",
        text=text,
        **_placed(receipt, names),
        start_us=_number(usage.get("start_us")),
        end_us=_number(usage.get("end_us")),
        octets=None if not usage else _used(usage, 1) + _used(usage, 2),
        duration_s=None if not usage else _used(usage, 0),
        node_id=None if not usage else str(usage["node_id"]),
        prices=[
            _price(name, opened[name].content, names)
            for name in ("retail", "wholesale")
            if name in opened
        ],
        sealed=[name for name, part in parts.items() if part is not None and name not in opened],
    )


def _of_due(text: str, receipt: DueReceipt, names: _Names) -> ReceiptView:
    return ReceiptView(
        record_id=to_hex(receipt.record_id),
        kind="adjustment",
        text=text,
        **_placed(receipt, names),
        start_us=None,
        end_us=None,
        octets=None,
        duration_s=None,
        node_id=None,
        prices=[_price("adjustment", receipt.adjustment.content, names)],
        sealed=[],
    )


def _placed(receipt: Receipt | DueReceipt, names: _Names) -> _Placed:
    return _Placed(
        debtor=names.of(receipt.path.debtor),
        creditor=names.of(receipt.path.creditor),
        sequence=receipt.settlement.sequence,
        tx_hash=to_hex(receipt.settlement.tx_hash),
    )


def _price(kind: str, content: Mapping[str, Value], names: _Names) -> Price:
    legs = content["allocations"]
    assert isinstance(legs, Sequence)
    return Price(
        kind=kind,
        payer=names.of(content["payer"]),
        amount_minor=_whole(content["amount_minor"]),
        discount_minor=_whole(content.get("discount_minor", 0)),
        shares=[_share(leg, names) for leg in legs],
    )


def _share(leg: Value, names: _Names) -> Share:
    assert isinstance(leg, Sequence)
    role, party, _, amount_minor = leg
    return Share(
        reason=Leg(_whole(role)).name.lower(),
        name=names.of(party),
        amount_minor=_whole(amount_minor),
    )


def _used(usage: Mapping[str, Value], place: int) -> int:
    before, after = usage["counters_from"], usage["counters_to"]
    assert isinstance(before, Sequence)
    assert isinstance(after, Sequence)
    return _whole(after[place]) - _whole(before[place])


def _whole(value: object) -> int:
    assert isinstance(value, int), "a receipt of ours has whole numbers"
    return value


def _number(value: Value) -> int | None:
    return value if isinstance(value, int) else None


def _origin(node: str) -> str:
    found = urlsplit(node)
    return f"{found.scheme}://{found.netloc}"
