"""How every page is drawn: the frame around it, its words and figures."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from opencarrier.app.console.assets import assets
from opencarrier.app.console.catalogue import LOCALES, N_
from opencarrier.app.console.glossary import Term, glossary
from opencarrier.app.console.locales import Words, words
from opencarrier.app.console.rights import RIGHTS
from opencarrier.app.console.visitor import Visitor, visitor_of
from opencarrier.identity.accounts.model import Role
from opencarrier.kernel.sentences import Sentence

NO_STORE = {"Cache-Control": "no-store"}
"""Pages are of now: no browser keeps one."""

TURNED_ICONS = frozenset({"list", "path"})
"""Symbols that point along the line of reading: right to left they are mirrored."""


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the console as the navigation shows it; `icon` is a symbol of the sprite.

    It is shown to whoever may go there, or only to whom of these holds one of its `roles`; who goes
    there otherwise came by the section `within`. Behind *More* if it is `rare`, or the last for
    whom there is no room.
    """

    key: str
    path: str
    label: str
    icon: str
    rare: bool = False
    roles: frozenset[Role] = frozenset()
    within: str = ""

    def shown_to(self, visitor: Visitor) -> bool:
        """Say whether the navigation has it."""
        its_own = not self.roles or visitor.has(*self.roles)
        return its_own and RIGHTS[f"GET {self.path}"].allows(visitor)


_RUN_MACHINES: Final = frozenset({Role.OWNER, Role.OPERATOR, Role.HOST})

SECTIONS = (
    Section("network", "/", N_("Network"), "globe"),
    Section("operator", "/operator", N_("Operator"), "coins"),
    Section("host", "/host", N_("Host"), "home"),
    Section("subscriber", "/subscriber", N_("Account"), "phone"),
    Section("approvals", "/approvals", N_("Approvals"), "check"),
    Section("trace", "/trace", N_("Trace"), "path"),
    Section("chain", "/chain", N_("Chain"), "chain"),
    Section(
        "webhooks",
        "/webhooks",
        N_("Webhooks"),
        "bell",
        rare=True,
        roles=_RUN_MACHINES,
        within="subscriber",
    ),
    Section("people", "/people", N_("People"), "people", rare=True),
    Section("audit", "/audit", N_("What was done"), "list", rare=True),
)
"""The navigation, in its order: what is one's own, what waits, where to look things up."""

SECTIONS_ABREAST = 6
"""How many have room beside each other, in every language."""


def sections_of(visitor: Visitor) -> tuple[list[Section], list[Section]]:
    """Return what a visitor's navigation shows, and what it keeps behind *More*."""
    shown = [part for part in SECTIONS if part.shown_to(visitor)]
    if len(shown) <= SECTIONS_ABREAST:
        return shown, []
    often = [part for part in shown if not part.rare][:SECTIONS_ABREAST]
    return often, [part for part in shown if part not in often]


def section_of(visitor: Visitor, key: str) -> str:
    """Return under which section a visitor finds a page: its own, or where the way there is."""
    part = next((one for one in SECTIONS if one.key == key), None)
    return key if part is None or part.shown_to(visitor) else part.within or key


@dataclass(slots=True)
class Explained:
    """The terms a page explains, noted as it is drawn: the frame adds what they mean at its end."""

    terms: dict[str, Term] = field(default_factory=dict)

    def __call__(self, key: str) -> Term:
        """Return a term and note that the page explains it."""
        return self.terms.setdefault(key, glossary()[key])


class Shell:
    """Draws pages and parts of pages; one for a process."""

    def __init__(self, *, domain: str, chain_id: int, code: Callable[[], str]) -> None:
        self.domain = domain
        self.chain_id = chain_id
        self.demo = False
        self.know: Callable[[Request], Awaitable[Visitor]] | None = None
        """What finds out who asks where no route did: error pages have the same frame."""

        self.once: Callable[[], str] = lambda: ""
        """What gives a form the key it is done once under; nothing where no page is served."""

        self.appeals: Callable[[Visitor], int] = lambda _: 0
        """How many appeals wait for a visitor to decide them."""

        self._code = code
        self._environments: dict[str, Environment] = {}
        self._loader = PackageLoader("opencarrier.app.console")

    def page(
        self,
        request: Request,
        template: str,
        view: object = None,
        *,
        title: str | Sentence,
        section: str = "",
        status: int = 200,
        **more: Any,
    ) -> Response:
        """Draw a whole page: a template that extends `base.html`, with a view as `view`.

        The title is drawn in the visitor's language.
        """
        language = words(visitor_of(request).locale)
        called = language.gettext(title) if isinstance(title, str) else language.sentence(title)
        context = {"view": view, "title": called, "section": section, **more}
        drawn = self._drawn(request, template, context)
        headers = {**NO_STORE, "Content-Language": language.name}
        return HTMLResponse(drawn, status_code=status, headers=headers)

    def refused(
        self,
        request: Request,
        says: str | Sentence,
        back: str,
        *,
        section: str,
        title: str = N_("Nothing was changed"),
    ) -> Response:
        """Draw a page that says why something was not done, and leads back."""
        view = {"says": says, "back": back}
        return self.page(
            request, "people/refused.html", view, title=title, section=section, status=409
        )

    def fragment(self, request: Request, template: str, view: object, **more: Any) -> Response:
        """Draw a part of a page, to be set in place of the one of before."""
        drawn = self._drawn(request, template, {"view": view, **more})
        return HTMLResponse(drawn, headers=NO_STORE)

    def _drawn(self, request: Request, template: str, context: Mapping[str, Any]) -> str:
        visitor = visitor_of(request)
        language = words(visitor.locale)
        sections, more = sections_of(visitor)
        section = section_of(visitor, context.get("section", ""))
        shared = {
            "shell": self,
            "sections": sections,
            "more": more,
            "visitor": visitor,
            "language": language,
            "languages": [words(name) for name in LOCALES],
            "code": self._code(),
            "theme": theme_of(request),
            "explained": Explained(),
        }
        return (
            self._environment(language)
            .get_template(template)
            .render(**{**shared, **context, "section": section})
        )

    def _environment(self, language: Words) -> Environment:
        if language.name not in self._environments:
            self._environments[language.name] = _environment(self._loader, language)
        return self._environments[language.name]


def theme_of(request: Request) -> str:
    """Return `light` or `dark` where the visitor chose, nothing where the device decides."""
    chosen = request.cookies.get("theme", "")
    return chosen if chosen in ("light", "dark") else ""


def _environment(loader: PackageLoader, language: Words) -> Environment:
    environment = Environment(
        loader=loader,
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.i18n"],
    )
    environment.filters.update(language.filters())
    environment.globals.update(
        asset=assets().address,
        icon=icon,
        gettext=language.told,
        ngettext=language.told_of,
        forms=language.forms,
    )
    environment.newstyle_gettext = True  # type: ignore[attr-defined] # the extension's
    return environment


def icon(name: str) -> Markup:
    """Return a symbol of the sprite, silent to screen readers: words stand beside it."""
    address = assets().address("icons.svg")
    kind = "icon turned" if name in TURNED_ICONS else "icon"
    return Markup(
        '<svg class="{}" aria-hidden="true" focusable="false"><use href="{}#{}"></use></svg>'
    ).format(kind, address, name)
