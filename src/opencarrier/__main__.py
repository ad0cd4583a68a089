"""The one entry: all commands, the demo among them, and how each failure ends."""

from __future__ import annotations

import sys

try:
    from pathlib import Path
    from typing import Annotated

    import typer

    from opencarrier.app.cli.common import AsJson
    from opencarrier.app.cli.root import make, run_command
    from opencarrier.app.failures import ending
except KeyboardInterrupt:  # Ctrl-C before there is anything that could be interrupted
    sys.exit(130)

root = make()


@root.command("demo")
def demo(
    seed: Annotated[int, typer.Option(help="The same seed gives the same world.")] = 1,
    leave: Annotated[bool, typer.Option("--exit", help="Leave when the story is told.")] = False,
    http_port: Annotated[int, typer.Option(help="Where the page is; 0: any free port.")] = 8400,
    lose: Annotated[int, typer.Option(help="Datagrams lost, per thousand.")] = 0,
    double: Annotated[int, typer.Option(help="Datagrams doubled, per thousand.")] = 0,
    data: Annotated[
        Path | None, typer.Option(help="Keep the world here; a temporary folder if none.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Watch phones attach, use flow, cycles settle, hosts withdraw and receipts verify.

    Example: opencarrier demo --exit --seed 7 --json
    """
    from opencarrier.demo import Request, run

    raise typer.Exit(
        run(
            Request(
                seed=seed,
                leave=leave,
                http_port=http_port,
                lost_permille=lose,
                doubled_permille=double,
                data=data,
                as_json=as_json,
            )
        )
    )


def main() -> None:
    """Run the command line; every foreseen failure ends with its message, hint and code."""
    with ending():
        run_command(root, sys.argv[1:])


if __name__ == "__main__":
    main()
    sys.exit(0)
