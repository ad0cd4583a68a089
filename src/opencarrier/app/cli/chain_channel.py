"""Commands about payment channels: who pays as it uses, what channels hold and have earned."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from opencarrier.app.cli.common import (
    DEFAULT_DATA,
    AsJson,
    Data,
    group,
    standard_input_once,
    taken,
    venue,
)
from opencarrier.app.output import CommandError, Exit, emit

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import Connection

    from opencarrier.app.bootstrap import Channels, Onchain
    from opencarrier.channels.model import Channel
    from opencarrier.spine.parties import PartyId, Subscriber

channel = group("channel", "Payment channels: pay as you use, claim what was earned.")

PASSES = 3
PAGES_MAX = 200

Who = Annotated[str, typer.Argument(help="The subscriber's name, IMSI or party id.")]
ChannelId = Annotated[str, typer.Argument(help="The channel's id, 0x and 64 hex digits.")]


@channel.command("list")
def channel_list(
    subscriber: Annotated[
        str, typer.Option("--subscriber", help="Only this subscriber's: name, IMSI or party id.")
    ] = "",
    data: Data = DEFAULT_DATA,
    as_json: AsJson = False,
) -> None:
    """List the channels and what each holds, owes and was claimed of.

    Example: opencarrier chain channel list --json
    """
    with venue(data) as place, place.base.store.read() as unit:
        whose = _subscriber(place, unit, subscriber).party_id if subscriber else None
        rows = [_told(item) for item in _every(_channels(place), unit, whose)]
    emit(
        {"channels": rows}, as_json=as_json, empty="open one: opencarrier chain channel open --help"
    )


@channel.command("show")
def channel_show(channel_id: ChannelId, data: Data = DEFAULT_DATA, as_json: AsJson = False) -> None:
    """Show one channel, as the books have it and as the contract does.

    Example: opencarrier chain channel show 0xCHANNEL
    """
    from opencarrier.chain.contracts import BatchChannels

    with venue(data) as place, place.base.store.read() as unit:
        found = _found(place, unit, channel_id)
        contract = BatchChannels(_channels(place).service.venue.contract)
        state = contract.channel(found.channel_id).ask(place.client)
        pending = contract.pending_withdrawal(found.channel_id).ask(place.client)
    emit(
        {
            **_told(found),
            "on_chain": {
                "balance_minor": str(state.balance_minor),
                "total_claimed_minor": str(state.total_claimed_minor),
                "withdrawal_minor": str(pending.amount_minor),
            },
        },
        as_json=as_json,
    )


@channel.command("enrol")
def channel_enrol(
    who: Who,
    mode: Annotated[
        str, typer.Option("--mode", help="home, direct, or prepaid to end it.")
    ] = "home",
    data: Data = DEFAULT_DATA,
    as_json: AsJson = False,
) -> None:
    """Let a subscriber pay as it uses, from its next attach on.

    Example: opencarrier chain channel enrol 208930000000001 --mode direct
    """
    from opencarrier.channels.model import Mode

    if mode not in ("home", "direct", "prepaid"):
        raise CommandError(Exit.USAGE, f"no mode {mode}", "home, direct or prepaid")
    with venue(data) as place:
        channels = _channels(place)
        with place.base.store.write() as unit:
            found = _subscriber(place, unit, who)
            how = None if mode == "prepaid" else Mode[mode.upper()]
            channels.service.enrol(unit, found.party_id, how)
    emit({"subscriber": found.party_id, "mode": mode}, as_json=as_json)


@channel.command("open")
def channel_open(
    who: Who,
    amount_minor: Annotated[int, typer.Argument(help="The deposit, in minor units.")],
    key_file: Annotated[
        str,
        typer.Option("--key-file", help="The payer's key in a file, 64 hex digits; - for stdin."),
    ],
    delegate_file: Annotated[
        str, typer.Option("--delegate-file", help="A new file for the key that signs vouchers.")
    ],
    visited: Annotated[
        str, typer.Option("--visited", help="Pay this visited operator directly, not home.")
    ] = "",
    data: Data = DEFAULT_DATA,
    as_json: AsJson = False,
) -> None:
    """Open a channel without gas, with a key of its own for vouchers, capped by the deposit.

    Example: opencarrier chain channel open 208930000000001 5000000 --key-file payer.hex
    --delegate-file vouchers.hex
    """
    from pathlib import Path

    from opencarrier.app.channel_opening import open_for
    from opencarrier.app.errands import Errands
    from opencarrier.channels.model import Mode
    from opencarrier.identity.cli import find, read_account_key
    from opencarrier.identity.model import PartyKind

    standard_input_once(key_file)
    main = read_account_key(key_file, standard_input=sys.stdin)
    with venue(data) as place:
        channels, base = _channels(place), place.base
        with base.store.read() as unit:
            found = _subscriber(place, unit, who)
            seller = found.home
            if visited:
                seller = taken(find(base.identity, unit, PartyKind.OPERATOR, visited))
        made = taken(
            open_for(
                place,
                channels,
                subscriber=found.party_id,
                seller=seller,
                mode=Mode.DIRECT if visited else Mode.HOME,
                amount_minor=amount_minor,
                main=main,
                delegate_file=Path(delegate_file),
            )
        )
        for _ in range(PASSES):
            Errands(place).tend_channels()
        with base.store.read() as unit:
            told = _told(_found(place, unit, "0x" + made.channel_id.hex()))
    emit(told, as_json=as_json)


@channel.command("claim")
def channel_claim(data: Data = DEFAULT_DATA, as_json: AsJson = False) -> None:
    """Claim all that channels have earned, and have the receivers paid.

    Example: opencarrier chain channel claim
    """
    emit(_tended(data), as_json=as_json)


@channel.command("close")
def channel_close(
    channel_id: ChannelId, data: Data = DEFAULT_DATA, as_json: AsJson = False
) -> None:
    """Take no more vouchers on a channel, claim what is due, give the rest back.

    Example: opencarrier chain channel close 0xCHANNEL
    """
    with venue(data) as place:
        channels = _channels(place)
        with place.base.store.write() as unit:
            found = _found(place, unit, channel_id)
            taken(channels.service.close(unit, found.channel_id))
    emit(_tended(data), as_json=as_json)


def _tended(data: Path) -> dict[str, Any]:
    from dataclasses import asdict

    from opencarrier.app.errands import Errands

    done: dict[str, Any] = {}
    with venue(data) as place:
        _channels(place)
        for _ in range(PASSES):
            report = asdict(Errands(place).tend_channels(everything=True))
            note = report.pop("note")
            done = {name: done.get(name, 0) + count for name, count in report.items()}
    return {**done, "note": note}


def _channels(place: Onchain) -> Channels:
    if place.channels is None:
        raise CommandError(
            Exit.REFUSED, "this venue has no channels", "put up a new venue in another folder"
        )
    return place.channels


def _every(channels: Channels, unit: Connection, whose: PartyId | None) -> list[Channel]:
    """Return all channels, page by page, as far as anybody reads."""
    found: list[Channel] = []
    for _ in range(PAGES_MAX):
        after = found[-1].channel_id if found else b""
        page = channels.service.channels(unit, subscriber=whose, after=after)
        found += page
        if not page:
            break
    return found


def _subscriber(place: Onchain, unit: Connection, who: str) -> Subscriber:
    from opencarrier.identity.cli import find
    from opencarrier.identity.model import PartyKind

    directory = place.base.identity.directory
    found = directory.subscriber_by_imsi(unit, who)
    if found is None:
        party = taken(find(place.base.identity, unit, PartyKind.SUBSCRIBER, who))
        found = directory.subscriber(unit, party)
    assert found is not None
    return found


def _found(place: Onchain, unit: Connection, channel_id: str) -> Channel:
    from opencarrier.kernel.ids import from_hex

    try:
        found = _channels(place).service.channel(unit, from_hex(channel_id))
    except ValueError as error:
        raise CommandError(Exit.USAGE, f"not a channel id: {error}", "see channel list") from None
    if found is None:
        raise CommandError(Exit.REFUSED, f"no channel {channel_id}", "see channel list")
    return found


def _told(item: Channel) -> dict[str, Any]:
    return {
        "channel_id": "0x" + item.channel_id.hex(),
        "subscriber": item.subscriber,
        "seller": item.seller,
        "payer": item.config.payer,
        "deposited_minor": str(item.deposited_minor),
        "voucher_minor": str(item.voucher_minor),
        "due_minor": str(item.due_minor),
        "claimed_minor": str(item.claimed_minor),
        "withdrawing": item.withdrawing,
        "closed": item.closed,
    }
