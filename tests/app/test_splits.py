"""A host's share goes to whom it named: over the embedded chain, from command to claim."""

from __future__ import annotations

import json

from opencarrier.app.views import host_lines
from opencarrier.chain.contracts import StableToken
from opencarrier.kernel.money import PPM
from opencarrier.kernel.signatures import Address
from opencarrier.rewards.model import RewardReason
from opencarrier.spine.parties import Host, Node, PartyId

from .scene import Scene, scene, taken

ALONE = Address("0x" + "a1" * 20)


def second_host(made: Scene) -> Host:
    """Another host with a node of its own, which the next usage is reported from."""
    register = made.place.base.identity.register
    with made.place.base.store.write() as unit:
        host = taken(register.add_host(unit, name="Second"))
        made.node = taken(
            register.add_node(
                unit, node_id="node-2", operator=made.visited.party_id, host=host.party_id
            )
        )
    return host


def node_of(made: Scene, host: Host) -> Node:
    with made.place.base.store.read() as unit:
        nodes = made.place.base.identity.directory.nodes(unit)
    (node,) = (node for node in nodes if node.host == host.party_id)
    return node


def split(made: Scene, host: PartyId, shares_ppm: dict[Address, int]) -> None:
    with made.place.base.store.write() as unit:
        register = made.place.base.identity.register
        taken(register.split_host(unit, host, list(shares_ppm.items())))


def earn(made: Scene, name: str) -> None:
    made.use(name, octets=5_000_000, grant=made.authorise())


def earned(made: Scene) -> dict[str, tuple[int, int]]:
    with made.place.base.store.read() as unit:
        lines = host_lines(made.place, unit)
    return {line.name: (line.earned_minor, line.withdrawn_minor) for line in lines}


def agrees(made: Scene) -> bool:
    with made.place.base.store.read() as unit:
        return made.place.settlement.reconcile(unit).agrees


def paid(made: Scene, address: Address) -> int:
    token = StableToken(made.place.manifest.token)
    return token.balance_of(address).ask(made.place.client)


def test_three_beneficiaries_claim_and_one_is_another_hosts_address(tmp_path):
    """Two cycles, the shares changed between them; the books equal the contracts at each step."""
    with scene(tmp_path, rewards_delay_s=0) as made:
        directory = made.place.base.identity.directory
        with made.place.base.store.read() as unit:
            first = directory.host(unit, made.node.host)
        earn(made, "first")
        second = second_host(made)
        earn(made, "second")
        thirds = {first.payout: 333_333, second.payout: 333_333, ALONE: 333_334}
        split(made, first.party_id, thirds)
        made.settle()
        one = earned(made)["Host"][0]
        own = earned(made)["Second"][0]
        assert agrees(made)
        floors = {address: one * ppm // PPM for address, ppm in thirds.items()}
        floors[min(floors)] += one - sum(floors.values())
        due = floors | {second.payout: floors[second.payout] + own}
        for address, amount in due.items():
            assert taken(made.errands.claim(address)).amount_minor == amount
            assert paid(made, address) == amount
            assert agrees(made)
        assert earned(made) == {"Host": (one, one), "Second": (own, own)}
        made.node = node_of(made, first)
        split(made, first.party_id, {ALONE: PPM})
        earn(made, "third")
        made.settle()
        more = earned(made)["Host"][0] - one
        assert more > 0
        assert made.errands.withdraw(first).reason is RewardReason.NOTHING_DUE
        assert taken(made.errands.claim(ALONE)).amount_minor == more
        assert paid(made, ALONE) == due[ALONE] + more
        assert earned(made) == {"Host": (one + more, one + more), "Second": (own, own)}
        assert agrees(made)


def test_a_host_is_split_on_the_command_line(run, tmp_path):
    """What is no whole is refused with a reason, and the host keeps what it had."""
    data = ("--data", str(tmp_path))
    run("operator", "add", "Lumen", "--jurisdiction", "FR", *data)
    run("host", "add", "Cafe", *data)
    other = "0x" + "b2" * 20

    def split(*to: str, code: int = 0) -> str:
        named = [word for one in to for word in ("--to", one)]
        return run("host", "split", "Cafe", *named, *data, "--json", code=code)

    told = json.loads(split(f"{other}=1", f"{ALONE}=999999"))
    assert told["shares_ppm"] == {ALONE: 999_999, other: 1}
    assert "sum to 2" in split(f"{ALONE}=2", code=1)
    assert "named twice" in split(f"{ALONE}=500000", f"{ALONE}=500000", code=1)
    assert "17 addresses" in split(*(f"0x{n:040x}=1" for n in range(1, 18)), code=1)
    assert "ADDRESS=PPM" in split(ALONE, code=2)
    run("host", "split", "Nobody", "--to", f"{ALONE}=1000000", *data, code=1)
