"""Writes docs/reference/usage-record.md from the record's fields: python tools/record_page.py."""

from __future__ import annotations

import json
from pathlib import Path

from opencarrier.usage.record import FIELDS, Field
from opencarrier.usage.record_json import json_schema

PAGE = Path(__file__).resolve().parent.parent / "docs" / "reference" / "usage-record.md"

HEAD = """# Usage records

One row is one **usage** as one reporter saw it, a **correction** of one, or a **void**. Readers of
every format yield it, `opencarrier usage export` and `import` write it, every engine rates it.

- Amounts are what this usage adds. `from_` amounts are what its session had used before: a session
  in pieces costs what it costs in one.
- Copies have the same `usage_id`, `reporter` and `side`; one of them is kept.
- Nothing is changed in place. A correction says the whole usage anew and names what it takes the
  place of in `corrects`; of several for one record the one with the highest `sequence`, then
  `usage_id`, counts. A void says that nothing takes its place. Both have the visited operator of
  what they name.
- The tariff is the one in force at `tariff_at_us`, at `start_us` where that is empty.
- `subject` is a pseudonym. A record holds no IMSI, no MAC address, no name.

## A dataset

Parquet (zstd) in folders `day=YYYY-MM-DD/visited=PARTY`: the UTC day a usage began and the operator
whose network it was. Integers are signed; words are encoded by dictionary, so a reader meets each
once a row group; usage and session ids have a Bloom filter a row group. Rows lie by home, service,
node and time. A file is named by what is in it and appears whole. `set-aside` holds what imports
kept beside the records: what became of each file with what was refused of it, and where copies were
read.

## Fields

| field | type | empty | bounds | meaning |
|---|---|---|---|---|
"""


def page() -> str:
    """Return the page as it must stand in the repository."""
    schema = json.dumps(json_schema(), indent=1)
    return f"{HEAD}{''.join(map(_row, FIELDS))}\n## JSON Schema\n\n```json\n{schema}\n```\n"


def _row(field: Field) -> str:
    bounds = f"{field.least} to {field.greatest}"
    if field.type in ("binary", "letters"):
        bounds = f"{field.least} {'octets' if field.type == 'binary' else 'letters'}"
    elif field.type in ("party", "text"):
        bounds = f"at most {field.greatest} characters"
    elif field.type == "bool":
        bounds = ""
    empty = "yes" if field.nullable else ""
    return f"| `{field.name}` | {field.type} | {empty} | {bounds} | {field.meaning} |\n"


if __name__ == "__main__":
    PAGE.write_text(page())
