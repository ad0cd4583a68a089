"""The published vectors are what the code makes, and what foreign implementations make."""

from typing import Any

import cbor2
import pytest
from tests.vectors import make
from tests.vectors.reading import FOLDER, load, value_of

from opencarrier.kernel.decoding import decode
from opencarrier.kernel.encoding import encode
from opencarrier.kernel.refusals import PeerError


@pytest.mark.parametrize("name", make.FILES)
def test_files_are_what_the_code_makes(name: str) -> None:
    assert (FOLDER / name).read_text(encoding="ascii") == make.text(name)


@pytest.mark.parametrize("vector", load("encoding.json")["encoded"], ids=lambda v: v["octets"][:20])
def test_encoding_agrees_with_the_file_and_with_cbor2(vector: dict[str, Any]) -> None:
    value, octets = value_of(vector["value"]), bytes.fromhex(vector["octets"][2:])
    assert encode(value) == octets
    assert cbor2.dumps(value, canonical=True) == octets
    assert decode(octets) == value


@pytest.mark.parametrize("vector", load("encoding.json")["refused"], ids=lambda v: v["octets"])
def test_octets_that_are_nobodys_encoding_are_refused(vector: dict[str, Any]) -> None:
    with pytest.raises(PeerError):
        decode(bytes.fromhex(vector["octets"][2:]))
