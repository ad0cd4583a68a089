"""What a reader of records must be told that no file says: whose names its names are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from opencarrier.kernel.ids import Id, derive
from opencarrier.spine.parties import PartyId
from opencarrier.spine.records import Service


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """A file, by the SHA-256 of its octets, and how what it names is named here.

    `party_of` knows operators by what files call them (a TADIG code, a realm, a Diameter host);
    None where nobody is called so. `subject_of` makes a pseudonym of 16 octets of an IMSI or a
    number, which no record holds. `home`, `visited` and `reporter` stand in where a file names
    none, and never against what it names. `service_of_group` says what a rating group is
    where that is not what the file's context says.
    """

    source_digest: bytes
    ingested_us: int
    party_of: Callable[[str], PartyId | None]
    subject_of: Callable[[str], bytes]
    jurisdiction_of: Callable[[PartyId], str | None]
    home: PartyId | None = None
    visited: PartyId | None = None
    reporter: PartyId | None = None
    service_of_group: Mapping[int, Service] = field(default_factory=dict)


def session_id(source: str, visited: PartyId, *key: str | int | bytes | None) -> Id:
    """Name a session that a file tells of by what the file calls it."""
    return derive(f"session/{source}", visited, *key)


def usage_id(session: Id, start_us: int, *amounts: int) -> Id:
    """Name a part of a session by when it began and what was used; a copy has the same name."""
    return derive("usage/file", session, start_us, *amounts)
