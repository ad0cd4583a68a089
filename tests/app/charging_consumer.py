"""A consumer of Nchf_ConvergedCharging as TS 32.291 has it, over the standard library's HTTP."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path
from zlib import crc32

from tests.app.scene import OPC, K, Scene, scene, taken
from tests.app.serving import served

from opencarrier.access.model import Metrics
from opencarrier.app.errands import top_up
from opencarrier.app.http import Web, make_app
from opencarrier.app.http_charging import BASE
from opencarrier.identity.model import SimKeys
from opencarrier.kernel.refusals import Refusal
from opencarrier.ledger import chart
from opencarrier.ledger import service as ledger
from opencarrier.spine.parties import Subscriber

TOKEN = "the token"
MIB = 1 << 20
HAVE_MINOR = 30_000_000


def price_minor(octets: int) -> int:
    """What the scene's plan asks: 5,200 nano a KiB begun, a fifth of it tax on top."""
    net = (-(-octets // 1024) * 5_200 + 500) // 1_000
    return net + (net * 200_000 + 500_000) // 1_000_000


@dataclass
class Consumer:
    """An SMF as TS 32.291 has it, over the standard library's HTTP."""

    client: HTTPConnection
    made: Scene
    imsi: str
    count: int = 0
    stamp: str = "2026-01-05T10:00:00Z"
    headers: dict = field(default_factory=lambda: {"Authorization": f"Bearer {TOKEN}"})
    answered: dict = field(default_factory=dict)

    def post(self, path: str, body, **headers) -> tuple[int, dict]:
        octets = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.client.request("POST", BASE + path, octets, {**self.headers, **headers})
        answer = self.client.getresponse()
        self.answered = dict(answer.getheaders())
        told = answer.read()
        return answer.status, json.loads(told) if told else {}

    def body(self, sequence: int, *usages: dict, **changed) -> dict:
        return {
            "subscriberIdentifier": f"imsi-{self.imsi}",
            "nfConsumerIdentification": {
                "nFFqdn": self.made.node.nas_identifier,
                "nodeFunctionality": "SMF",
            },
            "invocationTimeStamp": self.stamp,
            "invocationSequenceNumber": sequence,
            "multipleUnitUsage": list(usages),
            **changed,
        }

    def create(self, *usages: dict, **changed) -> tuple[str, dict]:
        status, told = self.post("/chargingdata", self.body(0, *usages, **changed))
        assert status == 201, told
        return self.answered["location"].partition(BASE)[2], told


def asks(octets: int = 10 * MIB, group: int = 1) -> dict:
    return {"ratingGroup": group, "requestedUnit": {"totalVolume": octets}}


def used(up: int, down: int, *, more: int | None = None, group: int = 1) -> dict:
    container = {
        "localSequenceNumber": 1,
        "totalVolume": up + down,
        "uplinkVolume": up,
        "downlinkVolume": down,
    }
    told = {"ratingGroup": group, "usedUnitContainer": [container]}
    return told if more is None else {**told, "requestedUnit": {"totalVolume": more}}


def money(made: Scene) -> tuple[int, int]:
    """What the subscriber has, and what of it is held."""
    with made.place.base.store.read() as unit:
        name = chart.prepaid(made.subscriber.party_id)
        balance = ledger.balance(unit, made.place.manifest.asset, name)
    return balance.posted_minor, balance.posted_minor - balance.free_minor


@contextmanager
def charging(root: Path) -> Iterator[tuple[Scene, HTTPConnection]]:
    """Serve a scene to a consumer."""
    with scene(root, one_sided_window_s=0) as made:
        web = Web(made.place, Metrics, token=TOKEN)
        with served(make_app(web)) as url:
            client = HTTPConnection(url.removeprefix("http://"), timeout=30)
            yield made, client
            client.close()


def imsi_of(name: str) -> str:
    return f"20893{crc32(name.encode()):010d}"


def subscribed(made: Scene, imsi: str) -> Subscriber:
    base = made.place.base
    with base.store.write() as unit:
        subscriptions = base.identity.subscriptions
        person = taken(
            subscriptions.add(unit, name=imsi, home=made.home.party_id, plan_id="prepaid")
        )
        taken(
            subscriptions.add_credential(
                unit, subscriber=person.party_id, imsi=imsi, keys=SimKeys(K, OPC)
            )
        )
        taken(
            top_up(
                unit,
                made.place.manifest.asset,
                subscriber=person.party_id,
                home=made.home.party_id,
                amount_minor=HAVE_MINOR,
                reference=imsi,
                at_us=made.clock.now_us(),
                announcer=made.place.base.webhooks,
            )
        )
    return person


def settle_now(made: Scene) -> None:
    """Close a cycle without an hour passing."""
    assert not isinstance(made.errands.close(made.clock.now_us()), Refusal)
    for _ in range(20):
        if made.errands.drive().is_settled:
            return
    raise AssertionError("the cycle is not settled")


def unit_of(told: dict) -> dict:
    (found,) = told["multipleUnitInformation"]
    return found
