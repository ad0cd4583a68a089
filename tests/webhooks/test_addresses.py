"""Where webhooks may go: URLs as they are read, addresses as they are looked at."""

from __future__ import annotations

from ipaddress import IPv4Address, ip_address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opencarrier.kernel.refusals import Refusal
from opencarrier.webhooks.addresses import Target, is_allowed, read_networks, read_url
from opencarrier.webhooks.model import INSTALLATION, URL_CHARACTERS_MAX


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("https://a.example", Target("a.example", 443, True, "/")),
        ("https://a.example:8443/x?y=1", Target("a.example", 8443, True, "/x?y=1")),
        ("http://127.0.0.1:9/x", Target("127.0.0.1", 9, False, "/x")),
        ("https://[2001:db8::1]/", Target("2001:db8::1", 443, True, "/")),
    ],
)
def test_a_url_says_where(url, target):
    assert read_url(url) == target


@pytest.mark.parametrize(
    "url",
    [
        "",
        "a.example",
        "ftp://a.example",
        "file:///etc/passwd",
        "https://",
        "https://user@a.example",
        "https://user:word@a.example",
        "https://a.example/#x",
        "https://a.example:0",
        "https://a.example:65536",
        "https://a.example:x",
        "https://a.example/\r\nHost: b",
        "https://a.example/ x",
        "https://é.example",
        "https://[::1",
        "https://a.example/" + "x" * URL_CHARACTERS_MAX,
    ],
)
def test_what_is_no_endpoint_is_refused(url):
    assert isinstance(read_url(url), Refusal)


@given(st.text(max_size=60))
@settings(max_examples=60, deadline=None)
def test_any_text_is_read_or_refused_and_never_splits_a_header(text):
    found = read_url("https://a.example/" + text)
    if isinstance(found, Target):
        assert found.path.isprintable()
        assert " " not in found.path


PRIVATE = [
    "0.0.0.0",
    "10.0.0.1",
    "100.64.0.1",
    "127.0.0.1",
    "169.254.169.254",
    "172.16.0.1",
    "192.168.1.1",
    "192.0.2.1",
    "198.18.0.1",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "fe80::1",
    "fe80::1%eth0",
    "fc00::1",
    "fd00:ec2::254",
    "ff02::1",
    "2001:db8::1",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "2002:7f00:1::",
    "2002:a9fe:a9fe::1",
    "::7f00:1",
    "::ffff:0:7f00:1",
    "64:ff9b:1::a9fe:a9fe",
    "fec0::1",
    "4000::1",
]
PUBLIC = ["1.1.1.1", "8.8.8.8", "2606:4700:4700::1111", "::ffff:1.1.1.1", "64:ff9b::808:808"]


@pytest.mark.parametrize("address", PRIVATE)
def test_what_is_not_public_is_not_reached_unless_a_setting_names_it(address):
    assert not is_allowed(address, (), tls=True)
    others = read_networks("203.0.113.0/24 2001:db8:1::/48")[INSTALLATION]
    assert not is_allowed(address, others, tls=True)


@pytest.mark.parametrize("address", PUBLIC)
def test_what_is_public_is_reached_by_tls_alone(address):
    assert is_allowed(address, (), tls=True)
    assert not is_allowed(address, (), tls=False)


def test_a_network_that_a_setting_names_is_reached_and_its_neighbour_is_not():
    ours = read_networks("127.0.0.0/8 10.1.0.0/16")[INSTALLATION]
    for tls in (True, False):
        assert is_allowed("127.0.0.1", ours, tls=tls)
        assert is_allowed("::ffff:10.1.2.3", ours, tls=tls)
        assert not is_allowed("10.2.0.1", ours, tls=tls)
        assert not is_allowed("169.254.169.254", ours, tls=tls)
    assert not is_allowed("1.1.1.1", ours, tls=False)


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_an_address_is_judged_alike_however_it_is_written(number):
    plain = IPv4Address(number)
    for written in (f"::ffff:{plain}", str(ip_address((0x64FF9B << 96) | number))):
        assert is_allowed(written, (), tls=True) == is_allowed(str(plain), (), tls=True)


def test_a_setting_that_names_no_network_is_an_error():
    for text in ("localhost", "10.0.0.1/8", "10.0.0.0/33", "*"):
        with pytest.raises(ValueError, match=r"does not appear|has host bits"):
            read_networks(text)
