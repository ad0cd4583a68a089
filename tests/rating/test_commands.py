"""The commands: a file in, one object out; what is wrong is said as `file: what`, with a hint."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import Connection

from opencarrier.kernel.ids import to_hex
from opencarrier.kernel.refusals import Refusal
from opencarrier.kernel.signatures import Address, Signature
from opencarrier.rating import bench, cli
from opencarrier.rating.agreements.documents import (
    read_roaming_agreement,
    write_roaming_agreement,
)
from opencarrier.rating.documents import read_agreement, write_agreement, write_plan

from .roaming import roaming
from .worlds import HOME, SIGNERS, START_US, VISITED, World, agreement, plan

DEAL = agreement()


class Keys:
    """A notary that holds some operators' keys."""

    def __init__(self, *parties: object) -> None:
        self.held = {SIGNERS[party].address: SIGNERS[party] for party in parties}  # type: ignore[index]

    def sign(self, unit: Connection, address: Address, digest: bytes) -> Signature | None:
        signer = self.held.get(address)
        return None if signer is None else signer.sign(digest)


def test_two_installations_sign_one_after_the_other(empty: World, tmp_path: Path) -> None:
    file = tmp_path / "agreement.json"
    file.write_text(write_agreement(DEAL))

    def add(notary: Keys | None) -> cli.Result:
        return cli.agreement_add(
            empty.service, empty.unit, file=file, notary=notary, at_us=START_US
        )

    refusal = add(Keys(HOME))
    assert isinstance(refusal, Refusal)
    assert refusal.code == "signature_missing"
    half = cli.agreement_sign(empty.service, empty.unit, file=file, notary=Keys(HOME))
    assert half["signed_by"] == [SIGNERS[HOME].address]
    file.write_text(half["document"])
    assert len(read_agreement(file.read_text())[1]) == 1
    added = add(Keys(VISITED))
    assert added == {
        "agreement_hash": to_hex(DEAL.hash),
        "home": HOME,
        "visited": VISITED,
        "tariffs": 1,
        "signed_by": sorted(SIGNERS[party].address for party in (HOME, VISITED)),
    }
    assert empty.service.agreements(empty.unit) == [DEAL]
    assert add(Keys(HOME, VISITED)) == added


def test_two_installations_sign_a_roaming_agreement(empty: World, tmp_path: Path) -> None:
    file, deal = tmp_path / "agreement.json", roaming()
    forged = Signature(SIGNERS[HOME].address, bytes(65))
    file.write_text(write_roaming_agreement(deal, (forged,)))
    for party, complete in ((HOME, False), (VISITED, True)):
        told = cli.agreement_sign(empty.service, empty.unit, file=file, notary=Keys(party))
        assert told["complete"] is complete
        assert SIGNERS[party].address in told["signed_by"]
        file.write_text(told["document"])
    assert cli.agreement_check(file=file)["agreements"][0]["complete"]
    signatures = read_roaming_agreement(file.read_text())[1]
    assert {item.kid for item in signatures} == {SIGNERS[one].address for one in (HOME, VISITED)}


def test_a_plan_is_added(empty: World, tmp_path: Path) -> None:
    file = tmp_path / "plan.json"
    file.write_text(write_plan(plan()))
    added = cli.tariff_add(empty.service, empty.unit, file=file, at_us=START_US)
    assert isinstance(added, dict)
    assert added["plan_id"] == "standard"
    assert empty.service.plans(empty.unit) == [plan()]


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (None, "No such file or directory"),
        (b"\xff\xfe", "it is not UTF-8 text"),
        (b"{", "it is not JSON"),
        (write_plan(plan()).encode(), "is no agreement"),
        (b" " * (1 << 21), "too long"),
    ],
)
def test_what_is_wrong_names_the_file_and_what_to_do(
    empty: World, tmp_path: Path, content: bytes | None, what: str
) -> None:
    file = tmp_path / "agreement.json"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(cli.InputError) as error:
        cli.agreement_add(empty.service, empty.unit, file=file, notary=None, at_us=START_US)
    assert str(error.value).startswith(f"{file}: ")
    assert what in str(error.value)
    assert error.value.hint


def test_the_bench_runs() -> None:
    figures = bench.run(20)
    assert figures["usages"] == 20
    assert all(value > 0 for value in figures.values())
