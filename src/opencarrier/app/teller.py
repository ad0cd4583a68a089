"""How the demo tells its story: a banner, lines as things happen, a bar, a table at the end."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import TracebackType
from typing import Any, Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table

from opencarrier import __version__
from opencarrier.app.bootstrap import Onchain
from opencarrier.app.folder import Running
from opencarrier.kernel.sentences import Sentence

STEPS = 5


class Asked(Protocol):
    """What the banner says of how the demo was started."""

    @property
    def seed(self) -> int:
        """The seed."""
        ...


class Teller:
    """Tells to a terminal with a bar, to a pipe without one, and in either case to the page."""

    def __init__(self, also: Callable[[Sentence], None], *, quiet: bool) -> None:
        self._also = also
        self._quiet = quiet
        self._console = Console(stderr=True, highlight=False)
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            console=self._console,
            transient=True,
            disable=quiet or not sys.stderr.isatty(),
        )
        self._task = self._progress.add_task("the story", total=STEPS)

    def __enter__(self) -> Teller:
        """Show the bar."""
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Take the bar away."""
        self._progress.stop()

    def banner(
        self, running: Running, place: Onchain, asked: Asked, people: str, link: str
    ) -> None:
        """Say what runs, where, and with whose keys; `link` signs in as the owner once."""
        if self._quiet:
            return
        for line in (
            f"opencarrier {__version__} demo, seed {asked.seed}: a whole network on this machine",
            f"  page      {running.http}/",
            f"  sign in   {link} (owner, once)",
            f"  look as   {link.partition('/welcome/')[0]}/sign-in (operator, host, subscriber)",
            f"  chain     {running.rpc} (chain id {place.manifest.chain_id})",
            f"  RADIUS    127.0.0.1, authentication {running.radius_port}, "
            f"accounting {running.acct_port}",
            f"  contracts clearing house {place.manifest.clearing_house}",
            f"            distributor    {place.manifest.distributor}",
            f"  hub       {place.manager.sender} settles; its key is the same in every demo",
            f"  people    {people}",
            f"  keys      made from the seed, for this demo only; data in {place.base.folder.root}",
        ):
            self._say(line)

    def tell(self, line: Sentence) -> None:
        """Tell one thing that happened."""
        self._also(line)
        if not self._quiet:
            self._say(f"  {line}")

    def step(self, done: int) -> None:
        """Move the bar."""
        self._progress.update(self._task, completed=done)

    def table(self, result: dict[str, Any]) -> None:
        """Say who paid and who earned."""
        out = Console(highlight=False)
        out.print(_cycles(result))
        out.print(_earned(result))
        out.print(_operators(result))
        out.print(_channels(result))
        for staker in result["stakers"]:
            paid, saved = money(staker["paid_minor"]), money(staker["saved_minor"])
            out.print(f"{staker['name']} staked: paid {paid}, {saved} less than without.")
        records = sum(cycle["records"] for cycle in result["cycles"])
        agrees = "agree" if result["ledger"]["agrees"] else "DO NOT agree"
        print(
            f"{result['receipts_verified']} of {records} receipts verified by another process; "
            f"ledger, contracts and charges {agrees}."
        )

    def _say(self, line: str) -> None:
        self._console.print(line, markup=False, soft_wrap=True)


def money(minor: int) -> str:
    """Write micro-units for people."""
    whole, micro = divmod(abs(minor), 1_000_000)
    return f"{'-' if minor < 0 else ''}{whole:,}.{micro:06d}"


def _cycles(result: dict[str, Any]) -> Table:
    table = Table("cycle", "records", "owed", "moved", "payments", "transaction", title="Settled")
    for cycle in result["cycles"]:
        table.add_row(
            str(cycle["sequence"]),
            str(cycle["records"]),
            money(cycle["gross_minor"]),
            money(cycle["net_minor"]),
            str(cycle["payments"]),
            cycle["tx_hash"][:18] + "…",
        )
    return table


def _earned(result: dict[str, Any]) -> Table:
    table = Table("host", "earned", "withdrawn", title="Who earned")
    for host in result["hosts"]:
        table.add_row(host["name"], money(host["earned_minor"]), money(host["withdrawn_minor"]))
    return table


def _operators(result: dict[str, Any]) -> Table:
    table = Table("operator", "country", "in the clearing house", title="Who paid")
    for line in result["operators"]:
        table.add_row(line["name"], line["jurisdiction"], money(line["collateral_minor"]))
    return table


def _channels(result: dict[str, Any]) -> Table:
    told = result["channels"]
    title = f"Paid as it was used: {told['opened']} channels, {told['vouchers']} vouchers"
    table = Table("operator", "channels", "earned", "settled on chain", title=title)
    for line in told["operators"]:
        earned, settled = money(line["earned_minor"]), money(line["settled_minor"])
        table.add_row(line["name"], str(line["channels"]), earned, settled)
    return table
