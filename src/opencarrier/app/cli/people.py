"""Commands that say who takes part: operators, hosts, nodes, RADIUS clients, subscribers."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from opencarrier.app.cli.common import (
    DEFAULT_DATA,
    AsJson,
    Data,
    asset_of,
    fresh_reference,
    group,
    installation,
    standard_input_once,
    taken,
    venue,
)
from opencarrier.app.output import CommandError, Exit, emit, refused

operator = group("operator", "Operators: home of their subscribers, visited by others'.")
host = group("host", "Hosts: whoever owns nodes and is paid for their use.")
node = group("node", "Nodes: access points, named on the wire by their NAS-Identifier.")
client = group("client", "RADIUS clients: which source may speak for which operator.")
subscriber = group("subscriber", "Subscribers, their SIMs and their prepaid money.")

Name = Annotated[str, typer.Argument(help="A name; names are unique per kind.")]
OperatorName = Annotated[str, typer.Option("--operator", help="The operator's name or party id.")]
Amount = Annotated[int, typer.Argument(help="Minor units (millionths of the currency unit).")]
Reference = Annotated[
    str,
    typer.Option(
        "--reference",
        help="Your name for it; the same name again moves nothing, with another amount is refused.",
    ),
]


@operator.command("add")
def operator_add(
    name: Name,
    jurisdiction: Annotated[
        str, typer.Option("--jurisdiction", help="Country of its licence; ZZ: none named.")
    ] = "ZZ",
    realm: Annotated[list[str], typer.Option("--realm", help="A realm of its own.")] = [],  # noqa: B006
    plmn: Annotated[list[str], typer.Option("--plmn", help="A PLMN, such as 20893.")] = [],  # noqa: B006
    address: Annotated[
        str | None, typer.Option("--address", help="Its key's address, if it signs elsewhere.")
    ] = None,
    data: Data = DEFAULT_DATA,
    as_json: AsJson = False,
) -> None:
    """Add an operator with the realms and PLMNs that are its own.

    Example: opencarrier operator add "Lumen Mobile" --jurisdiction FR --plmn 20893
    """
    from opencarrier.identity import cli
    from opencarrier.identity.model import PartyKind

    with installation(data, begin=True) as base, base.store.write() as unit:
        made = taken(
            cli.operator_add(
                base.identity,
                unit,
                name=name,
                jurisdiction=jurisdiction,
                realms=realm,
                plmns=plmn,
                address=address,
            )
        )
        tax = f"tax {made['jurisdiction']}"
        taken(base.identity.register.add_party(unit, kind=PartyKind.TAX, name=tax))
    emit(made, as_json=as_json)


@operator.command("deposit")
def operator_deposit(
    name: Name,
    amount_minor: Amount,
    reference: Reference = "",
    data: Data = DEFAULT_DATA,
    as_json: AsJson = False,
) -> None:
    """Put collateral for an operator into the clearing house.

    Example: opencarrier operator deposit "Lumen Mobile" 500000000
    """
    from opencarrier.app.errands import Errands
    from opencarrier.identity.cli import find
    from opencarrier.identity.model import PartyKind
    from opencarrier.kernel.ids import to_hex

    with venue(data) as place:
        with place.base.store.read() as unit:
            party = taken(find(place.base.identity, unit, PartyKind.OPERATOR, name))
            found = place.base.identity.directory.operator(unit, party)
        assert found is not None
        done = taken(
            Errands(place).deposit(
                found, amount_minor, reference=reference or fresh_reference(place.base)
            )
        )
    emit(
        {
            "operator": party,
            "amount_minor": done.amount_minor,
            "balance_minor": done.balance_minor,
            "tx_hash": to_hex(done.tx_hash),
        },
        as_json=as_json,
    )


@host.command("add")
def host_add(
    name: Name,
    payout: Annotated[
        str | None, typer.Option("--payout", help="Address it is paid at; a key is made if none.")
    ] = None,
    data: Data = DEFAULT_DATA,
    as_json: AsJson = False,
) -> None:
    """Add a host and where it is paid.

    Example: opencarrier host add "Cafe Lumiere" --payout 0x70997970c51812dc3a010c7d01b50e0d17dc79c8
    """
    from opencarrier.identity import cli

    with installation(data) as base, base.store.write() as unit:
        made = taken(cli.host_add(base.identity, unit, name=name, payout=payout))
    emit(made, as_json=as_json)


@host.command("split")
def host_split(
    name: Name,
    to: Annotated[
        list[str], typer.Option("--to", help="ADDRESS=PPM, a beneficiary; all sum to 1000000.")
    ],
    data: Data = DEFAULT_DATA,
    as_json: AsJson = False,
) -> None:
    """Name whom a host's shares go to, for every cycle closed from now on.

    Example: opencarrier host split Cafe --to 0x70997970c51812dc3a010c7d01b50e0d17dc79c8=1000000
    """
    from opencarrier.identity import cli

    with installation(data) as base, base.store.write() as unit:
        made = taken(cli.host_split(base.identity, unit, name=name, to=to))
    emit(made, as_json=as_json)


@host.command("withdraw")
def host_withdraw(name: Name, data: Data = DEFAULT_DATA, as_json: AsJson = False) -> None:
    """Pay a host what its payout address is entitled to; for another one: `chain claim`.

    Example: opencarrier host withdraw "Cafe Lumiere"
    """
    from opencarrier.app.errands import Errands
    from opencarrier.identity.cli import find
    from opencarrier.identity.model import PartyKind
    from opencarrier.kernel.ids import to_hex

    with venue(data) as place:
        with place.base.store.read() as unit:
            party = taken(find(place.base.identity, unit, PartyKind.HOST, name))
            found = place.base.identity.directory.host(unit, party)
        assert found is not None
        done = taken(
            Errands(place).withdraw(found), "what a cycle earned comes with its settlement"
        )
    emit(
        {
            "host": party,
            "payout": found.payout,
            "amount_minor": done.amount_minor,
            "lifetime_minor": done.lifetime_minor,
            "tx_hash": to_hex(done.tx_hash),
        },
        as_json=as_json,
    )


@node.command("add")
def node_add(
    node_id: Annotated[str, typer.Argument(help="The node's name.")],
    operator: OperatorName,
    host: Annotated[str, typer.Option("--host", help="The host's name or party id.")],
    nas_identifier: Annotated[
        str | None, typer.Option("--nas-identifier", help="What it calls itself; its name if none.")
    ] = None,
    place: Annotated[
        str,
        typer.Option("--place", help="LATITUDE,LONGITUDE in degrees; kept to about a kilometre."),
    ] = "",
    data: Data = DEFAULT_DATA,
    as_json: AsJson = False,
) -> None:
    """Add an access point of a host that serves for an operator.

    Example: opencarrier node add cafe-1 --operator "Lumen Mobile" --host "Cafe Lumiere"
    --place 48.86,2.34
    """
    from opencarrier.identity import cli

    with installation(data) as base, base.store.write() as unit:
        made = taken(
            cli.node_add(
                base.identity,
                unit,
                node_id=node_id,
                operator=operator,
                host=host,
                nas_identifier=nas_identifier,
                place=place,
            )
        )
    emit(made, as_json=as_json)


@client.command("add")
def client_add(
    prefix: Annotated[
        str, typer.Argument(help="192.0.2.0/24; or whom its certificate names: dns:HOST, any.")
    ],
    operator: OperatorName,
    secret_file: Annotated[
        str, typer.Option("--secret-file", help="File with the shared secret (UDP); - for stdin.")
    ] = "",
    name: Annotated[str | None, typer.Option("--name", help="A name for it.")] = None,
    data: Data = DEFAULT_DATA,
    as_json: AsJson = False,
) -> None:
    """Let a source or, over RadSec, a certificate speak RADIUS for an operator's nodes.

    A certificate is named by sha256:HEX, dns:HOST, ip:ADDRESS, realm:REALM, wba:ID or any.

    Example: opencarrier client add 192.0.2.10 --operator "Lumen Mobile" --secret-file secret.txt
    """
    from opencarrier.identity import cli

    standard_input_once(secret_file)
    secret = cli.read_secret(secret_file, standard_input=sys.stdin) if secret_file else None
    with installation(data) as base, base.store.write() as unit:
        made = taken(
            cli.client_add(
                base.identity,
                unit,
                prefix=prefix,
                secret=secret,
                operator=operator,
                client_id=name,
            )
        )
    emit(made, as_json=as_json)


@client.command("list")
def client_list(data: Data = DEFAULT_DATA, as_json: AsJson = False) -> None:
    """Show who may speak RADIUS.

    Example: opencarrier client list
    """
    from opencarrier.identity import cli

    with installation(data) as base, base.store.read() as unit:
        made = cli.client_list(base.identity, unit)
    emit(made, as_json=as_json, empty="let one speak: opencarrier client add --help")


@client.command("protect")
def client_protect(
    name: Annotated[str, typer.Argument(help="The client's name, else its prefix.")],
    message_authenticator: Annotated[
        bool | None,
        typer.Option(help="Require it in every Access-Request; as the server does if not said."),
    ] = None,
    limit_proxy_state: Annotated[
        bool, typer.Option(help="Require it where there is a Proxy-State.")
    ] = True,
    data: Data = DEFAULT_DATA,
    as_json: AsJson = False,
) -> None:
    """Say which of a client's UDP packets need a Message-Authenticator (CVE-2024-3596).

    Example: opencarrier client protect 192.0.2.10/32 --no-message-authenticator
    """
    from opencarrier.identity import cli

    with installation(data) as base, base.store.write() as unit:
        made = taken(
            cli.client_protect(
                base.identity,
                unit,
                client_id=name,
                require_message_authenticator=message_authenticator,
                limit_proxy_state=limit_proxy_state,
            )
        )
    emit(made, as_json=as_json)


@client.command("remove")
def client_remove(
    name: Annotated[str, typer.Argument(help="The client's name, else its prefix.")],
    data: Data = DEFAULT_DATA,
    as_json: AsJson = False,
) -> None:
    """Let a client speak no more; its RadSec connections are closed.

    Example: opencarrier client remove 192.0.2.10/32
    """
    from opencarrier.identity import cli

    with installation(data) as base, base.store.write() as unit:
        made = taken(cli.client_remove(base.identity, unit, client_id=name))
    emit(made, as_json=as_json)


@subscriber.command("add")
def subscriber_add(
    imsi: Annotated[str, typer.Option("--imsi", help="The SIM's IMSI, 14 or 15 digits.")] = "",
    ki_file: Annotated[str, typer.Option("--ki-file", help="File with K, 32 hex digits; or -.")] = (
        ""
    ),
    opc_file: Annotated[str, typer.Option("--opc-file", help="File with OPc; or - after K.")] = "",
    operator: Annotated[
        str, typer.Option("--operator", help="Its home; by the IMSI's PLMN if none.")
    ] = "",
    plan: Annotated[
        str, typer.Option("--plan", help="The retail plan's id; the home's only one if none.")
    ] = "",
    name: Annotated[str | None, typer.Option("--name", help="A name, kept here only.")] = None,
    data: Data = DEFAULT_DATA,
    as_json: AsJson = False,
) -> None:
    """Add a subscriber, with a SIM unless it is only named; keys come from files, never arguments.

    Example: opencarrier subscriber add --operator "Lumen Mobile" --plan prepaid
    --imsi 208930000000001 --ki-file ki.hex --opc-file opc.hex
    """
    from opencarrier.identity import cli

    if not imsi:
        _person_add(name, operator, plan, data=data, as_json=as_json)
        return
    if not ki_file or not opc_file:
        raise CommandError(
            Exit.USAGE, "a SIM has two keys", "name their files with --ki-file and --opc-file"
        )
    standard_input_once(ki_file, opc_file)
    keys = cli.read_sim_keys(ki_file=ki_file, opc_file=opc_file, standard_input=sys.stdin)
    from opencarrier.app.terms import home_of_imsi, only_plan

    with installation(data) as base, base.store.write() as unit:
        home = operator or taken(home_of_imsi(base, unit, imsi), "name it with --operator")
        made = taken(
            cli.subscriber_add(
                base.identity,
                unit,
                operator=home,
                plan_id=plan or taken(only_plan(base, unit, home), "name it with --plan"),
                imsi=imsi,
                keys=keys,
                name=name,
            )
        )
    emit(made, as_json=as_json)


def _person_add(name: str | None, operator: str, plan: str, *, data: Path, as_json: bool) -> None:
    from opencarrier.app.terms import only_plan
    from opencarrier.identity import cli

    if not name or not operator:
        raise CommandError(
            Exit.USAGE,
            "a subscriber without a SIM has a name and a home",
            "name them with --name and --operator; or a SIM with --imsi",
        )
    with installation(data) as base, base.store.write() as unit:
        chosen = plan or taken(only_plan(base, unit, operator), "name it with --plan")
        made = taken(
            cli.person_add(base.identity, unit, operator=operator, plan_id=chosen, name=name)
        )
    emit(made, as_json=as_json)


@subscriber.command("topup")
def subscriber_topup(
    who: Annotated[str, typer.Argument(help="The subscriber's name, IMSI or party id.")],
    amount_minor: Amount,
    reference: Reference = "",
    data: Data = DEFAULT_DATA,
    as_json: AsJson = False,
) -> None:
    """Give a subscriber prepaid money.

    Example: opencarrier subscriber topup 208930000000001 20000000
    """
    from opencarrier.app.errands import top_up
    from opencarrier.identity.cli import find_subscriber
    from opencarrier.ledger import chart
    from opencarrier.ledger.service import balance

    with installation(data) as base:
        asset = asset_of(base)
        with base.store.write() as unit:
            found = taken(find_subscriber(base.identity, unit, who))
            refusal = top_up(
                unit,
                asset,
                subscriber=found.party_id,
                home=found.home,
                amount_minor=amount_minor,
                reference=reference or fresh_reference(base),
                at_us=base.clock.now_us(),
                announcer=base.webhooks,
            )
            taken(refusal or found)
            free = balance(unit, asset, chart.prepaid(found.party_id)).free_minor
    emit(
        {"subscriber": found.party_id, "amount_minor": amount_minor, "free_minor": free},
        as_json=as_json,
    )


@subscriber.command("refund")
def subscriber_refund(
    who: Annotated[str, typer.Argument(help="The subscriber's name, IMSI or party id.")],
    paid: Annotated[int, typer.Option("--paid", min=0, help="Minor units you paid out.")] = 0,
    kept: Annotated[
        int, typer.Option("--kept", min=0, help="Minor units you give back to be used.")
    ] = 0,
    reference: Reference = "",
    data: Data = DEFAULT_DATA,
    as_json: AsJson = False,
) -> None:
    """Tell what a subscriber asked back, or book that it was paid out, or given back to be used.

    Where several people have to approve a payment, it is asked of them first; the command is none.

    Example: opencarrier subscriber refund 208930000000001 --paid 2000000 --reference bank-17
    """
    from opencarrier.app import refunding
    from opencarrier.identity.accounts.model import NOBODY
    from opencarrier.identity.cli import find_subscriber
    from opencarrier.ledger import chart
    from opencarrier.ledger.service import balance

    if paid and kept:
        raise CommandError(Exit.USAGE, "paid out or kept", "name one of --paid and --kept")
    refusal = None
    with installation(data) as base:
        asset, name = asset_of(base), reference or fresh_reference(base)
        with base.store.write() as unit:
            found = taken(find_subscriber(base.identity, unit, who))
            if paid or kept:
                refusal = refunding.settle(
                    base,
                    unit,
                    asset,
                    found,
                    paid or kept,
                    is_kept=bool(kept),
                    reference=name,
                    by=NOBODY,
                )
            waits = balance(unit, asset, chart.refunds(found.party_id)).posted_minor
    if refusal is not None:  # what was asked of people is committed by now
        again = f"approve it on the page Approvals, then the same again with --reference {name}"
        refused(str(refusal), again if refusal.code == "not_approved" else "")
    emit({"subscriber": found.party_id, "asked_back_minor": waits}, as_json=as_json)


@subscriber.command("enrol")
def subscriber_enrol(
    who: Annotated[str, typer.Argument(help="The subscriber's name, IMSI or party id.")],
    hours: Annotated[int, typer.Option("--hours", min=1, max=720, help="How long it holds.")] = 24,
    uses: Annotated[int, typer.Option("--uses", min=1, max=20, help="Profiles it gives.")] = 5,
    data: Data = DEFAULT_DATA,
    as_json: AsJson = False,
) -> None:
    """Make a link at which a person's devices get their profiles; it is shown this once.

    Example: opencarrier subscriber enrol 208930000000001 --hours 24 --uses 2
    """
    from opencarrier.app.enrolling import Enrolling
    from opencarrier.identity.cli import find_subscriber

    with installation(data) as base, base.store.write() as unit:
        found = taken(find_subscriber(base.identity, unit, who))
        home = base.identity.directory.operator(unit, found.home)
        assert home is not None, "a subscriber without a home"
        enrolling = Enrolling(base)
        missing = enrolling.why_not(home)
        if missing:
            raise CommandError(Exit.ENVIRONMENT, str(missing), "see docs/guides/phones.md")
        ttl_s = hours * 3_600
        link, made = taken(enrolling.open(unit, found.party_id, ttl_s=ttl_s, uses=uses))
    emit(
        {
            "subscriber": made.subscriber,
            "link": link,
            "expires_us": made.expires_us,
            "uses": made.uses_left,
        },
        as_json=as_json,
    )


@subscriber.command("export")
def subscriber_export(
    who: Annotated[str, typer.Argument(help="The subscriber's name, IMSI or party id.")],
    data: Data = DEFAULT_DATA,
) -> None:
    """Write everything that is held about a subscriber as JSON; secrets are no part of it.

    Example: opencarrier subscriber export 208930000000001 > held.json
    """
    from opencarrier.app.erasing import Erasing

    with installation(data) as base:
        emit(taken(Erasing(base).export(who)), as_json=True)


@subscriber.command("erase")
def subscriber_erase(
    who: Annotated[str, typer.Argument(help="The subscriber's name, IMSI or party id.")],
    reason: Annotated[
        str, typer.Option("--reason", help="Who asks: request, retention or authority.")
    ] = "request",
    waive: Annotated[
        bool, typer.Option("--waive", help="Its owner waives the money that is left.")
    ] = False,
    data: Data = DEFAULT_DATA,
    as_json: AsJson = False,
) -> None:
    """Erase a subscriber: who it was goes for good; sums, roots and others' proofs stay.

    Example: opencarrier subscriber erase 208930000000001 --reason request
    """
    from opencarrier.app.erasing import HINTS, Erasing
    from opencarrier.identity.model import Cause
    from opencarrier.kernel.refusals import Refusal

    try:
        cause = Cause(reason)
    except ValueError:
        known = ", ".join(Cause)
        raise CommandError(Exit.USAGE, f"--reason {reason}: nobody asks so", known) from None
    with installation(data) as base:
        done = Erasing(base).erase(who, cause=cause, waive=waive)
    erased = taken(done, HINTS.get(done.reason, "") if isinstance(done, Refusal) else "")
    emit(
        {
            "subscriber": erased.made.party_id,
            "erased_us": erased.made.erased_us,
            "reason": erased.made.cause.value,
            "files_clean": erased.files_clean,
        },
        as_json=as_json,
    )


GROUPS = (operator, host, node, client, subscriber)
