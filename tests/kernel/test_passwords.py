"""MD4 by the suite of RFC 1320 appendix A.5, and the NT hash of RFC 2759 section 9.2."""

from __future__ import annotations

import pytest

from opencarrier.kernel.passwords import md4, nt_hash


@pytest.mark.parametrize(
    ("text", "digest"),
    [
        (b"", "31d6cfe0d16ae931b73c59d7e0c089c0"),
        (b"a", "bde52cb31de33e46245e05fbdbd6fb24"),
        (b"abc", "a448017aaf21d8525fc10ae87aa6729d"),
        (b"message digest", "d9130a8164549fe818874806e1c7014b"),
        (b"abcdefghijklmnopqrstuvwxyz", "d79e1c308aa5bbcdeea8ed63df412da9"),
        (
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789",
            "043f8582f241db351ce627e153e7f0e4",
        ),
        (b"1234567890" * 8, "e33b4ddc9c38f2199c3e7b164fcc0536"),
    ],
)
def test_md4(text: bytes, digest: str) -> None:
    assert md4(text).hex() == digest


def test_the_hash_is_of_utf_16() -> None:
    assert nt_hash("clientPass").hex() == "44ebba8d5312b8d611474411f56989ae"
    assert nt_hash("é") == md4(b"\xe9\x00")
