"""The page as a browser sees it."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from archdsl.nas.report import report_html

sys.path.insert(0, str(Path(__file__).parent))
import samples
from browser import CHROMIUM, Browser

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: apt-get install chromium")


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    with Browser(tmp_path / "profile") as opened:
        yield opened


def _page(folder: Path, text: str) -> Path:
    found = samples.results(40, text=text)
    page = folder / "report.html"
    page.write_text(
        report_html(found, Path("runs/x"), samples.base(), samples.varied()), encoding="utf-8"
    )  # fmt: skip
    return page


@pytest.mark.parametrize("text", ["", samples.HOSTILE], ids=["plain", "hostile"])
def test_a_report_opens_without_a_complaint_and_without_the_network(
    browser: Browser, tmp_path: Path, text: str
) -> None:
    browser.open(_page(tmp_path, text))
    assert browser.complaints() == []
    assert browser.requests() == []
    assert browser.value("document.images.length") == 0
    assert browser.value("document.querySelectorAll('#scatter a').length") > 20
    shown = browser.value("document.body.innerText")
    if text:
        assert "onerror" in shown, "what a user wrote is shown as text"
        assert "{{ 7 * 7 }}" in shown


def test_pointing_at_a_mark_shows_its_architecture(browser: Browser, tmp_path: Path) -> None:
    browser.open(_page(tmp_path, ""))
    found = samples.results(40)
    assert found.winner is not None
    number = found.winner.trial.number
    browser.value(f"document.getElementById('p{number}').scrollIntoView({{block: 'center'}})")
    box = browser.value(
        f"(() => {{ const b = document.getElementById('p{number}').getBoundingClientRect();"
        " return [b.x + b.width / 2, b.y + b.height / 2] })()"
    )
    before = browser.value("document.body.innerText")
    browser.point(*box)
    after = browser.value("new Promise(d => setTimeout(() => d(document.body.innerText), 200))")
    blocks = found.winner.trial.changes["s3.blocks"]
    assert after.count(blocks) > before.count(blocks)
    assert browser.complaints() == []


def test_sorting_and_filtering_the_table(browser: Browser, tmp_path: Path) -> None:
    browser.open(_page(tmp_path, ""))
    rows = "[...document.querySelectorAll('#table tbody tr')].filter(r => r.offsetParent !== null)"
    first = f"{rows}.map(r => r.cells[0].innerText)"
    before = browser.value(first)
    browser.value("document.querySelectorAll('#trials thead th')[2].querySelector('button').click()")
    sorted_ = browser.value(first)
    assert sorted(before) == sorted(sorted_)
    assert before != sorted_
    browser.value("document.querySelector('#table input[type=checkbox]').click()")
    assert 0 < browser.value(f"{rows}.length") < len(before)
    assert browser.complaints() == []


def test_complaints_are_heard(browser: Browser, tmp_path: Path) -> None:
    page = tmp_path / "bad.html"
    page.write_text(
        "<script>console.error('planted'); missing()</script><img src='http://127.0.0.1:9/x.png'>"
    )
    browser.open(page)
    told = "\n".join(browser.complaints())
    assert "planted" in told
    assert "missing" in told
    assert browser.requests() == ["http://127.0.0.1:9/x.png"]


def test_no_external_address_stands_in_the_file(tmp_path: Path) -> None:
    text = _page(tmp_path, samples.HOSTILE).read_text(encoding="utf-8")
    links = re.findall(r"""(?:src|href|action|url\()\s*=?\s*["'(]?\s*(https?:|//)""", text)
    assert links == []
