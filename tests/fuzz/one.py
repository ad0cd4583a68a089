"""One target under atheris; the arguments after its name are libFuzzer's."""

from __future__ import annotations

import sys

import atheris

with atheris.instrument_imports(
    include=["opencarrier.access", "opencarrier.channels", "opencarrier.kernel"]
):
    from tests.fuzz.targets import TARGETS, try_one

name = sys.argv.pop(1)
target = TARGETS[name]


def one_input(data: bytes) -> None:
    """Any exception but `PeerError` gets out, and is the finding."""
    try_one(target, data)


atheris.Setup(sys.argv, one_input)
atheris.Fuzz()
