"""Erasing a subscriber: who it was is gone, and nobody else's sum or proof has moved."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import LargeBinary, Table, insert, select
from tests.app.scene import OPC, SECOND_US, K, Scene, scene, taken

from opencarrier.access.agent.counters import Flag
from opencarrier.access.agent.statement import BEGINNING, sign, statement_for
from opencarrier.access.cui import named_subject
from opencarrier.access.meters.service import MeterReason
from opencarrier.access.wire import radius
from opencarrier.access.wire.dictionary import Type
from opencarrier.app.config import ConfigError
from opencarrier.app.erasing import Erasing, ErasureReason
from opencarrier.app.errands import top_up
from opencarrier.app.exchanging import live_records
from opencarrier.app.retention import DAY_US, DAYS_MAX, read_retention
from opencarrier.app.tables import METADATA
from opencarrier.app.tracing import Tracing
from opencarrier.channels.tables import CHANNELS, DEPOSITS, GRANTS, KEYS, LEASES, PAYERS
from opencarrier.channels.tables import SESSIONS as PAID
from opencarrier.charging.store import sessions as charging_sessions
from opencarrier.clearing.disputes.service import DisputeService
from opencarrier.clearing.exchange import partners
from opencarrier.clearing.exchange.partners import Partner
from opencarrier.clearing.exchange.told import Sides, is_open
from opencarrier.clearing.exchange.told import sessions as told_sessions
from opencarrier.identity.cli import find
from opencarrier.identity.model import Cause, IdentityReason, PartyKind, SimKeys
from opencarrier.kernel.ids import to_hex
from opencarrier.kernel.refusals import Refusal
from opencarrier.kernel.signatures import KeySigner
from opencarrier.ledger import chart
from opencarrier.ledger import service as ledger
from opencarrier.paywall.store import payments
from opencarrier.rating.tables import authorisations, discounts, line_uses
from opencarrier.receipts.verify import Verifier
from opencarrier.spine.parties import Subscriber
from opencarrier.spine.usage import Status
from opencarrier.staking.store import bindings
from opencarrier.usage.tables import OBSERVATIONS, USAGES, observation_of

DOCS = Path(__file__).parents[2] / "docs" / "reference" / "erasure.md"
NAME, IMSI = "Ada Lovelace-Byron", "208930000004242"
OTHER_NAME, OTHER_IMSI = "Charles Babbage-Other", "208930000005151"
CALLED = "aa-bb-cc-11-22-33/0007"
"""What an access point called the session: the device's address is in it."""

OCTETS = 5_000_000
SUBJECT = b"\x09" * 16
KEEPS_ID = {
    "ledger_accounts": {"name"},
    "rating_charges": {"payer", "inputs"},
    "identity_erasure": {"party_id"},
    "usage_erased": {"authorisation_id"},
}
"""Where the opaque id of an erased subscriber, or an authorisation, may still stand."""


def subscribe(made: Scene, name: str, imsi: str, *, minor: int = 50_000_000) -> Subscriber:
    base = made.place.base
    subscriptions = base.identity.subscriptions
    with base.store.write() as unit:
        found = taken(
            subscriptions.add(unit, name=name, home=made.home.party_id, plan_id="prepaid")
        )
        keys = SimKeys(K, OPC)
        taken(subscriptions.add_credential(unit, subscriber=found.party_id, imsi=imsi, keys=keys))
        if minor:
            refusal = top_up(
                unit,
                made.place.manifest.asset,
                subscriber=found.party_id,
                home=found.home,
                amount_minor=minor,
                reference=imsi,
                at_us=made.clock.now_us(),
                announcer=made.place.base.webhooks,
            )
            assert refusal is None
    return found


def pseudonym(name: str) -> str:
    return sha256(name.encode()).hexdigest()[:32]


def use(made: Scene, who: str, name: str, **words: Any) -> None:
    """Have somebody use something, under a pseudonym of its own."""
    base = made.place.base
    with base.store.read() as unit:
        party = taken(find(base.identity, unit, PartyKind.SUBSCRIBER, who))
        made.subscriber = base.identity.directory.subscriber(unit, party)
    made.use(name, octets=OCTETS, grant=made.authorise(), **words)
    with made.place.base.store.write() as unit:
        mine = OBSERVATIONS.c.acct_session_id == name
        new = {"subject": pseudonym(who), "packet_digest": sha256(name.encode()).digest()}
        unit.execute(OBSERVATIONS.update().where(mine).values(new))


def weak_subject(made: Scene, imsi: str) -> str:
    key = made.place.base.access_keys().cui_key
    name = f"6{imsi}@wlan.mnc093.mcc208.3gppnetwork.org"
    return named_subject(key, name, made.visited.party_id)


def dropped(made: Scene, name: str, imsi: str) -> None:
    """Have somebody use something at an access point that drops Class and tells the SIM's name."""
    made.use(name, octets=1_000, grant=None)
    subject = weak_subject(made, imsi)
    with made.place.base.store.write() as unit:
        mine = OBSERVATIONS.c.acct_session_id == name
        unit.execute(OBSERVATIONS.update().where(mine).values(subject=subject))


def erase(made: Scene, who: str, **words: Any):
    return Erasing(made.place.base).erase(who, cause=Cause.REQUEST, **{"waive": True, **words})


@dataclass
class Proofs:
    """Everything that others hold or check, as of an instant."""

    receipts: dict[str, str]
    host_receipts: dict[str, str]
    positions: list[Any]
    roots: list[Any]
    sums: Any
    exported: list[str]


def proofs(made: Scene) -> Proofs:
    place = made.place
    cycle_id = made.closed.cycle.cycle_id
    with place.base.store.read() as unit:
        usages = place.clearing.usages(unit, cycle_id)
        return Proofs(
            receipts={to_hex(u): taken(place.issuer.issue(unit, u)) for u in usages},
            host_receipts={
                to_hex(u): taken(place.issuer.issue(unit, u, parts={"usage", "wholesale"}))
                for u in usages
            },
            positions=list(place.clearing.positions(unit, cycle_id)),
            roots=list(place.clearing.statements(unit, cycle_id)),
            sums=place.clearing.charged(unit, cycle_id=cycle_id),
            exported=list(ledger.export_beancount(unit)),
        )


def rows(made: Scene) -> dict[str, list[Any]]:
    """Return every row of every table as text."""
    found = {}
    with made.place.base.store.read() as unit:
        for room in METADATA:
            for table in room.sorted_tables:
                found[table.name] = [dict(row) for row in unit.execute(select(table)).mappings()]
    return found


def standing(made: Scene, *values: str | bytes) -> dict[str, set[str]]:
    """Return the columns in which any of some values stands, by table."""
    found: dict[str, set[str]] = {}
    for name, kept in rows(made).items():
        for row in kept:
            for column, value in row.items():
                if any(_holds(value, wanted) for wanted in values):
                    found.setdefault(name, set()).add(column)
    return found


def _holds(value: Any, wanted: str | bytes) -> bool:
    if isinstance(value, str):
        return (wanted if isinstance(wanted, str) else wanted.hex()) in value
    if isinstance(value, bytes):
        return (wanted if isinstance(wanted, bytes) else wanted.encode()) in value
    return False


def octets(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """A paid cycle of two people, one of them erased: the scene, and the proofs of before."""
    root = tmp_path_factory.mktemp("erasing")
    with scene(root, one_sided_window_s=0, retention_days="0 FR:30") as made:
        ada = subscribe(made, NAME, IMSI)
        other = subscribe(made, OTHER_NAME, OTHER_IMSI)
        use(made, NAME, CALLED)
        use(made, NAME, "second", seconds=300)
        use(made, OTHER_NAME, "another")
        dropped(made, "without a class", IMSI)
        dropped(made, "another without", OTHER_IMSI)
        made.settle()
        with made.place.base.store.read() as unit:
            granted = list(
                unit.scalars(
                    select(authorisations.c.authorisation_id).where(
                        authorisations.c.subscriber == ada.party_id
                    )
                )
            )
        furnish_rooms(made, ada, granted[0])
        made.clock.set(made.clock.now_us() + 31 * DAY_US)
        before = proofs(made)
        held = taken(Erasing(made.place.base).export(NAME))
        rest = taken(Erasing(made.place.base).export(OTHER_NAME))
        packets = [observation_of(row) for row in made_observations(made)]
        done = taken(erase(made, IMSI))
        yield Told(made, root, ada, other, granted, before, held, rest, packets, done)


@dataclass
class Told:
    made: Scene
    root: Path
    ada: Subscriber
    other: Subscriber
    granted: list[bytes]
    before: Proofs
    held: dict[str, Any]
    rest: dict[str, Any]
    packets: list[Any]
    done: Any


def made_observations(made: Scene):
    with made.place.base.store.read() as unit:
        return unit.execute(select(OBSERVATIONS)).all()


def fill(table: Table, **given: Any) -> dict[str, Any]:
    """Make a row whose other fields say nothing."""
    blank = {
        column.name: b"\x01" * (column.type.length or 1)
        if isinstance(column.type, LargeBinary)
        else column.type.python_type()
        for column in table.c
        if not column.nullable
    }
    return {**blank, **given}


def furnish_rooms(made: Scene, who: Subscriber, authorisation: bytes) -> None:
    """Leave something of a person in the rooms that its sessions did not lead to."""
    party, account = who.party_id, "0x" + "ad" * 20
    with made.place.base.store.write() as unit:
        mine = select(USAGES.c.usage_id).where(USAGES.c.subject == pseudonym(NAME))
        for usage_id in unit.scalars(mine).all():
            row = fill(line_uses, usage_id=usage_id, subject=SUBJECT)
            unit.execute(insert(line_uses).values(row))
        for table, given in (
            (PAYERS, {"subscriber": party}),
            (CHANNELS, {"subscriber": party, "payer": account, "closed": True}),
            (LEASES, {}),
            (DEPOSITS, {}),
            (KEYS, {"authorisation_id": authorisation}),
            (GRANTS, {"authorisation_id": authorisation}),
            (PAID, {"authorisation_id": authorisation}),
            (charging_sessions, {"authorisation_id": authorisation, "released": True,
                                 "grants": "{}"}),
            (bindings, {"subscriber": party, "account": account}),
            (payments, {"account": chart.prepaid(party), "payer": account, "state": "booked"}),
            (discounts, {"authorisation_id": authorisation, "account": account,
                         "spent_minor": 7, "lock_began_s": 5}),
        ):  # fmt: skip
            unit.execute(insert(table).values(fill(table, **given)))


def test_every_root_sum_and_book_is_as_before(told):
    """Positions, statements, the sums of charges and the ledger's export, to the octet."""
    after = proofs(told.made)
    assert after.positions == told.before.positions
    assert after.roots == told.before.roots
    assert after.sums == told.before.sums
    waived = [line for line in after.exported if line not in told.before.exported]
    assert any("waived" in line for line in waived)
    with told.made.place.base.store.read() as unit:
        assert not ledger.check(unit).findings
        assert set(ledger.sum_minor(unit).values()) == {0}
        assert told.made.place.settlement.reconcile(unit, charges=True).agrees


def test_a_counterpartys_proof_is_the_same_octets_and_verifies(told):
    """What a host was given, and is given anew, is equal; what anybody holds still verifies."""
    after = proofs(told.made)
    assert after.host_receipts == told.before.host_receipts
    verifier = Verifier(told.made.place.manifest, told.made.place.client)
    held = [*told.before.receipts.values(), *after.receipts.values()]
    held += after.host_receipts.values()
    assert all(verifier.verify(text).final for text in held)


def test_the_retail_part_of_the_erased_is_sealed_for_good(told):
    """Its commitment is the one in the leaf; no salt of it is anywhere. Another's opens."""
    after = proofs(told.made)
    erased = {to_hex(row["usage_id"]) for row in rows(told.made)["clearing_blinded"]}
    assert len(erased) == 2
    for usage, text in after.receipts.items():
        was, now = json.loads(told.before.receipts[usage]), json.loads(text)
        assert (was == now) is (usage not in erased)
        if usage in erased:
            salt = was["record"]["retail"]["salt"] if "record" in was else was["retail"]["salt"]
            assert salt.removeprefix("0x") not in text
            assert not standing(told.made, bytes.fromhex(salt.removeprefix("0x")))


def test_nothing_in_any_table_leads_to_the_person(told):
    """Name, IMSI, what its access point called it, its pseudonym, its account: nowhere."""
    digest, account = sha256(CALLED.encode()).digest(), "0x" + "ad" * 20
    assert not standing(told.made, NAME, IMSI, CALLED, pseudonym(NAME), digest)
    assert set(standing(told.made, account)) == {"rating_discounts"}
    assert standing(told.made, pseudonym(OTHER_NAME)).keys() >= {"usage", "usage_session"}


def test_use_without_a_class_loses_a_pseudonym_that_can_be_guessed(told):
    """Who has the key and guesses the IMSI finds the other's use, and not the erased one's."""
    assert not standing(told.made, weak_subject(told.made, IMSI))
    assert len(standing(told.made, weak_subject(told.made, OTHER_IMSI))) == 3
    assert len(told.held["tables"]["usage"]) == 3


def test_the_opaque_id_stands_only_where_the_books_need_it(told):
    """A generic look at every column of every table."""
    found = standing(told.made, told.ada.party_id, *told.granted)
    assert found
    assert all(columns <= KEEPS_ID.get(name, set()) for name, columns in found.items()), found


def test_the_files_hold_no_octet_of_it(told):
    """The database, its log and whatever else lies in the folder, free pages included."""
    assert told.done.files_clean
    kept = octets(told.root)
    for word in (NAME, IMSI, CALLED):
        assert word.encode() not in kept
    assert sha256(CALLED.encode()).digest() not in kept
    assert OTHER_NAME.encode() in kept
    assert (told.root / "opencarrier.sqlite-wal").stat().st_size == 0


def test_another_persons_data_is_not_touched(told):
    assert taken(Erasing(told.made.place.base).export(OTHER_NAME)) == told.rest


def test_a_deal_counts_as_many_subscribers_as_before(told):
    """The person's uses have one name among them, and not the one that others know."""
    found = [row["subject"] for row in rows(told.made)["rating_line_uses"]]
    assert len(found) == 2
    assert len(set(found)) == 1
    assert found[0] != SUBJECT


def test_who_counts_subscribers_by_usages_counts_as_many(told):
    """Ada, her use without a Class, the other and the other's: four names, two of them new."""
    found = {row["subject"] for row in rows(told.made)["usage"]}
    before = {row["subject"] for row in told.held["tables"]["usage"]}
    assert len(found) == 4
    assert len(before) == 2
    assert not found & before
    assert "" not in found


def test_what_is_spent_of_a_stakes_cap_stays_spent(told):
    """The lock is the account's: who erases itself has no second cap."""
    (row,) = rows(told.made)["rating_discounts"]
    assert (row["spent_minor"], row["lock_began_s"], row["timepoint_s"]) == (7, 5, 5)
    assert row["authorisation_id"] not in told.granted


def test_the_person_is_told_everything_but_secrets(told):
    tables = told.held["tables"]
    assert tables["identity_party"][0]["name"] == NAME
    assert tables["identity_credential"][0]["imsi"] == IMSI
    assert len(tables["rating_charges"]) == 2
    assert told.held["ledger"][0]["code"] == "retail/topup"
    assert tables["paywall_payment"][0]["payer"] == "0x" + "ad" * 20
    text = json.dumps(told.held)
    assert "_sealed" not in text
    assert OTHER_NAME not in text


def test_the_erasure_is_on_record_and_names_nobody(told):
    (row,) = rows(told.made)["identity_erasure"]
    assert row["party_id"] == told.ada.party_id
    assert row["cause"] == "request"
    again = taken(erase(told.made, told.ada.party_id))
    assert (again.made, again.files_clean) == (told.done.made, True)


def test_a_packet_heard_again_changes_nothing(told):
    """Copies are known by their ids; what is new of an erased session is dropped by the cut."""
    made, usage = told.made, told.made.place.base.usage
    mine = [seen for seen in told.packets if seen.authorisation_id in told.granted]
    late = replace(
        mine[0], counters=replace(mine[0].counters, octets_out=10**9), status=Status.INTERIM
    )
    before = rows(made)["usage"]
    with made.place.base.store.write() as unit:
        assert usage.record(unit, mine) == 0
        assert usage.record(unit, [late]) == 1
        assert usage.cut(unit, cycle_id=b"\x07" * 32, cut_us=made.clock.now_us()) == ()
    assert rows(made)["usage"] == before
    assert not standing(made, CALLED)


def test_what_a_node_signed_and_is_delivered_late_is_not_kept(told):
    """Statements come with reports, and a report may come twice: nothing of it is kept again."""
    meters, node, at_us = told.made.place.base.meters, told.made.node, told.made.clock.now_us()
    signer = KeySigner(b"\x07" * 32)
    late = statement_for(
        [
            radius.text(Type.NAS_IDENTIFIER, node.nas_identifier),
            radius.text(Type.ACCT_SESSION_ID, CALLED),
        ],
        sequence=0, previous=BEGINNING, flags=Flag.NONE, started_s=1,
    )  # fmt: skip
    with told.made.place.base.store.write() as unit:
        assert meters.add_key(unit, node.node_id, signer.address, at_us=at_us) is None
        outcome = meters.take(
            unit,
            sign(late, signer),
            node_id=node.node_id,
            authorisation_id=told.granted[0],
            at_us=at_us,
        )
    assert outcome.reason is MeterReason.ERASED
    assert not standing(told.made, CALLED)


def test_a_trace_of_its_use_still_tells_where_the_money_went(told):
    """By usage; nobody is found by the erased id."""
    tracing = Tracing(told.made.place)
    usage = rows(told.made)["clearing_blinded"][0]["usage_id"]
    (item,) = taken(tracing.trace(to_hex(usage)))["items"]
    stages = [step["stage"] for step in item["steps"]]
    assert stages[0] == "matched"
    assert "settled" in stages
    assert isinstance(tracing.trace(told.ada.party_id), Refusal)


def test_a_partner_that_comes_later_is_told_of_everybody_else(told):
    """What the erased used has no name to be told under; another's is open until it is agreed."""
    base, parties = told.made.place.base, (told.made.home, told.made.visited)
    sides = Sides(
        asset=told.made.place.manifest.asset,
        addresses={operator.party_id: operator.address for operator in parties},
    )
    erased = [row["usage_id"] for row in rows(told.made)["clearing_blinded"]]
    usages = [row["usage_id"] for row in rows(told.made)["clearing_record"]]
    others = [usage for usage in usages if usage not in erased]
    assert len(others) == 3
    with base.store.write() as unit:
        assert is_open(unit, sides, others)
        entries, _ = live_records(base).take(unit, sides, cut_us=1 << 60)
        assert len(entries) == len(others) > 0
        assert is_open(unit, sides, others)
        unit.execute(told_sessions.update().values(is_open=False))
        assert not is_open(unit, sides, others)
        assert is_open(unit, sides, usages)
        unit.rollback()


def test_the_same_sim_again_is_a_new_subscriber(told):
    """Another id, no money, no past; and it cannot be erased by the old one's name."""
    again = subscribe(told.made, NAME, IMSI, minor=0)
    assert again.party_id != told.ada.party_id
    with told.made.place.base.store.read() as unit:
        asset = told.made.place.manifest.asset
        assert ledger.balance(unit, asset, chart.prepaid(again.party_id)).posted_minor == 0
    assert not taken(Erasing(told.made.place.base).export(IMSI))["tables"]["usage"]
    assert taken(erase(told.made, IMSI)).made.party_id == again.party_id


def partner_of(made: Scene) -> Partner:
    return Partner(
        own=made.home.address,
        peer=made.visited.address,
        asset=made.place.manifest.asset,
        domain="test",
        url="https://visited.example",
        tolerance_ppm=0,
    )


def test_each_reason_that_stands_in_the_way_is_told_in_order(told, monkeypatch):
    """On air, held, not paid for good, disputed, money left, kept by law; then nothing is."""
    made, name = told.made, "Mary Somerville-Third"
    made.subscriber = third = subscribe(made, name, "208930000006161")

    def reason(**words: Any) -> Any:
        done = erase(made, name, **words)
        return done.reason if isinstance(done, Refusal) else done.made.party_id

    grant = made.authorise()
    assert reason() is ErasureReason.SESSION_RUNNING
    made.use("one", octets=1_000, grant=grant, status=Status.INTERIM, seconds=10)
    made.clock.set(grant.expires_us + 10 * SECOND_US)
    assert reason() is ErasureReason.SESSION_RUNNING
    made.clock.set(made.clock.now_us() + 1)
    assert reason() is ErasureReason.HOLD_OPEN
    made.use("one", octets=OCTETS, grant=grant, seconds=20)
    assert reason() is ErasureReason.HOLD_OPEN
    made.clock.set(made.clock.now_us() + 3 * 3_600 * SECOND_US)
    with made.place.base.store.write() as unit:
        ledger.expire(unit, made.clock.now_us())
    assert reason() is ErasureReason.UNSETTLED
    made.settle()
    with monkeypatch.context() as patch:
        patch.setattr(DisputeService, "is_open", lambda *_, **__: True)
        assert reason(waive=False) is ErasureReason.IN_DISPUTE
        with made.place.base.store.write() as unit:
            assert partners.put(unit, partner_of(made)) is None
    assert reason(waive=False) is ErasureReason.UNSETTLED
    with made.place.base.store.write() as unit:
        partners.remove(unit, partner_of(made))
    assert reason(waive=False) is ErasureReason.MONEY_LEFT
    before, kept = rows(made), erase(made, name)
    assert kept.reason is ErasureReason.RETAINED
    assert rows(made) == before
    made.clock.set(int(kept.detail.split()[-2]) - 1)
    assert reason() is ErasureReason.RETAINED
    made.clock.set(made.clock.now_us() + 1)
    assert reason() == third.party_id
    assert erase(made, name).reason is IdentityReason.UNKNOWN_SUBSCRIBER


def test_a_channel_and_a_payment_under_way_stand_in_the_way(told):
    """Either alone; both ended, neither does."""
    made, name = told.made, "Emmy Noether-Fourth"
    fourth = subscribe(made, name, "208930000007171", minor=0)
    account = {"account": chart.prepaid(fourth.party_id), "payment_id": b"\x04" * 32}
    mine = payments.c.account == account["account"]
    with made.place.base.store.write() as unit:
        row = fill(payments, **account, state="kept", block_hash=None, log_index=None)
        unit.execute(insert(payments).values(row))
        unit.execute(insert(CHANNELS).values(fill(CHANNELS, subscriber=fourth.party_id)))
    assert erase(made, name).reason is ErasureReason.CHANNEL_OPEN
    with made.place.base.store.write() as unit:
        unit.execute(CHANNELS.update().values(closed=True))
    for state in ("kept", "mined"):
        with made.place.base.store.write() as unit:
            unit.execute(payments.update().where(mine).values(state=state))
        assert erase(made, name).reason is ErasureReason.PAYMENT_UNDER_WAY
    with made.place.base.store.write() as unit:
        unit.execute(payments.update().where(mine).values(state="dead"))
    assert taken(erase(made, name)).made.party_id == fourth.party_id


@pytest.mark.parametrize(
    ("text", "country", "days"),
    [("0", "FR", 0), ("30", "FR", 30), ("30 FR:0", "FR", 0), (" 1  FR:2 SN:3 ", "SN", 3),
     (f"{DAYS_MAX}", "FR", DAYS_MAX)],
)  # fmt: skip
def test_days_are_those_of_the_homes_country(text, country, days):
    assert read_retention(text).until_us(country, 5) == 5 + days * DAY_US


@pytest.mark.parametrize("text", ["", "-1", "FR:1", "1 fr:1", "1 FR:1 FR:2", f"{DAYS_MAX + 1}"])
def test_days_that_cannot_be_read_are_no_days(text):
    with pytest.raises(ConfigError):
        read_retention(text)


def test_the_inventory_names_every_table():
    """Whoever adds a table says what of a person it holds."""
    text = DOCS.read_text()
    missing = [t.name for room in METADATA for t in room.sorted_tables if f"`{t.name}`" not in text]
    assert missing == []


def test_the_commands_export_and_erase(here, oc, tmp_path):
    """A typed reason is one of three; a refusal ends with 1 and a hint; again is the same."""
    here("operator", "add", "Home", "--jurisdiction", "FR", "--plmn", "20893")
    key = tmp_path / "key"
    key.write_text("00" * 16)
    here("subscriber", "add", "--operator", "Home", "--plan", "none", "--imsi", IMSI,
         "--name", NAME, "--ki-file", str(key), "--opc-file", str(key))  # fmt: skip
    held = json.loads(here("subscriber", "export", NAME))
    assert held["tables"]["identity_credential"][0]["imsi"] == IMSI
    assert "nobody asks so" in here("subscriber", "erase", NAME, "--reason", "Ada", code=2)
    done = json.loads(here("subscriber", "erase", IMSI, "--reason", "authority", "--json"))
    assert (done["reason"], done["files_clean"]) == ("authority", True)
    assert NAME.encode() not in octets(oc.data)
    assert json.loads(here("subscriber", "erase", done["subscriber"], "--json")) == done
    here("subscriber", "erase", IMSI, code=1)


def test_a_file_that_was_moved_to_a_server_still_has_everybody(told, monkeypatch):
    """The database moved away says so itself; the file beside it is the operator's to delete."""
    settings = replace(told.made.place.base.settings, database="postgresql://elsewhere/x")
    monkeypatch.setattr(told.made.place.base, "settings", settings)
    assert not taken(erase(told.made, told.ada.party_id)).files_clean


@pytest.mark.deep
@given(
    uses=st.lists(st.integers(0, 3), min_size=2, max_size=4),
    order=st.randoms(use_true_random=False),
)
@settings(max_examples=12, deadline=None)
def test_of_any_population_any_may_go_and_the_rest_stays(tmp_path_factory, uses, order):
    """One after the other in any order: proofs of all, the others' data, and the files."""
    root = tmp_path_factory.mktemp("population")
    with scene(root, one_sided_window_s=0) as made:
        names = [f"Somebody-{number}-Of-Many" for number in range(len(uses))]
        for number, count in enumerate(uses):
            subscribe(made, names[number], f"2089300000080{number:02}")
            for session in range(count):
                use(made, names[number], f"{number}/{session}")
        use(made, "Ada", "one that stays")
        made.settle()
        before = proofs(made)
        order.shuffle(names)
        while names:
            gone = names.pop()
            held = {name: taken(Erasing(made.place.base).export(name)) for name in names}
            assert taken(erase(made, gone)).files_clean
            assert {name: taken(Erasing(made.place.base).export(name)) for name in names} == held
            after = proofs(made)
            assert after.host_receipts == before.host_receipts
            assert (after.positions, after.sums) == (before.positions, before.sums)
            kept = octets(root)
            assert gone.encode() not in kept
            assert all(name.encode() in kept for name in names)
        with made.place.base.store.read() as unit:
            assert not ledger.check(unit).findings
        assert len(rows(made)["clearing_blinded"]) == sum(uses)
