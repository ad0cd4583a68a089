"""The code blocks of our documents, and what each one claims to be.

A fence says it in its first line: a language, a file it is kept in, and why it cannot run here:
`sh`, `console`, `toml config.toml`, `sh not-run: a router's own shell`. `form` means that each
command is parsed as the program parses it and no more. A comment `<!-- meanwhile: COMMANDS -->`
stands for what happens in the reader's world between two blocks.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
GENERATED = frozenset({"commands", "settings", "routes", "metrics"})
LANGUAGES = frozenset({"sh", "console", "toml", "json", "python", "ini", "conf", "text"})
FENCE = re.compile(r"^( *)```(.*)$")
INFO = re.compile(
    r"(?P<language>\w*)(?: (?P<file>[\w.-]+))?(?: (?P<mode>not-run|form): (?P<reason>.+))?"
)
MEANWHILE = re.compile(r"^<!-- meanwhile:\s*(.*?)\s*-->$", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block: where it stands, what it is, and its text."""

    page: str
    line: int
    language: str
    file: str
    mode: str
    reason: str
    text: str

    @property
    def place(self) -> str:
        return f"{self.page}:{self.line}"

    @property
    def runs(self) -> bool:
        return self.language in ("sh", "console", "python", "meanwhile") and not self.mode


def pages() -> list[str]:
    """Return every document that is committed or would be, but those the program writes itself."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    return [
        name
        for name in sorted(listed)
        if (ROOT / name).exists()
        and not (name.startswith("docs/reference/") and Path(name).stem in GENERATED)
    ]


def blocks(page: str) -> list[Block]:
    """Return a page's blocks in their order, comments of what happens meanwhile among them."""
    return list(_blocks(page, iter((ROOT / page).read_text().splitlines())))


def _blocks(page: str, lines: Iterator[str]) -> Iterator[Block]:
    for number, line in (numbered := enumerate(lines, 1)):
        if line.startswith("<!-- meanwhile:"):
            text = line
            while not text.endswith("-->"):
                text += "\n" + next(numbered)[1]
            said = MEANWHILE.match(text)
            assert said is not None, f"{page}:{number}"
            yield Block(page, number, "meanwhile", "", "", "", said[1])
        elif fence := FENCE.match(line):
            indent, info = fence.groups()
            body = []
            while (inner := next(numbered)[1]).strip() != "```":
                body.append(inner.removeprefix(indent))
            told = INFO.fullmatch(info)
            named = told.groupdict("") if told else {"language": f"?{info}"}
            yield Block(
                page,
                number,
                *(named.get(name, "") for name in ("language", "file", "mode", "reason")),
                "\n".join(body) + "\n",
            )


def commands(text: str) -> Iterator[str]:
    """Yield the lines of a shell block, continued ones as one."""
    for line in re.sub(r"\\\n\s*", "", text).splitlines():
        if line.strip() and not line.lstrip().startswith("#"):
            yield line
