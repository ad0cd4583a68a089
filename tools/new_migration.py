"""Write the next migration from what the rooms declare: `python tools/new_migration.py WORDS`.

Read what comes out before committing it, and set `HEAD` in `opencarrier/app/schema.py`.
"""

from __future__ import annotations

import sys
import tempfile
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
            count = len(list(ScriptDirectory.from_config(config).walk_revisions()))
            if count:
                command.upgrade(config, "head")
            command.revision(config, message=words, autogenerate=True, rev_id=f"{count + 1:04d}")
        store.close()


if __name__ == "__main__":
    main(" ".join(sys.argv[1:]))
