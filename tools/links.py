"""Checks that what the documents point to is there: files, headings, and no paths of a machine.

Usage: python tools/links.py. Exit code 1 with findings. Nothing is fetched.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

ROOT = Path(__file__).resolve().parent.parent
LINK = re.compile(r"(?<!\\)!?\[[^\]]*\]\(\s*<?([^)>\s]+)>?(?:\s+\"[^\"]*\")?\s*\)")
HEADING = re.compile(r"^#{1,6}\s+(.+?)\s*#*\s*$")
FENCE = re.compile(r"^\s*(```|~~~)")
CODE = re.compile(r"`[^`]*`")
FOREIGN = re.compile(r"^(https?|mailto):")
NAMED_FILE = re.compile(r"`((?:docs|src|tests|tools|contracts)/[A-Za-z0-9_./-]+\.[a-z]+)`")


def main() -> int:
    """Check every document that is or would be committed; print findings."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split("\n")
    documents = [ROOT / name for name in sorted(set(listed)) if name and (ROOT / name).exists()]
    count = 0
    for document in documents:
        for line, message in check(document):
            print(f"{document.relative_to(ROOT)}:{line}: {message}")
            count += 1
    print(f"links: {len(documents)} documents, {count} findings", file=sys.stderr)
    return 1 if count else 0


def check(document: Path) -> Iterator[tuple[int, str]]:
    """Yield the links of a document that lead nowhere."""
    for number, line in _prose(document):
        for target in LINK.findall(CODE.sub("", line)):
            if FOREIGN.match(target):
                continue
            path_text, _, fragment = unquote(target).partition("#")
            path = (document.parent / path_text).resolve() if path_text else document
            if not path.exists():
                yield number, f"{target}: there is no such file"
            elif not path.is_relative_to(ROOT):
                yield number, f"{target}: leads out of the repository"
            elif fragment and path.suffix == ".md" and fragment not in anchors(path):
                yield number, f"{target}: there is no such heading"
        for name in NAMED_FILE.findall(line):
            if not (ROOT / name).exists():
                yield number, f"{name}: there is no such file"


def anchors(document: Path) -> set[str]:
    """Return the fragments a document's headings can be reached by."""
    found: set[str] = set()
    for _, line in _prose(document):
        heading = HEADING.match(line)
        if heading is None:
            continue
        words = re.sub(r"[^\w\- ]", "", heading[1].replace("`", "").lower())
        slug = base = words.strip().replace(" ", "-")
        times = 0
        while slug in found:
            times += 1
            slug = f"{base}-{times}"
        found.add(slug)
    return found


def _prose(document: Path) -> Iterator[tuple[int, str]]:
    fenced = False
    for number, line in enumerate(document.read_text().splitlines(), start=1):
        if FENCE.match(line):
            fenced = not fenced
        elif not fenced:
            yield number, line


if __name__ == "__main__":
    sys.exit(main())
