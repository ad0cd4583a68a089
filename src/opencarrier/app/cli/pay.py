"""The command that pays for a URL (HTTP 402)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from opencarrier.app.cli.common import DEFAULT_DATA, AsJson, Data, folder_of, taken
from opencarrier.app.output import CommandError, Exit, emit

if TYPE_CHECKING:
    from opencarrier.kernel.money import AssetId
    from opencarrier.paywall.client import Nonces

METHODS = ("GET", "POST")


def pay(
    url: Annotated[str, typer.Argument(help="What to buy; https, or http to this machine.")],
    key_file: Annotated[Path, typer.Option("--key-file", help="File with the payer's key, hex.")],
    max_minor: Annotated[int, typer.Option("--max-minor", help="Pay so much at most.")],
    asset: Annotated[
        str, typer.Option("--asset", help="In this token (CAIP-19); the folder's venue's if none.")
    ] = "",
    pay_to: Annotated[
        list[str], typer.Option("--pay-to", help="To this address only; may be repeated.")
    ] = [],  # noqa: B006
    deposit_minor: Annotated[
        int, typer.Option("--deposit-minor", help="Put so much at most into a channel; 0: none.")
    ] = 0,
    refund: Annotated[
        bool, typer.Option("--refund", help="Have what is left in the URL's channel given back.")
    ] = False,
    method: Annotated[str, typer.Option("--method", help="GET or POST.")] = "GET",
    reference: Annotated[
        str, typer.Option("--reference", help="Your name for it; the same name pays once.")
    ] = "",
    records: Annotated[
        Path | None, typer.Option("--records", help="Where payments are kept.")
    ] = None,
    rpc: Annotated[
        str, typer.Option("--rpc", help="A node to ask whether an old payment was used.")
    ] = "",
    finality: Annotated[str, typer.Option("--finality", help="That node's profile.")] = "depth:12",
    data: Data = DEFAULT_DATA,
    as_json: AsJson = False,
) -> None:
    """Pay for a URL that asks for it (x402), once, within limits.

    With --deposit-minor through a channel where one is offered: the first request deposits, each
    costs a voucher, --refund ends it. Without, by an exact payment.

    Each payment is kept before it is sent: the command again, after a crash or a lost answer,
    sends the same one (exit code 4: not known yet, ask again).

    Example: opencarrier pay https://hub.example/v1/quote?home=Lumen --key-file payer.hex
    --max-minor 2000 --asset eip155:8453/erc20:0x833589fcd6edb6e08f4c7c32d4f71b54bda02913
    """
    from opencarrier.app.paying import buyer_of, read_key, told
    from opencarrier.kernel.signatures import Address
    from opencarrier.paywall.client import Request
    from opencarrier.paywall.rules import Limits

    if method not in METHODS:
        raise CommandError(Exit.USAGE, f"--method {method}: unknown", "GET or POST")
    limits = Limits(
        amount_minor_max=max_minor,
        assets=frozenset((_asset(asset, data),)),
        receivers=frozenset(Address(item.lower()) for item in pay_to),
        deposit_minor_max=max(deposit_minor, 0),
    )
    folder = records or folder_of(data).root / "payments"
    buyer = buyer_of(read_key(key_file), limits, folder, _nonces(rpc, finality))
    request = Request(method=method, url=url, reference=reference)
    try:
        outcome = buyer.channels.refund(request) if refund else buyer.client.buy(request)
        bought = taken(outcome, "nothing more is paid unless you ask again")
    except ValueError as error:
        raise CommandError(Exit.USAGE, str(error), "name an https URL") from None
    except OSError as error:
        raise CommandError(
            Exit.ENVIRONMENT, f"{url} does not answer: {error}", "nothing was paid"
        ) from None
    emit(told(bought), as_json=as_json)
    if bought.answer.status >= 400:
        raise typer.Exit(Exit.REFUSED)


def _asset(asset: str, data: Path) -> AssetId:
    """Return the asset named, else that of the folder's venue."""
    from opencarrier.kernel.money import AssetId
    from opencarrier.receipts.manifest import read_manifest

    if asset:
        return AssetId(asset.lower())
    try:
        return read_manifest(folder_of(data).manifest.read_text()).asset
    except FileNotFoundError:
        raise CommandError(
            Exit.USAGE, "no asset is named and there is no venue here", "name one with --asset"
        ) from None


def _nonces(rpc: str, finality: str) -> Nonces | None:
    from opencarrier.app.paying import ChainNonces
    from opencarrier.chain.client import connect
    from opencarrier.chain.model import Finality

    if not rpc:
        return None
    try:
        return ChainNonces(connect(rpc, finality=Finality.parse(finality)))
    except ValueError as error:
        raise CommandError(Exit.USAGE, f"--rpc {rpc}: {error}", "give an http(s) URL") from None
