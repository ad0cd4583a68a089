"""What every command shares: the folder, `--json`, opening an installation, ending with a code."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from opencarrier.app.layout import Lexicon
from opencarrier.app.output import CommandError, Exit, for_people, refused, speak
from opencarrier.kernel.refusals import Refusal

if TYPE_CHECKING:
    from opencarrier.app.bootstrap import Installation, Onchain
    from opencarrier.app.folder import Folder, Running
    from opencarrier.kernel.money import AssetId
    from opencarrier.kernel.signatures import Address, KeySigner

DATA_VARIABLE = "OPENCARRIER_DATA"
DEFAULT_DATA = Path("opencarrier-data")
MAPPING_OCTETS_MAX = 1 << 16
NAMES_MAX = 1_000
"""Parties and nodes up to which operators and hosts are told by name on a terminal."""

Data = Annotated[
    Path, typer.Option("--data", envvar=DATA_VARIABLE, help="The installation's data folder.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]

T = TypeVar("T")


def group(name: str, words: str) -> typer.Typer:
    """Make a group of commands."""
    return typer.Typer(name=name, help=words, no_args_is_help=True, rich_markup_mode=None)


def folder_of(data: Path) -> Folder:
    """Return the data folder a command works on."""
    from opencarrier.app.folder import Folder

    return Folder(data.resolve())


def begun_folder(data: Path) -> Folder:
    """Return the data folder of an installation that was begun, or end with 3."""
    folder = folder_of(data)
    if not folder.begun:
        raise CommandError(
            Exit.ENVIRONMENT,
            f"{data} is no data folder",
            "name one with --data, or begin one: opencarrier operator add NAME --jurisdiction FR",
        )
    return folder


def running_in(data: Path, hint: str) -> Running:
    """Return the process that serves a folder, or end with 3."""
    running = folder_of(data).running()
    if running is None:
        raise CommandError(Exit.ENVIRONMENT, f"nothing runs in {data}", hint)
    return running


@contextmanager
def installation(data: Path, *, begin: bool = False) -> Iterator[Installation]:
    """Open the installation in a folder; only a command that may `begin` one makes it."""
    from opencarrier.app.bootstrap import load_settings, open_installation
    from opencarrier.chain.errors import NodeLockedError

    folder = folder_of(data) if begin else begun_folder(data)
    base = open_installation(folder, load_settings(folder, {}).settings)
    if for_people():
        speak(lexicon_of(base))
    try:
        yield base
    except NodeLockedError:
        _see_that_nobody_starts(folder)
        raise
    finally:
        base.close()


@contextmanager
def at_venue(base: Installation) -> Iterator[Onchain]:
    """Open an installation's chain; a venue put up here is pinned for this person's `verify`."""
    from opencarrier.app.bootstrap import onchain
    from opencarrier.app.verifying import pin

    with onchain(base) as place:
        if place.is_new:
            pin(place.manifest)
        if for_people():
            code = symbol_at(place)
            speak(replace(lexicon_of(base), code=lambda: code))
        yield place


@contextmanager
def venue(data: Path) -> Iterator[Onchain]:
    """Open the installation in a folder and its chain, which a process may have that begins."""
    _see_that_nobody_starts(folder_of(data))
    with installation(data) as base, at_venue(base) as place:
        yield place


def _see_that_nobody_starts(folder: Folder) -> None:
    """End with 3 beside a process that has the folder and has not told yet where it serves."""
    if folder.is_held() and folder.running() is None:
        raise CommandError(
            Exit.ENVIRONMENT,
            f"the process that has {folder.root} is starting or ending",
            "ask again in a moment: opencarrier status says when it serves",
        )


def lexicon_of(base: Installation) -> Lexicon:
    """Return how an installation's asset and parties are called where people read of them."""
    manifest = base.manifest()
    with base.store.read() as unit:
        if sum(base.identity.places.numbers(unit).values()) > NAMES_MAX:
            return Lexicon()
        directory = base.identity.directory
        operators, hosts = directory.operators(unit), directory.hosts(unit)
    called = [(one.party_id, one.name) for one in operators]
    called += [(one.party_id, one.name) for one in hosts]
    named = Counter(name for _, name in called)
    return Lexicon(
        asset="" if manifest is None else str(manifest.asset),
        code=cache(lambda: "" if manifest is None else _symbol(base)),
        names={party: name for party, name in called if named[name] == 1},
    )


def symbol_at(place: Onchain) -> str:
    """Return how the venue's asset is called; nothing where the chain does not say."""
    from opencarrier.chain.contracts import StableToken
    from opencarrier.chain.errors import ChainError
    from opencarrier.kernel.refusals import PeerError

    with suppress(ChainError, PeerError):
        return StableToken(place.manifest.token).symbol().ask(place.client)
    return ""


def _symbol(base: Installation) -> str:
    """Ask the chain of an installation that was opened without it."""
    from opencarrier.app.bootstrap import onchain
    from opencarrier.app.config import ConfigError
    from opencarrier.app.folder import FolderError
    from opencarrier.chain.errors import ChainError

    with suppress(ChainError, ConfigError, FolderError), onchain(base) as place:
        return symbol_at(place)
    return ""


def asset_of(base: Installation) -> AssetId:
    """Return the asset of the installation's venue, putting up the venue where there is none."""
    manifest = base.manifest()
    if manifest is None:
        with at_venue(base) as place:
            manifest = place.manifest
    return manifest.asset


def signer_of(key_file: str) -> KeySigner | None:
    """Return the key in a file (`-`: standard input), None where no file is named."""
    from opencarrier.identity.cli import read_account_key

    if not key_file:
        return None
    standard_input_once(key_file)
    return read_account_key(key_file, standard_input=sys.stdin)


def digest_of(text: str, what: str) -> bytes:
    """Return 32 octets that were typed as 0x and 64 hex digits."""
    from opencarrier.kernel.ids import from_hex

    try:
        return from_hex(text)
    except ValueError as error:
        raise CommandError(Exit.USAGE, f"{what} {text}: {error}", "0x and 64 hex digits") from None


def operator_address(base: Installation, who: str) -> Address:
    """Return an operator's address by its name or party id, or the address that is named."""
    from opencarrier.identity.cli import find
    from opencarrier.identity.model import PartyKind
    from opencarrier.identity.rules import read_address

    if who.startswith("0x"):
        return taken(read_address(who))
    with base.store.read() as unit:
        party = taken(find(base.identity, unit, PartyKind.OPERATOR, who))
        found = base.identity.directory.operator(unit, party)
    assert found is not None, "what was found by name is an operator"
    return found.address


def payout_address(base: Installation, who: str) -> Address:
    """Return where a host is paid, by its name or party id, or the address that is named."""
    from opencarrier.identity.cli import find
    from opencarrier.identity.model import PartyKind
    from opencarrier.identity.rules import read_address

    if who.startswith("0x"):
        return taken(read_address(who))
    with base.store.read() as unit:
        party = taken(find(base.identity, unit, PartyKind.HOST, who))
        found = base.identity.directory.host(unit, party)
    assert found is not None, "what was found by name is a host"
    return found.payout


def fresh_reference(base: Installation) -> str:
    """Return a name for an errand that its caller gave none."""
    return base.entropy.octets("reference", 16).hex()


def taken(outcome: T | Refusal, hint: str = "") -> T:
    """Return a result, or end with 1 where it is a refusal."""
    if isinstance(outcome, Refusal):
        refused(str(outcome), hint)
    return outcome


def standard_input_once(*files: str) -> None:
    """Refuse to wait for a person to type a secret that would show on the terminal."""
    if "-" in files and sys.stdin.isatty() and not os.environ.get("OPENCARRIER_ALLOW_TTY_SECRETS"):
        raise CommandError(
            Exit.USAGE, "a secret would be typed in the open", "pipe it in, or name a file"
        )


def codes_of(pairs: Sequence[str]) -> dict[str, str]:
    """Read whom each code means, told as CODE=OPERATOR."""
    found = {}
    for pair in pairs:
        code, _, name = pair.partition("=")
        if not code or not name or code in found:
            raise CommandError(Exit.USAGE, f"--party {pair}", "say CODE=OPERATOR, each code once")
        found[code] = name
    return found


def mapping_text(path: Path, page: str = "docs/reference/csv.md") -> str:
    """Read a mapping file; `page` tells what one may say."""
    octets = path.read_bytes()
    try:
        if len(octets) > MAPPING_OCTETS_MAX:
            raise ValueError("too long")
        return octets.decode()
    except ValueError:
        raise CommandError(Exit.USAGE, f"{path} is no mapping", f"see {page}") from None


@contextmanager
def readable() -> Iterator[None]:
    """Name the file that cannot be read."""
    try:
        yield
    except OSError as error:
        raise CommandError(
            Exit.ENVIRONMENT, f"{error.filename}: {error.strerror}", "name files you may read"
        ) from None
