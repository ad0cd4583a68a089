"""A permanent identity that `openssl` encrypted with an exported certificate is read here."""

from __future__ import annotations

import shutil
import subprocess
from base64 import b64encode
from pathlib import Path

import pytest
from sqlalchemy import create_engine
from tests.access.fakes import IMSI, NOW_US, REALM

from opencarrier.access.privacy import PrivacyCache
from opencarrier.identity.privacy import PrivacyKey
from opencarrier.identity.sealing import FileSealingKey
from opencarrier.identity.service import Identity
from opencarrier.identity.store import metadata
from opencarrier.kernel.clock import FixedClock
from opencarrier.kernel.entropy import SeededEntropy

OPENSSL = shutil.which("openssl")
pytestmark = [
    pytest.mark.peer,
    pytest.mark.skipif(OPENSSL is None, reason="openssl is not installed"),
]
OAEP = ("rsa_padding_mode:oaep", "rsa_oaep_md:sha256", "rsa_mgf1_md:sha256")


def encrypted(certificate: Path, identity: str) -> bytes:
    options = [word for option in OAEP for word in ("-pkeyopt", option)]
    words = [OPENSSL or "", "pkeyutl", "-encrypt", "-certin", "-inkey", str(certificate), *options]
    return subprocess.run(words, input=identity.encode(), capture_output=True, check=True).stdout


def test_what_openssl_encrypts_is_read_by_the_key_it_names(tmp_path: Path) -> None:
    entropy = SeededEntropy(9)
    sealing_key = FileSealingKey.make(tmp_path / "seal.key", entropy)
    identity = Identity(sealing_key, clock=FixedClock(NOW_US), entropy=entropy)
    engine = create_engine(f"sqlite:///{tmp_path / 'identity.sqlite'}")
    with engine.begin() as unit:
        metadata.create_all(unit)
        made = [identity.privacy.make(unit, name="lumen") for _ in range(2)]
    permanent = f"6{IMSI}@{REALM}"
    cache = PrivacyCache(identity.privacy, engine.connect, monotonic=lambda: 0.0)
    for key in made:
        assert isinstance(key, PrivacyKey)
        certificate = tmp_path / "certificate.pem"
        certificate.write_text(key.certificate)
        shown = b"\x00" + b64encode(encrypted(certificate, permanent))
        assert cache.open(shown + f",{key.identifier}".encode()) == permanent.encode()
        assert cache.open(shown) == permanent.encode()
        assert cache.open(shown + b",CertificateSerialNumber=0") is None
    engine.dispose()
