"""A PostgreSQL server for tests: a cluster of its own in a folder, on loopback."""

from __future__ import annotations

from opencarrier.bench.postgresql import Server, program, server

__all__ = ["Server", "program", "server"]
