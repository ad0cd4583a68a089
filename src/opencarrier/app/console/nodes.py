"""Adding a node: a form that makes a link, shown once as a command and a QR code; and its use."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response
from sqlalchemy import Connection
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from opencarrier.app.api import Body, operation
from opencarrier.app.console.catalogue import N_
from opencarrier.app.console.host import TAG, HostDesk, Party
from opencarrier.app.console.origins import Origins
from opencarrier.app.console.reading import form_of, json_of
from opencarrier.app.console.refusals import why
from opencarrier.app.console.visitor import Visitor, visitor_of
from opencarrier.app.forms.hosts import OPERATOR
from opencarrier.app.node_enrolling import Joined, join
from opencarrier.app.problems import problem
from opencarrier.identity import pages
from opencarrier.identity.node_enrolment import NodeEnrolment
from opencarrier.kernel.refusals import Refusal
from opencarrier.kernel.sentences import Sentence
from opencarrier.kernel.signatures import Address, Signature
from opencarrier.spine.parties import Host, PartyId

JOIN_PATH: Final = "/v1/nodes/join"
NODES_LOOKED_AT_MAX: Final = 1_000
OPERATORS_MAX: Final = 100

WORDS: Final = {
    "invalid_name": N_("A name has 1 to 63 letters, digits or signs, without blanks."),
    "invalid_place": N_("A place is latitude and longitude, such as 48.86,2.34."),
    "node_taken": N_("A node has this name already; choose another."),
    "too_many": N_("Eight links are open; use one or wait an hour."),
    "unknown_token": N_("This link does not work (any more)."),
    "signature": N_("The key did not sign for this link."),
    "address_taken": N_("Another access point connects from this address already."),
    "key_taken": N_("This key is another node's: name another folder for this one."),
}
"""What a refusal is in words, by its code: enumerations of two rooms count alike."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorChoice:
    """An operator that a new node may serve for."""

    party: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedNode:
    """A node to be: its name, the operator it serves for, LATITUDE,LONGITUDE or nothing."""

    node_id: str
    operator: str
    place: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EnrolmentView:
    """A link that enters one node, once: `command` is pasted on the node's machine."""

    node_id: str
    link: str
    command: str
    expires_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Knock:
    """What an agent shows: the link's token, its key's address, what that key signed."""

    token: str
    kid: str
    signature: str


_WANTED: Final = WantedNode(node_id="cafe-2", operator=OPERATOR, place="43.70,7.27")
_LINK: Final = "https://console.example/v1/nodes/join#" + "q" * 43
_ENROLMENT: Final = EnrolmentView(
    node_id="cafe-2",
    link=_LINK,
    command=f"printf %s '{_LINK}' | opencarrier node join --data opencarrier-node",
    expires_us=1_767_646_800_000_000,
)
_KNOCK: Final = Knock(token="q" * 43, kid="0x" + "5b" * 20, signature="0x" + "1c" * 65)
_JOINED: Final = Joined(
    node_id="cafe-2", nas_identifier="cafe-2", auth_port=1_812, acct_port=1_813, secret="5f" * 24
)


def node_routes(
    app: FastAPI, desk: HostDesk, origins: Origins, ports: Callable[[], tuple[int, int]]
) -> None:
    """Add the form, the same as JSON, and where an agent enters itself."""
    _pages(app, desk, origins)
    _api(app, desk, origins)
    _joining(app, desk, ports)


def _pages(app: FastAPI, desk: HostDesk, origins: Origins) -> None:
    @app.get("/host/{party}/add-node", include_in_schema=False)
    def form(request: Request, party: Party) -> Response:
        return _page(desk, request, desk.of(request, party, acts=True))

    @app.post("/host/{party}/add-node", include_in_schema=False)
    async def add(request: Request, party: Party) -> Response:
        host = await run_in_threadpool(desk.of, request, party, acts=True)
        told = await form_of(request)
        wanted = _wanted(told)
        made = await run_in_threadpool(_opened, desk, request, origins, host, wanted)
        refused = why(made, WORDS) if isinstance(made, Refusal) else None
        view = None if isinstance(made, Refusal) else made
        return await run_in_threadpool(
            _page, desk, request, host, made=view, wanted=wanted, refused=refused
        )


def _api(app: FastAPI, desk: HostDesk, origins: Origins) -> None:
    @app.post(
        "/v1/hosts/{party}/enrolments",
        **operation(
            TAG,
            "Make a link that enters a node",
            example=_ENROLMENT,
            refuses={409: "Why no link was made."},
            model=EnrolmentView,
            body=Body(form=WantedNode, example=_WANTED),
        ),
    )
    async def enrol(request: Request, party: Party) -> Any:
        """Make a link by which one node's agent enters itself, once, within an hour.

        The node serves for an operator that the host has nodes of; an owner chooses any.
        """
        host = await run_in_threadpool(desk.of, request, party, acts=True)
        wanted = _wanted(await json_of(request))
        made = await run_in_threadpool(_opened, desk, request, origins, host, wanted)
        return _problem(made) if isinstance(made, Refusal) else made


def _joining(app: FastAPI, desk: HostDesk, ports: Callable[[], tuple[int, int]]) -> None:
    @app.post(
        JOIN_PATH,
        **operation(
            TAG,
            "Enter a node by its link",
            example=_JOINED,
            refuses={409: "Why it was not entered; the link stays as it was."},
            model=Joined,
            body=Body(form=Knock, example=_KNOCK),
        ),
    )
    async def joined(request: Request) -> Any:
        """Enter the node that a link is for, with the key that signs for it.

        The answer says where RADIUS is answered, and the secret to the address that asked.
        """
        told = await json_of(request)
        try:
            signature = Signature(
                kid=Address(str(told.get("kid", "")).lower()),
                octets=bytes.fromhex(str(told.get("signature", "")).removeprefix("0x")),
            )
        except ValueError:
            raise HTTPException(422, "a signature is in hexadecimal digits") from None
        source = request.client.host if request.client is not None else ""
        made = await run_in_threadpool(
            join, desk.base, str(told.get("token", "")), signature, source=source, ports=ports()
        )
        return _problem(made) if isinstance(made, Refusal) else made


def operators_for(
    desk: HostDesk, unit: Connection, host: Host, visitor: Visitor
) -> list[OperatorChoice]:
    """Return whom a new node of a host may serve for: whom it serves already; any for an owner."""
    directory = desk.base.identity.directory
    found = pages.operators_of(unit, host.party_id, most=NODES_LOOKED_AT_MAX)
    if visitor.is_owner:
        found = [one.party_id for one in directory.operators(unit)[:OPERATORS_MAX]]
    known = (directory.operator(unit, party) for party in found)
    return [OperatorChoice(party=one.party_id, name=one.name) for one in known if one is not None]


def _page(
    desk: HostDesk,
    request: Request,
    host: Host,
    *,
    made: EnrolmentView | None = None,
    wanted: WantedNode | None = None,
    refused: Sentence | None = None,
) -> Response:
    from opencarrier.app.http_enrol import qr_code

    with desk.base.store.read() as unit:
        choices = operators_for(desk, unit, host, visitor_of(request))
    return desk.page(
        request,
        "add-node",
        {"host": host, "operators": choices},
        "Add a node",
        made=made,
        wanted=wanted,
        refused=refused,
        qr="" if made is None else qr_code(made.link),
        status=409 if refused else 200,
    )


def _opened(
    desk: HostDesk, request: Request, origins: Origins, host: Host, wanted: WantedNode
) -> EnrolmentView | Refusal:
    """Make a link and write down who did; 404 for an operator the host has nothing to do with."""
    visitor, base = visitor_of(request), desk.base
    with base.store.write() as unit:
        choices = operators_for(desk, unit, host, visitor)
        if wanted.operator not in {one.party for one in choices}:
            raise HTTPException(404)
        made = base.identity.node_enrolments.open(
            unit,
            node_id=wanted.node_id,
            host=host.party_id,
            operator=PartyId(wanted.operator),
            place=wanted.place,
        )
        if isinstance(made, Refusal):
            return made
        base.accounts.audit.write(
            unit,
            "node_link_made",
            who=visitor.account,
            about=f"{host.party_id} {wanted.node_id}",
            came_from=visitor.came_from,
        )
    return _told(request, origins, *made)


def _told(request: Request, origins: Origins, token: str, made: NodeEnrolment) -> EnrolmentView:
    http = f"http://{request.headers.get('host', '')}"
    link = origins.link(http, f"{JOIN_PATH}#{token}")
    return EnrolmentView(
        node_id=made.node_id,
        link=link,
        command=f"printf %s '{link}' | opencarrier node join --data opencarrier-node",
        expires_us=made.expires_us,
    )


def _wanted(told: Mapping[str, Any]) -> WantedNode:
    names = ("node_id", "operator", "place")
    node_id, operator, place = (str(told.get(name, "")).strip() for name in names)
    return WantedNode(node_id=node_id, operator=operator, place=place)


def _problem(refusal: Refusal) -> JSONResponse:
    return problem(409, refusal.code, str(why(refusal, WORDS)))
