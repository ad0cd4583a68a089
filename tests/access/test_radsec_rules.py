"""What RadSec decides without a socket: where packets end, whom a certificate names."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.access.fakes import peer_error
from tests.access.radsec import Pki

from opencarrier.access.radsec import certificates
from opencarrier.access.radsec.certificates import Certificate, Expected
from opencarrier.access.radsec.framing import Framer, Window
from opencarrier.access.wire.radius import encode

PACKETS = st.lists(
    st.builds(
        lambda code, body: encode(code, 1, bytes(16), [(1, body)]),
        st.integers(0, 255),
        st.binary(max_size=253),
    ),
    max_size=8,
)


@settings(max_examples=50)
@given(packets=PACKETS, cuts=st.lists(st.integers(1, 40), min_size=1, max_size=20))
def test_packets_come_out_as_they_went_in_however_cut(
    packets: list[bytes], cuts: list[int]
) -> None:
    framer, stream, found, at, turn = Framer(), b"".join(packets), [], 0, 0
    while at < len(stream):
        size = cuts[turn % len(cuts)]
        framer.feed(stream[at : at + size])
        at, turn = at + size, turn + 1
        while (packet := framer.next()) is not None:
            found.append(packet)
    assert found == packets
    assert len(framer) == 0


@settings(max_examples=50)
@given(octets=st.binary(max_size=64))
def test_any_stream_ends_in_packets_or_in_one_peer_error(octets: bytes) -> None:
    framer = Framer()
    framer.feed(octets)
    while (outcome := peer_error(framer.next)) == "parsed" and framer.next() is not None:
        pass
    assert outcome in ("parsed", "packet_length")


@pytest.mark.parametrize(("length", "ends"), [(19, True), (20, False), (4096, False), (4097, True)])
def test_a_length_outside_20_to_4096_ends_the_stream(length: int, ends: bool) -> None:
    framer = Framer()
    framer.feed(bytes((1, 1)) + length.to_bytes(2, "big"))
    assert (peer_error(framer.next) == "packet_length") is ends


def test_a_window_fills_and_empties_by_reply_or_by_time() -> None:
    window = Window(2, ttl_s=10)
    window.begin(0)
    assert not window.is_full
    window.begin(1)
    assert window.is_full
    window.end()
    assert not window.is_full
    window.begin(2)
    window.expire(10.9)
    assert window.is_full
    window.expire(11)
    assert len(window) == 1
    window.end()
    window.end()
    assert len(window) == 0


def test_a_certificate_is_read_with_all_its_names(tmp_path: object) -> None:
    pki = Pki(tmp_path, roots=1)  # type: ignore[arg-type]
    holder = pki.end(
        "aaa",
        wba_id="LUMEN:DE",
        dns_names=("aaa.lumen.example", "*.radsec.lumen.example"),
        addresses=("192.0.2.1", "2001:db8::1"),
        nai_realms=("lumen.example", "*.lumen.example"),
    )
    read = certificates.read(holder.certificate.public_bytes(Encoding.DER))
    assert read.names()[1:] == (
        "dns:aaa.lumen.example",
        "dns:*.radsec.lumen.example",
        "ip:192.0.2.1",
        "ip:2001:db8::1",
        "wba:lumen:de",
        "realm:lumen.example",
        "realm:*.lumen.example",
        "any",
    )
    assert read.names()[0] == f"sha256:{read.fingerprint}"
    assert read.label == "aaa.lumen.example"
    assert read.serial == holder.certificate.serial_number
    assert read.issuer == holder.certificate.issuer.public_bytes()
    bare = certificates.read(pki.end("bare").certificate.public_bytes(Encoding.DER))
    assert bare.names() == (f"sha256:{bare.fingerprint}", "any")
    assert bare.label == f"sha256:{bare.fingerprint[:16]}"


@settings(max_examples=30)
@given(octets=st.binary(max_size=80))
def test_what_is_no_certificate_is_a_peer_error(octets: bytes) -> None:
    assert peer_error(certificates.read, octets) == "certificate"


def named(**names: object) -> Certificate:
    base = {"fingerprint": "ab" * 32, "serial": 1, "issuer": b"", "ends_s": 0}
    return Certificate(**(base | names))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("pattern", "host", "holds"),
    [
        ("aaa.example.net", "aaa.example.net", True),
        ("aaa.example.net", "AAA.Example.Net.", True),
        ("aaa.example.net", "bbb.example.net", False),
        ("*.example.net", "aaa.example.net", True),
        ("*.example.net", "a.b.example.net", False),
        ("*.example.net", "example.net", False),
        ("*.example.net", ".example.net", False),
        ("*.net", "example.net", False),
        ("a*.example.net", "aaa.example.net", False),
    ],
)
def test_a_wildcard_stands_for_one_whole_leftmost_label(
    pattern: str, host: str, holds: bool
) -> None:
    refusal = Expected(host=host).refusal(named(dns_names=(pattern,)))
    assert refusal == ("" if holds else "host")
    refusal = Expected(realm=host, host="elsewhere").refusal(named(nai_realms=(pattern,)))
    assert refusal == ("" if holds else "realm")


def test_whoever_is_expected_has_to_be_it_in_each_respect() -> None:
    server = named(
        dns_names=("aaa.example",), addresses=("192.0.2.1",), wba_id="LUMEN:DE", nai_realms=()
    )
    assert Expected().refusal(server) == ""
    assert Expected(host="192.0.2.1").refusal(server) == ""
    assert Expected(host="192.0.2.2").refusal(server) == "host"
    assert Expected(fingerprint="ab" * 32, wba_id="lumen:de").refusal(server) == ""
    assert Expected(fingerprint="cd" * 32).refusal(server) == "fingerprint"
    assert Expected(wba_id="OTHER:DE").refusal(server) == "wba_id"
    # Without NAIRealm the host it was found under decides (RFC 7585 section 2.2).
    assert Expected(realm="lumen.example", host="aaa.example").refusal(server) == ""
    assert Expected(realm="lumen.example", host="bbb.example").refusal(server) == "host"
    assert Expected(realm="lumen.example").refusal(named(nai_realms=("x.example",))) == "realm"
