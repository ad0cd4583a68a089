"""Commands about certificates of a test federation: init, issue, revoke, crl, ocsp, renew, show."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from opencarrier.app.cli.common import AsJson, group, readable, taken
from opencarrier.app.output import CommandError, Exit, emit, refused
from opencarrier.kernel.refusals import Refusal

if TYPE_CHECKING:
    from opencarrier.identity.pki.folder import PkiFolder
    from opencarrier.identity.pki.model import Algorithm, PublicKey, Role

pki = group("pki", "Certificates of a test federation: two roots, their authorities, ends, CRLs.")

DEFAULT_FOLDER = Path("pki")

In = Annotated[Path, typer.Option("--pki", help="The folder of the federation.")]
End = Annotated[str, typer.Argument(help="The name it is filed under.")]
Key = Annotated[str, typer.Option("--key", help="ec-p256 or rsa-2048.")]
Csr = Annotated[
    Path | None, typer.Option("--csr", help="A PKCS#10 request: its holder keeps the key.")
]


@pki.command("init")
def init(folder: In = DEFAULT_FOLDER, key: Key = "ec-p256", as_json: AsJson = False) -> None:
    """Make a federation's authorities: a legacy root and the current one, each over its branch.

    Example: opencarrier pki init --pki ./pki
    """
    emit(taken(_folder(folder, begun=False).begin(_algorithm(key))), as_json=as_json)


@pki.command("issue")
def issue(
    name: End,
    role: Annotated[str, typer.Option("--role", help="server, client, combined, subscriber.")],
    common_name: Annotated[str, typer.Option("--cn", help="The name in it; NAME if none.")] = "",
    organisation: Annotated[str, typer.Option("--organisation", help="O of the subject.")] = "",
    country: Annotated[str, typer.Option("--country", help="C of the subject, such as FR.")] = "",
    wba_id: Annotated[str, typer.Option("--wba-id", help="UID: the member, EXAMPLE:US.")] = "",
    dns: Annotated[list[str], typer.Option("--dns", help="A host name of it.")] = [],  # noqa: B006
    address: Annotated[list[str], typer.Option("--ip", help="An address of it.")] = [],  # noqa: B006
    realm: Annotated[list[str], typer.Option("--realm", help="A realm it may speak for.")] = [],  # noqa: B006
    nai: Annotated[str, typer.Option("--nai", help="A subscriber's name, user@realm.")] = "",
    consortium: Annotated[
        list[str], typer.Option("--consortium", help="An RCOI that a device reads from it.")
    ] = [],  # noqa: B006
    days: Annotated[int, typer.Option("--days", min=1, max=3650, help="How long.")] = 365,
    root: Annotated[
        int, typer.Option("--root", help="1: under the current root; 0: the legacy.")
    ] = 1,
    crl_url: Annotated[str, typer.Option("--crl-url", help="Where its CRL is had.")] = "",
    key: Key = "ec-p256",
    csr: Csr = None,
    folder: In = DEFAULT_FOLDER,
    as_json: AsJson = False,
) -> None:
    """Issue a certificate: its key is made here, or stays with who brings a request.

    Example: opencarrier pki issue aaa --role server --dns aaa.example.com --realm example.com
    --wba-id EXAMPLE:US --organisation "Example Inc" --country US
    """
    from opencarrier.identity.pki.folder import Order
    from opencarrier.identity.pki.model import DAY_S, Wanted

    wanted = Wanted(
        role=_role(role),
        common_name=common_name or name,
        organisation=organisation,
        country=country,
        wba_id=wba_id,
        dns_names=tuple(dns),
        addresses=tuple(address),
        nai_realms=tuple(realm),
        nai=nai,
        consortia=tuple(consortium),
        valid_s=days * DAY_S,
        crl_url=crl_url,
    )
    order = Order(
        name=name, wanted=wanted, branch=root, algorithm=_algorithm(key), key=_requested(csr)
    )
    emit(taken(_folder(folder).issue(order)), as_json=as_json)


@pki.command("renew")
def renew(name: End, csr: Csr = None, folder: In = DEFAULT_FOLDER, as_json: AsJson = False) -> None:
    """Issue a certificate of the same content with a new key; the old one stays good till revoked.

    Example: opencarrier pki renew aaa
    """
    emit(taken(_folder(folder).renew(name, _requested(csr))), as_json=as_json)


@pki.command("revoke")
def revoke(
    name: End,
    reason: Annotated[
        str, typer.Option("--reason", help="RFC 5280: keyCompromise, superseded and so on.")
    ] = "unspecified",
    folder: In = DEFAULT_FOLDER,
    as_json: AsJson = False,
) -> None:
    """Take back the newest certificate of a name, and write the revocation lists.

    Example: opencarrier pki revoke aaa --reason keyCompromise
    """
    from cryptography.x509 import ReasonFlags

    known = {one.value: one for one in ReasonFlags if one is not ReasonFlags.remove_from_crl}
    if reason not in known:
        raise CommandError(Exit.USAGE, f"--reason {reason}: no reason", ", ".join(known))
    emit(taken(_folder(folder).revoke(name, known[reason])), as_json=as_json)


@pki.command("crl")
def crl(
    days: Annotated[int, typer.Option("--days", min=1, max=365, help="How long they hold.")] = 7,
    folder: In = DEFAULT_FOLDER,
    as_json: AsJson = False,
) -> None:
    """Write every authority's revocation list anew, numbered one on.

    Example: opencarrier pki crl --days 7
    """
    from opencarrier.identity.pki.model import DAY_S

    emit(_folder(folder).write_lists(days * DAY_S), as_json=as_json)


@pki.command("ocsp")
def ocsp(
    name: End,
    days: Annotated[int, typer.Option("--days", min=1, max=90, help="How long it holds.")] = 7,
    folder: In = DEFAULT_FOLDER,
    as_json: AsJson = False,
) -> None:
    """Write an OCSP response of a certificate, for its server to staple (eap_staple).

    Example: opencarrier pki ocsp aaa --days 7
    """
    from opencarrier.identity.pki.model import DAY_S

    emit(taken(_folder(folder).status(name, days * DAY_S)), as_json=as_json)


@pki.command("show")
def show(folder: In = DEFAULT_FOLDER, as_json: AsJson = False) -> None:
    """Tell what was issued, until when, and what was revoked.

    Example: opencarrier pki show --json
    """
    emit(_folder(folder).show(), as_json=as_json)


def _folder(root: Path, *, begun: bool = True) -> PkiFolder:
    from opencarrier.app.system import SystemClock, SystemEntropy
    from opencarrier.identity.pki.folder import PkiFolder

    found = PkiFolder(root.resolve(), clock=SystemClock(), entropy=SystemEntropy())
    if begun and not found.begun:
        raise CommandError(Exit.ENVIRONMENT, f"{root} holds no federation", "opencarrier pki init")
    return found


def _algorithm(key: str) -> Algorithm:
    from opencarrier.identity.pki.model import Algorithm

    try:
        return Algorithm(key)
    except ValueError:
        raise CommandError(Exit.USAGE, f"--key {key}", ", ".join(Algorithm)) from None


def _role(text: str) -> Role:
    from opencarrier.identity.pki.model import Role

    ends = [one for one in Role if not one.is_authority]
    if text not in ends:
        raise CommandError(Exit.USAGE, f"--role {text}", ", ".join(ends))
    return Role(text)


def _requested(csr: Path | None) -> PublicKey | None:
    from opencarrier.identity.pki.issue import CSR_OCTETS_MAX, read_request

    if csr is None:
        return None
    with readable():
        octets = csr.open("rb").read(CSR_OCTETS_MAX + 1)
    key = read_request(octets)
    if isinstance(key, Refusal):
        refused(f"{csr}: {key}")
    return key
