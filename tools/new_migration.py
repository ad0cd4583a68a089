"""Write the next migration from what the rooms declare: `python tools/new_migration.py WORDS`.

Read what comes out before committing it, and set `HEAD` in `opencarrier/app/schema.py`.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

from alembic import command
from alembic.script import ScriptDirectory

from opencarrier.app import schema
from opencarrier.app.store import Store


def main(words: str) -> None:
    """Compare an up-to-date empty database with the tables and write the difference."""
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder) / "empty.sqlite")
        with store.write() as unit:
            config = schema.alembic_config(unit)
            known = [item.revision for item in ScriptDirectory.from_config(config).walk_revisions()]
            if known:
                command.upgrade(config, "head")
            command.revision(config, message=words, autogenerate=True, rev_id=following(known))
        store.close()


def following(known: Iterable[str]) -> str:
    """Return the highest number plus one: numbers in between may be missing."""
    return f"{max(map(int, known), default=0) + 1:04d}"


if __name__ == "__main__":
    main(" ".join(sys.argv[1:]))
