"""The commands' functions: strict with files, helpful in words, silent about secrets."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Connection

from opencarrier.identity import cli
from opencarrier.identity.model import SimKeys
from opencarrier.identity.service import Identity
from opencarrier.kernel.refusals import Refusal
from opencarrier.spine.parties import Operator

K, OPC = "465b5ce8b199b49faa5f0a2ee238a6bc", "CD63CB71954A9F4E48A5994E37A02BAF"
NOTHING = io.StringIO()


def write(folder: Path, name: str, content: bytes) -> str:
    path = folder / name
    path.write_bytes(content)
    return str(path)


@pytest.mark.parametrize("ending", [b"", b"\n", b"\r\n"])
def test_sim_keys_are_32_hex_digits_in_a_file(tmp_path: Path, ending: bytes) -> None:
    keys = cli.read_sim_keys(
        ki_file=write(tmp_path, "ki", K.encode() + ending),
        opc_file=write(tmp_path, "opc", OPC.encode() + ending),
        standard_input=NOTHING,
    )
    assert keys == SimKeys(bytes.fromhex(K), bytes.fromhex(OPC))


def test_sim_keys_come_from_standard_input_too(tmp_path: Path) -> None:
    both = cli.read_sim_keys(ki_file="-", opc_file="-", standard_input=io.StringIO(f"{K}\n{OPC}\n"))
    one = cli.read_sim_keys(
        ki_file="-",
        opc_file=write(tmp_path, "opc", OPC.encode()),
        standard_input=io.StringIO(f"{K}\n"),
    )
    assert both == one == SimKeys(bytes.fromhex(K), bytes.fromhex(OPC))
    with pytest.raises(cli.InputError, match="has 1 lines, not two"):
        cli.read_sim_keys(ki_file="-", opc_file="-", standard_input=io.StringIO(K))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "K is empty"),
        (b"\n", "K is empty"),
        (K.encode()[:-1], "K has 31 hex digits, not 32"),
        (K.encode() + b"0", "K has 33 hex digits, not 32"),
        (b"0x" + K.encode(), "K begins with 0x"),
        (b" " + K.encode(), "K: character 1 is a blank"),
        (K.encode()[:9] + b"g" + K.encode()[10:], "K: character 10 is no hex digit"),
        (K.encode() + b"\n\n", "K is one line, this has several"),
        (K.encode() + b"\n" + OPC.encode(), "K is one line, this has several"),
        (bytes(range(128, 144)), "K is not text"),
        (b"0" * 5000, "too long for K"),
        ("٠".encode() * 32, "K: character 1 is no hex digit"),
    ],
)
def test_a_wrong_key_file_is_told_without_its_content(
    tmp_path: Path, content: bytes, message: str
) -> None:
    with pytest.raises(cli.InputError, match=message) as caught:
        cli.read_sim_keys(
            ki_file=write(tmp_path, "ki", content),
            opc_file=write(tmp_path, "opc", OPC.encode()),
            standard_input=NOTHING,
        )
    assert caught.value.hint
    assert K[4:12] not in f"{caught.value} {caught.value.hint}"


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(cli.InputError, match="cannot read the shared secret: No such file"):
        cli.read_secret(str(tmp_path / "none"), standard_input=NOTHING)


@given(st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=80))
def test_a_shared_secret_is_one_line(text: str) -> None:
    for line in (text, f"{text}\n", f"{text}\r\n"):
        read = cli.read_secret("-", standard_input=io.StringIO(line, newline=""))
        assert read == text.encode()


@pytest.mark.parametrize("text", ["", "\n", "a\nb", "tab\there", " lead", "trail ", "nul\0"])
def test_other_text_is_no_shared_secret(text: str) -> None:
    with pytest.raises(cli.InputError):
        cli.read_secret("-", standard_input=io.StringIO(text, newline=""))


def test_an_installation_is_set_up_by_commands(unit: Connection, identity: Identity) -> None:
    operator = cli.operator_add(
        identity, unit, name="Kite", jurisdiction="KE", realms=["kite.example"], plmns=["63996"]
    )
    host = cli.host_add(identity, unit, name="Clinic")
    node = cli.node_add(
        identity, unit, node_id="clinic-1", operator="Kite", host="Clinic", nas_identifier="ap"
    )
    client = cli.client_add(
        identity, unit, prefix="192.0.2.7", secret=b"testing123", operator="Kite"
    )
    subscriber = cli.subscriber_add(
        identity,
        unit,
        operator="Kite",
        plan_id="plan",
        imsi="639960000000001",
        keys=SimKeys(bytes.fromhex(K), bytes.fromhex(OPC)),
    )
    for made in (operator, host, node, client, subscriber):
        assert isinstance(made, dict)
        shown = json.dumps(made)
        assert "testing123" not in shown
        assert K not in shown
    assert client["warnings"] == ["the shared secret is shorter than 16 octets"]
    assert client["prefix"] == "192.0.2.7/32"
    assert node["operator"] == operator["party_id"]
    assert identity.directory.client(unit, "192.0.2.7") is not None


def test_a_client_by_certificate_needs_no_secret(
    unit: Connection, identity: Identity, lumen: Operator
) -> None:
    with pytest.raises(cli.InputError):
        cli.client_add(identity, unit, prefix="192.0.2.7", operator=lumen.name)
    made = cli.client_add(identity, unit, prefix="dns:hub.example", operator=lumen.name)
    assert made["warnings"] == []
    changed = cli.client_protect(
        identity,
        unit,
        client_id="dns:hub.example",
        require_message_authenticator=True,
        limit_proxy_state=True,
    )
    assert cli.client_list(identity, unit) == {"clients": [changed]}
    assert "radsec" not in json.dumps(changed)
    gone = cli.client_remove(identity, unit, client_id="dns:hub.example")
    assert gone == {"client_id": "dns:hub.example", "removed": True}
    assert cli.client_list(identity, unit) == {"clients": []}
    assert isinstance(cli.client_remove(identity, unit, client_id="dns:hub.example"), Refusal)


def test_a_host_is_split_by_command(unit: Connection, identity: Identity) -> None:
    a, b = "0x" + "ab" * 20, "0x" + "cd" * 20
    host = cli.host_add(identity, unit, name="Clinic")
    assert isinstance(host, dict)
    made = cli.host_split(identity, unit, name="Clinic", to=[f"{b}=1", f"{a}=999999"])
    assert made == {"party_id": host["party_id"], "shares_ppm": {a: 999_999, b: 1}}
    for name, to, reason in (
        ("Nobody", [f"{a}=1000000"], "unknown_host"),
        ("Clinic", [f"{a}=1"], "invalid_split"),
        ("Clinic", ["me=1000000"], "invalid_address"),
    ):
        refused = cli.host_split(identity, unit, name=name, to=to)
        assert isinstance(refused, Refusal)
        assert refused.code == reason


@pytest.mark.parametrize("text", ["", "0xab", "0xab=", "0xab=-1", "0xab=1e6", "0xab=12345678"])
def test_a_share_is_an_address_and_millionths(
    unit: Connection, identity: Identity, text: str
) -> None:
    cli.host_add(identity, unit, name="Clinic")
    with pytest.raises(cli.InputError, match="ADDRESS=PPM"):
        cli.host_split(identity, unit, name="Clinic", to=[text])


def test_a_refused_sim_leaves_no_subscriber(
    unit: Connection, identity: Identity, lumen: Operator
) -> None:
    keys = SimKeys(bytes.fromhex(K), bytes.fromhex(OPC))
    refused = cli.subscriber_add(
        identity, unit, operator=lumen.name, plan_id="plan", imsi="639960000000001", keys=keys
    )
    assert isinstance(refused, Refusal)
    assert refused.code == "foreign_imsi"
    assert identity.subscriptions.all(unit) == []


def test_unknown_parties_are_refused(unit: Connection, identity: Identity, lumen: Operator) -> None:
    for refused, code in (
        (cli.node_add(identity, unit, node_id="n", operator="X", host="Y"), "unknown_operator"),
        (cli.node_add(identity, unit, node_id="n", operator=lumen.name, host="Y"), "unknown_host"),
        (
            cli.client_add(identity, unit, prefix="192.0.2.7", secret=b"x", operator="X"),
            "unknown_operator",
        ),
    ):
        assert isinstance(refused, Refusal)
        assert refused.code == code
