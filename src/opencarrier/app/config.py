"""Settings: defaults < file < `OPENCARRIER_...` < flags, each with the place it came from."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

PREFIX = "OPENCARRIER_"
ANY_HOST = ("0.0.0.0", "::")  # noqa: S104 - recognised here, not bound


class ConfigError(ValueError):
    """A setting is unknown or has a value of the wrong kind."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything an installation can be told; the field's comment is its documentation."""

    host: str = field(default="127.0.0.1", metadata={"help": "address RADIUS binds to"})
    http_host: str = field(
        default="127.0.0.1", metadata={"help": "address HTTP binds to, besides loopback"}
    )
    radius_port: int = field(default=1812, metadata={"help": "RADIUS authentication, UDP"})
    workers: int = field(
        default=1,
        metadata={
            "help": "processes that answer RADIUS over UDP, with one database",
            "range": (1, 64),
        },
    )
    acct_port: int = field(default=1813, metadata={"help": "RADIUS accounting, UDP"})
    radsec_port: int = field(
        default=2083, metadata={"help": "RADIUS over TLS, TCP; off until the next three are set"}
    )
    dynamic_port: int = field(
        default=3799,
        metadata={"help": "where access points take Disconnect and CoA, UDP", "range": (1, 65535)},
    )
    orders_port: int = field(
        default=0,
        metadata={
            "help": "where we take Disconnect and CoA of homes, UDP (3799 by custom); 0: nowhere",
            "range": (0, 65535),
        },
    )
    radsec_chain: str = field(
        default="", metadata={"help": "our certificate and its chain, PEM; a path, as the next"}
    )
    radsec_key: str = field(default="", metadata={"help": "its key, PEM"})
    radsec_roots: str = field(default="", metadata={"help": "the roots peers' chains end in, PEM"})
    radsec_lists: str = field(
        default="", metadata={"help": "revocation lists of all authorities, PEM; empty: none"}
    )
    eap_chain: str = field(
        default="",
        metadata={"help": "our certificate and its authorities, PEM; empty: SIMs only get on"},
    )
    eap_key: str = field(default="", metadata={"help": "that certificate's key, PEM"})
    eap_roots: str = field(
        default="", metadata={"help": "who vouches for client certificates, PEM; empty: none taken"}
    )
    eap_lists: str = field(
        default="",
        metadata={"help": "lists of revoked client certificates, PEM; one of each authority"},
    )
    eap_staple: str = field(
        default="",
        metadata={"help": "an OCSP response of our certificate, DER; stapled while it is fresh"},
    )
    eap_tls_min: str = field(
        default="1.2",
        metadata={"help": "least version of TLS inside EAP", "choices": ("1.2", "1.3")},
    )
    eap_resumption_s: int = field(
        default=43_200,
        metadata={
            "help": "how long a device may resume TLS after a full authentication",
            "range": (60, 604_800),
        },
    )
    dns_servers: str = field(
        default="",
        metadata={"help": "name servers to ask, `HOST:PORT` each; empty: the system's"},
    )
    discovery_tags: str = field(
        default="aaa+auth:radius.tls.tcp",
        metadata={"help": "S-NAPTR services that lead to a realm's servers, the first wins"},
    )
    discovery_acct_tags: str = field(
        default="",
        metadata={"help": "services for accounting, as `aaa+acct:radius.tls.tcp`; empty: none"},
    )
    discovery_private: str = field(
        default="no",
        metadata={"help": "whether they may be at private addresses", "choices": ("no", "yes")},
    )
    http_port: int = field(default=8400, metadata={"help": "page, API and JSON-RPC, TCP"})
    chain: str = field(default="embedded:", metadata={"help": "`embedded:` or a JSON-RPC URL"})
    chain_second: str = field(
        default="", metadata={"help": "a second endpoint of that chain, run by somebody else"}
    )
    chain_id: int = field(default=31337, metadata={"help": "chain id of the embedded chain"})
    database: str = field(
        default="",
        metadata={"help": "`postgresql://USER@HOST/NAME` for state and ledger; empty: a file here"},
    )
    domain: str = field(default="opencarrier", metadata={"help": "name of the clearing domain"})
    cycle_s: int = field(default=3600, metadata={"help": "length of a cycle; 0: by hand only"})
    netting: str = field(
        default="circular",
        metadata={"help": "`circular` or `bilateral`", "choices": ("circular", "bilateral")},
    )
    finality: str = field(
        default="",
        metadata={"help": "`depth:N`, `safe`, `finalized`; empty: as the chain's kind has it"},
    )
    console_url: str = field(
        default="",
        metadata={"help": "where people sign in, `https://NAME`; empty: on this machine only"},
    )
    console_rpc: str = field(
        default="",
        metadata={
            "help": "nodes of the chain that receipts are checked against in a browser, URLs with"
            " blanks between, the first unless another is chosen; empty: on this machine only"
        },
    )
    webhook_networks: str = field(
        default="",
        metadata={
            "help": "networks that are not public and that the installation's webhooks may go to, "
            "over http too, or as `PARTY=NETWORK` those of an operator or a host, as "
            "`127.0.0.0/8 op_0123456789abcdef0123456789abcdef=10.1.0.0/16`; empty: public "
            "addresses over https alone"
        },
    )
    webhook_roots: str = field(
        default="",
        metadata={"help": "roots that webhooks' servers may end in besides the system's, PEM"},
    )
    approval_people: int = field(
        default=0,
        metadata={
            "help": "how many people must say yes before a settlement is sent; 0: none",
            "range": (0, 5),
        },
    )
    approval_above_minor: int = field(
        default=0, metadata={"help": "for settlements that move more than this; 0: for all"}
    )
    approval_s: int = field(
        default=86_400,
        metadata={
            "help": "within how long they must, before it is asked anew",
            "range": (60, 2_592_000),
        },
    )
    gas_transaction_max_wei: int = field(
        default=10**18, metadata={"help": "most the hub pays for one transaction, in wei"}
    )
    gas_day_max_wei: int = field(
        default=10**19, metadata={"help": "most the hub pays for transactions in a day, in wei"}
    )
    gas_payments_day_max_wei: int = field(
        default=10**18, metadata={"help": "most of that for settling payments over HTTP 402"}
    )
    relay_day_max_wei: int = field(
        default=10**18, metadata={"help": "most the hub pays for others in a day, in wei; 0: none"}
    )
    relay_payer_day_max_wei: int = field(
        default=10**16, metadata={"help": "of that for one account, in wei"}
    )
    one_sided_window_s: int = field(
        default=86_400, metadata={"help": "how long one-sided records may be disputed"}
    )
    one_sided_cap_minor: int = field(
        default=1_000_000_000, metadata={"help": "one-sided money per pair and cycle, at most"}
    )
    withdrawal_notice_s: int = field(
        default=90_000, metadata={"help": "notice of a withdrawal, in a venue deployed from here"}
    )
    quote_price_minor: int = field(
        default=1_000, metadata={"help": "price of a signed quote over HTTP 402; 0: not sold"}
    )
    topup_min_minor: int = field(
        default=100_000, metadata={"help": "smallest top-up over HTTP 402"}
    )
    topup_max_minor: int = field(
        default=1_000_000_000, metadata={"help": "largest top-up over HTTP 402; 0: not sold"}
    )
    payment_timeout_s: int = field(
        default=300, metadata={"help": "how long a payment over HTTP 402 may be valid"}
    )
    payment_wait_s: int = field(
        default=30, metadata={"help": "how long its request waits for the payment to be through"}
    )
    channels: str = field(
        default="own",
        metadata={"help": "channels of a venue deployed here: `own`, or ours at `x402`'s place"},
    )
    slice_octets: int = field(
        default=10_000_000,
        metadata={
            "help": "octets a voucher pays for, or the next line's time",
            "range": (1, 10**12),
        },
    )
    slice_s: int = field(
        default=60, metadata={"help": "seconds a voucher pays for", "range": (1, 86_400)}
    )
    free_octets: int = field(
        default=1_000_000,
        metadata={
            "help": "octets a session may use unpaid in all, after a first voucher; 0: none",
            "range": (0, 10**12),
        },
    )
    free_s: int = field(
        default=600,
        metadata={"help": "seconds it may take for them; 0: none", "range": (0, 86_400)},
    )
    channel_lease_s: int = field(
        default=3_600,
        metadata={
            "help": "how long one node may take a channel's vouchers without asking again",
            "range": (60, 86_400),
        },
    )
    channel_lease_minor: int = field(
        default=5_000_000,
        metadata={"help": "how much of a channel it may take in that time", "range": (1, 10**15)},
    )
    channel_claim_minor: int = field(
        default=1_000_000,
        metadata={
            "help": "what a channel earns before it is claimed while its node serves",
            "range": (1, 10**15),
        },
    )
    rewards_delay_s: int = field(
        default=3_600,
        metadata={"help": "how long a rewards root may be vetoed, in a venue deployed from here"},
    )
    rewards_guardian: str = field(
        default="",
        metadata={"help": "who may veto it, an address; empty: the hub, in a venue deployed here"},
    )
    stake_tiers: str = field(
        default="10000000:2592000:30000 50000000:7776000:60000 200000000:31536000:120000",
        metadata={
            "help": "stake:lock in seconds:discount in millionths, ascending, in a venue deployed"
            " from here"
        },
    )
    stake_cap_ppm: int = field(
        default=3_000_000,
        metadata={
            "help": "use at a discount that a stake carries, in millionths of it, in such a venue",
            "range": (0, 10**9),
        },
    )
    mandate_interval_s: int = field(
        default=3_600, metadata={"help": "least time between settlements that use mandates"}
    )
    dispute_bond_ppm: int = field(
        default=100_000, metadata={"help": "bond of a corridor dispute, millionths of its amount"}
    )
    arbitration_s: int = field(
        default=1_209_600, metadata={"help": "time to decide a dispute before money goes back"}
    )
    settlement_lag_s: int = field(
        default=7_200, metadata={"help": "how long a hold outlives its session"}
    )
    retention_days: str = field(
        default="0",
        metadata={
            "help": "days a subscriber's data is kept after its last use: one number, then"
            " COUNTRY:DAYS where a home's law says otherwise"
        },
    )
    free_plan: str = field(
        default="",
        metadata={"help": "plan for whoever has no money left, where its home has it; empty: none"},
    )
    foreign_line_octets_per_s: int = field(
        default=12_500_000,
        metadata={
            "help": "what a network whose nodes are not registered here is held to carry",
            "range": (1, 10**10),
        },
    )
    foreign_session_s: int = field(
        default=300,
        metadata={"help": "how long it is held for at once", "range": (60, 86_400)},
    )
    wbaid: str = field(
        default="", metadata={"help": "this member of WBA's federation: `EXAMPLE:FR`; empty: none"}
    )
    clearing_provider: str = field(
        default="",
        metadata={"help": "WBAID of who clears settled service; empty: it is refused"},
    )
    data_clearing_provider: str = field(
        default="", metadata={"help": "WBAID of who clears its data; empty: the same"}
    )
    eap_methods: str = field(
        default="tls ttls aka' aka",
        metadata={"help": "EAP methods offered, in the order they are proposed in"},
    )
    offered_service: str = field(
        default="",
        metadata={
            "help": "what access points here offer: `bronze`, `silver`, `gold`; empty: untold",
            "choices": ("", "bronze", "silver", "gold"),
        },
    )
    offered_rates: str = field(
        default="",
        metadata={"help": "what they offer paid roaming for, nano per KiB: `USD:1900 EUR:1700`"},
    )
    rcoi_own: str = field(
        default="",
        metadata={"help": "OUIs that paid roaming of our own goes by, `A1B2C3 ...`"},
    )
    location_required: str = field(
        default="no",
        metadata={"help": "whether a request of access has to say where", "choices": ("no", "yes")},
    )
    roaming_countries: str = field(
        default="",
        metadata={"help": "where subscribers may roam, `FR DE ...`; empty: everywhere, untold too"},
    )
    steering_margin_ppm: int = field(
        default=0,
        metadata={
            "help": "send our subscribers to who is better by this much; 0: never",
            "range": (0, 999_999),
        },
    )
    steering_refusals_max: int = field(
        default=2,
        metadata={"help": "how often one is sent elsewhere from a place", "range": (0, 10)},
    )
    steering_window_s: int = field(
        default=3_600,
        metadata={"help": "within how long, before it starts anew", "range": (60, 86_400)},
    )
    enrol_url: str = field(
        default="",
        metadata={"help": "where phones reach this HTTP side to enrol, `https://...`; empty: off"},
    )
    enrol_pki: str = field(
        default="pki", metadata={"help": "folder of `opencarrier pki` that certifies devices"}
    )
    enrol_signer: str = field(
        default="profiles", metadata={"help": "name there of who signs profiles"}
    )
    enrol_servers: str = field(
        default="",
        metadata={"help": "names of the EAP server; empty: those in `eap_chain`'s certificate"},
    )
    enrol_consortia: str = field(
        default="5A03BA0000", metadata={"help": "RCOIs of the profiles, blanks between"}
    )
    enrol_days: int = field(
        default=30,
        metadata={"help": "days a device's certificate or password holds", "range": (1, 398)},
    )
    loss_grace_s: int = field(
        default=300,
        metadata={
            "help": "how late a report may be before its session is ended; 0: whatever it is",
            "range": (0, 86_400),
        },
    )
    silence_s: int = field(
        default=3_600, metadata={"help": "silence after which a session without Stop is closed"}
    )
    otlp_endpoint: str = field(
        default="",
        metadata={
            "help": "collector that spans go to by OTLP over HTTP, `http://HOST:4318`; empty: off"
        },
    )
    otlp_headers: str = field(
        default="",
        metadata={"help": "file of the headers it knows us by, a line `name: value` each"},
    )
    otlp_service: str = field(
        default="opencarrier", metadata={"help": "what this installation is called there"}
    )
    otlp_attributes: str = field(
        default="", metadata={"help": "what else is said of it there: `name=value,name=value`"}
    )
    otlp_radius_ppm: int = field(
        default=10_000,
        metadata={
            "help": "RADIUS conversations and packets that begin a trace, millionths",
            "range": (0, 1_000_000),
        },
    )
    otlp_http_ppm: int = field(
        default=100_000,
        metadata={
            "help": "HTTP requests and webhooks that begin a trace, millionths",
            "range": (0, 1_000_000),
        },
    )


STANDARD: Mapping[str, str] = {
    "OTEL_EXPORTER_OTLP_ENDPOINT": "otlp_endpoint",
    "OTEL_SERVICE_NAME": "otlp_service",
    "OTEL_RESOURCE_ATTRIBUTES": "otlp_attributes",
}
"""Names of OpenTelemetry's own that say the same where ours do not, by the setting they mean."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """Settings and, per name, where the value came from."""

    settings: Settings
    origin: Mapping[str, str]


def load(*, file: Path | None, environ: Mapping[str, str], flags: Mapping[str, Any]) -> Loaded:
    """Merge the four layers; `ConfigError` names the setting, its layer and what is wrong."""
    settings, origin = Settings(), {f.name: "default" for f in fields(Settings)}
    layers: list[tuple[str, Mapping[str, Any]]] = []
    for standard, name in STANDARD.items():
        if environ.get(standard):
            layers.append((standard, {name: environ[standard]}))
    if file is not None and file.exists():
        layers.append((str(file), _read(file)))
    layers.append(("environment", _from_environ(environ)))
    layers.append(("flag", {k: v for k, v in flags.items() if v is not None}))
    for place, values in layers:
        for name, value in values.items():
            settings = replace(settings, **{name: _checked(name, value, place)})
            origin[name] = place if place != "environment" else PREFIX + name.upper()
    return Loaded(settings, origin)


def settle_on(file: Path, name: str, value: str) -> Path:
    """Set one text setting in a file of settings, above whatever else is in it."""
    quoted = json.dumps(value, ensure_ascii=False)
    before = file.read_text() if file.exists() else ""
    kept = [line for line in before.splitlines() if not re.match(rf"{name}\s*=", line)]
    temporary = file.with_suffix(".tmp")
    temporary.write_text("\n".join([f"{name} = {quoted}", *kept]) + "\n")
    load(file=temporary, environ={}, flags={})
    temporary.chmod(0o600)
    temporary.replace(file)
    return file


def _read(file: Path) -> Mapping[str, Any]:
    try:
        return tomllib.loads(file.read_text())
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{file}: not TOML: {error}") from None


def _from_environ(environ: Mapping[str, str]) -> dict[str, Any]:
    names = {PREFIX + f.name.upper(): f.name for f in fields(Settings)}
    return {names[key]: value for key, value in environ.items() if key in names}


def _checked(name: str, value: Any, place: str) -> Any:
    kinds: dict[str, type] = {f.name: type(f.default) for f in fields(Settings)}
    if name not in kinds:
        raise ConfigError(f"{place}: there is no setting {name!r}")
    if kinds[name] is int and isinstance(value, str):
        try:
            value = int(value)
        except ValueError:
            raise ConfigError(f"{place}: {name} is a whole number, not {value!r}") from None
    if type(value) is not kinds[name]:
        raise ConfigError(f"{place}: {name} is {kinds[name].__name__}, not {value!r}")
    if isinstance(value, int) and value < 0:
        raise ConfigError(f"{place}: {name} is not negative")
    if isinstance(value, int) and name in _RANGES:
        low, high = _RANGES[name]
        if not low <= value <= high:
            raise ConfigError(f"{place}: {name} is {low} to {high}, not {value}")
    if value not in _CHOICES.get(name, (value,)):
        raise ConfigError(f"{place}: {name} is {' or '.join(_CHOICES[name])}, not {value!r}")
    return value


_RANGES: Mapping[str, tuple[int, int]] = {
    f.name: f.metadata["range"] for f in fields(Settings) if "range" in f.metadata
}
_CHOICES: Mapping[str, tuple[str, ...]] = {
    f.name: f.metadata["choices"] for f in fields(Settings) if "choices" in f.metadata
}
