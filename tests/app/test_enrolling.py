"""A person's link, as a phone's browser sees it: the page, its QR code, profiles, a request."""

from __future__ import annotations

import plistlib
from base64 import b64decode
from dataclasses import dataclass, field, replace
from html.parser import HTMLParser

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.hazmat.primitives.serialization.pkcs7 import load_der_pkcs7_certificates
from cryptography.hazmat.primitives.serialization.pkcs12 import load_pkcs12
from fastapi import FastAPI
from lxml import etree
from signxml.verifier import XMLVerifier
from starlette.testclient import TestClient
from tests.app.scene import IMSI, START_US

from opencarrier.app.bootstrap import Installation, open_installation
from opencarrier.app.config import Settings
from opencarrier.app.console.shell import Shell
from opencarrier.app.enrolling import Enrolling
from opencarrier.app.folder import Folder
from opencarrier.app.http_enrol import enrol_routes, platform_of, qr_code
from opencarrier.identity.model import SimKeys
from opencarrier.identity.pki import names
from opencarrier.identity.pki.folder import Order, PkiFolder
from opencarrier.identity.pki.issue import CSR_OCTETS_MAX
from opencarrier.identity.pki.model import Algorithm, Role, Wanted
from opencarrier.kernel.clock import SECOND_US, FixedClock
from opencarrier.kernel.entropy import SeededEntropy
from opencarrier.kernel.refusals import Refusal
from opencarrier.spine.access import Credential, CredentialKind
from opencarrier.spine.parties import Operator, Subscriber

SERVER = "aaa.home.example"
IPHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15"
PIXEL = "Mozilla/5.0 (Linux; Android 15; Pixel 9) AppleWebKit/537.36"
THINKPAD = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"


@dataclass
class Made:
    """An installation without a chain, and one subscriber of it."""

    base: Installation
    clock: FixedClock
    home: Operator
    subscriber: Subscriber
    pki: PkiFolder


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    clock, entropy = FixedClock(START_US), SeededEntropy(1)
    settings = Settings(
        enrol_url="https://wifi.home.example/",
        enrol_servers=SERVER,
        enrol_consortia="5A03BA0000 5A03BA0800",
    )
    folder = Folder(tmp_path_factory.mktemp("enrol"))
    base = open_installation(folder, settings, clock=clock, entropy=entropy)
    with base.store.write() as unit:
        home = base.identity.register.add_operator(
            unit, name="Home <b>", jurisdiction="FR", realms=["home.example"], plmns=["20893"]
        )
        assert not isinstance(home, Refusal)
        subscriptions = base.identity.subscriptions
        anna = subscriptions.add(unit, name="anna", home=home.party_id, plan_id="prepaid")
        assert not isinstance(anna, Refusal)
        keys = SimKeys(bytes(16), bytes(16))
        subscriptions.add_credential(unit, subscriber=anna.party_id, imsi=IMSI, keys=keys)
    pki = PkiFolder(folder.root / "pki", clock=clock, entropy=entropy)
    pki.begin(Algorithm.EC)
    wanted = Wanted(role=Role.SERVER, common_name=SERVER, dns_names=(SERVER,))
    assert isinstance(pki.issue(Order(name="profiles", wanted=wanted)), dict)
    yield Made(base, clock, home, anna, pki)
    base.close()


@pytest.fixture(scope="module")
def client(made):
    app = FastAPI()
    shell = Shell(domain="example", chain_id=1, code=lambda: "USD")
    enrol_routes(app, Enrolling(made.base), shell)
    return TestClient(app, base_url="http://127.0.0.1")


@pytest.fixture
def link(made):
    """The path of a fresh link with three uses."""
    return opened(made, uses=3)


def opened(made, *, uses: int) -> str:
    made.clock.set(made.clock.now_us() + 60 * SECOND_US)
    with made.base.store.write() as unit:
        opened = Enrolling(made.base).open(unit, made.subscriber.party_id, ttl_s=60, uses=uses)
    assert not isinstance(opened, Refusal), opened
    prefix = "https://wifi.home.example"
    assert opened[0].startswith(f"{prefix}/enrol/")
    return opened[0].removeprefix(prefix)


def whose(made, kind: CredentialKind, value: str):
    base = made.base
    with base.store.read() as unit:
        found = base.identity.directory.subscriber_by(unit, Credential(kind, value))
    return found and found.party_id


@dataclass
class Page(HTMLParser):
    links: list[str] = field(default_factory=list)
    titles: list[str] = field(default_factory=list)
    svg: int = 0
    _title: bool = False

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag, attrs) -> None:
        self._title = tag == "h2"
        self.svg += tag == "svg"
        if tag == "a":
            self.links.append(dict(attrs)["href"])
        assert tag not in ("script", "iframe")
        assert tag != "form" or dict(attrs)["action"] == "/language"

    def handle_data(self, data) -> None:
        if self._title and data.strip():
            self.titles.append(data)
            self._title = False


def test_the_page_has_all_profiles_the_visitors_own_first_and_a_code(client, link) -> None:
    for agent, own in ((IPHONE, "iPhone, iPad, Mac"), (PIXEL, "Android"), ("curl", None)):
        answer = client.get(link, headers={"User-Agent": agent})
        assert answer.status_code == 200
        assert answer.headers["cache-control"] == "no-store"
        page = Page()
        page.feed(answer.text)
        assert page.svg == 1
        assert len(page.links) == len(set(page.links)) == 12
        assert all(one.startswith(f"https://wifi.home.example{link}/") for one in page.links)
        assert (page.titles[0] == f"{own} (this device)") == (own is not None)
    assert "This page gives 3 more" in " ".join(answer.text.split())
    assert "<b>" not in answer.text


def test_platforms_are_told_by_what_browsers_say() -> None:
    told = {IPHONE: "apple", PIXEL: "android", THINKPAD: "linux", "curl/8": "", "": ""}
    told["Mozilla/5.0 (Windows NT 10.0; Win64; x64)"] = "windows"
    told["Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7)"] = "apple"
    assert {agent: platform_of(agent) for agent in told} == told


def test_the_code_is_one_path_without_script_or_style() -> None:
    tree = etree.fromstring(qr_code("https://wifi.home.example/enrol/" + "x" * 43))
    assert {etree.QName(one).localname for one in tree.iter()} <= {"svg", "path", "g"}
    assert not any("style" in one.attrib for one in tree.iter())


def test_an_iphones_profile_has_a_certificate_that_is_the_subscribers(made, client, link) -> None:
    answer = client.get(f"{link}/apple/certificate", headers={"User-Agent": IPHONE})
    assert answer.headers["content-type"] == "application/x-apple-aspen-config"
    assert answer.headers["cache-control"] == "no-store"
    assert "home.example.mobileconfig" in answer.headers["content-disposition"]
    signers = load_der_pkcs7_certificates(answer.content)
    assert any("aaa.home.example" in one.subject.rfc4514_string() for one in signers)
    body = answer.content[answer.content.index(b"<?xml") :]
    told = plistlib.loads(body[: body.index(b"</plist>") + 8])
    (p12,) = [one for one in told["PayloadContent"] if one["PayloadType"].endswith("pkcs12")]
    opened = load_pkcs12(p12["PayloadContent"], p12["Password"].encode()).cert
    assert opened is not None
    certificate = opened.certificate
    found = whose(made, CredentialKind.CERTIFICATE, names.fingerprint(certificate))
    assert found == made.subscriber.party_id
    assert made.subscriber.party_id not in body.decode(errors="ignore")
    lifetime = certificate.not_valid_after_utc - certificate.not_valid_before_utc
    assert lifetime.days == 30


def test_an_androids_profile_has_a_password_that_is_the_subscribers(made, client, link) -> None:
    answer = client.get(f"{link}/android/password")
    assert answer.headers["content-type"] == "application/x-wifi-config"
    text = b64decode(answer.content)
    at = text.index(b"base64\n\n", text.index(b"x-passpoint-profile")) + 8
    tree = etree.fromstring(b64decode(text[at : text.index(b"--part", at)]))
    values = [one.text for one in tree.iter("{*}Value")]
    user = next(one for one in values if len(one) == 32 and one.isalnum())
    assert whose(made, CredentialKind.PASSWORD, user) == made.subscriber.party_id


def test_windows_gets_a_signed_document_and_linux_a_file(made, client, link) -> None:
    answer = client.get(f"{link}/windows/password")
    XMLVerifier().verify(answer.content, x509_cert=made.pki.holder("profiles").certificate)
    assert client.get(f"{link}/linux/certificate").text.startswith("interworking=1\n")


def test_a_sim_profile_names_the_network_and_nobody(client, link) -> None:
    answer = client.get(f"{link}/android/sim")
    assert IMSI.encode() not in b64decode(answer.content)


def test_a_link_gives_so_often_and_each_time_something_new(made, client) -> None:
    link = opened(made, uses=2)
    first, second = (client.get(f"{link}/linux/password").text for _ in range(2))
    assert first != second
    for path in (link, f"{link}/linux/password", f"{link}/apple/certificate"):
        answer = client.get(path)
        assert answer.status_code == 404
        assert answer.json()["title"] == "unknown_token"
        assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    "path", ["windows/certificate", "geteduroam/sim", "apple/nothing", "nothing/password"]
)
def test_what_is_not_offered_costs_no_use(made, client, path) -> None:
    link = opened(made, uses=1)
    assert client.get(f"{link}/{path}").status_code == 404
    assert client.get(f"{link}/linux/password").status_code == 200


def test_unknown_links_are_told_nothing(client, link) -> None:
    known = client.get("/enrol/" + "x" * 43)
    for path in ("/enrol/x", "/enrol/" + "x" * 43 + "/linux/password", "/enrol/%2e"):
        answer = client.get(path)
        assert (answer.status_code, answer.text) == (404, known.text)


def request(**change) -> bytes:
    key = change.get("key") or ec.generate_private_key(ec.SECP256R1())
    builder = x509.CertificateSigningRequestBuilder(x509.Name([]))
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)


def test_a_device_keeps_its_key_and_gets_a_chain(made, client, link) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    answer = client.post(f"{link}/certificate", content=request(key=key))
    leaf, *between = x509.load_pem_x509_certificates(answer.content)
    assert leaf.public_key() == key.public_key()
    assert len(between) == 2
    leaf.verify_directly_issued_by(between[0])
    found = whose(made, CredentialKind.CERTIFICATE, names.fingerprint(leaf))
    assert found == made.subscriber.party_id


def test_a_bad_request_costs_no_use_and_a_long_one_is_not_read(made, client) -> None:
    link = opened(made, uses=1)
    assert client.post(f"{link}/certificate", content=b"nonsense").status_code == 404
    long = client.post(f"{link}/certificate", content=b"x" * (CSR_OCTETS_MAX + 1))
    assert long.status_code == 413
    assert client.post(f"{link}/certificate", content=request()).status_code == 200
    assert client.post(f"{link}/certificate", content=request()).status_code == 404


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"enrol_url": ""}, "enrol_url"),
        ({"enrol_servers": ""}, "enrol_servers"),
        ({"enrol_servers": "a b c"}, "server names"),
        ({"enrol_servers": "", "eap_chain": "pki/ends/profiles.pem"}, ""),
        ({"enrol_servers": "", "eap_chain": "pki/root1.crt"}, "eap_chain"),
        ({"enrol_signer": "nobody"}, "nobody"),
        ({"enrol_pki": "elsewhere"}, "elsewhere"),
        ({"enrol_consortia": "5a03ba0000"}, "RCOI"),
        ({}, ""),
    ],
)
def test_what_is_missing_is_said_before_a_link_is_made(made, change, word) -> None:
    base = made.base
    before = base.settings
    base.settings = replace(before, **change)
    with base.store.read() as unit:
        home = base.identity.directory.operator(unit, made.home.party_id)
    try:
        told = Enrolling(base).why_not(home)
    finally:
        base.settings = before
    assert (told is not None) == bool(word)
    assert word in str(told or "")
