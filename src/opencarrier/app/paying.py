"""Paying for a URL from the command line: HTTP, the folder of payments, the chain behind them."""

from __future__ import annotations

import base64
import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException, HTTPMessage
from pathlib import Path
from typing import IO, Any
from urllib.error import HTTPError
from urllib.request import HTTPRedirectHandler, build_opener
from urllib.request import Request as UrlRequest

from opencarrier.app.output import CommandError, Exit
from opencarrier.app.system import SystemClock, SystemEntropy
from opencarrier.chain.client import ChainClient
from opencarrier.chain.contracts import StableToken
from opencarrier.kernel.ids import Id, from_hex, to_hex
from opencarrier.kernel.refusals import PeerError
from opencarrier.kernel.signatures import KeySigner
from opencarrier.paywall.channel_client import ChannelBuyer
from opencarrier.paywall.client import (
    Answer,
    Bought,
    Nonces,
    PaymentClient,
    Record,
    RecordState,
    Request,
)
from opencarrier.paywall.model import Offer, Payment, Way
from opencarrier.paywall.purse import ChannelPayer, Purse
from opencarrier.paywall.rules import Limits

TIMEOUT_S = 90
ANSWER_OCTETS_MAX = 1 << 20
KEY_FILE_OCTETS_MAX = 256


class _NoRedirects(HTTPRedirectHandler):
    """Follows nothing: a payment is for the URL it was signed for."""

    def redirect_request(
        self, req: UrlRequest, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> None:
        return None


class UrlTransport:
    """Sends one request at a time with the standard library."""

    def __init__(self, timeout_s: float = TIMEOUT_S) -> None:
        self._timeout_s = timeout_s
        self._opener = build_opener(_NoRedirects)

    def send(self, request: Request, headers: Mapping[str, str]) -> Answer:
        """Send a request; `OSError` where no whole answer comes, or one above 1 MiB."""
        asked = UrlRequest(  # noqa: S310 - the client lets http and https through only
            request.url,
            method=request.method,
            headers=dict(headers),
            data=b"" if request.method == "POST" else None,
        )
        try:
            with self._opener.open(asked, timeout=self._timeout_s) as answer:
                return _answer(answer.status, answer.headers, answer)
        except HTTPError as error:
            with error:
                return _answer(error.code, error.headers, error)
        except HTTPException as error:
            raise OSError(f"not HTTP: {error!r}") from None


def _answer(status: int, headers: Any, body: Any) -> Answer:
    octets = body.read(ANSWER_OCTETS_MAX + 1)
    if len(octets) > ANSWER_OCTETS_MAX:
        raise OSError(f"an answer of more than {ANSWER_OCTETS_MAX} octets")
    return Answer(
        status=status, headers={name.upper(): value for name, value in headers.items()}, body=octets
    )


class FileRecords:
    """Payments as files of one folder; a write is on the disk, whole, when it returns."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def find(self, key: Id) -> Record | None:
        """Return what is kept of a purchase; `PeerError` where its file is damaged."""
        try:
            text = self._path(key).read_text()
        except FileNotFoundError:
            return None
        try:
            kept = json.loads(text)
            return Record(
                header=kept["header"],
                state=RecordState(kept["state"]),
                status=kept["status"],
                settlement=kept["settlement"],
                body=base64.b64decode(kept["body"]),
            )
        except (ValueError, KeyError, TypeError) as error:
            raise PeerError("record", f"{self._path(key)} is damaged: {error!r}") from None

    def keep(self, key: Id, record: Record) -> None:
        """Keep a purchase's record instead of the former."""
        text = json.dumps(
            {
                "header": record.header,
                "state": record.state.value,
                "status": record.status,
                "settlement": record.settlement,
                "body": base64.b64encode(record.body).decode(),
            }
        )
        write_whole(self._path(key), text)

    def drop(self, key: Id) -> None:
        """Forget a purchase."""
        self._path(key).unlink(missing_ok=True)
        _sync(self._folder)

    def _path(self, key: Id) -> Path:
        return self._folder / f"{key.hex()}.json"


class FilePurses:
    """Purses as files of the same folder, each with a lock beside it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    @contextmanager
    def locked(self, key: Id) -> Iterator[None]:
        """Let one process at a time pay from a purse; the others wait."""
        with (self._folder / f"{key.hex()}.lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def find(self, key: Id) -> Purse | None:
        """Return a purse; `PeerError` where its file is damaged."""
        try:
            text = self._path(key).read_text()
        except FileNotFoundError:
            return None
        try:
            kept = json.loads(text)
            return Purse(
                salt=from_hex(kept["salt"]),
                deposited_minor=int(kept["deposited_minor"]),
                spent_minor=int(kept["spent_minor"]),
                open=None if kept["open"] is None else from_hex(kept["open"]),
            )
        except (ValueError, KeyError, TypeError) as error:
            raise PeerError("purse", f"{self._path(key)} is damaged: {error!r}") from None

    def keep(self, key: Id, purse: Purse) -> None:
        """Keep a purse instead of the former."""
        told = {
            "salt": to_hex(purse.salt),
            "deposited_minor": str(purse.deposited_minor),
            "spent_minor": str(purse.spent_minor),
            "open": None if purse.open is None else to_hex(purse.open),
        }
        write_whole(self._path(key), json.dumps(told))

    def drop(self, key: Id) -> None:
        """Forget a purse."""
        self._path(key).unlink(missing_ok=True)
        _sync(self._folder)

    def _path(self, key: Id) -> Path:
        return self._folder / f"{key.hex()}.purse"


def write_whole(path: Path, text: str) -> None:
    """Write a file that is on the disk, whole, when this returns."""
    temporary = path.with_suffix(".tmp")
    with temporary.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    _sync(path.parent)


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


class ChainNonces:
    """Asks a chain whether a payment was used, once its final blocks are past its time."""

    def __init__(self, chain: ChainClient) -> None:
        self._chain = chain

    def used(self, payment: Payment) -> bool | None:
        """Return whether a payment was used; None before its time is over in a final block."""
        if payment.offer.network != f"eip155:{self._chain.chain_id}":
            return None
        number = self._chain.final_block_number()
        final = None if number is None else self._chain.block(number)
        given = payment.authorization
        if final is None or final.timestamp_s < given.valid_before_s:
            return None
        token = StableToken(payment.offer.token)
        return token.authorization_used(given.sender, given.nonce).ask(self._chain, final.number)


@dataclass(frozen=True, slots=True)
class Buyer:
    """A client that pays exactly or through channels, and its way through channels."""

    client: PaymentClient
    channels: ChannelBuyer


def buyer_of(signer: KeySigner, limits: Limits, folder: Path, nonces: Nonces | None) -> Buyer:
    """Make a client whose payments and purses are files of one folder."""
    transport, records = UrlTransport(), FileRecords(folder)
    clock, entropy = SystemClock(), SystemEntropy()
    payer = ChannelPayer(signer, limits, FilePurses(folder), clock=clock, entropy=entropy)
    channels = ChannelBuyer(transport, records, payer, clock=clock, nonces=nonces)
    client = PaymentClient(
        transport,
        signer,
        limits,
        records,
        clock=clock,
        entropy=entropy,
        nonces=nonces,
        channels=channels,
    )
    return Buyer(client, channels)


def read_key(path: Path) -> KeySigner:
    """Read a key file: one line, the secret's 64 hex digits, with or without 0x."""
    try:
        with path.open() as file:
            line = file.read(KEY_FILE_OCTETS_MAX).strip().removeprefix("0x")
        return KeySigner(bytes.fromhex(line))
    except (OSError, ValueError):
        raise CommandError(
            Exit.USAGE, f"{path}: not a file with a key", "one line of 64 hex digits is expected"
        ) from None


def told(bought: Bought) -> dict[str, Any]:
    """Put a purchase in JSON's terms."""
    settled = bought.settled
    paid_minor, offer = _paid(bought)
    try:
        answer: Any = json.loads(bought.answer.body)
    except ValueError:
        answer = bought.answer.body.decode("utf-8", "replace")
    return {
        "status": bought.answer.status,
        "scheme": "" if offer is None else offer.scheme,
        "paid_minor": paid_minor,
        "asset": "" if offer is None else offer.asset,
        "paid_to": "" if offer is None else offer.receiver,
        "tx_hash": "" if settled is None else "0x" + settled.tx_hash.hex(),
        "answer": answer,
    }


def _paid(bought: Bought) -> tuple[int, Offer | None]:
    """Return what a purchase cost and the offer it took, if it had to pay."""
    payment = bought.payment
    if payment is None:
        return 0, None
    if isinstance(payment, Payment):
        return payment.authorization.amount_minor, payment.offer
    charged_minor = 0 if bought.settled is None else bought.settled.charged_minor
    refunding = payment.way is Way.REFUND
    return (0 if refunding else charged_minor or payment.offer.amount_minor), payment.offer
