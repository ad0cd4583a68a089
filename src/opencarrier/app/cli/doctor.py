"""The command that looks for what is wrong: doctor."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from opencarrier.app.cli.common import DEFAULT_DATA, AsJson, Data, begun_folder
from opencarrier.app.output import Exit, emit

if TYPE_CHECKING:
    from opencarrier.app.doctor.model import Finding


def doctor(data: Data = DEFAULT_DATA, as_json: AsJson = False) -> None:
    """Look at ports, disk, clock, database, chain, certificates and peers, and say the fix.

    Ends with 1 where something is broken; what is doubtful works, and wants to be seen to.

    Example: opencarrier doctor --data ./venue
    """
    from opencarrier.app.doctor.model import Health
    from opencarrier.app.doctor.service import examine

    found = examine(begun_folder(data))
    worst = max(one.health for one in found)
    if as_json:
        emit({"health": worst.word, "findings": [_told(one) for one in found]}, as_json=True)
    else:
        for one in found:
            _show(one)
    if worst is Health.BROKEN:
        raise typer.Exit(Exit.REFUSED)


def _told(finding: Finding) -> dict[str, str]:
    told = {"part": finding.part, "health": finding.health.word, "found": finding.found}
    return {**told, "fix": finding.fix} if finding.fix else told


def _show(finding: Finding) -> None:
    print(f"{finding.health.word.ljust(8)}  {finding.part}: {finding.found}")
    if finding.fix:
        print(f"{'':8}  hint: {finding.fix}")
