"""Published vectors: Milenage (TS 35.208), EAP-AKA' (RFC 9048), RADIUS (RFC 2865, RFC 5997)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from opencarrier.access.wire.aka_keys import aka_prime_keys, fips_186_2_prf
from opencarrier.access.wire.authenticators import check_access_request, check_response
from opencarrier.access.wire.dictionary import Code, Type
from opencarrier.access.wire.radius import encode, parse
from opencarrier.identity.milenage import Milenage, derive_opc
from opencarrier.identity.sequence import prime_keys
from opencarrier.kernel.refusals import PeerError

VECTORS = Path(__file__).parents[1] / "vectors"
MILENAGE = json.loads((VECTORS / "milenage.json").read_text())["sets"]
AKA_PRIME = json.loads((VECTORS / "aka_prime.json").read_text())["cases"]
SECRET = b"xyzzy5461"


def test_all_sets_are_there() -> None:
    assert [v["set"] for v in MILENAGE] == list(range(1, 21))
    assert [c["case"] for c in AKA_PRIME] == [1, 2, 3, 4]


@pytest.mark.parametrize("vector", MILENAGE, ids=lambda v: f"set{v['set']}")
def test_milenage(vector: dict[str, str]) -> None:
    v = {name: bytes.fromhex(value) for name, value in vector.items() if name != "set"}
    assert derive_opc(v["k"], v["op"]) == v["opc"]
    card, sqn = Milenage(v["k"], v["opc"]), int.from_bytes(v["sqn"], "big")
    assert card.f1(v["rand"], sqn, v["amf"]) == v["f1"]
    assert card.f1_star(v["rand"], sqn, v["amf"]) == v["f1_star"]
    assert card.f2_f5(v["rand"]) == (v["f2"], v["f5"])
    assert card.f3(v["rand"]) == v["f3"]
    assert card.f4(v["rand"]) == v["f4"]
    assert card.f5_star(v["rand"]) == v["f5_star"]
    made = card.vector(v["rand"], sqn, v["amf"])
    concealed = bytes(a ^ b for a, b in zip(v["sqn"], v["f5"], strict=True))
    assert made.autn == concealed + v["amf"] + v["f1"]
    assert (made.xres, made.ck, made.ik) == (v["f2"], v["f3"], v["f4"])
    auts = card.auts(v["rand"], sqn)
    assert card.open_auts(v["rand"], auts) == sqn
    assert card.open_auts(v["rand"], auts[:-1] + bytes([auts[-1] ^ 1])) is None


def test_no_key_in_a_repr() -> None:
    v = MILENAGE[0]
    card = Milenage(bytes.fromhex(v["k"]), bytes.fromhex(v["opc"]))
    shown = repr(card) + repr(card.vector(bytes(16), 1, b"\x80\x00"))
    for name in ("k", "opc"):
        assert v[name] not in shown
    assert repr(bytes.fromhex(v["k"])) not in shown


@pytest.mark.parametrize("case", AKA_PRIME, ids=lambda c: f"case{c['case']}")
def test_aka_prime(case: dict[str, str]) -> None:
    ck_prime, ik_prime = prime_keys(
        bytes.fromhex(case["ck"]),
        bytes.fromhex(case["ik"]),
        network_name=case["network_name"].encode(),
        autn=bytes.fromhex(case["autn"]),
    )
    assert (ck_prime.hex(), ik_prime.hex()) == (case["ck_prime"], case["ik_prime"])
    keys = aka_prime_keys(ck_prime, ik_prime, case["identity"].encode())
    for name in ("k_encr", "k_aut", "k_re", "msk", "emsk"):
        assert getattr(keys, name).hex() == case[name]


def test_fips_186_2_generator() -> None:
    key = bytes.fromhex("bd029bbe7f51960bcf9edb2b61f06f0feb5a38b6")
    assert fips_186_2_prf(key, 40).hex() == (
        "2070b3223dba372fde1c0ffc7b2e3b498b2606143c6c18bacb0f6c55babb13788e20d737a3275116"
    )


def test_rfc_4186_appendix_a() -> None:
    """The keys from the master key on, which EAP-SIM and EAP-AKA derive alike."""
    master = bytes.fromhex("e576d5ca332e9930018bf1baee2763c795b3c712")
    assert fips_186_2_prf(master, 160).hex() == (
        "536e5ebc4465582aa6a8ec9986ebb62025af1942efcbf4bc72b3943421f2a974"
        "39d45aeaf4e30601983e972b6cfd46d1c363773365690d09cd44976b525f47d3"
        "a60a985e955c53b090b2e4b73719196a402542968fd14a888f46b9a7886e4488"
        "5949eab0fff69d52315c6c634fd14a7f0d52023d56f79698fa6596abeed4f93f"
        "bb48eb534d985414ceed0d9a8ed33c387c9dfdab92ffbdf240fcecf65a2c93b9"
    )


def test_rfc_2865_example_7_1() -> None:
    request = parse(
        bytes.fromhex(
            "010000380f403f9473978057bd83d5cb98f4227a01066e656d6f02120dbe708d93d413ce3196e43f782a0aee"
            "0406c0a80110050600000003"
        )
    )
    assert request.text(Type.USER_NAME) == "nemo"
    assert request.integer(Type.NAS_PORT) == 3
    again = encode(request.code, request.identifier, request.authenticator, request.attributes)
    assert parse(again) == request
    reply = bytes.fromhex(
        "0200002686fe220e7624ba2a1005f6bf9b55e0b20606000000010f06000000000e06c0a80103"
    )
    # Its authenticator is right; it is refused only for what came after that RFC.
    with pytest.raises(PeerError, match="message_authenticator_missing"):
        check_response(reply, parse(reply), SECRET, request.authenticator)
    with pytest.raises(PeerError, match="response_authenticator"):
        check_response(reply, parse(reply), b"other", request.authenticator)


def test_rfc_5997_example_6_1() -> None:
    status = bytes.fromhex(
        "0cda00268a54f4686fb394c52866e302185d062350125a665e2e1e8411f3e243822097c84fa3"
    )
    packet = parse(status)
    assert packet.code == Code.STATUS_SERVER
    check_access_request(status, packet, SECRET, required=True)
    with pytest.raises(PeerError, match="message_authenticator"):
        check_access_request(status, packet, b"other", required=True)
