"""What two installations speak of: the terms, the entries, what a message says. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from opencarrier.kernel.encoding import Value, encode
from opencarrier.kernel.ids import Id, derive
from opencarrier.kernel.merkle import leaf_hash
from opencarrier.kernel.money import INT64_MAX, AssetId
from opencarrier.kernel.signatures import Address

PPM: Final = 1_000_000
ENTRIES_MAX: Final = 1_000_000
"""Entries of one side in one exchange."""

DIFFERENCES_MAX: Final = 10_000
"""Entries that may differ; beyond it nothing is co-signed, and all stays one-sided."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What both sides must have agreed on before: who they are (by key), and what is compared.

    `first` is the lower address. `tolerance_ppm` is how far an entry's amounts may be apart, in
    millionths of the larger, before the difference is disputed.
    """

    domain: str
    asset: AssetId
    sequence: int
    first: Address
    second: Address
    tolerance_ppm: int

    def __post_init__(self) -> None:
        assert self.first < self.second, "the lower address comes first"
        assert 0 <= self.tolerance_ppm <= PPM
        assert 0 <= self.sequence <= INT64_MAX

    @property
    def exchange_id(self) -> Id:
        """Name the exchange; other terms are another one, so both sides' terms are equal."""
        return derive(
            "exchange",
            self.domain,
            self.asset,
            self.sequence,
            self.first,
            self.second,
            self.tolerance_ppm,
        )

    def other(self, own: Address) -> Address:
        """Return the peer of one of the two."""
        assert own in (self.first, self.second)
        return self.second if own == self.first else self.first


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A rated usage, or a correction of an earlier one, as one side has it.

    `debtor` is one of the two; the other is the creditor. It ended at `end_us`. `terms` is the
    digest of what was agreed of it in band, None where the agreement alone says the price; an
    entry without is told as it was before there were terms.
    """

    usage_id: Id
    debtor: Address
    end_us: int
    octets_in: int = 0
    octets_out: int = 0
    duration_s: int = 0
    amount_minor: int
    corrects: Id | None = None
    terms: Id | None = None

    def fields(self) -> list[Value]:
        """Return it as it is hashed and sent."""
        terms: list[Value] = [] if self.terms is None else [self.terms]
        return [
            self.usage_id,
            self.debtor,
            self.end_us,
            self.octets_in,
            self.octets_out,
            self.duration_s,
            self.amount_minor,
            self.corrects,
            *terms,
        ]

    @property
    def leaf(self) -> bytes:
        """Return its leaf hash."""
        return leaf_hash(encode(["opencarrier/exchanged", *self.fields()]))


@dataclass(frozen=True, slots=True)
class Summary:
    """How many entries a branch has, and the hash over them."""

    count: int
    digest: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Branch:
    """A branch as its owner tells it: its sixteen children, or the few entries it has."""

    prefix: str
    children: tuple[Summary, ...] = ()
    entries: tuple[Entry, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """All that one side has to say at a time; any of them may be lost, late or doubled.

    `cut_us`, `head` and `statement` bind: a sender that ever says another one has lied.
    `complete` says that the sender holds both signatures.
    """

    exchange_id: Id
    sender: Address
    cut_us: int
    head: Summary | None = None
    statement: Id | None = None
    signature: bytes = b""
    complete: bool = False
    ask: tuple[str, ...] = ()
    tell: tuple[Branch, ...] = ()
