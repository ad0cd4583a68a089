"""Import files of others: whose names theirs are, by the parties of the installation."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection

from opencarrier.app.bootstrap import Installation
from opencarrier.identity.cli import find
from opencarrier.identity.model import PartyKind
from opencarrier.kernel.encoding import encode
from opencarrier.kernel.refusals import PeerError, Refusal
from opencarrier.spine.parties import PartyId
from opencarrier.spine.records import Service
from opencarrier.usage.importing import Importer, check_file
from opencarrier.usage.record import SUBJECT_OCTETS, RecordReason
from opencarrier.usage.wire.csv_mapping import CsvMapping, parse_mapping
from opencarrier.usage.wire.origin import Origin

NAMES_MAX = 65_536
"""Names whose pseudonyms are remembered while files are read."""

NO_GROUPS: Final[Mapping[int, Service]] = {}


def import_files(
    base: Installation,
    paths: Sequence[Path],
    *,
    dataset: Path,
    codes: Mapping[str, str],
    sides: Mapping[str, str | None],
    mapping: str | None,
    groups: Mapping[int, Service] = NO_GROUPS,
) -> dict[str, Any] | Refusal:
    """Import files into a dataset; the result is what `usage import --json` prints.

    `codes` says which operator a TADIG code, a PLMN or any other name means; realms and PLMNs of
    the installation's operators need none. `sides` are `home`, `visited` and `reporter` for files
    that name none. `groups` says what is used by a rating group of Diameter.
    """
    read = _mapping(mapping)
    if isinstance(read, Refusal):
        return read
    with base.store.read() as unit:
        parties = _parties(base, unit, codes)
        stand_in = _parties(base, unit, {k: v for k, v in sides.items() if v is not None})
        operators = base.identity.directory.operators(unit)
    if isinstance(parties, Refusal):
        return parties
    if isinstance(stand_in, Refusal):
        return stand_in
    for operator in operators:
        for name in (*operator.realms, *operator.plmns):
            parties.setdefault(name, operator.party_id)
    places = {operator.party_id: operator.jurisdiction for operator in operators}
    key, now_us = base.access_keys().cui_key, base.clock.now_us()
    with base.store.read() as unit:
        subject_of = _pseudonyms(base, unit, key)

        def origin_of(digest: bytes) -> Origin:
            return Origin(
                source_digest=digest,
                ingested_us=now_us,
                party_of=parties.get,
                subject_of=subject_of,
                jurisdiction_of=places.get,
                service_of_group=groups,
                **stand_in,
            )

        return Importer(dataset, origin_of, read).run(paths)


def check_files(paths: Sequence[Path], mapping: str | None) -> dict[str, Any] | Refusal:
    """Look through files; the result is what `usage check --json` prints."""
    read = _mapping(mapping)
    if isinstance(read, Refusal):
        return read
    return {"files": [check_file(path, read).as_mapping() for path in paths]}


def _mapping(text: str | None) -> CsvMapping | Refusal | None:
    try:
        return None if text is None else parse_mapping(text)
    except PeerError as error:
        return Refusal(RecordReason.NOT_WELL_FORMED, f"mapping: {error.detail}")


def _parties(
    base: Installation, unit: Connection, names: Mapping[str, str]
) -> dict[str, PartyId] | Refusal:
    found: dict[str, PartyId] = {}
    for code, name in names.items():
        party = find(base.identity, unit, PartyKind.OPERATOR, name)
        if isinstance(party, Refusal):
            return party
        found[code] = party
    return found


def _pseudonyms(base: Installation, unit: Connection, key: bytes) -> Callable[[str], bytes]:
    """Return what stands for a subscriber in records.

    For a SIM of ours what was made with it, which goes when its subscriber is erased; for
    anybody else a keyed digest, so that nobody without the key can tell who it is.
    """

    @lru_cache(maxsize=NAMES_MAX)
    def subject_of(name: str) -> bytes:
        own = base.identity.directory.pseudonym(unit, name)
        return own or _pseudonym(key, name)

    return subject_of


def _pseudonym(key: bytes, name: str) -> bytes:
    message = encode(["opencarrier/imported-subject", name])
    return hmac.digest(key, message, "sha256")[:SUBJECT_OCTETS]
