"""The measured server as a process of its own, and the installation it serves."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection

from opencarrier.app.bootstrap import Onchain, onchain, open_installation
from opencarrier.app.errands import Errands, top_up
from opencarrier.app.folder import Folder
from opencarrier.app.terms import Limits, Terms, draft_agreement, draft_plan
from opencarrier.bench.processes import tree
from opencarrier.bench.server import SETTINGS
from opencarrier.identity.model import PartyKind, SimKeys
from opencarrier.kernel.refusals import Refusal
from opencarrier.spine.access import Credential, CredentialKind
from opencarrier.spine.parties import Operator

NODE, PLAN = "bench-1", "bench"
SECRET = b"a secret of the bench alone"
REALM = "wlan.mnc093.mcc208.3gppnetwork.org"
PASSWORD = "a password of the bench"  # noqa: S105
K, OPC = bytes(range(16)), bytes(range(16, 32))
MONEY_MINOR = 10**12
TERMS = Terms(unit="octets_total", step=1024, price_nano=1_900, minimum_minor=0, tax_ppm=200_000)
LIMITS = Limits(rate_cap_octets_per_s=250_000, session_s_max=3_600, interim_s=300)

T = TypeVar("T")


_COMMAND = (sys.executable, "-m", "opencarrier.bench.server")


class Server:
    """The measured process."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.pid = process.pid
        self.ports: dict[str, int] = self._line()

    def cpu_us(self) -> int:
        """Return the processor time it has used."""
        return int(self.ask("mark")) // 1_000

    def kill(self) -> None:
        """Take the power away, of all its processes at once."""
        for pid in list(tree(self.pid)):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process.wait()

    def ask(self, word: str) -> Any:
        """Put a line to it and return what it answers."""
        assert self._process.stdin is not None
        self._process.stdin.write(word + "\n")
        self._process.stdin.flush()
        return self._line()

    def _line(self) -> Any:
        assert self._process.stdout is not None
        return json.loads(self._process.stdout.readline())


@contextmanager
def serving(what: str, folder: Path, database: str = "", *, workers: int = 1) -> Iterator[Server]:
    """Run the measured process until the block ends; no database: a SQLite file in the folder."""
    process = subprocess.Popen(
        [*_COMMAND, what, str(folder), database, str(workers)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield Server(process)
    finally:
        assert process.stdin is not None
        with suppress(BrokenPipeError):
            process.stdin.close()
        process.wait(60)


def furnish(
    root: Path, database: str = "", *, people: int, certificates: Sequence[bytes] = ()
) -> None:
    """Set an installation up: one operator, one node, people with SIMs, passwords and money.

    The first people have the certificates, one each.
    """
    base = open_installation(Folder(root), replace(SETTINGS, database=database))
    try:
        with onchain(base) as place:
            with base.store.write() as unit:
                operator = _people(place, unit, people)
                _certify(place, unit, certificates)
            _taken(Errands(place).deposit(operator, MONEY_MINOR, reference="bench"))
    finally:
        base.close()


def _people(place: Onchain, unit: Connection, people: int) -> Operator:
    base, identity, asset = place.base, place.base.identity, place.manifest.asset
    at_us = base.clock.now_us()
    operator = _taken(
        identity.register.add_operator(unit, name="Bench", jurisdiction="FR", plmns=["20893"])
    )
    _taken(identity.register.add_party(unit, kind=PartyKind.TAX, name="tax FR"))
    host = _taken(identity.register.add_host(unit, name="Host"))
    home = operator.party_id
    _taken(identity.register.add_node(unit, node_id=NODE, operator=home, host=host.party_id))
    _taken(identity.clients.add(unit, prefix="127.0.0.1/32", secret=SECRET, operator=home))
    agreement = _taken(
        draft_agreement(
            base,
            unit,
            asset,
            home="Bench",
            visited="Bench",
            terms=TERMS,
            host_ppm=600_000,
            protocol_ppm=10_000,
        )
    )
    signatures = base.rating.sign_agreement(unit, agreement, identity.notary)
    _taken(base.rating.add_agreement(unit, agreement, signatures, at_us=at_us))
    plan = _taken(
        draft_plan(base, unit, asset, operator="Bench", plan_id=PLAN, terms=TERMS, limits=LIMITS)
    )
    _taken(base.rating.add_plan(unit, plan, at_us=at_us))
    for number in range(people):
        made = _taken(identity.subscriptions.add(unit, name=f"P{number}", home=home, plan_id=PLAN))
        person = made.party_id
        keys = SimKeys(K, OPC)
        _taken(
            identity.subscriptions.add_credential(
                unit, subscriber=person, imsi=imsi_of(number), keys=keys
            )
        )
        _taken(
            identity.logins.add_password(
                unit, subscriber=person, user_name=user_of(number), password=PASSWORD
            )
        )
        paid = top_up(
            unit,
            asset,
            subscriber=person,
            home=home,
            amount_minor=MONEY_MINOR,
            reference="bench",
            at_us=at_us,
            announcer=base.webhooks,
        )
        _taken(paid)
    return operator


def _certify(place: Onchain, unit: Connection, certificates: Sequence[bytes]) -> None:
    identity = place.base.identity
    for number, pem in enumerate(certificates):
        credential = Credential(CredentialKind.SIM, imsi_of(number))
        whose = identity.directory.subscriber_by(unit, credential)
        assert whose is not None
        _taken(identity.logins.add_certificate(unit, subscriber=whose.party_id, pem=pem))


def user_of(number: int) -> str:
    """Return the user name of a person."""
    return f"p{number}"


def station_of(number: int) -> str:
    """Return the address of a person's device on the radio."""
    return f"02-00-00-00-00-{number:02X}"


def imsi_of(number: int) -> str:
    """Return the IMSI of a person."""
    return f"20893{number:010d}"


def _taken(outcome: T | Refusal) -> T:
    assert not isinstance(outcome, Refusal), outcome
    return outcome
