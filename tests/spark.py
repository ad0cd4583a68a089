"""A Spark for tests: unmodified, in a process and a Python of its own, on loopback."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

ROOT = Path(__file__).parents[1]
PYTHON = ROOT / ".peers" / "spark" / "bin" / "python"
DRIVER = Path(__file__).with_name("spark_driver.py")


class SparkError(Exception):
    """Spark's own word that it cannot answer."""


def is_installed() -> bool:
    """Whether there is a Spark, and the Java it needs."""
    return PYTHON.with_name("spark-submit").exists() and shutil.which("java") is not None


class Spark:
    """One session; `settings` hold for a query alone."""

    def __init__(self, process: subprocess.Popen[str], log: Path) -> None:
        self._process, self._log = process, log

    def rows(self, query: str, **settings: str) -> list[list[Any]]:
        """Have a query answered; binary values are hexadecimal, decimals integers."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        words = {name.replace("_", "."): value for name, value in settings.items()}
        self._process.stdin.write(json.dumps({"query": query, "settings": words}) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer, self._log.read_text()[-2_000:]
        told = json.loads(answer)
        if "error" in told:
            raise SparkError(told["error"])
        rows: list[list[Any]] = told["rows"]
        return rows


@contextmanager
def spark() -> Iterator[Spark]:
    """Start one, and leave nothing behind."""
    with TemporaryDirectory(prefix="opencarrier-spark-") as folder:
        log = Path(folder, "log")
        process = subprocess.Popen(
            [str(PYTHON), str(DRIVER), folder],
            env={name: value for name, value in os.environ.items() if "SPARK" not in name},
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log.open("w"),
            text=True,
        )
        with process:
            yield Spark(process, log)
