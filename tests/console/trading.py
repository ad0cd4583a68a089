"""A network in which operators owe each other in both directions: partners, nodes, use, cycles."""

from __future__ import annotations

from dataclasses import replace

from tests.app.scene import Scene, taken

from opencarrier.app.terms import Terms, draft_agreement
from opencarrier.spine.parties import Node, Operator

DEPOSIT_MINOR = 50_000_000


class Trade:
    """Operators by name, each with a node and agreements with all that were there before."""

    def __init__(self, made: Scene) -> None:
        self.made = made
        self.operators: dict[str, Operator] = {"Home": made.home, "Visited": made.visited}
        self.nodes: dict[str, Node] = {"Visited": made.node}
        self._sessions = 0
        self.node("Home")

    def node(self, name: str) -> None:
        identity = self.made.place.base.identity
        with self.made.place.base.store.write() as unit:
            node = identity.register.add_node(
                unit,
                node_id=f"at-{name.lower()}",
                operator=self.operators[name].party_id,
                host=self.made.node.host,
            )
        self.nodes[name] = taken(node)

    def partner(self, name: str, *, price_nano: int = 1_900) -> None:
        """Add an operator that Home's subscribers and its own roam between."""
        base = self.made.place.base
        with base.store.write() as unit:
            added = base.identity.register.add_operator(
                unit, name=name, jurisdiction="FR", plmns=[f"208{50 + len(self.operators)}"]
            )
            self.operators[name] = taken(added)
            for debtor, creditor in (("Home", name), (name, "Home")):
                self._agree(unit, debtor, creditor, price_nano)
        taken(self.made.errands.deposit(self.operators[name], DEPOSIT_MINOR, reference=name))
        self.node(name)

    def _agree(self, unit, debtor: str, creditor: str, price_nano: int) -> None:
        base, asset = self.made.place.base, self.made.place.manifest.asset
        terms = Terms(
            unit="octets_total", step=1024, price_nano=price_nano, minimum_minor=0, tax_ppm=0
        )
        agreement = draft_agreement(
            base,
            unit,
            asset,
            home=debtor,
            visited=creditor,
            terms=terms,
            host_ppm=600_000,
            protocol_ppm=10_000,
        )
        signatures = base.rating.sign_agreement(unit, taken(agreement), base.identity.notary)
        added_us = self.made.clock.now_us()
        taken(base.rating.add_agreement(unit, taken(agreement), signatures, at_us=added_us))

    def use(self, home: str, visited: str, octets: int) -> None:
        """Let a subscriber of one use the node of another."""
        self._sessions += 1
        there = replace(
            self.made,
            home=self.operators[home],
            visited=self.operators[visited],
            node=self.nodes[visited],
        )
        there.use(f"trade-{self._sessions}", octets=octets, grant=None)
