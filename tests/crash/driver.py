"""Plays a phone, an access point and an operator at a real `opencarrier up` that gets killed."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections.abc import Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.request import Request as UrlRequest
from urllib.request import urlopen

from tests.app.scene import IMSI, OPC, START_US, K, Scene, scene, taken
from tests.forking import Forked

from opencarrier.access.wire.dictionary import AcctStatus
from opencarrier.app.bootstrap import Installation, Onchain, onchain, open_installation
from opencarrier.app.cli.remote import post
from opencarrier.app.config import Settings
from opencarrier.app.folder import Folder, Running
from opencarrier.app.output import CommandError
from opencarrier.app.paying import UrlTransport
from opencarrier.app.system import SystemEntropy
from opencarrier.chain.contracts import ClearingHouse, StableToken
from opencarrier.chain.events import Settled
from opencarrier.chain.model import LogFilter
from opencarrier.chain.typed_data import Authorization, transfer_digest
from opencarrier.kernel.crash import VARIABLE
from opencarrier.kernel.ids import derive
from opencarrier.kernel.signatures import Address, KeySigner
from opencarrier.ledger import chart
from opencarrier.ledger import service as ledger
from opencarrier.paywall import rules
from opencarrier.paywall.client import Request
from opencarrier.paywall.model import Offer, Payment
from opencarrier.paywall.wire.exchange import (
    PAYMENT_REQUIRED,
    PAYMENT_SIGNATURE,
    read_required,
    write_payment,
)
from opencarrier.receipts.verify import Verifier
from opencarrier.sim.eap_peer import AkaPrimePeer
from opencarrier.sim.radio import (
    Attached,
    NoAnswerError,
    Patience,
    Radio,
    RadioSettings,
    Report,
)
from opencarrier.sim.usim import Usim
from opencarrier.spine.parties import PartyId

SECRET = b"a secret of the crash tests"
REALM = "wlan.mnc093.mcc208.3gppnetwork.org"
READY_S = 60
SUBSCRIBER = "subscriber"
OCTETS = 30_000_000
UNBOOKED_MINOR = 7_000_000
PAYER = KeySigner(b"\x11" * 32)
PAID_MINOR = 3_000_000
POOR = KeySigner(b"\x12" * 32)
"""Holds the settlement coin and no gas."""

SHOP = Address("0x" + "55" * 20)
RELAYED_MINOR = 4_000_000
RELAYED = "relayed.json"
RELAY_TRIES_MAX = 60
PORTS = ("--radius-port", "0", "--acct-port", "0", "--http-port", "0", "--cycle-s", "0")


def prepare(root: Path, **settings: object) -> None:
    """Make a folder with money, a SIM, a RADIUS client and a payer; one deposit is not booked."""
    with scene(root, **settings) as made:
        base = made.place.base
        with base.store.write() as unit:
            taken(
                base.identity.clients.add(
                    unit, prefix="127.0.0.1/32", secret=SECRET, operator=made.visited.party_id
                )
            )
        _deposit_unbooked(made)
        token = StableToken(made.place.manifest.token)
        made.place.work.do(derive("test", "payer"), token.mint(PAYER.address, PAID_MINOR))
        _sign_relayed(root, made)
        (root / SUBSCRIBER).write_text(made.subscriber.party_id)


def _deposit_unbooked(made: Scene) -> None:
    place = made.place
    house, token = ClearingHouse(place.manifest.clearing_house), StableToken(place.manifest.token)
    work, hub = place.work, place.manager.sender
    work.do(derive("test", "mint"), token.mint(hub, UNBOOKED_MINOR))
    work.do(derive("test", "approve"), token.approve(house.address, UNBOOKED_MINOR))
    work.do(
        derive("test", "deposit"), house.deposit(token.address, made.home.address, UNBOOKED_MINOR)
    )


def _sign_relayed(root: Path, made: Scene) -> None:
    """Keep a payment that somebody without coin signed, as it is submitted to the relayer."""
    place, token = made.place, StableToken(made.place.manifest.token)
    place.work.do(derive("test", "poor"), token.mint(POOR.address, RELAYED_MINOR))
    given = Authorization(
        sender=POOR.address,
        receiver=SHOP,
        amount_minor=RELAYED_MINOR,
        valid_after_s=0,
        valid_before_s=1 << 40,
        nonce=b"\x08" * 32,
    )
    digest = transfer_digest(token.signing_domain().ask(place.client), given)
    call = token.transfer_with_authorization(given, POOR.sign(digest).octets)
    calls = [{"to": call.to, "data": "0x" + call.data.hex()}]
    (root / RELAYED).write_text(json.dumps({"calls": calls}))


@dataclass
class Phone:
    """What phone and access point remember, whatever happens to the server."""

    usim: Usim = field(default_factory=lambda: Usim(imsi=IMSI, k=K, opc=OPC))
    attached: Attached | None = None
    acknowledged: list[AcctStatus] = field(default_factory=list)
    payment: str = ""
    paid: bool = False
    relayed: bool = False

    @property
    def done(self) -> bool:
        return AcctStatus.STOP in self.acknowledged


@contextmanager
def up(
    root: Path,
    *,
    crash_at: str = "",
    environ: Mapping[str, str] | None = None,
    flags: tuple[str, ...] = (),
):
    """Run `up`; the process is killed at the end if it still lives."""
    environment = {k: v for k, v in os.environ.items() if k != VARIABLE}
    environment |= {"OPENCARRIER_ONE_SIDED_WINDOW_S": "0", **(environ or {})}
    if crash_at:
        environment[VARIABLE] = crash_at
    (root / "run.json").unlink(missing_ok=True)
    words = ["up", "--data", str(root), *PORTS, *flags]
    process = Forked(words, environment, {2: root / "up.log"})
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(30)


def running(root: Path, process: Forked) -> Running | None:
    """Wait until `up` answers; None where it died before."""
    deadline = time.monotonic() + READY_S
    while process.poll() is None and time.monotonic() < deadline:
        found = Folder(root).running()
        if found is not None and _is_ready(found):
            return found
        time.sleep(0.05)
    return None


def _is_ready(found: Running) -> bool:
    with suppress(OSError):
        return urlopen(f"{found.http}/readyz", timeout=5).status == 200
    return False


def play(found: Running, phone: Phone) -> None:
    """Attach, use, leave; what is done is done, what is not acknowledged is tried again."""
    with suppress(NoAnswerError):
        asyncio.run(_play(found, phone))


async def _play(found: Running, phone: Phone) -> None:
    settings = RadioSettings(
        nas_identifier="node-1",
        secret=SECRET,
        auth=("127.0.0.1", found.radius_port),
        acct=("127.0.0.1", found.acct_port),
        patience=Patience(first_s=0.3, pause_max_s=0.6, tries=5),
    )
    radio = await Radio.open(settings, SystemEntropy())
    try:
        if phone.attached is None:
            outcome = await radio.attach(AkaPrimePeer(phone.usim, REALM))
            assert isinstance(outcome, Attached), outcome
            phone.attached = outcome
        for status, seconds, octets in (
            (AcctStatus.START, 0, 0),
            (AcctStatus.INTERIM_UPDATE, 60, OCTETS // 2),
            (AcctStatus.STOP, 120, OCTETS),
        ):
            if status not in phone.acknowledged:
                await radio.report(_report(status, seconds, octets), phone.attached)
                phone.acknowledged.append(status)
    finally:
        radio.close()


def _report(status: AcctStatus, seconds: int, octets: int) -> Report:
    return Report(
        status=status,
        acct_session_id="the one",
        event_s=START_US // 1_000_000 + 100 + seconds,
        session_time_s=seconds,
        octets_in=octets // 10,
        octets_out=octets,
    )


def pay(root: Path, found: Running, phone: Phone) -> None:
    """Top the phone up over HTTP 402; a payment once signed is shown again until it is answered."""
    subscriber = (root / SUBSCRIBER).read_text()
    url = f"{found.http}/v1/topup/{subscriber}?amount={PAID_MINOR}"
    request, transport = Request(method="POST", url=url), UrlTransport(timeout_s=60)
    with suppress(OSError):
        if not phone.payment:
            asked = transport.send(request, {})
            (offer,) = read_required(asked.headers[PAYMENT_REQUIRED]).offers
            phone.payment = write_payment(_signed(offer), url=url)
        answer = transport.send(request, {PAYMENT_SIGNATURE: phone.payment})
        phone.paid = answer.status == 200


def _signed(offer: Offer) -> Payment:
    given = Authorization(
        sender=PAYER.address,
        receiver=offer.receiver,
        amount_minor=offer.amount_minor,
        valid_after_s=0,
        valid_before_s=int(time.time()) + offer.timeout_s,
        nonce=b"\x07" * 32,
    )
    signature = PAYER.sign(transfer_digest(rules.domain_of(offer), given))
    return Payment(offer=offer, authorization=given, signature=signature.octets)


def relay(root: Path, found: Running, phone: Phone) -> None:
    """Submit the signed payment under one key until it is taken, and see it through."""
    body = (root / RELAYED).read_bytes()
    headers = {"Content-Type": "application/json", "Idempotency-Key": "the one"}
    with suppress(OSError):
        taken_as = _asked(UrlRequest(f"{found.http}/v1/relay", data=body, headers=headers))
        where = f"{found.http}/v1/relay/{taken_as['relay_id']}"
        for _ in range(RELAY_TRIES_MAX):
            phone.relayed = _asked(UrlRequest(where))["state"] == "done"
            if phone.relayed:
                return
            time.sleep(0.5)


def _asked(request: UrlRequest) -> dict[str, Any]:
    with urlopen(request, timeout=60) as answer:
        return json.loads(answer.read())


def close(found: Running) -> dict[str, Any]:
    """Close a cycle over HTTP; what a dying server says is nothing."""
    try:
        return post(found, "/v1/cycles/close")
    except (CommandError, OSError, json.JSONDecodeError) as error:
        return {"state": "unknown", "error": str(error)}


def scenario(root: Path, process: Forked, phone: Phone) -> dict[str, Any]:
    """Play the whole of it as far as the process lives."""
    found = running(root, process)
    if found is None:
        return {"state": "dead"}
    play(found, phone)
    pay(root, found, phone)
    relay(root, found, phone)
    is_done = phone.done and phone.paid and phone.relayed
    return close(found) if is_done else {"state": "dead"}


def finish(root: Path, phone: Phone) -> None:
    """Start again without any hand, let the access point repeat itself, close, and stop."""
    with up(root) as process:
        found = running(root, process)
        assert found is not None, "it starts again by itself"
        play(found, phone)
        assert phone.done
        pay(root, found, phone)
        assert phone.paid
        relay(root, found, phone)
        assert phone.relayed
        for _ in range(5):
            told = close(found)
            if told["state"] in ("final", "open") and told.get("note") != "unknown":
                break
        assert told["state"] in ("final", "open"), (told, (root / "up.log").read_text()[-4_000:])
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0


@contextmanager
def opened(root: Path, **settings: object):
    """Open the folder in this process, to look."""
    base: Installation = open_installation(Folder(root), Settings(cycle_s=0, **settings))
    try:
        with onchain(base) as place:
            yield place
    finally:
        base.close()


def check(root: Path, **settings: object) -> None:
    """Nothing acknowledged is lost, nothing is doubled, everything agrees, receipts verify."""
    with opened(root, **settings) as place:
        base = place.base
        with base.store.read() as unit:
            assert ledger.check(unit).findings == ()
            assert set(ledger.sum_minor(unit).values()) == {0}
            reconciled = place.settlement.reconcile(unit, charges=True)
            assert reconciled.agrees, reconciled.findings
            assert place.settlement.halt(unit) is None
            booked_minor, held_minor = place.paywall.books(unit)
            assert booked_minor == held_minor == PAID_MINOR
            prepaid = chart.prepaid(PartyId((root / SUBSCRIBER).read_text()))
            lines = ledger.statement(unit, place.manifest.asset, prepaid)
            paid = [line.posted_minor for line in lines if line.counterpart == chart.UNCLAIMED]
            assert paid == [PAID_MINOR]
            usages = [
                place.base.usage.usage(unit, usage_id)
                for cycle, _ in place.settlement.cycles(unit)
                for usage_id in place.clearing.usages(unit, cycle.cycle_id)
            ]
            assert sum(u.quantities.get("octets_out") for u in usages) == OCTETS
            assert sum(u.quantities.get("duration_s") for u in usages) == 120
            receipts = [place.issuer.issue(unit, u.usage_id) for u in usages]
        verifier = Verifier(place.manifest, place.client)
        assert all(verifier.verify(text).final for text in receipts)
        token = StableToken(place.manifest.token)
        assert token.balance_of(SHOP).ask(place.client) == RELAYED_MINOR
        assert token.balance_of(POOR.address).ask(place.client) == 0
        with base.store.read() as unit:
            relays = place.relayer.counts(unit)
        assert relays == {"queued": 0, "done": 1, "refused": 0, "failed": 0}
        assert place.index.check(base.store.write).differences == ()
        settled = settled_logs(place)
        assert len(settled) == len({event.cycle_id for event in settled}) >= 1


def settled_logs(place: Onchain) -> list[Settled]:
    """Return every settlement that the chain has seen."""
    house = ClearingHouse(place.manifest.clearing_house)
    logs = place.client.logs(
        LogFilter(from_block=0, to_block=place.client.block_number(), addresses=(house.address,))
    )
    return [e for e in map(house.event, logs) if isinstance(e, Settled)]
