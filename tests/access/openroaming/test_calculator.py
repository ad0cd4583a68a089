"""WBA's own calculator as oracle, run as it is in a page of two variables and no more."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from itertools import product
from pathlib import Path

import pytest

from opencarrier.access.openroaming.rcoi import (
    SETTLED,
    SETTLEMENT_FREE,
    Assurance,
    IdentityType,
    Network,
    Tier,
    broadcast,
)

VARIABLE = "OPENCARRIER_WBA_CALCULATOR"
TYPES = (*("all", "sp", "cp", "ent", "gov", "auto", "hosp", "air", "edu", "cable", "manu", "shop"),)
PAGE = """
const fs = require('fs'), vm = require('vm');
const cases = JSON.parse(fs.readFileSync(0, 'utf8'));
const source = fs.readFileSync(process.argv[1], 'utf8');
const answers = cases.map((checked) => {
  const written = [], nodes = {};
  const node = (id) => nodes[id] ??= {checked: checked.includes(id), innerHTML: ''};
  const page = {document: {getElementById: node},
                navigator: {clipboard: {writeText: (text) => written.push(text)}}};
  vm.runInNewContext(source + '\\ncalc_rcois();', page);
  return written[0];
});
console.log(JSON.stringify(answers));
"""


def _checked(network: Network) -> list[str]:
    side = "free" if network.bases == (SETTLEMENT_FREE,) else "paid"
    tiers = ["bronze", "silver"][: network.best + 1]
    return [
        side,
        *(f"{side}_{tier}" for tier in tiers),
        *(f"{side}_{TYPES[item]}" for item in network.types),
        f"{side}{'Identified' if network.identified else 'Anonymous'}",
        f"{side}{'Short' if network.short_lived else 'Long'}",
        "checkIdEnhanced" if network.assurance else "checkIdBaseline",
        "lowerCase",
    ]


def test_every_policy_comes_to_what_the_calculator_says() -> None:
    folder, node = os.environ.get(VARIABLE), shutil.which("node")
    if not folder or not node:
        pytest.skip(f"{VARIABLE} names no checkout of OR-rcoi-config, or there is no node")
    networks = [
        Network(
            bases=(base,),
            assurance=assurance,
            best=best,
            identified=identified,
            types=frozenset((identity,)),
            short_lived=short,
        )
        for base, assurance, best, identified, identity, short in product(
            (SETTLEMENT_FREE, SETTLED), Assurance, Tier, (False, True), IdentityType, (False, True)
        )
    ]
    done = subprocess.run(
        [node, "-e", PAGE, str(Path(folder, "index.js"))],
        input=json.dumps([_checked(item) for item in networks]),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    said = [answer.split(", ") for answer in json.loads(done.stdout)]
    assert said == [[str(rcoi) for rcoi in broadcast(item)] for item in networks]
