"""Pages and forms: what is another's answers octet for octet as what is not there."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import product

import pytest
from tests.console.asking import World, world
from tests.console.people import Browser

from opencarrier.app.console.rights import RIGHTS

pytestmark = pytest.mark.deep

NAME = re.compile(r"{(\w+)(?::path)?}")
WHO = ("operator", "host", "subscriber", "auditor")
GRANT = "host host_" + "0" * 32


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    with world(tmp_path_factory.mktemp("others")) as made:
        yield made


def pages(found: World) -> Iterator[tuple[str, str]]:
    """Pages and forms that name something, of which there is one here."""
    for name, right in sorted(RIGHTS.items()):
        method, path = name.split()
        named = set(NAME.findall(path))
        if named and named <= set(found.ids) and not right.anybody and "/v1/" not in path:
            yield method, path


def told(browser: Browser, method: str, path: str, ids: Mapping[str, str]):
    asked = NAME.sub(lambda match: ids[match[1]], path)
    fields = {"name": "x", "amount": "1", "grant": GRANT, "kind": "open", "node": "node-1"}
    answer = browser.get(asked) if method == "GET" else browser.form(asked, **fields)
    headers = {key: value for key, value in answer.headers.items() if key != "date"}
    return answer.status_code, headers, answer.content


def absent(one: str) -> str:
    """An id of the same form that nothing has."""
    return one[:-1] + ("0" if one[-1] != "0" else "1")


@pytest.mark.parametrize("who", WHO)
def test_a_page_of_anothers_is_as_one_of_nothing(found, who):
    browser, asked = found.home.browser(who), 0
    for method, path in pages(found):
        order = NAME.findall(path)
        own = found.own(who, path.replace("/trace/", "/v1/trace/"))
        for ids in product(*(found.ids[name] for name in order)):
            theirs = dict(zip(order, ids, strict=True))
            none = {name: one if one in own else absent(one) for name, one in theirs.items()}
            if none != theirs and path != "/trace/{identifier}":
                asked += 1
                expected = told(browser, method, path, none)
                assert told(browser, method, path, theirs) == expected, (method, path, theirs)
    assert asked > 100


@pytest.mark.parametrize("who", WHO)
def test_what_a_body_names_of_anothers_is_as_nothing(found, who):
    """A party to let somebody in at, to hear of, to add a node for; an account; a message."""
    browser, made = found.home.browser(who), found.home.made
    own = found.own(who, "/v1/people")
    parties = [party for party in found.ids["party"] if party not in own]
    for party in parties:
        for path, body in (
            ("/v1/people", {"name": "x", "role": party.split("_")[0], "party": "PARTY"}),
            ("/v1/people/ACCOUNT/give", {"role": "auditor", "party": "PARTY"}),
            ("/v1/webhooks", {"party": "PARTY", "url": "https://example.com/"}),
            (f"/v1/hosts/{made.node.host}/enrolments", {"node_id": "new", "operator": "PARTY"}),
        ):
            answers = [
                browser.script(
                    path.replace("ACCOUNT", found.home.who[who]),
                    {key: value.replace("PARTY", one) for key, value in body.items()},
                )
                for one in (absent(party), party)
            ]
            statuses = [(answer.status_code, answer.content) for answer in answers]
            assert statuses[0] == statuses[1], (path, party)
            assert statuses[0][0] in (404, 409, 422), (path, party)
