"""A PostgreSQL server as long as a reader's shell lives: python -m tests.documents.database FILE.

FILE says to a shell where it is.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from tests.postgresql import server

LOOK_S = 0.2


def serve(told: Path) -> None:
    """Serve until whoever started it is gone."""
    shell = os.getppid()
    with server() as made:
        written = told.with_suffix(".part")
        written.write_text(
            f"export PGHOST=127.0.0.1 PGPORT={made.port} PGUSER=opencarrier PGDATABASE=postgres\n"
        )
        written.rename(told)
        while os.getppid() == shell:
            time.sleep(LOOK_S)


if __name__ == "__main__":
    serve(Path(sys.argv[1]))
