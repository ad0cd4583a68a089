"""Writes the pages of commands, settings, routes and metrics: python tools/reference.py.

Each has a heading of its own; a test fails where one is missing or differs.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import Field, fields
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

REFERENCE = Path(__file__).resolve().parent.parent / "docs" / "reference"
WIDTH = 100
METHODS = ("get", "post", "put", "patch", "delete")

COMMANDS = """# Commands

Every command ends with 0 where it did what was asked, 1 where it was refused or a check failed, 2
where it was called wrongly, 3 where port, disk or permission are in the way, 4 where the outcome at
a remote side is unknown and asking again is safe, 130 where it was interrupted. Data goes to
stdout, the rest to stderr; `--json` prints one object. On a terminal results are laid out for its
width (`COLUMNS`), headings bold unless `NO_COLOR` is set; nothing is shortened, so that ids can be
copied. Into a pipe goes a line for each key, what is nested as JSON. An error is a line `error:`
and one `hint:`.

"""
SETTINGS = """# Settings

Defaults, then `config.toml` in the data folder, then the environment, then flags: the last one
wins. `opencarrier config show --origin` says what is in force and where it comes from.

"""
ROUTES = """# Routes

What the process answers over HTTP, as `/openapi.json` says it in full. A refusal is a problem
(RFC 9457).

"""
METRICS = """# Metrics

What `/metrics` tells, in Prometheus' text format. A counter with a label has a line for each value
that occurred.

"""


def pages(openapi: Mapping[str, Any], exposition: str) -> dict[Path, str]:
    """Return the pages as they must stand in the repository, by their place."""
    made = {
        "commands": COMMANDS + "".join(commands()),
        "settings": SETTINGS + "".join(settings()),
        "routes": ROUTES + "".join(routes(openapi)),
        "metrics": METRICS + "".join(metrics(exposition)),
    }
    return {REFERENCE / f"{name}.md": text.rstrip() + "\n" for name, text in made.items()}


def commands() -> Iterator[str]:
    """Each command with its help."""
    from typer.main import get_command

    from opencarrier.__main__ import root

    for path, command in _commands(get_command(root), ()):
        name = " ".join(("opencarrier", *path))
        context = command.make_context(name, [], resilient_parsing=True, terminal_width=WIDTH)
        text = "\n".join(line.rstrip() for line in command.get_help(context).splitlines())
        yield f"## {name}\n\n```\n{text}\n```\n\n"


def _commands(group: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, command in sorted(group.commands.items()):
        if hasattr(command, "commands"):
            yield from _commands(command, (*path, name))
        else:
            yield (*path, name), command


def settings() -> Iterator[str]:
    """Each setting with its default and what it may be."""
    from opencarrier.app.config import PREFIX, Settings

    for one in fields(Settings):
        told = f"{_sentence(one.metadata['help'])} {_bounds(one)}".strip()
        default = json.dumps(one.default, ensure_ascii=False)
        variable = PREFIX + one.name.upper()
        yield f"## {one.name}\n\n{told}\n\n`{one.name} = {default}`, or `{variable}`\n\n"


def _bounds(one: Field[Any]) -> str:
    if "range" in one.metadata:
        low, high = one.metadata["range"]
        return f"From {low} to {high}."
    choices = [f"`{choice}`" for choice in one.metadata.get("choices", ()) if choice]
    return f"One of {', '.join(choices)}." if choices else ""


def routes(openapi: Mapping[str, Any]) -> Iterator[str]:
    """Each route with what it takes and how it answers."""
    for path, methods in sorted(openapi["paths"].items()):
        for method in METHODS:
            if method in methods:
                yield _route(method, path, methods[method])


def _route(method: str, path: str, told: Mapping[str, Any]) -> str:
    words = told.get("description") or told["summary"]
    taken = [
        f"- `{one['name']}` ({one['in']}{', required' if one.get('required') else ''})"
        f"{': ' + one['description'] if one.get('description') else ''}\n"
        for one in told.get("parameters", ())
    ]
    answers = ", ".join(sorted(told["responses"]))
    listed = "".join(taken) + "\n" if taken else ""
    return f"## {method.upper()} {path}\n\n{words.strip()}\n\n{listed}Answers: {answers}.\n\n"


def metrics(exposition: str) -> Iterator[str]:
    """Each metric with its kind."""
    found = re.findall(r"# HELP (\S+) (.+)\n# TYPE \S+ (\S+)", exposition)
    for name, words, kind in sorted(found):
        yield f"## {name}\n\n{_sentence(words)} ({kind})\n\n"


def _sentence(words: str) -> str:
    return words[:1].upper() + words[1:] + "."


def told_by_one() -> tuple[Mapping[str, Any], str]:
    """Return OpenAPI and metrics of an installation that is opened for it."""
    from opencarrier.app.bootstrap import onchain, open_installation
    from opencarrier.app.config import Settings
    from opencarrier.app.folder import Folder

    with (
        TemporaryDirectory() as folder,
        closing(open_installation(Folder(Path(folder)), Settings())) as base,
        onchain(base) as place,
    ):
        return told_by(place)


def told_by(place: Any) -> tuple[Mapping[str, Any], str]:
    """Return OpenAPI and metrics of an installation at its venue."""
    from opencarrier.access.model import Metrics
    from opencarrier.access.radsec.model import Connections
    from opencarrier.app.http import Web, make_app
    from opencarrier.app.metrics import exposition, passing_exposition
    from opencarrier.app.passing_on import access_service
    from opencarrier.kernel.ids import Id
    from opencarrier.settlement.model import Cycle, CycleState

    web = Web(place, Metrics, token="")
    with place.base.store.read() as unit:
        totals = place.base.usage.totals(unit)
    cycle = Cycle(
        cycle_id=Id(bytes(32)), sequence=1, state=CycleState.FINAL, attempt=1, cuts=1, cut_us=0
    )
    passing = access_service(place.base, None).passing
    told = exposition(Metrics(), totals, cycle, Connections()) + passing_exposition(passing)
    return make_app(web).openapi(), told


if __name__ == "__main__":
    for path, text in pages(*told_by_one()).items():
        path.write_text(text)
