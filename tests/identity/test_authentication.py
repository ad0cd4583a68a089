"""The authentication centre against a software USIM that knows only the standards."""

from __future__ import annotations

import pytest
from sqlalchemy import Connection

from opencarrier.identity import sequence
from opencarrier.identity.milenage import AMF_PLAIN, AMF_SEPARATION_BIT, Milenage
from opencarrier.identity.model import Credential, IdentityReason, SimKeys
from opencarrier.identity.service import Identity
from opencarrier.kernel.refusals import Refusal
from opencarrier.spine.access import AkaVector
from opencarrier.spine.parties import Operator, Subscriber

KEYS = SimKeys(
    bytes.fromhex("465b5ce8b199b49faa5f0a2ee238a6bc"),
    bytes.fromhex("cd63cb71954a9f4e48a5994e37a02baf"),
)
IMSI = "208930000000001"


class Usim:
    """A SIM with Milenage: checks MAC-A and AMF, then the sequence number, or answers AUTS."""

    def __init__(self, highest_sqn: int = 0, keys: SimKeys = KEYS) -> None:
        self.milenage = Milenage(keys.k, keys.opc)
        self.sqn = highest_sqn

    def answer(self, vector: AkaVector) -> tuple[str, bytes]:
        res, ak = self.milenage.f2_f5(vector.rand)
        sqn = int.from_bytes(vector.autn[:6], "big") ^ int.from_bytes(ak, "big")
        amf, mac = vector.autn[6:8], vector.autn[8:]
        if self.milenage.f1(vector.rand, sqn, amf) != mac:
            return "mac", b""
        assert amf[0] & 0x80, "the separation bit is set"
        if not sequence.acceptable(sqn, self.sqn):
            return "auts", self.milenage.auts(vector.rand, self.sqn)
        self.sqn = sqn
        return "res", res


@pytest.fixture
def ada(unit: Connection, identity: Identity, lumen: Operator) -> Subscriber:
    made = identity.subscriptions.add(unit, name="Ada", home=lumen.party_id, plan_id="plan")
    assert isinstance(made, Subscriber)
    credential = identity.subscriptions.add_credential(
        unit, subscriber=made.party_id, imsi=IMSI, keys=KEYS
    )
    assert isinstance(credential, Credential)
    return made


def fetch(unit: Connection, identity: Identity, network_name: bytes = b"WLAN") -> AkaVector:
    vector = identity.authentication.vector(unit, IMSI, network_name)
    assert isinstance(vector, AkaVector)
    return vector


@pytest.mark.usefixtures("ada")
def test_vectors_authenticate_both_ways(unit: Connection, identity: Identity) -> None:
    usim = Usim()
    for _ in range(40):
        vector = fetch(unit, identity)
        assert usim.answer(vector) == ("res", vector.xres)
        assert usim.answer(vector)[0] == "auts", "a replay is answered with AUTS"


@pytest.mark.usefixtures("ada")
def test_keys_are_bound_to_the_network(unit: Connection, identity: Identity) -> None:
    vector = fetch(unit, identity, b"aka.example")
    milenage = Usim().milenage
    for name, same in ((b"aka.example", True), (b"aka.exampl", False)):
        bound = sequence.prime_keys(
            milenage.f3(vector.rand),
            milenage.f4(vector.rand),
            network_name=name,
            autn=vector.autn,
        )
        assert (bound == (vector.ck, vector.ik)) is same


@pytest.mark.usefixtures("ada")
def test_a_vector_for_one_method_serves_no_other(unit: Connection, identity: Identity) -> None:
    milenage = Usim().milenage
    plain = identity.authentication.vector(unit, IMSI, None)
    assert isinstance(plain, AkaVector)
    assert (plain.ck, plain.ik) == (milenage.f3(plain.rand), milenage.f4(plain.rand))
    assert plain.autn[6:8] == AMF_PLAIN
    assert fetch(unit, identity).autn[6:8] == AMF_SEPARATION_BIT


@pytest.mark.usefixtures("ada")
def test_a_sim_that_is_ahead_resynchronises(unit: Connection, identity: Identity) -> None:
    usim = Usim(highest_sqn=123_456 << 5 | 7)
    vector = fetch(unit, identity)
    kind, auts = usim.answer(vector)
    assert kind == "auts"
    refused = identity.authentication.resynchronise(unit, IMSI, rand=vector.rand, auts=auts)
    assert refused is None
    again = fetch(unit, identity)
    assert usim.answer(again) == ("res", again.xres)


@pytest.mark.usefixtures("ada")
def test_an_old_auts_changes_nothing(unit: Connection, identity: Identity) -> None:
    usim = Usim(highest_sqn=500 << 5)
    first = fetch(unit, identity)
    _, auts = usim.answer(first)
    identity.authentication.resynchronise(unit, IMSI, rand=first.rand, auts=auts)
    for _ in range(3):
        usim.answer(fetch(unit, identity))
    assert identity.authentication.resynchronise(unit, IMSI, rand=first.rand, auts=auts) is None
    vector = fetch(unit, identity)
    assert usim.answer(vector) == ("res", vector.xres)


@pytest.mark.parametrize("change", ["bit", "rand", "short", "key"])
@pytest.mark.usefixtures("ada")
def test_a_false_auts_moves_nothing(unit: Connection, identity: Identity, change: str) -> None:
    vector = fetch(unit, identity)
    forger = SimKeys(bytes(16), bytes(16)) if change == "key" else KEYS
    auts = bytearray(Usim(0, forger).milenage.auts(vector.rand, 9_999 << 5))
    rand = bytes(16) if change == "rand" else vector.rand
    if change == "bit":
        auts[0] ^= 1
    if change == "short":
        del auts[-1]
    refused = identity.authentication.resynchronise(unit, IMSI, rand=rand, auts=bytes(auts))
    assert isinstance(refused, Refusal)
    assert refused.reason is IdentityReason.AUTS_INVALID
    assert Usim().answer(fetch(unit, identity))[0] == "res", "the home stands where it stood"


@pytest.mark.usefixtures("ada")
def test_the_sequence_number_moves_with_the_unit(unit: Connection, identity: Identity) -> None:
    unit.commit()
    first = fetch(unit, identity)
    unit.rollback()
    second = fetch(unit, identity)
    assert first.rand != second.rand
    usim = Usim()
    assert usim.answer(first)[0] == "res"
    assert usim.answer(second)[0] == "auts", "a vector of a lost unit used the number up"


def test_a_sim_nobody_knows_is_refused(
    unit: Connection, identity: Identity, ada: Subscriber
) -> None:
    for refused in (
        identity.authentication.vector(unit, "208930000000009", b"WLAN"),
        identity.authentication.resynchronise(
            unit, "208930000000009", rand=bytes(16), auts=bytes(14)
        ),
    ):
        assert isinstance(refused, Refusal)
        assert refused.code == "unknown_imsi"
        assert "208930000000009" not in str(refused), "an IMSI is personal"


def test_a_barred_sim_is_refused(unit: Connection, identity: Identity, ada: Subscriber) -> None:
    identity.subscriptions.bar(unit, IMSI, barred=True)
    refused = identity.authentication.vector(unit, IMSI, b"WLAN")
    assert isinstance(refused, Refusal)
    assert refused.code == "barred"
    identity.subscriptions.bar(unit, IMSI, barred=False)
    assert Usim().answer(fetch(unit, identity))[0] == "res"


@pytest.mark.parametrize(("size", "taken"), [(0, False), (1, True), (253, True), (254, False)])
def test_the_network_name_has_a_limit(
    unit: Connection, identity: Identity, ada: Subscriber, size: int, taken: bool
) -> None:
    made = identity.authentication.vector(unit, IMSI, b"n" * size)
    assert isinstance(made, AkaVector) is taken


def test_sequence_numbers_end(unit: Connection, identity: Identity, ada: Subscriber) -> None:
    imsi = "208930000000002"
    identity.subscriptions.add_credential(
        unit,
        subscriber=ada.party_id,
        imsi=imsi,
        keys=KEYS,
        sqn=(sequence.SEQ_MAX - 1) << 5,
    )
    assert isinstance(identity.authentication.vector(unit, imsi, b"WLAN"), AkaVector)
    refused = identity.authentication.vector(unit, imsi, b"WLAN")
    assert isinstance(refused, Refusal)
    assert refused.code == "sequence_exhausted"
