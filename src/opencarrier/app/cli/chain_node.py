"""Commands about nodes on chain: publish the root of all, mint one by its proof."""

from __future__ import annotations

from typing import Annotated

import typer

from opencarrier.app.cli.common import DEFAULT_DATA, AsJson, Data, group, taken, venue
from opencarrier.app.output import emit

node = group("node", "Nodes on chain: one root for all of them, a token for one that is minted.")


@node.command("publish")
def node_publish(data: Data = DEFAULT_DATA, as_json: AsJson = False) -> None:
    """Publish the root of all nodes; a node that is a token already keeps its owner.

    Example: opencarrier chain node publish
    """
    from opencarrier.app.registering import Registry

    with venue(data) as place:
        told = taken(Registry(place).publish(), "add one with `opencarrier node add`")
    emit(told, as_json=as_json)


@node.command("mint")
def node_mint(
    which: Annotated[str, typer.Argument(help="A node's id.")],
    data: Data = DEFAULT_DATA,
    as_json: AsJson = False,
) -> None:
    """Make a node its host's token, proven under the published root; the hub pays the gas.

    Example: opencarrier chain node mint cafe-1
    """
    from opencarrier.app.registering import Registry

    with venue(data) as place:
        told = taken(Registry(place).mint(which), "`opencarrier chain node publish` comes before")
    emit(told, as_json=as_json)
