"""The pages of the API: nothing of the document is missing, each refusal has its explanation."""

from __future__ import annotations

import ast
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from lxml import html
from tests.console.people import PAGE, TOKEN, installation

import opencarrier
from opencarrier.app import (
    acting,
    answers,
    consenting,
    erasing,
    errands,
    exchanging,
    node_enrolling,
    rewarding,
    selling,
    timelines,
)
from opencarrier.app.console.host import WithdrawReason
from opencarrier.app.console.payout import PayoutReason
from opencarrier.app.http_charging import _PROBLEMS
from opencarrier.app.openapi import operations
from opencarrier.app.problems import TYPES, problem_types, title_of, type_of
from opencarrier.bans.model import BanReason
from opencarrier.chain.sponsored import RelayRefusal
from opencarrier.channels import reasons as channels
from opencarrier.charging import wire as charging
from opencarrier.clearing.disputes.service import DisputeRefusal
from opencarrier.clearing.exchange.service import ExchangeRefusal
from opencarrier.clearing.model import ProofRefusal
from opencarrier.identity.accounts.model import AccountReason
from opencarrier.identity.enrolment import EnrolmentReason
from opencarrier.identity.node_enrolment import NodeEnrolmentReason
from opencarrier.kernel.refusals import Reason
from opencarrier.paywall.model import PaymentReason
from opencarrier.rating.caps import CapReason
from opencarrier.rating.reasons import AccessReason
from opencarrier.rewards.model import RewardReason
from opencarrier.routing.model import AdvertReason
from opencarrier.settlement.model import CloseRefusal

SOURCE = Path(opencarrier.__file__).parent
WRITING = ["app/http*.py", "app/relaying.py", "app/problems.py", "app/console/*.py"]
"""Modules that write problems, with the titles that they say."""

READING = [
    "app/relaying.py", "app/http*.py", "app/exchanging.py", "channels/wire.py",
    "clearing/disputes/wire.py", "clearing/disputes/service.py", "clearing/exchange/wire.py",
    "clearing/exchange/party.py", "clearing/exchange/service.py", "kernel/decoding.py",
    "paywall/wire/*.py", "routing/document.py",
]  # fmt: skip
"""Modules whose complaint of a peer becomes a problem."""

REASONS: list[type[Reason]] = [
    acting.ActionRefusal, answers.KeyReason, consenting.ConsentReason, erasing.ErasureReason,
    errands.ErrandRefusal, exchanging.PeerReason, node_enrolling.JoinReason, selling.SaleRefusal,
    PayoutReason,
    timelines.TraceReason, WithdrawReason, RelayRefusal, channels.OpenReason, channels.LeaseReason,
    channels.PaymentReason, channels.PurchaseReason, channels.KeyReason, DisputeRefusal,
    ExchangeRefusal, ProofRefusal, AccountReason, EnrolmentReason, NodeEnrolmentReason,
    PaymentReason, CapReason, AccessReason, RewardReason, AdvertReason, CloseRefusal,
    rewarding.DistributionRefusal, BanReason,
]  # fmt: skip
"""What a room may say no with to whoever asks over HTTP."""

STATUSES = (400, 401, 403, 404, 405, 409, 413, 422, 429, 503)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    with installation(tmp_path_factory.mktemp("reference")) as found:
        yield found


def said(called: str, place: int, patterns: list[str]) -> Iterator[str]:
    """Every text that modules call something with."""
    for path in (path for pattern in patterns for path in SOURCE.glob(pattern)):
        for node in ast.walk(ast.parse(path.read_text())):
            name = getattr(node, "func", None)
            if getattr(name, "id", "") == called and len(node.args) > place:
                argument = node.args[place]
                if isinstance(argument, ast.Constant):
                    yield str(argument.value)


def test_every_operation_is_listed_and_has_its_page(home):
    """Its parameters, its refusals and a command that asks for it; nothing that is not there."""
    browser, told = home.browser(), home.app.openapi()
    listed = html.fromstring(browser.get("/docs").text)
    links = {one.get("href") for one in listed.xpath("//ul[@class='operations']//a")}
    pages = {f"/docs/{one['operationId']}": (name, one) for name, one in operations(told)}
    assert links == set(pages)
    for address, (name, operation) in pages.items():
        page = html.fromstring(browser.get(address).text)
        codes = {one.text for one in page.xpath("//code")}
        method, path = name.split()
        assert {method, path, *operation["responses"]} <= codes, name
        assert {one["name"] for one in operation.get("parameters", ())} <= codes, name
        (command,) = page.xpath("//code[@class='copy']/text()")
        words = shlex.split(command)
        assert (words[0], "--data" in words) == ("curl", "requestBody" in operation), name
        can_be_tried = method == "GET" and name != "GET /v1/events"
        assert bool(page.xpath("//form[@data-path]")) == can_be_tried, name
        for field in page.xpath("//form[@data-path]//input[@required]"):
            assert field.get("value") or field.get("placeholder"), (name, field.get("name"))
            assert field.get("data-where") == "path" or field.get("value"), name
    assert browser.get("/docs/get_v1_nothing").status_code == 404
    assert 'href="/docs"' in browser.get("/").text


def test_what_is_ones_own_is_filled_in_where_one_tries(home):
    own, page = home.made.subscriber.party_id, "/docs/get_v1_subscribers_party"
    (mine,) = html.fromstring(home.browser("subscriber").get(page).text).xpath(
        "//input[@name='party']/@value"
    )
    assert mine == own
    others = html.fromstring(home.browser("host").get(page).text)
    assert others.xpath("//input[@name='party']/@value") == [""]
    assert others.xpath("//input[@name='party']/@placeholder")[0].startswith("sub_")


def test_a_command_of_the_reference_works_as_it_stands(home):
    """What it sends gets through the door, is read, and refused for its invented host alone."""
    page = html.fromstring(home.browser().get("/docs/post_v1_people").text)
    (command,) = page.xpath("//code[@class='copy']/text()")
    words = [word.replace("TOKEN", TOKEN) for word in shlex.split(command)]
    pairs = list(zip(words[1:-1:2], words[2:-1:2], strict=True))
    headers = dict(value.split(": ", 1) for name, value in pairs if name == "-H")
    answer = home.browser().client.post(words[-1], content=dict(pairs)["--data"], headers=headers)
    assert answer.status_code in (201, 404), answer.text


def test_every_problem_that_can_be_answered_is_explained():
    titles = set(said("problem", 1, WRITING)) | {title_of(status) for status in STATUSES}
    codes = {type_of(title).removeprefix(TYPES) for title in titles}
    codes |= set(said("PeerError", 0, READING))
    codes |= {reason.name.lower() for enum in REASONS for reason in enum}
    codes |= {cause.lower() for _, cause in _PROBLEMS.values()}
    codes |= {one.lower() for one in (charging.MISSING, charging.INCORRECT, charging.OPTIONAL)}
    assert len(codes) > 150
    assert sorted(codes - set(problem_types())) == []


def test_an_explanation_is_short_and_says_what_to_do():
    for code, found in problem_types().items():
        assert type_of(code) == found.type
        for text in (found.means, found.do):
            assert 5 <= len(text) <= 200, code
            assert text.endswith("."), code


def test_a_problem_leads_to_what_it_means(home):
    """To a browser as a page, to a program as JSON; of an unknown type there is nothing."""
    browser = home.browser()
    kind = browser.ask("/v1/me").json()["type"]
    told = browser.ask(kind).json()
    assert told["type"] == kind
    assert told["means"].replace("`", "") in html.fromstring(browser.get(kind).text).text_content()
    assert (
        told["do"].replace("`", "") in html.fromstring(browser.get("/problems").text).text_content()
    )
    for headers in ({}, PAGE):
        assert browser.client.get("/problems/nothing", headers=headers).status_code == 404
