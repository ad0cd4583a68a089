"""Receipts by month: the list is the bill's, and one file has them all for `opencarrier verify`."""

from __future__ import annotations

import io
from zipfile import ZIP_DEFLATED, ZipFile

import pytest
from tests.console.people import Installation, installation

from opencarrier.app import verifying
from opencarrier.app.console.views import receipts_file
from opencarrier.kernel.calendar import month_named
from opencarrier.kernel.refusals import PeerError
from opencarrier.receipts.form import RECEIPT_OCTETS_MAX
from opencarrier.receipts.verify import Verifier

MINUTE_US = 60_000_000


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A session in January, one over the month's end, one in February, one not settled yet."""
    with installation(tmp_path_factory.mktemp("months")) as found:
        made, february = found.made, month_named("2026-02")
        made.use("january", octets=5_000_000, grant=made.authorise())
        made.settle()
        made.clock.set(february.start_us - 5 * MINUTE_US)
        made.use("over", octets=6_000_000, grant=made.authorise())
        made.settle()
        made.use("february", octets=7_000_000, grant=made.authorise())
        made.settle()
        made.use("open", octets=8_000_000, grant=made.authorise())
        yield found


def listed(home: Installation, month: str, limit: int = 25) -> list[dict]:
    browser, items, cursor = home.browser("subscriber"), [], ""
    while cursor is not None:
        path = f"{base(home)}?month={month}&limit={limit}&cursor={cursor}"
        page = browser.ask(path).json()
        assert len(page["items"]) <= limit
        items += page["items"]
        cursor = page["next"]
    return items


def base(home: Installation) -> str:
    return f"/v1/subscribers/{home.made.subscriber.party_id}/receipts"


def test_a_months_list_is_its_bills(home):
    """Use counts in the month it ended in, in pages of any size."""
    browser = home.browser("subscriber")
    for month, count in (("2025-12", 0), ("2026-01", 1), ("2026-02", 2), ("2026-03", 0)):
        found = listed(home, month)
        assert len(found) == count
        assert listed(home, month, limit=1) == found
        bill = browser.ask(f"{base(home).removesuffix('receipts')}bill?month={month}").json()
        assert bill["price_minor"] == sum(one["price_minor"] for one in found)
    assert len(listed(home, "")) == 3
    for wrong in ("2026-13", "2026", "x"):
        assert browser.ask(f"{base(home)}?month={wrong}").status_code == 422
        assert browser.ask(f"{base(home)}.zip?month={wrong}").status_code == 422
    assert browser.ask(f"{base(home)}.zip").status_code == 422


def test_the_page_asks_for_a_month_and_keeps_it(home):
    browser, path = home.browser("subscriber"), f"/subscriber/{home.made.subscriber.party_id}"
    page = browser.get(f"{path}/receipts?month=2026-02")
    assert page.status_code == 200
    assert 'value="2026-02"' in page.text
    assert page.text.count('href="/receipt/0x') == 2
    assert "receipts.zip?month=2026-02" in page.text
    empty = browser.get(f"{path}/receipts?month=2026-05")
    assert "Nothing was charged in May 2026." in empty.text
    assert "receipts.zip" not in empty.text


def test_the_file_is_what_verify_takes(home, tmp_path):
    browser, place = home.browser("subscriber"), home.made.place
    verifier = Verifier(place.manifest, place.client)
    answer = browser.ask(f"{base(home)}.zip?month=2026-02")
    assert answer.headers["content-type"] == "application/zip"
    assert answer.headers["content-disposition"] == 'attachment; filename="receipts-2026-02.zip"'
    assert browser.ask(f"{base(home)}.zip?month=2026-02").content == answer.content
    file = tmp_path / "month.zip"
    file.write_bytes(answer.content)
    found = [verifier.verify(read()) for _, read in verifying._receipts_of(file)]
    expected = {one["usage_id"] for one in listed(home, "2026-02")}
    assert {f"0x{verdict.record_id.hex()}" for verdict in found} == expected
    assert {verdict.rated_right for verdict in found} == {("retail",)}
    for name in ("operator", "host", "guest"):
        assert home.browser(name).ask(f"{base(home)}.zip?month=2026-02").status_code == 404


def test_a_file_that_is_full_names_the_next(home, monkeypatch):
    monkeypatch.setattr(receipts_file, "FILE_MAX", 1)
    browser, path, names = home.browser("subscriber"), f"{base(home)}.zip?month=2026-02", []
    while path:
        with ZipFile(io.BytesIO(browser.ask(path).content)) as zipped:
            held = zipped.namelist()
            assert len([name for name in held if name.endswith(".json")]) <= 1
            names += [name for name in held if name.endswith(".json")]
            path = zipped.read("more.txt").decode().strip() if "more.txt" in held else ""
    assert len(names) == len(set(names)) == 2


def broke(path) -> list[str]:
    """What breaks in each receipt of a file."""
    steps = []
    for _, read in verifying._receipts_of(path):
        with pytest.raises(PeerError) as failure:
            read()
        steps.append(failure.value.reason)
    return steps


def zipped(path, *entries: bytes):
    with ZipFile(path, "w", ZIP_DEFLATED) as file:
        for number, octets in enumerate(entries):
            file.writestr(f"{number}.json", octets)
    return path


def test_hostile_files_are_refused_within_their_bounds(tmp_path, monkeypatch):
    """No ZIP, half of one, an empty one, too many in it, what is no text; a bomb is cut."""
    good = zipped(tmp_path / "a.zip", b"{}", b"\xff")
    octets = good.read_bytes()
    (tmp_path / "none.zip").write_bytes(b"PK")
    (tmp_path / "half.zip").write_bytes(octets[: len(octets) // 2])
    assert broke(tmp_path / "none.zip") == broke(tmp_path / "half.zip") == ["form"]
    assert broke(zipped(tmp_path / "empty.zip")) == ["form"]
    assert broke(tmp_path / "missing.zip") == ["form"]
    assert broke(zipped(tmp_path / "b.zip", b"\xff", b"\xfe")) == ["form", "form"]
    receipts = verifying._receipts_of(zipped(tmp_path / "bomb.zip", b" " * (64 << 20)))
    _, read = next(receipts)
    assert len(read()) == RECEIPT_OCTETS_MAX + 1
    monkeypatch.setattr(verifying, "ZIPPED_MAX", 2)
    assert len(list(verifying._receipts_of(good))) == 2
    assert broke(zipped(tmp_path / "many.zip", b"{}", b"{}", b"{}")) == ["form"]
