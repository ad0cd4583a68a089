"""A node agent's folder: its settings, its key, its file, and which process serves it."""

from __future__ import annotations

import json
import os
import re
import stat
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Any, Final, TypeVar

from opencarrier.access.agent.location import CIVIC_TYPES, MICRODEGREE, Location
from opencarrier.access.agent.model import AccessPoint, AgentSettings, Source, Venue
from opencarrier.access.agent.ports import NAME
from opencarrier.access.radsec.certificates import Expected
from opencarrier.access.radsec.trust import TrustFiles
from opencarrier.app.config import ConfigError
from opencarrier.app.folder import Folder, FolderError
from opencarrier.app.node_desk import PaymentSettings
from opencarrier.channels.carried import Contract
from opencarrier.kernel.entropy import Entropy
from opencarrier.kernel.money import INT64_MAX
from opencarrier.kernel.signatures import Address, KeySigner

T = TypeVar("T")

KEY_OCTETS = 32
SECRET_OCTETS_MAX = 4_096
PAYMENTS_PORT = 4_021
_DEGREES = re.compile(r"(-?)(\d{1,3})(?:\.(\d{1,6}))?")
_ADDRESS = re.compile(r"0x[0-9a-f]{40}")
_COUNTRY = re.compile(r"[A-Z]{2}")
_NAMED: Final = re.compile(r"[\x21-\x7e]{1,63}")

EXAMPLE: Final = """\
# The agent beside an access point; see docs/guides/venue-node.md.
[node]
nas_identifier = "cafe-1"           # the node's name at its operator
operator_name = "4LUMEN:FR"         # Operator-Name with its namespace (RFC 5580); 4: a WBAID
host = "127.0.0.1"                  # where the access points reach the agent
auth_port = 1812
acct_port = 1813
# dynamic_port = 3799               # where the access points take Disconnect and CoA

[hub]
transport = "radsec"                # or "udp", with secret_file
host = "hub.example"
port = 2083
certificate_file = "node.pem"       # with its chain
key_file = "node-tls.key"
roots_file = "roots.pem"
# server_name = "hub.example"       # whom its certificate must name, if not the host
# lists_file = "lists.pem"          # revocation lists, one of each authority

[[access_point]]
name = "hall"
prefix = "192.0.2.10"
secret_file = "hall.secret"
octets = "auto"                     # "reported", "kernel", or the kernel's where none are reported
# port = "lan1"                     # the interface a station's traffic passes

# [location]
# country = "FR"
# city = "Nice"
# latitude = 43.695
# longitude = 7.265

# [who]
# persons = ["0x...", "0x..."]      # whose keys may ask who held an address, two at a time

# [payments]                        # devices hand in vouchers and acks; off unless it stands here
# host = "192.0.2.1"                # where devices reach the agent
# port = 4021
# chain_id = 8453
# contract = "0x..."                # the channel contract, small letters
# neighbours = true                 # the kernel knows a station by its address, where it is near

# [limits]
# holders_kept_s = 31536000
"""


EXPECTED: Final = Expected()


@dataclass(frozen=True, slots=True, kw_only=True)
class HubSettings:
    """How the hub, or the home, is reached."""

    transport: str
    host: str
    port: int
    acct_port: int = 0
    secret: bytes = field(default=b"", repr=False)
    files: TrustFiles | None = None
    expected: Expected = EXPECTED


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeSettings:
    """Everything a node agent is told."""

    host: str
    auth_port: int
    acct_port: int
    dynamic_port: int
    venue: Venue
    points: tuple[AccessPoint, ...]
    hub: HubSettings
    persons: tuple[Address, ...]
    limits: AgentSettings
    payments: PaymentSettings | None = None


class NodeFolder(Folder):
    """Paths within a node agent's folder."""

    @property
    def settings_file(self) -> Path:
        """The settings, written by hand."""
        return self.root / "node.toml"

    @property
    def key_file(self) -> Path:
        """The key that signs meter statements."""
        return self.root / "node.key"

    @property
    def store_file(self) -> Path:
        """What the agent remembers."""
        return self.root / "node.sqlite"

    def begin(self, entropy: Entropy) -> KeySigner:
        """Make the folder, the key and an example of the settings; what is there stays."""
        self.make()
        if not self.key_file.exists():
            _write_once(self.key_file, entropy.octets("node-key", KEY_OCTETS).hex() + "\n")
        if not self.settings_file.exists():
            _write_once(self.settings_file, EXAMPLE)
        return self.signer()

    def signer(self) -> KeySigner:
        """Load the node's key; `FolderError` where it is missing, malformed or open to others."""
        path = self.key_file
        try:
            mode = stat.S_IMODE(path.stat().st_mode)
            octets = bytes.fromhex(path.read_text("ascii").strip())
        except (OSError, ValueError):
            raise FolderError(f"{path}: no node key", "opencarrier node init makes one") from None
        if mode & 0o077:
            raise FolderError(f"{path}: others may read it (mode {mode:04o})", f"chmod 600 {path}")
        if len(octets) != KEY_OCTETS:
            raise FolderError(f"{path}: not a node key", "put it back from its backup")
        return KeySigner(octets)

    def load(self) -> NodeSettings:
        """Read the settings; `ConfigError` names what is wrong."""
        path = self.settings_file
        try:
            document = tomllib.loads(path.read_text(), parse_float=str)
        except OSError as error:
            raise FolderError(
                f"{path}: {error.strerror}", "opencarrier node init begins one"
            ) from None
        except tomllib.TOMLDecodeError as error:
            raise ConfigError(f"{path}: not TOML: {error}") from None
        return _Reader(path).settings(document)

    def tell(self, document: Mapping[str, Any]) -> None:
        """Write what the running process says of itself, whole or not at all."""
        temporary = self.run.with_suffix(".tmp")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump(document, file)
        temporary.replace(self.run)

    def told(self) -> dict[str, Any] | None:
        """Return what the process that serves this folder last said of itself, or None."""
        if not self.run.exists() or not self.is_held():
            return None
        try:
            value = json.loads(self.run.read_text())
        except (OSError, ValueError):
            return None
        return value if isinstance(value, dict) else None


def _write_once(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


class _Table:
    """One table of the file: each key is taken once, and none may be left."""

    def __init__(self, place: str, values: Any) -> None:
        if not isinstance(values, dict):
            raise ConfigError(f"{place}: a table is wanted")
        self.place = place
        self._values = dict(values)

    def take(self, name: str, kind: type[T], default: T | None = None) -> T:
        """Take a value of a kind; without a default it has to be there."""
        value = self._values.pop(name, default)
        if value is None:
            raise ConfigError(f"{self.place}: {name} is missing")
        if type(value) is not kind:
            raise ConfigError(f"{self.place}: {name} is {kind.__name__}, not {value!r}")
        return value

    def left(self) -> dict[str, Any]:
        """Return what was not taken."""
        return self._values

    def end(self) -> None:
        """Refuse what nobody asked for."""
        for name in self._values:
            raise ConfigError(f"{self.place}: there is no setting {name!r}")


class _Reader:
    """Reads `node.toml`; files it names stand relative to it."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def settings(self, document: Mapping[str, Any]) -> NodeSettings:
        """Read all tables."""
        whole = _Table(str(self._path), document)
        node = self._table(whole, "node")
        name = _matching(node, "nas_identifier", _NAMED)
        operator_name = node.take("operator_name", str, "")
        host = node.take("host", str, "127.0.0.1")
        ports = [
            _port(node, name, default)
            for name, default in (("auth_port", 1812), ("acct_port", 1813), ("dynamic_port", 3799))
        ]
        node.end()
        points = whole.take("access_point", list, [])
        if not points:
            raise ConfigError(f"{self._path}: an [[access_point]] is missing")
        settings = NodeSettings(
            host=host,
            auth_port=ports[0],
            acct_port=ports[1],
            dynamic_port=ports[2],
            venue=Venue(
                operator_name=operator_name,
                location=self._location(whole),
                located_s=int(self._path.stat().st_mtime),
            ),
            points=tuple(
                self._point(_Table(f"{self._path}: [[access_point]]", one), name) for one in points
            ),
            hub=self._hub(self._table(whole, "hub")),
            persons=self._persons(whole),
            limits=self._limits(whole),
            payments=self._payments(whole),
        )
        whole.end()
        _distinct([point.name for point in settings.points], f"{self._path}: access points")
        return settings

    def _table(self, whole: _Table, name: str) -> _Table:
        return _Table(f"{self._path}: [{name}]", whole.take(name, dict))

    def _optional(self, whole: _Table, name: str) -> _Table:
        return _Table(f"{self._path}: [{name}]", whole.take(name, dict, {}))

    def _point(self, table: _Table, node: str) -> AccessPoint:
        port = table.take("port", str, "")
        if port and (not NAME.fullmatch(port) or port in (".", "..")):
            raise ConfigError(f"{table.place}: port {port!r} is no interface's name")
        source = table.take("octets", str, "auto")
        if source not in list(Source):
            raise ConfigError(f"{table.place}: octets is {', '.join(Source)}")
        if source == Source.KERNEL and not port:
            raise ConfigError(f"{table.place}: octets from the kernel need a port")
        point = AccessPoint(
            name=_matching(table, "name", _NAMED),
            prefix=_prefix(table),
            secret=self._secret(table),
            nas_identifier=_matching(table, "nas_identifier", _NAMED, node),
            source=Source(source),
            port=port,
            reversed_port=table.take("reversed", bool, False),
        )
        table.end()
        return point

    def _hub(self, table: _Table) -> HubSettings:
        transport = table.take("transport", str, "radsec")
        host = table.take("host", str)
        if transport == "udp":
            hub = HubSettings(
                transport=transport,
                host=host,
                port=_port(table, "port", 1812),
                acct_port=_port(table, "acct_port", 1813),
                secret=self._secret(table),
            )
        elif transport == "radsec":
            hub = HubSettings(
                transport=transport,
                host=host,
                port=_port(table, "port", 2083),
                files=TrustFiles(
                    chain=self._file(table, "certificate_file"),
                    key=self._file(table, "key_file"),
                    roots=self._file(table, "roots_file"),
                    lists=self._file(table, "lists_file") if "lists_file" in table.left() else None,
                ),
                expected=Expected(
                    host=table.take("server_name", str, host).lower(),
                    fingerprint=table.take("fingerprint", str, "").lower(),
                    wba_id=table.take("wba_id", str, ""),
                ),
            )
        else:
            raise ConfigError(f"{table.place}: transport is radsec or udp")
        table.end()
        return hub

    def _location(self, whole: _Table) -> Location | None:
        table = self._optional(whole, "location")
        if not table.left():
            return None
        country = table.take("country", str, "")
        if country and not _COUNTRY.fullmatch(country):
            raise ConfigError(f"{table.place}: country is two capital letters")
        degrees = [_microdegrees(table, name) for name in ("latitude", "longitude")]
        civic = {name: table.take(name, str) for name in CIVIC_TYPES if name in table.left()}
        table.end()
        if civic and not country:
            raise ConfigError(f"{table.place}: an address needs its country")
        if sum(len(value.encode()) + 2 for value in civic.values()) > 240:
            raise ConfigError(f"{table.place}: the address is longer than one attribute")
        return Location(
            country=country,
            civic=civic,
            latitude_microdegrees=degrees[0],
            longitude_microdegrees=degrees[1],
        )

    def _persons(self, whole: _Table) -> tuple[Address, ...]:
        table = self._optional(whole, "who")
        persons: list[Any] = table.take("persons", list, [])
        table.end()
        if not all(isinstance(one, str) and _ADDRESS.fullmatch(one) for one in persons):
            raise ConfigError(f"{table.place}: persons are addresses, 0x and 40 hex digits")
        _distinct(persons, f"{table.place} persons")
        return tuple(Address(one) for one in persons)

    def _payments(self, whole: _Table) -> PaymentSettings | None:
        table = self._optional(whole, "payments")
        if not table.left():
            return None
        settings = PaymentSettings(
            host=table.take("host", str, "127.0.0.1"),
            port=_port(table, "port", PAYMENTS_PORT),
            neighbours=table.take("neighbours", bool, True),
            contract=Contract(
                chain_id=table.take("chain_id", int),
                address=Address(_matching(table, "contract", _ADDRESS)),
            ),
        )
        table.end()
        if not 0 < settings.contract.chain_id <= INT64_MAX:
            raise ConfigError(f"{table.place}: chain_id is at least 1")
        return settings

    def _limits(self, whole: _Table) -> AgentSettings:
        table = self._optional(whole, "limits")
        settings = AgentSettings()
        known = {one.name: getattr(settings, one.name) for one in fields(settings)}
        changed: dict[str, Any] = {}
        for name in list(table.left()):
            if name not in known:
                table.end()
            kind = bool if isinstance(known[name], bool) else int
            value = table.take(name, kind)
            if kind is int and value < 1:
                raise ConfigError(f"{table.place}: {name} is at least 1")
            changed[name] = type(known[name])(value)
        return replace(settings, **changed)

    def _file(self, table: _Table, name: str) -> Path:
        return self._path.parent / table.take(name, str)

    def _secret(self, table: _Table) -> bytes:
        path = self._file(table, "secret_file")
        try:
            octets = path.read_bytes().rstrip(b"\r\n")
        except OSError as error:
            raise ConfigError(f"{table.place}: {path}: {error.strerror}") from None
        if not 0 < len(octets) <= SECRET_OCTETS_MAX:
            raise ConfigError(f"{table.place}: {path}: no secret")
        return octets


def _matching(table: _Table, name: str, form: re.Pattern[str], default: str | None = None) -> str:
    value = table.take(name, str, default)
    if not form.fullmatch(value):
        raise ConfigError(f"{table.place}: {name} {value!r}")
    return value


def _port(table: _Table, name: str, default: int) -> int:
    value = table.take(name, int, default)
    if not 0 <= value <= 65_535:
        raise ConfigError(f"{table.place}: {name} is 0 to 65535")
    return value


def _prefix(table: _Table) -> IPv4Network | IPv6Network:
    value = table.take("prefix", str)
    try:
        return ip_network(value)
    except ValueError as error:
        raise ConfigError(f"{table.place}: prefix {error}") from None


def _microdegrees(table: _Table, name: str) -> int | None:
    if name not in table.left():
        return None
    value = table.left().pop(name)
    found = _DEGREES.fullmatch(str(value))
    most = 90 if name == "latitude" else 180
    if found is None or isinstance(value, bool):
        raise ConfigError(f"{table.place}: {name} is degrees, six digits after the point at most")
    sign, whole, fraction = found.groups()
    microdegrees = int(whole) * MICRODEGREE + int((fraction or "").ljust(6, "0"))
    if microdegrees > most * MICRODEGREE:
        raise ConfigError(f"{table.place}: {name} is at most {most}")
    return -microdegrees if sign else microdegrees


def _distinct(names: list[str], what: str) -> None:
    if len(set(names)) != len(names):
        raise ConfigError(f"{what}: one is there twice")
