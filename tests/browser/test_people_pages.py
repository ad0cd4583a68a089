"""People in a real browser: passkeys of its own authenticator, a wallet, another site's forms."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from eth_account import Account as Wallet
from eth_account.messages import encode_defunct
from fastapi import FastAPI
from fastapi.responses import HTMLResponse
from playwright.sync_api import Browser, Page
from tests.app.serving import served
from tests.browser.visiting import DESK, PHONE, barriers_in_both_schemes, is_within, visiting
from tests.console.people import Installation, installation

pytestmark = pytest.mark.peer

AUTHENTICATOR = {
    "protocol": "ctap2",
    "transport": "internal",
    "hasResidentKey": True,
    "hasUserVerification": True,
    "isUserVerified": True,
    "automaticPresenceSimulation": True,
}
MARKED = """() => {
  const style = getComputedStyle(document.activeElement);
  return document.activeElement === document.body || style.outlineStyle !== "none";
}"""
WALLET = Wallet.from_key(b"\x09" * 32)


class Console:
    """A served installation, met by its name: passkeys want one."""

    def __init__(self, home: Installation, url: str) -> None:
        self.home = home
        self.url = url.replace("127.0.0.1", "localhost")

    def sign_in(self, page: Page, name: str) -> None:
        """Put a session into a browser, as if it had signed in."""
        token = self.home.browser(name).token
        port = self.url.rpartition(":")[2]
        cookie = {"name": f"opencarrier-{port}", "value": token, "url": self.url}
        page.context.add_cookies([{**cookie, "httpOnly": True, "sameSite": "Lax"}])

    def link(self) -> str:
        return self.home.web.owner_link(self.url)


@pytest.fixture(scope="module")
def console(browser, tmp_path_factory) -> Iterator[Console]:
    with installation(tmp_path_factory.mktemp("people")) as home:
        accounts, base = home.accounts, home.base
        with base.store.write() as unit:
            accounts.approvals.ask(
                unit,
                kind="settlement",
                subject=b"q" * 32,
                detail="12340000",
                needed=2,
                ttl_s=600,
                by=home.who["operator"],
            )
        with served(home.app) as url:
            yield Console(home, url)
            home.web.events.close()


@contextmanager
def opened(browser: Browser) -> Iterator[Page]:
    """Open a browser of somebody's own, whose requests may be refused."""
    context = browser.new_context()
    context.set_default_timeout(20_000)
    try:
        yield context.new_page()
    finally:
        context.close()


def authenticator(page: Page) -> tuple[Any, str]:
    session = page.context.new_cdp_session(page)
    session.send("WebAuthn.enable")
    made = session.send("WebAuthn.addVirtualAuthenticator", {"options": AUTHENTICATOR})
    return session, made["authenticatorId"]


def clicked(page: Page, label: str, path: str) -> None:
    page.get_by_role("button", name=label).first.click()
    page.wait_for_url(re.compile(re.escape(path) + "$"))


PAGES = {
    "sign-in": ("", "/sign-in"),
    "me": ("owner", "/me"),
    "people": ("owner", "/people"),
    "audit": ("auditor", "/audit"),
    "approvals": ("owner", "/approvals"),
}


@pytest.mark.parametrize("viewport", [PHONE, DESK], ids=["phone", "desk"])
@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_well_made(browser, console, name, viewport):
    """Nothing that keeps people out, nothing cut off; the keyboard's focus is always marked."""
    who, path = PAGES[name]
    with visiting(browser, viewport=viewport) as page:
        if who:
            console.sign_in(page, who)
        page.goto(console.url + path)
        assert barriers_in_both_schemes(page) == []
        assert is_within(page)
        for _ in range(12):
            page.keyboard.press("Tab")
            assert page.evaluate(MARKED)


def test_the_first_owner_adds_a_passkey_and_comes_back_by_it(browser, console):
    """From a link to a passkey of the browser's own; out, and in by it; a copy is refused."""
    with opened(browser) as page:
        session, device = authenticator(page)
        page.goto(console.link())
        clicked(page, "Go on", "/me")
        page.get_by_label("What you call it").fill("This laptop")
        page.get_by_role("button", name="Add a passkey").click()
        page.wait_for_selector("td:has-text('This laptop')")
        clicked(page, "Sign out", "/sign-in")
        page.goto(f"{console.url}/sign-in?next=/me")
        clicked(page, "Sign in with a passkey", "/me")
        (kept,) = session.send("WebAuthn.getCredentials", {"authenticatorId": device})[
            "credentials"
        ]
        assert kept["isResidentCredential"]
        assert kept["rpId"] == "localhost"
        assert kept["signCount"] > 0
        clicked(page, "Sign out", "/sign-in")
        session.send("WebAuthn.clearCredentials", {"authenticatorId": device})
        old = {**kept, "signCount": 0}
        session.send("WebAuthn.addCredential", {"authenticatorId": device, "credential": old})
        page.get_by_role("button", name="Sign in with a passkey").click()
        page.wait_for_selector("[role=alert]:has-text('This key does not sign in here.')")


def test_a_passkey_of_another_account_and_of_nobody_are_told_the_same(browser, console):
    with opened(browser) as page:
        session, device = authenticator(page)
        page.goto(f"{console.url}/sign-in")
        stranger = {
            "credentialId": "AAAAAAAAAAAAAAAAAAAAAAAAAAA=",
            "isResidentCredential": True,
            "rpId": "localhost",
            "privateKey": _private_key(),
            "userHandle": "YQ==",
            "signCount": 1,
        }
        session.send("WebAuthn.addCredential", {"authenticatorId": device, "credential": stranger})
        page.get_by_role("button", name="Sign in with a passkey").click()
        page.wait_for_selector("[role=alert]:has-text('This key does not sign in here.')")


def _private_key() -> str:
    key = ec.derive_private_key(77, ec.SECP256R1())
    octets = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    return b64encode(octets).decode()


PROVIDER = """
window.ethereum = { request: ({ method, params }) => method === "eth_requestAccounts"
  ? Promise.resolve([ADDRESS]) : window.signText(params[0]) };
""".replace("ADDRESS", f'"{WALLET.address}"')


def test_a_wallet_in_the_browser_is_added_and_signs_in(browser, console):
    shown: list[str] = []

    def sign(text: str) -> str:
        shown.append(bytes.fromhex(text[2:]).decode())
        return "0x" + WALLET.sign_message(encode_defunct(text=shown[-1])).signature.hex()

    with opened(browser) as page:
        page.expose_function("signText", sign)
        page.add_init_script(PROVIDER)
        console.sign_in(page, "guest")
        page.goto(f"{console.url}/me")
        page.get_by_label("What you call it").fill("My wallet")
        page.get_by_role("button", name="Add a wallet").click()
        page.wait_for_selector("td:has-text('My wallet')")
        clicked(page, "Sign out", "/sign-in")
        clicked(page, "Sign in with a wallet", "/")
        page.wait_for_selector("a[title=guest]")
    host = console.url.removeprefix("http://")
    assert [text.startswith(f"{host} wants you to sign in") for text in shown] == [True, True]


def test_two_people_approve_each_in_their_own_browser(browser, console):
    with opened(browser) as page:
        console.sign_in(page, "owner")
        page.goto(f"{console.url}/approvals")
        page.wait_for_selector("dd:has-text('1 of 2')")
        clicked(page, "Approve", "/approvals")
        page.wait_for_selector("h1:has-text('Nothing waits')")


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1"])
def test_another_sites_form_changes_nothing(browser, console, name):
    """Neither one on another port of the same host, whose forms carry the cookie, nor elsewhere."""
    evil = FastAPI()

    @evil.get("/")
    def trap() -> HTMLResponse:
        fields = '<input name="name" value="Mallory"><input name="csrf" value="guess"><button>x'
        return HTMLResponse(f'<form method=post action="{console.url}/me/name">{fields}</form>')

    with served(evil) as url, opened(browser) as page:
        console.sign_in(page, "subscriber")
        page.goto(url.replace("127.0.0.1", name))
        with page.expect_response(re.compile("/me/name$")) as answer:
            page.click("button")
        assert answer.value.status in (401, 403)
        page.goto(f"{console.url}/me")
        assert "subscriber" in page.inner_text("h1")


def test_ending_a_session_elsewhere_signs_that_browser_out(browser, console):
    with opened(browser) as one, opened(browser) as two:
        for page in (one, two):
            console.sign_in(page, "host")
            page.goto(f"{console.url}/me")
        one.goto(f"{console.url}/me")
        with one.expect_navigation():
            one.get_by_role("button", name="End").first.click()
        two.goto(f"{console.url}/me")
        assert two.url.endswith("/sign-in?next=/me")
