"""A person's link, from the command that makes it to the unmodified `eapol_test` being let in.

What gets on is what the page handed out, taken out of it by parsers of others.
"""

from __future__ import annotations

import plistlib
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from tests.peers.test_app_access import NAS, SECRET, Place

pytestmark = [
    pytest.mark.peer,
    pytest.mark.timeout(300),
    pytest.mark.skipif(
        not all(map(shutil.which, ("eapol_test", "openssl", "zbarimg"))),
        reason="eapol_test, openssl or zbarimg is missing",
    ),
]

REALM = "lumen.example"
PUBLIC = "https://wifi.lumen.example"
IPHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """One operator that serves its own subscribers, with certificates and an address to enrol."""
    made = Place(tmp_path_factory.mktemp("enrol"))
    (made.folder / "secret.txt").write_text(SECRET + "\n")
    made.run("operator", "add", "Lumen", "--jurisdiction", "FR", "--realm", REALM)
    made.run("operator", "deposit", "Lumen", "500000000", "--reference", "first")
    made.run("host", "add", "Cafe")
    made.run("node", "add", NAS, "--operator", "Lumen", "--host", "Cafe")
    price = ("--unit", "duration_s", "--step", "1", "--price-nano", "1000")
    made.run("agreement", "add", "--home", "Lumen", "--visited", "Lumen", *price)
    made.run("tariff", "add", "--operator", "Lumen", "--plan", "by-time", *price)
    secret = ("--secret-file", str(made.folder / "secret.txt"))
    made.run("client", "add", "127.0.0.1", "--operator", "Lumen", *secret)
    made.run("subscriber", "add", "--name", "Ada", "--operator", "Lumen")
    made.run("subscriber", "topup", "Ada", "50000000")
    early = made.run("subscriber", "enrol", "Ada", code=3)
    assert "enrol_url" in early.stderr
    at = ("--pki", str(made.data / "pki"))
    made.run("pki", "init", *at)
    for name in ("server", "profiles"):
        made.run("pki", "issue", name, *at, "--role", "server", "--dns", "aaa.lumen.example")
    (made.data / "config.toml").write_text(
        'eap_chain = "pki/ends/server.pem"\neap_key = "pki/ends/server.key"\n'
        'eap_roots = "pki/authorities.pem"\neap_lists = "pki/crls.pem"\n'
        f'enrol_url = "{PUBLIC}"\n'
    )
    return made


class Links(HTMLParser):
    found: list[str]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "a":
            self.found.append(dict(attrs)["href"] or "")


def get(address: str, *, body: bytes | None = None) -> bytes:
    with urlopen(Request(address, data=body, headers={"User-Agent": IPHONE}), timeout=20) as answer:
        return answer.read()


def offered(place: Place, running: dict, *, uses: int) -> tuple[str, dict[str, str]]:
    """A fresh link here, and what its page offers, by the end of the address."""
    made = place.json("subscriber", "enrol", "Ada", "--uses", str(uses))
    assert made["link"].startswith(f"{PUBLIC}/enrol/")
    link = made["link"].replace(PUBLIC, running["http"])
    page = Links()
    page.found = []
    drawn = get(link).decode()
    page.feed(drawn)
    assert seen_by_a_camera(place.folder, drawn) == made["link"]
    local = [one.replace(PUBLIC, running["http"]) for one in page.found]
    return link, {one.removeprefix(f"{link}/"): one for one in local}


def seen_by_a_camera(folder: Path, page: str) -> str:
    """What zbar reads in the page's code, drawn here dot by dot."""
    size = int(re.findall(r'viewBox="0 0 (\d+)', page)[0]) // 4
    (path,) = re.findall(r'stroke="#000" d="M([^"]*)"', page)
    dots = [[255] * size for _ in range(size)]
    x, y = (float(one) for one in re.findall(r"^([\d.]+) ([\d.]+)", path)[0])
    for kind, first, second in re.findall(r"([hm])(-?[\d.]+)(?:[ ]?(-?[\d.]+))?", path):
        if kind == "h":
            for at in range(int(first)):
                dots[int(y)][int(x) + at] = 0
        x += float(first)
        y += float(second or 0)
    rows = [bytes(value for value in row for _ in range(8)) for row in dots for _ in range(8)]
    image = folder / "code.pgm"
    image.write_bytes(f"P5 {size * 8} {size * 8} 255\n".encode() + b"".join(rows))
    read = subprocess.run(["zbarimg", "--quiet", "--raw", image], check=True, capture_output=True)
    return read.stdout.decode().strip()


def attempt(place: Place, running: dict, lines: list[str], blobs: str = "") -> str:
    config = place.folder / "eapol.conf"
    every = ['ssid="test"', "key_mgmt=WPA-EAP", *lines]
    config.write_text("network={\n" + "\n".join(every) + "\n}\n" + blobs)
    done = subprocess.run(
        [
            *("eapol_test", "-c", str(config), "-t", "10", "-N", f"32:s:{NAS}"),
            *("-a", "127.0.0.1", "-p", str(running["radius_port"]), "-s", SECRET),
        ],
        capture_output=True,
        text=True,
        errors="replace",
        timeout=60,
        check=False,
    )
    return done.stdout


def let_in(said: str) -> bool:
    return "MPPE keys OK: 1  mismatch: 0" in said


def plist_of(place: Place, signed: bytes) -> dict:
    """The profile as openssl takes it out of its signature, under our roots."""
    into, out = place.folder / "in.mobileconfig", place.folder / "out.plist"
    into.write_bytes(signed)
    trust = place.data / "pki" / "trust.pem"
    subprocess.run(
        [
            *("openssl", "cms", "-verify", "-inform", "DER", "-binary", "-purpose", "any"),
            *("-CAfile", str(trust), "-in", str(into), "-out", str(out)),
        ],
        check=True,
        capture_output=True,
    )
    return plistlib.loads(out.read_bytes())


def lines_of(told: dict, folder: Path) -> list[str]:
    """What an iPhone would do with a profile, for eapol_test."""
    payloads = {one["PayloadUUID"]: one for one in told["PayloadContent"]}
    wifi = next(one for one in payloads.values() if one["PayloadType"] == "com.apple.wifi.managed")
    eap = wifi["EAPClientConfiguration"]
    root = payloads[eap["PayloadCertificateAnchorUUID"][0]]["PayloadContent"]
    (folder / "root.der").write_bytes(root)
    lines = [
        f'ca_cert="{folder}/root.der"',
        f'domain_match="{";".join(eap["TLSTrustedServerNames"])}"',
        f'identity="{eap["UserName"]}"',
    ]
    if eap["AcceptEAPTypes"] == [13]:
        p12 = payloads[wifi["PayloadCertificateUUID"]]
        (folder / "key.p12").write_bytes(p12["PayloadContent"])
        return [
            *(*lines, "eap=TLS", f'private_key="{folder}/key.p12"'),
            f'private_key_passwd="{p12["Password"]}"',
        ]
    return [
        *(*lines, "eap=TTLS", f'phase2="auth={eap["TTLSInnerAuthentication"].upper()}"'),
        f'password="{eap["UserPassword"]}"',
        f'anonymous_identity="{eap["OuterIdentity"]}"',
    ]


def network_of(text: str) -> tuple[list[str], str]:
    """A `cred` block's own lines as a `network`, its blobs as they are."""
    block, _, blobs = text.partition("cred={\n")[2].partition("\n}\n")
    kept = ("eap", "ca_cert", "domain_suffix_match", "password", "private_key", "phase2")
    lines = [line.strip() for line in block.splitlines() if line.strip().startswith(kept)]
    (name,) = re.findall(r"username=(.*)", block)
    return [*lines, f"identity={name}", f'anonymous_identity="anonymous@{REALM}"'], blobs


def test_what_the_page_hands_out_gets_on(place: Place) -> None:
    with place.up() as running:
        _, offers = offered(place, running, uses=4)
        assert len(offers) == 9
        for kind in ("certificate", "password"):
            told = plist_of(place, get(offers[f"apple/{kind}"]))
            said = attempt(place, running, lines_of(told, place.folder))
            assert let_in(said), said[-3000:]
            said = attempt(place, running, *network_of(get(offers[f"linux/{kind}"]).decode()))
            assert let_in(said), said[-3000:]
        with pytest.raises(HTTPError, match="404"):
            get(offers["linux/password"])
        _own_key(place, running)
        held = place.json("subscriber", "credential", "list", "Ada")["credentials"]
        assert sorted(one["kind"] for one in held) == ["certificate"] * 3 + ["password"] * 2
        assert "enrol/" not in place.log.read_text()


def _own_key(place: Place, running: dict) -> None:
    """A device that makes its own key; revoked, it is turned away."""
    link, _ = offered(place, running, uses=1)
    key, csr, pem = (place.folder / f"device.{end}" for end in ("key", "csr", "pem"))
    words = ("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    subprocess.run(
        ["openssl", *words, "-subj", "/CN=x", "-keyout", str(key), "-out", str(csr)],
        check=True,
        capture_output=True,
    )
    pem.write_bytes(get(f"{link}/certificate", body=csr.read_bytes()))
    lines = [
        f'ca_cert="{place.data}/pki/trust.pem"',
        'domain_match="aaa.lumen.example"',
        *("eap=TLS", f'identity="anonymous@{REALM}"'),
        *(f'client_cert="{pem}"', f'private_key="{key}"'),
    ]
    assert let_in(attempt(place, running, lines))
    shown = ("x509", "-in", str(pem), "-noout", "-fingerprint", "-sha256")
    told = subprocess.run(["openssl", *shown], check=True, capture_output=True, text=True).stdout
    fingerprint = told.strip().partition("=")[2].replace(":", "").lower()
    place.run("subscriber", "credential", "revoke", fingerprint)
    assert not let_in(attempt(place, running, lines))
