"""A folder of results that appears under its name when it is whole, or not at all."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from opencarrier.kernel.refusals import PeerError


@contextmanager
def new_folder(out: Path, *, report: str, holds: str, scratch: Sequence[str]) -> Iterator[Path]:
    """Make a folder that takes the place of an earlier one; its `scratch` folders are left out.

    An earlier one is known by the file `report`. Raises `PeerError`: `out`, where there is
    something else, saying what it does not hold.
    """
    if out.exists() and not out.joinpath(report).exists():
        raise PeerError("out", f"{out} is there and holds no {holds}")
    unready = out.with_name(f".{out.name}.unready")
    shutil.rmtree(unready, ignore_errors=True)
    unready.mkdir(parents=True)
    try:
        yield unready
    except BaseException:
        shutil.rmtree(unready, ignore_errors=True)
        raise
    for name in scratch:
        shutil.rmtree(unready.joinpath(name), ignore_errors=True)
    shutil.rmtree(out, ignore_errors=True)
    unready.rename(out)
