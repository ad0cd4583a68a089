"""The chain an installation settles on: the right one, answering, paid for, kept up with."""

from __future__ import annotations

from opencarrier.app.bootstrap import Installation, onchain, public
from opencarrier.app.bootstrap.venue import Onchain
from opencarrier.app.config import ConfigError
from opencarrier.app.doctor.model import Finding, Findings, broken, doubtful, good
from opencarrier.app.folder import FolderError
from opencarrier.app.layout import coins
from opencarrier.chain.client import shown_url
from opencarrier.chain.errors import ChainError
from opencarrier.chain.model import LATEST
from opencarrier.kernel.clock import SECOND_US
from opencarrier.kernel.refusals import PeerError
from opencarrier.receipts.manifest import check_venue

PART = "chain"
BEHIND_MAX = 1_000
HEAD_OLD_S = 3_600


def chain_findings(base: Installation) -> Findings:
    """Whether the venue's chain answers and is the pinned one, and what settling waits for."""
    try:
        if base.manifest() is None:
            yield good(PART, f"{_before(base)}no venue yet: `opencarrier up` puts one up")
            return
        with onchain(base) as place:
            yield from _venue(place)
    except (FolderError, ConfigError) as error:
        yield broken(PART, str(error), getattr(error, "hint", "") or "see the setting `chain`")
    except ChainError as error:
        yield broken(PART, str(error), "see that its node runs, and that `chain` names it")


def _before(base: Installation) -> str:
    """Say which chain answers, where one is named before there is a venue on it."""
    if base.settings.chain == "embedded:":
        return ""
    client = public(base)
    head = client.block(LATEST)
    assert head is not None, "a chain that answered has a head"
    return f"{shown_url(client.url)} is chain {client.chain_id} at block {head.number}; "


def _venue(place: Onchain) -> Findings:
    try:
        check_venue(place.manifest, place.client)
    except PeerError as error:
        yield broken(PART, str(error), "let `chain` name a node of the chain that venue.json pins")
        return
    head = place.client.block(LATEST)
    assert head is not None, "a chain that answered has a head"
    where = shown_url(place.client.url)
    yield good(PART, f"{where} is chain {place.client.chain_id} at block {head.number}, as pinned")
    age_s = place.base.clock.now_us() // SECOND_US - head.timestamp_s
    if place.node is None and place.base.folder.running() is None and age_s > HEAD_OLD_S:
        yield doubtful(PART, f"its newest block is {age_s:,} s old", "ask another node: `chain`")
    yield _gas(place)
    yield from _settling(place)


def _gas(place: Onchain) -> Finding:
    wei, most = place.client.balance(place.manager.sender), place.base.settings.gas_day_max_wei
    found = f"{place.manager.sender} has {coins(wei)}, {coins(most)} may go for gas in a day"
    fix = f"send some of the chain's own coin to {place.manager.sender}"
    if not wei:
        return broken("gas", found, fix)
    return doubtful("gas", found, fix) if wei < most else good("gas", found)


def _settling(place: Onchain) -> Findings:
    with place.base.store.read() as unit:
        halt = place.settlement.halt(unit)
        followed = place.settlement.followed(unit)
        suspended = len(place.base.rating.suspended(unit))
    final = place.client.final_block_number()
    at = place.manifest.from_block - 1 if followed is None else followed.number
    behind = 0 if final is None else max(final - at, 0)
    if halt is not None:
        told = f"stopped: {halt.alarm.value}: {halt.detail}"
        yield broken("settling", told, "see docs/guides/chain-duties.md")
    elif behind > BEHIND_MAX:
        told = f"{behind:,} final blocks are not read yet"
        yield doubtful("settling", told, "start `opencarrier up`; it reads them")
    else:
        yield good("settling", f"goes on; {behind} final blocks to read")
    if suspended:
        told = f"{suspended} uses have no price yet"
        yield doubtful(
            "use", told, "opencarrier agreement add --help, or tariff add: what prices them"
        )
