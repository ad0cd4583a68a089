"""People beside a month in the tables: subscribers, accounts, refunds, approvals, bans, webhooks.

As many of each as an installation of 1.7 million nodes may well have, so that lists of them are
long: 300,000 subscribers with prepaid money, nearly as many accounts as there may be, 2,000 refunds
that wait among 20,000, 100 questions among 5,000, bans of 400 nodes, 3,200 endpoints of webhooks,
one of which was told 50,000 times. Keys and signatures are none; nothing is due at any endpoint.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain, islice
from typing import Any, Final

from sqlalchemy import Connection, Table, func, insert, select

from opencarrier.app.asking import REFUND
from opencarrier.app.bootstrap import Onchain
from opencarrier.bans import store as bans
from opencarrier.bans.model import CASES_MAX, CODES, DRAFTS_MAX, Draft, reason_hash, words_hash
from opencarrier.chain.contracts import Stage
from opencarrier.chain.typed_data import BanStatement
from opencarrier.identity import store as identity
from opencarrier.identity.accounts import store as accounts
from opencarrier.identity.accounts.model import (
    ACCOUNTS_MAX,
    NOBODY,
    AccountId,
    KeyKind,
    Role,
)
from opencarrier.identity.model import PartyKind
from opencarrier.kernel.clock import SECOND_US
from opencarrier.kernel.ids import derive
from opencarrier.ledger import chart
from opencarrier.ledger import service as ledger
from opencarrier.ledger.model import BATCH_MAX, Transfer
from opencarrier.spine.nodes import chain_node_id
from opencarrier.spine.parties import PartyId
from opencarrier.webhooks import store as webhooks
from opencarrier.webhooks.model import ENDPOINTS_MAX, DeliveryState, Off

SUBSCRIBERS: Final = 300_000
PEOPLE: Final = ACCOUNTS_MAX - 1_000
REFUNDS: Final = 20_000
PAID: Final = 18_000
QUESTIONS: Final = 5_000
QUESTIONS_WAITING: Final = 100
LINES: Final = 20_000
BANNED: Final = 400
DELIVERIES: Final = 50_000
BATCH: Final = 20_000
MONEY_MINOR: Final = 20_000_000
DAY_US: Final = 86_400 * SECOND_US
WORDS: Final = "It told of use that its device did not sign, three nights in a row. " * 10

Row = dict[str, Any]


def people(place: Onchain, node_id: str, subscribers: int = SUBSCRIBERS) -> None:
    """Put all of them into the tables; one node is banned as often as is told of a node.

    With fewer subscribers there is as much less of everything else.
    """

    def share(number: int) -> int:
        return max(number * subscribers // SUBSCRIBERS, 1)

    with place.base.store.write() as unit:
        _subscribers(unit, subscribers)
        _accounts(place, unit, min(subscribers, PEOPLE), lines=share(LINES))
        _questions(place, unit, share(QUESTIONS))
        _bans(place, unit, node_id, share(BANNED))
        _webhooks(place, unit, share(DELIVERIES))
    _money(place, subscribers, refunds=share(REFUNDS), paid=share(PAID))


def subscriber(number: int) -> PartyId:
    """Return the id of a subscriber."""
    return PartyId(f"sub_{number:032x}")


def _subscribers(unit: Connection, count: int) -> None:
    home, plan = unit.execute(
        select(identity.subscribers.c.home, identity.subscribers.c.plan_id).limit(1)
    ).one()
    _put(unit, identity.parties, (_party(number) for number in range(count)))
    own = ({"party_id": subscriber(n), "home": home, "plan_id": plan} for n in range(count))
    _put(unit, identity.subscribers, own)
    _put(unit, identity.credentials, (_credential(number) for number in range(count)))


def _party(number: int) -> Row:
    named = {"party_id": subscriber(number), "name": f"Subscriber {number:06d}"}
    return named | {"kind": PartyKind.SUBSCRIBER.value, "address": None, "jurisdiction": None}


def _credential(number: int) -> Row:
    return {
        "imsi": f"90170{number:010d}",
        "subscriber": subscriber(number),
        "k_sealed": bytes(60),
        "opc_sealed": bytes(60),
        "sqn": 0,
        "barred": False,
        "pseudonym": None,
    }


def _accounts(place: Onchain, unit: Connection, count: int, *, lines: int) -> None:
    """Let that many subscribers sign in, each by a passkey, and fill the log."""
    now_us, numbers = place.base.clock.now_us(), range(count)
    made = ({"account": _account(n), "name": f"Person {n:06d}", "made_us": now_us} for n in numbers)
    _put(unit, accounts.accounts, made)
    role = {"role": Role.SUBSCRIBER.value, "given_us": now_us}
    given = ({"account": _account(n), "party": subscriber(n), **role} for n in numbers)
    _put(unit, accounts.grants, given)
    kept = {"kind": KeyKind.PASSKEY.value, "name": "Phone", "sign_count": 0, "made_us": now_us}
    keys = (
        {
            "key": f"key_{n:032x}",
            "account": _account(n),
            "credential": n.to_bytes(32, "big"),
            "public_key": bytes(65),
            "used_us": None,
            **kept,
        }
        for n in numbers
    )
    _put(unit, accounts.keys, keys)
    for number in range(lines):
        place.base.accounts.audit.write(unit, "signed_in", who=AccountId(_account(number)))


def _account(number: int) -> str:
    return f"acct_{number:032x}"


def _questions(place: Onchain, unit: Connection, count: int) -> None:
    """Ask about refunds: the newest still wait for a second person, all others are over."""
    now_us = place.base.clock.now_us()
    asked = [
        {
            "approval": derive("approval", "bench", number),
            "kind": REFUND,
            "subject": derive("refund", "bench", number),
            "detail": f"{MONEY_MINOR} {subscriber(number)}",
            "needed": 2,
            "asked_us": now_us - number * SECOND_US,
            "expires_us": now_us + DAY_US if number < QUESTIONS_WAITING else now_us,
        }
        for number in range(count)
    ]
    said = [
        {"approval": one["approval"], "account": _account(number), "at_us": now_us}
        for number, one in enumerate(asked)
    ]
    _put(unit, accounts.approvals, asked)
    _put(unit, accounts.votes, said)


def _bans(place: Onchain, unit: Connection, node_id: str, count: int) -> None:
    """Ban a node and others, with evidence and grounds; for the one as many wait as may."""
    now_s = place.base.clock.now_us() // SECOND_US
    tx_hash = place.settlement.figures(unit, limit=1)[0].tx_hash
    others = (f"node-{number:07d}" for number in range(count))
    for number, banned in enumerate(chain([node_id] * 2 * CASES_MAX, others)):
        ban_id = derive("ban", "bench", number)
        evidence, grounds = f"{number}. {WORDS}", f"Appeal {number}. {WORDS}"
        bans.put_words(unit, words_hash(evidence), evidence, at_us=now_s * SECOND_US)
        bans.put_words(unit, words_hash(grounds), grounds, at_us=now_s * SECOND_US)
        bans.add_case(
            unit,
            {
                "ban_id": ban_id,
                "node_key": chain_node_id(banned),
                "reason_hash": reason_hash(CODES[number % len(CODES)]),
                "evidence_root": words_hash(evidence),
                "starts_s": now_s,
                "ends_s": now_s + 30 * 86_400,
                "escrow_minor": str(MONEY_MINOR),
                "tx_hash": tx_hash or bytes(32),
                "block_number": 1,
                "log_index": number,
            },
        )
        due_s = now_s + 7 * 86_400
        bans.add_step(unit, ban_id, Stage.OPEN, block_number=1, due_s=due_s)
        if number % 2:
            hashed = words_hash(grounds)
            bans.add_step(
                unit, ban_id, Stage.APPEALED, block_number=1, due_s=due_s, grounds_hash=hashed
            )
    for number in range(DRAFTS_MAX):
        bans.put_draft(unit, _draft(node_id, number, now_s))


def _draft(node_id: str, number: int, now_s: int) -> Draft:
    statement = BanStatement(
        node_id=chain_node_id(node_id),
        reason_hash=reason_hash(CODES[0]),
        evidence_root=words_hash(f"{number}. {WORDS}"),
        starts_at_s=now_s + number,
        ends_at_s=now_s + 30 * 86_400,
        slash_minor=MONEY_MINOR,
    )
    return Draft(
        node_id=node_id, code=CODES[0], statement=statement, by=NOBODY, made_us=now_s * SECOND_US
    )


def _webhooks(place: Onchain, unit: Connection, count: int) -> None:
    """Register as many endpoints of operators as there may be; tell the first of much."""
    now_us, parties = place.base.clock.now_us(), identity.parties.c
    operators = list(
        unit.scalars(select(parties.party_id).where(parties.kind == PartyKind.OPERATOR.value))
    )
    owners = [party for party in operators for _ in range(ENDPOINTS_MAX)]
    _put(unit, webhooks.endpoints, (_endpoint(n, one, now_us) for n, one in enumerate(owners)))
    first = (unit.scalar(select(func.max(webhooks.deliveries.c.number))) or 0) + 1
    told = [_message(number, now_us) for number in range(count)]
    _put(unit, webhooks.messages, told)
    sent = (_delivery(first + n, one, now_us) for n, one in enumerate(told))
    _put(unit, webhooks.deliveries, sent)


def _endpoint(number: int, party: str, now_us: int) -> Row:
    return {
        "endpoint": f"hook_{number:032x}",
        "party": party,
        "url": f"https://{number}.books.example/opencarrier/{'a' * 40}",
        "kinds": "",
        "made_us": now_us - number,
        "secret": 1,
        "former_until_us": 0,
        "off": Off.ON if number % 7 else Off.ASKED,
        "failures": number % 3,
        "rests_until_us": 0,
    }


def _message(number: int, now_us: int) -> Row:
    body = f'{{"type":"cycle.settled","data":{{"sequence":{number},"padding":"{"0" * 300}"}}}}'
    at_us = now_us - (DELIVERIES - number) * SECOND_US
    name = f"msg_{derive('message', 'bench', number).hex()}"
    return {"message": name, "kind": "cycle.settled", "body": body.encode(), "at_us": at_us}


def _delivery(number: int, told: Row, now_us: int) -> Row:
    """Deliver most; of ten one waits, until tomorrow, and one was refused too often."""
    state = {8: DeliveryState.WAITING, 9: DeliveryState.PARKED}.get(
        number % 10, DeliveryState.DELIVERED
    )
    is_heard = state is DeliveryState.DELIVERED
    return {
        "number": number,
        "endpoint": f"hook_{0:032x}",
        "message": told["message"],
        "kind": told["kind"],
        "at_us": told["at_us"],
        "state": state,
        "attempts": 1 if is_heard else 9,
        "next_us": now_us + DAY_US,
        "tried_us": told["at_us"],
        "status": 204 if is_heard else 503,
        "answer": "" if is_heard else "<p>The server is not able to answer now.</p>" * 8,
    }


def _money(place: Onchain, count: int, *, refunds: int, paid: int) -> None:
    """Let every subscriber have paid in; some ask all of it back, and most of them got it."""
    asset, at_us = place.manifest.asset, place.base.clock.now_us()
    with place.base.store.read() as unit:
        home = unit.scalar(select(identity.subscribers.c.home).limit(1))
    funding = chart.funding(PartyId(str(home)))
    everybody = [subscriber(number) for number in range(count)]
    refunded = everybody[:refunds]
    paths = [
        *((funding, chart.prepaid(one), "retail/topup") for one in everybody),
        *((chart.prepaid(one), chart.refunds(one), "retail/refund-asked") for one in refunded),
        *((chart.refunds(one), funding, "retail/refund-paid") for one in refunded[:paid]),
    ]
    moves = (
        Transfer(
            transfer_id=derive("transfer", "bench", code, debit, credit),
            asset=asset,
            debit=debit,
            credit=credit,
            amount_minor=MONEY_MINOR,
            code=code,
        )
        for debit, credit, code in paths
    )
    for some in _some(moves, BATCH_MAX // 2):
        with place.base.store.write() as unit:
            ledger.ensure(unit, asset, {name for one in some for name in (one.debit, one.credit)})
            refused = [one for one in ledger.apply(unit, some, at_us) if one is not None]
            assert not refused, refused[0]


def _put(unit: Connection, table: Table, rows: Iterable[Row]) -> None:
    for some in _some(rows, BATCH):
        unit.execute(insert(table), some)


def _some(rows: Iterable[Any], most: int) -> Iterator[list[Any]]:
    left = iter(rows)
    while taken := list(islice(left, most)):
        yield taken
