"""Commands about stakes: lock tokens for a discount, say whose a stake is, set a budget aside."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from opencarrier.app.cli.common import (
    DEFAULT_DATA,
    AsJson,
    Data,
    asset_of,
    fresh_reference,
    group,
    installation,
    taken,
    venue,
)
from opencarrier.app.cli.people import Amount, Name, Reference, operator, subscriber
from opencarrier.app.output import emit

if TYPE_CHECKING:
    from opencarrier.app.bootstrap import Installation
    from opencarrier.kernel.signatures import Address, KeySigner
    from opencarrier.spine.parties import Subscriber

stake = group("stake", "Stakes: tokens locked for a time, for a discount on use.")

DAY_S = 86_400

KeyFile = Annotated[
    str,
    typer.Option("--key-file", help="File with the account's secret key, 64 hex digits; or -."),
]
Days = Annotated[int, typer.Option("--days", help="How long all of the stake is locked from now.")]
Account = Annotated[str, typer.Argument(help="An address, 0x and 40 hex digits.")]
Who = Annotated[str, typer.Argument(help="The subscriber's name, IMSI or party id.")]


@stake.command("status")
def stake_status(account: Account, data: Data = DEFAULT_DATA, as_json: AsJson = False) -> None:
    """Say what an account has locked, what it carries, and what is asked for which discount.

    Example: opencarrier chain stake status 0x70997970c51812dc3a010c7d01b50e0d17dc79c8
    """
    from opencarrier.app.staking import Stakes

    with venue(data) as place:
        told = Stakes(place).status(_address(account))
    emit(told, as_json=as_json)


@stake.command("add")
def stake_add(
    amount_minor: Amount,
    key_file: KeyFile,
    days: Days,
    reference: Reference = "",
    data: Data = DEFAULT_DATA,
    as_json: AsJson = False,
) -> None:
    """Lock an account's tokens by its signature; the hub pays the gas.

    Example: opencarrier chain stake add 10000000 --days 30 --key-file staker.hex
    """
    from opencarrier.app.staking import Stakes

    signer = _signer(key_file)
    with venue(data) as place:
        name = reference or fresh_reference(place.base)
        done = Stakes(place).stake(signer, amount_minor, days * DAY_S, reference=name)
    emit(taken(done, "give the account tokens first").told(), as_json=as_json)


@stake.command("extend")
def stake_extend(
    key_file: KeyFile,
    days: Days,
    reference: Reference = "",
    data: Data = DEFAULT_DATA,
    as_json: AsJson = False,
) -> None:
    """Lock an account's stake anew, for no shorter than before; the hub pays the gas.

    Example: opencarrier chain stake extend --days 90 --key-file staker.hex
    """
    from opencarrier.app.staking import Stakes

    signer = _signer(key_file)
    with venue(data) as place:
        name = reference or fresh_reference(place.base)
        done = Stakes(place).extend(signer, days * DAY_S, reference=name)
    emit(taken(done).told(), as_json=as_json)


@stake.command("withdraw")
def stake_withdraw(
    account: Account,
    reference: Reference = "",
    data: Data = DEFAULT_DATA,
    as_json: AsJson = False,
) -> None:
    """Send a stake home whose lock has ended; the tokens go to the account alone.

    Example: opencarrier chain stake withdraw 0x70997970c51812dc3a010c7d01b50e0d17dc79c8
    """
    from opencarrier.app.staking import Stakes

    with venue(data) as place:
        name = reference or fresh_reference(place.base)
        done = Stakes(place).withdraw(_address(account), reference=name)
    emit(done.told(), as_json=as_json)


@stake.command("fund")
def stake_fund(
    account: Account,
    amount_minor: Amount,
    reference: Reference = "",
    data: Data = DEFAULT_DATA,
    as_json: AsJson = False,
) -> None:
    """Give an account tokens, where the venue's token is this hub's own: a demo, a test.

    Example: opencarrier chain stake fund 0x70997970c51812dc3a010c7d01b50e0d17dc79c8 10000000
    """
    from opencarrier.app.staking import Stakes

    with venue(data) as place:
        name = reference or fresh_reference(place.base)
        done = Stakes(place).fund(_address(account), amount_minor, reference=name)
    emit(taken(done, "have it sent tokens by whoever makes them"), as_json=as_json)


@subscriber.command("bind-stake")
def subscriber_bind_stake(
    who: Who, key_file: KeyFile, data: Data = DEFAULT_DATA, as_json: AsJson = False
) -> None:
    """Say by an account's signature that its stake is a subscriber's.

    Example: opencarrier subscriber bind-stake 208930000000001 --key-file staker.hex
    """
    from opencarrier.app.staking import Stakes

    signer = _signer(key_file)
    with venue(data) as place:
        found = _subscriber(place.base, who)
        bound = taken(Stakes(place).bind(found, signer))
    emit({"subscriber": bound.subscriber, "account": bound.account}, as_json=as_json)


@subscriber.command("unbind-stake")
def subscriber_unbind_stake(who: Who, data: Data = DEFAULT_DATA, as_json: AsJson = False) -> None:
    """Give a subscriber's stake account up: the discount ends, a week later the account is free.

    Example: opencarrier subscriber unbind-stake 208930000000001
    """
    with installation(data) as base:
        found = _subscriber(base, who)
        with base.store.write() as unit:
            at_us = base.clock.now_us()
            given_up = taken(base.staking.unbind(unit, found.party_id, at_us=at_us))
    told = {
        "subscriber": given_up.subscriber,
        "account": given_up.account,
        "free_us": given_up.free_us,
    }
    emit(told, as_json=as_json)


@operator.command("set-aside")
def operator_set_aside(
    name: Name,
    amount_minor: Amount,
    reference: Reference = "",
    data: Data = DEFAULT_DATA,
    as_json: AsJson = False,
) -> None:
    """Set an operator's money aside for its subscribers' discounts.

    Example: opencarrier operator set-aside "Lumen Mobile" 5000000
    """
    from opencarrier.app.errands import set_aside
    from opencarrier.identity.cli import find
    from opencarrier.identity.model import PartyKind
    from opencarrier.ledger import chart
    from opencarrier.ledger.service import balance

    with installation(data) as base:
        asset = asset_of(base)
        with base.store.write() as unit:
            party = taken(find(base.identity, unit, PartyKind.OPERATOR, name))
            refusal = set_aside(
                unit,
                asset,
                home=party,
                amount_minor=amount_minor,
                reference=reference or fresh_reference(base),
                at_us=base.clock.now_us(),
            )
            taken(refusal or party)
            free = balance(unit, asset, chart.discounts(party)).free_minor
    emit({"operator": party, "amount_minor": amount_minor, "free_minor": free}, as_json=as_json)


def _signer(key_file: str) -> KeySigner:
    from opencarrier.identity.cli import read_account_key

    return read_account_key(key_file, standard_input=sys.stdin)


def _address(text: str) -> Address:
    from opencarrier.identity.rules import read_address

    return taken(read_address(text))


def _subscriber(base: Installation, who: str) -> Subscriber:
    from opencarrier.identity.cli import find
    from opencarrier.identity.model import PartyKind

    directory = base.identity.directory
    with base.store.read() as unit:
        found = directory.subscriber_by_imsi(unit, who)
        if found is None:
            party = taken(find(base.identity, unit, PartyKind.SUBSCRIBER, who))
            found = directory.subscriber(unit, party)
    assert found is not None, "what was found by name is a subscriber"
    return found
