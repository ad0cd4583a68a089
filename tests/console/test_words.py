"""Four languages: their texts are whole, their figures as CLDR has them, and pages speak them."""

from __future__ import annotations

import json
import re

import pytest
from babel import Locale
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import html
from markupsafe import Markup
from tests.console import pseudo
from tests.console.paths import paths
from tests.console.people import ORIGIN, PAGE, installation
from tests.plans import read_whole

from opencarrier.app.console import disputes, nodes, people, webhooks
from opencarrier.app.console.ban_words import NOT_DONE
from opencarrier.app.console.catalogue import LOCALES, SOURCE, catalogue
from opencarrier.app.console.glossary import glossary, in_order
from opencarrier.app.console.host import NOT_WITHDRAWN
from opencarrier.app.console.locales import ISOLATE, ISOLATE_END, chosen_locale, words
from opencarrier.app.console.operator import NOT_CLOSED
from opencarrier.app.console.payout import NOT_CHANGED
from opencarrier.app.console.refusals import why
from opencarrier.app.console.rights import RIGHTS
from opencarrier.app.console.shell import SECTIONS, section_of, sections_of
from opencarrier.app.console.subscriber_acts import ERASURE_WORDS
from opencarrier.app.console.subscribers import NOT_SETTLED
from opencarrier.app.console.visitor import Visitor
from opencarrier.app.problems import problem_types
from opencarrier.identity.accounts.model import AccountId, Grant, Role
from opencarrier.identity.places.rules import read_place
from opencarrier.kernel.refusals import Reason, Refusal
from opencarrier.kernel.sentences import Amount, Octets, sentence
from opencarrier.spine.parties import PartyId
from opencarrier.spine.usage import Status
from tools import catalogues

TRANSLATED = [name for name in LOCALES if name != SOURCE]
AT_US = 1_767_603_600_000_000
FORMS = ("zero", "one", "two", "few", "many", "other")


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    with installation(tmp_path_factory.mktemp("words")) as home:
        made, base = home.made, home.base
        with base.store.write() as unit:
            place = read_place("48.86,2.35", made.visited.party_id)
            base.identity.places.put(unit, made.node.node_id, place)
        home.web.watch.look()
        made.use("first", octets=52_000_000, grant=made.authorise())
        made.settle()
        made.use("now", octets=4_000_000, grant=made.authorise(), status=Status.INTERIM)
        home.web.watch.look()
        yield home


def shown(markup: str) -> str:
    return str(html.fromstring(markup).text_content())


def test_the_choice_counts_more_than_the_browser():
    assert chosen_locale("fr-CI,fr;q=0.9,en;q=0.8") == "fr"
    assert chosen_locale("xx, ar-EG;q=0.5") == "ar"
    assert chosen_locale("fr", "sw") == "sw"
    assert chosen_locale("fr", "../../etc") == "fr"


@pytest.mark.parametrize("name", TRANSLATED)
def test_every_refusal_is_said_in_the_language_of_who_is_refused(name):
    """By a page's own text, else by a sentence for all with the code; whatever the code."""
    language = words(name)
    codes = Reason("Codes", {code.upper(): number for number, code in enumerate(problem_types())})
    assert len(codes) > 200
    for table in SAID:
        own = {key if isinstance(key, str) else key.name.lower() for key in table}
        assert own <= set(problem_types())
        for text in table.values():
            assert shown(language.sentence(text)) != text
        for refusal in map(Refusal, codes):
            said = shown(language.sentence(why(refusal, table)))
            assert said != str(why(refusal, table))
            assert (refusal.code in said) or refusal.code in own


@pytest.mark.parametrize("name", TRANSLATED)
def test_a_number_takes_the_form_that_cldr_gives_it(name):
    """Catalogues count plural forms in CLDR's order; a form that is another's shares its place."""
    kept, locale = catalogue(name), Locale.parse(name)
    places: dict[str, set[int]] = {}
    for number in range(1_000):
        form = locale.plural_form(number)
        places.setdefault(form, set()).add(kept.plural(number))
    assert all(len(found) == 1 for found in places.values())
    order = [places[form] for form in FORMS if form in places]
    assert order == [{place} for place in range(len(order))]


FIGURES = {
    "fr": ("3,42 $US", "1,5 ko", "5 janv. 2026, 09:00:00", "12,5 %", "1,7 M", "1 234 octets"),
    "sw": (
        "US$ 3.42", "kilobaiti 1.5", "5 Jan 2026 09:00:00", "12.5%", "1.7M", "baiti 1,234",
    ),
    "ar": (
        "\u200f3.42 US$", "1.5 كيلوبايت", "5 يناير 2026، 09:00:00", "12.5%", "1.7 مليون",
        "1,234 بايتًا",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FIGURES)
def test_figures_are_written_as_cldr_has_them(name):
    language = words(name)
    found = (
        shown(language.money(3_419_872, "USD")),
        shown(language.octets(1_500)),
        shown(language.when(AT_US)),
        language.share(125_000),
        shown(language.compact(1_700_000)),
        html.fromstring(language.octets(1_234)).get("title"),
    )
    assert tuple(re.sub("[\u00a0\u202f]", " ", one) for one in found) == FIGURES[name]


@pytest.mark.parametrize("name", LOCALES)
def test_what_is_computed_with_stands_exact_beside_what_is_shown(name):
    element = html.fromstring(words(name).money(3_419_872, "USD"))
    assert element.get("value") == "3419872"
    assert element.get("title") == "3.419872 USD"
    assert html.fromstring(words(name).when(AT_US)).get("datetime") == "2026-01-05T09:00:00Z"


def test_a_name_turns_nothing_around_it():
    english, arabic = words("en"), words("ar")
    assert english.isolated("Café") == "Café"
    assert english.isolated("مقهى") == f"{ISOLATE}مقهى{ISOLATE_END}"
    welcome = str(arabic.told("Welcome, %(name)s", name="Ada (1)"))
    assert f"{ISOLATE}Ada (1){ISOLATE_END}" in welcome


@pytest.mark.parametrize("name", LOCALES)
@settings(max_examples=20, deadline=None)
@given(st.text(alphabet='a<>&"%()s مق' + ISOLATE))
def test_a_value_is_no_markup_and_no_placeholder(name, value):
    told = words(name).told("Welcome, %(name)s", name=value)
    assert Markup.escape(value) in told
    assert words(name).isolated(value).strip(ISOLATE + ISOLATE_END) == value.strip(
        ISOLATE + ISOLATE_END
    )


def test_a_sentence_is_english_by_itself_and_speaks_where_it_is_drawn():
    said = sentence(
        "%(name)s used %(data)s at %(node)s and left",
        name="Ada",
        data=Octets(52_000_000),
        node="cafe-1",
    )
    assert str(said) == "Ada used 52 MB at cafe-1 and left"
    assert shown(words("fr").sentence(said)) == "Ada a utilisé 52\u202fMo à cafe-1, puis est parti"
    paid = sentence("%(operator)s deposits %(amount)s", operator="A", amount=Amount(-1, "DUSD"))
    assert str(paid) == "A deposits -0.000001 DUSD"
    assert str(sentence("%(n)s", n=1_234)) == "1,234"


def test_a_script_gets_every_form_of_its_language():
    forms = json.loads(words("ar").forms("%(num)s node", "%(num)s nodes"))
    assert set(forms) == set(FORMS)
    assert forms["few"] == "%(num)s نقاط اتصال"
    assert json.loads(words("en").forms("%(num)s node", "%(num)s nodes")) == {
        "one": "%(num)s node",
        "other": "%(num)s nodes",
    }


@pytest.mark.parametrize("name", TRANSLATED)
def test_every_word_is_explained_shortly_in_every_language(name):
    language = words(name)
    for term in glossary().values():
        assert 15 < len(language.gettext(term.says)) < 300
    names = {language.gettext(term.name) for term in glossary().values()}
    assert len(names) == len(glossary())


def test_words_stand_in_the_order_of_each_language():
    def called(name: str) -> str:
        return {"node": "zone", "host": "Église", "cycle": "fin"}.get(name, "a")

    found = [called(term.name) for term in in_order(glossary().values(), called)]
    assert found[-3:] == ["Église", "fin", "zone"]


def test_a_language_is_chosen_for_a_year_and_spoken(home):
    browser = home.browser()
    assert 'lang="en" dir="ltr"' in browser.get("/words").text
    done = browser.client.post(
        "/language", data={"locale": "ar"}, headers={"Referer": f"{ORIGIN}/words?a=1"}
    )
    assert (done.status_code, done.headers["location"]) == (303, "/words?a=1")
    cookie = done.headers["set-cookie"]
    assert all(part in cookie for part in ("locale=ar", "HttpOnly", "SameSite=lax", "31536000"))
    page = browser.get("/words")
    assert 'lang="ar" dir="rtl"' in page.text
    assert page.headers["content-language"] == "ar"
    assert words("ar").gettext("Words explained") in page.text


@pytest.mark.parametrize(("locale", "referer", "status", "where"), [
    ("xx", "/words", 422, None),
    ("", "/words", 422, None),
    ("fr", "", 303, "/"),
    ("fr", "https://elsewhere.example//evil.example", 303, "/"),
    ("fr", "https://elsewhere.example/words", 303, "/words"),
    ("fr", "http://[", 303, "/"),
])  # fmt: skip
def test_a_choice_is_one_of_ours_and_leads_to_a_page_of_ours(home, locale, referer, status, where):
    client = home.browser().client
    done = client.post("/language", data={"locale": locale}, headers={"Referer": referer})
    assert (done.status_code, done.headers.get("location")) == (status, where)


def test_who_is_signed_in_chooses_by_a_form_of_its_own_pages(home):
    browser = home.browser("owner")
    assert browser.form("/language", locale="sw").status_code == 303
    refused = browser.client.post("/language", data={"locale": "fr"}, headers={"Origin": ORIGIN})
    assert refused.status_code == 403


FOR_MACHINES = ("/healthz", "/readyz", "/metrics", "/openapi.json")
BY_SECRET = ("/welcome/",)
"""Pages that only a link of one's own opens; the browser tests see them."""

SAID = (
    NOT_DONE, NOT_WITHDRAWN, NOT_CHANGED, nodes.WORDS, disputes.REFUSED, NOT_CLOSED, people.SAID,
    ERASURE_WORDS, webhooks.REFUSED, NOT_SETTLED,
)  # fmt: skip
"""What pages say of refusals that they expect."""

NO_SECTION = {"/sign-in"}
"""Pages of nobody yet: who is signed in has no way there."""

VISITORS = [
    Visitor(account=AccountId("somebody"), grants=frozenset({Grant(role, PartyId("one"))}))
    for role in (Role.OPERATOR, Role.HOST, Role.SUBSCRIBER, Role.AUDITOR)
]


def pages_of(home) -> list[str]:
    """Every page of the console, its parts included, with ids of what there is."""
    machines = ("/v1/", *FOR_MACHINES, *BY_SECRET)
    return [*(path for path in paths(home) if not path.startswith(machines)), "/absent"]


@pytest.mark.parametrize("name", ["owner", ""])
def test_no_page_has_a_text_that_no_catalogue_knows(home, name):
    """In a language made up for it: what wears no accent was never asked for.

    And none of them reads a table whole that grows with use, nodes or people.
    """
    browser, found, marked = home.browser(name), {}, {}
    with pseudo.spoken(home.web.shell), read_whole(home.base.store) as whole:
        for path in pages_of(home):
            answer = browser.client.get(path, headers=PAGE, follow_redirects=True)
            assert "text/html" in answer.headers["content-type"], path
            assert answer.status_code in (200, 404), path
            found[path] = pseudo.bare(answer.text)
            if answer.status_code == 200 and "<header class=" in answer.text:
                marked[answer.url.path] = marks(answer.text)
    assert not {path: texts for path, texts in found.items() if texts}
    assert len(found) > 10
    assert not whole
    unmarked = {path: ways for path, ways in marked.items() if len(ways) != 1}
    assert set(unmarked) <= NO_SECTION
    assert len(marked) > 10
    for path in (path for path in marked if name and path not in unmarked):
        by_path = {part.path: part.key for part in SECTIONS}
        key = by_path.get(marked[path][0], "")
        assert not key or all(is_found_by(visitor, path, key) for visitor in VISITORS), path


def is_found_by(visitor: Visitor, path: str, key: str) -> bool:
    """Say whether who may open a page has the way to it in the bar."""
    right = next(right for name, right in RIGHTS.items() if of_route(name).fullmatch(f"GET {path}"))
    shown = [part.key for ways in sections_of(visitor) for part in ways]
    return not right.allows(visitor) or section_of(visitor, key) in shown


def of_route(name: str) -> re.Pattern[str]:
    """Return what the addresses of a route look like."""
    return re.compile(re.sub(r"{\w+:path}", ".+", re.sub(r"{\w+}", "[^/]+", name)))


def marks(page: str) -> list[str]:
    """Return where the marked ways lead of the bar and the foot: tabs are a page's own."""
    return html.fromstring(page).xpath("//*[self::header or self::footer]//a[@aria-current]/@href")


def test_what_passed_no_catalogue_is_seen():
    page = "<p title='Bare'>Bare <b>ƀàřé</b> <bdi>Ada</bdi> <code>x-1</code> tail</p>"
    page += f"<p>{ISOLATE}Ada{ISOLATE_END}</p>"
    assert pseudo.bare(f"<div>{page}</div>") == ["Bare", "Bare", "tail"]


@pytest.mark.parametrize(("string", "wrong"), [
    ("%(name)s", ""),
    ("%(nom)s", "placeholders"),
    ("", "placeholders"),
    ("%(name)s 5%", "neither a placeholder"),
    ("%(name)s <b>", "HTML"),
    ("%(name)s ", "space"),
    ("%(name)s `x`", "backticks"),
])  # fmt: skip
def test_a_translation_that_breaks_its_text_is_found(string, wrong):
    message = catalogues.Message("%(name)s", string)
    found = list(catalogues.faults(message, 2))
    assert bool(found) == bool(wrong)
    assert all(wrong in one for one in found)


def test_plural_forms_are_as_many_as_the_language_has():
    text = ("%(num)s node", "%(num)s nodes")
    right = catalogues.Message(text, ("none", "one", "two", *["%(num)s"] * 3))
    assert not list(catalogues.faults(right, 6))
    assert list(catalogues.faults(right, 5))
    short = catalogues.Message(text, ("none", "one", "two", "few", "%(num)s", "%(num)s"))
    assert list(catalogues.faults(short, 6))
    assert list(catalogues.faults(catalogues.Message("a", "b", flags=("fuzzy",)), 6))


@pytest.mark.parametrize(("language", "wrong", "right"), [
    ("fr", "quoi ?", "quoi\u202f?"), ("fr", "l'un", "l’un, `l'un`"), ("fr", "ici :", "ici\u00a0:"),
    ("ar", "لا, نعم", "لا، نعم"), ("ar", "لماذا?", "48.86,2.34"), ("ar", "تغيير …", "تغيير…"),
    ("sw", "", "nini?"),
])  # fmt: skip
def test_punctuation_is_that_of_the_language(language, wrong, right):
    assert bool(list(catalogues.foreign(language, catalogues.Message("a", wrong)))) == bool(wrong)
    assert not list(catalogues.foreign(language, catalogues.Message("a", right)))


def test_texts_are_found_in_templates_modules_and_the_glossary(tmp_path, monkeypatch):
    monkeypatch.setattr(catalogues, "SOURCE", tmp_path)
    monkeypatch.setattr(catalogues, "ROOT", tmp_path)
    monkeypatch.setattr(catalogues, "TEMPLATES", tmp_path)
    monkeypatch.setattr(catalogues, "CONSOLE", tmp_path)
    (tmp_path / "glossary.toml").write_text('[node]\nname = "node"\nsays = "What it is."\n')
    (tmp_path / "a.html").write_text(
        '<p title="Bare">{{ _("One", x=1) }} {{ ngettext("%(num)s a", "%(num)s b", n) }}</p>'
        "{{ gettext('Two') }}<code>fine</code> {{ 'no text' }} opencarrier"
        "{% trans n=2 %}{{ n }} c{% pluralize n %}{{ n }} d{% endtrans %}"
    )
    (tmp_path / "a.py").write_text(
        'N_("Three")\npage(title="Four")\nother(title="no")\nsentence("Fi" "ve", a=1)\n'
        'shell.page(r, "x.html", title=f"{a}: b")\n'
    )
    said = catalogues.texts()
    assert set(said) == {
        ("One",), ("%(num)s a", "%(num)s b"), ("Two",), ("Three",), ("Four",), ("Five",),
        ("node",), ("What it is.",),
        ("%(n)s c", "%(n)s d"),
    }  # fmt: skip
    assert said["Three",] == ["a.py"]
    assert [one.rpartition(": ")[2] for one in catalogues.unmarked()] == ["'Bare'"]
    assert len(list(catalogues.broken(said))) == 1
    assert len(list(catalogues.broken({("80 % and",): ["a.py"]}))) == 2


def test_an_update_keeps_what_is_translated_and_says_what_is_missing(tmp_path, monkeypatch):
    path = tmp_path / "fr" / "LC_MESSAGES" / "console.po"
    path.parent.mkdir(parents=True)
    head = catalogues.path_of("fr").read_text().partition("\n\n")[0]
    path.write_text(head + '\n\nmsgid "Kept"\nmsgstr "Gardé"\n\nmsgid "Gone"\nmsgstr "Parti"\n')
    monkeypatch.setattr(catalogues, "LOCALE", tmp_path)
    monkeypatch.setattr(catalogues, "ROOT", tmp_path)
    said = {("Kept",): ["a"], ("New",): ["b"], ("%(num)s x", "%(num)s y"): ["b"]}
    catalogues.update(path, said)
    kept = path.read_text()
    assert 'msgid "Kept"\nmsgstr "Gardé"' in kept
    assert "Gone" not in kept
    found = list(catalogues.check("fr", said, whole=True))
    assert len(found) == 1
    assert "2 texts without a translation" in found[0]
    assert "--update" in found[0]
    assert not list(catalogues.check("fr", said, whole=False))
    assert len(list(catalogues.check("fr", {}, whole=True))) == 1


def test_every_text_is_in_every_catalogue_and_none_breaks_what_it_translates():
    """Where this fails it says what to run: `tools/catalogues.py --update`, then translate."""
    said = catalogues.texts()
    missing = [one for name in TRANSLATED for one in catalogues.check(name, said, whole=True)]
    assert not [*missing, *catalogues.unmarked(), *catalogues.broken(said)]
