"""The built pages ask no other machine for anything, and what they ask for is there."""

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from src.workshop import book
from tests.browser import CHROMIUM, Page

FETCHED = {"src", "srcset", "poster", "data", "xlink:href"}  # what a browser loads by itself
FETCHING_LINKS = {"stylesheet", "icon", "preload", "modulepreload", "prefetch", "preconnect", "dns-prefetch"}
STYLE = re.compile(r"""url\(\s*['"]?([^'")]+)|@import\s+['"]([^'"]+)""")


class Resources(HTMLParser):
    """`found`: the address of everything that a page loads by itself; links to click are none."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.inside = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.inside = tag
        given = {name: value or "" for name, value in attributes}
        loads = FETCHED | ({"href"} if tag in ("image", "use", "feimage") else set())
        if tag == "link" and FETCHING_LINKS & {*given.get("rel", "").split()}:
            loads |= {"href"}
        for name in loads & given.keys():
            pieces = given[name].split(",") if name == "srcset" else [given[name]]
            self.found += [piece.split()[0] for piece in pieces if piece.strip()]
        self.found += in_style(given.get("style", ""))

    def handle_data(self, data: str) -> None:
        if self.inside == "style":
            self.found += in_style(data)


def in_style(text: str) -> list[str]:
    return [one or other for one, other in STYLE.findall(text)]


def faults(file: Path, address: str) -> Iterator[str]:
    """What is wrong with an address that `file` loads: another machine's, or a file that is not there."""
    parts = urlsplit(address)
    if parts.scheme == "data" or address.startswith("#"):
        return
    if parts.scheme or parts.netloc:
        yield f"{file.name} asks for {address}"
    elif not (file.parent / unquote(parts.path)).exists():
        yield f"{file.name}: {address} is not there"


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """The HTML of the committed pages."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(book, "BOOK_OUT", tmp_path_factory.mktemp("book"))
        return book._build_html({}, lambda line: None)


def test_no_page_loads_anything_from_elsewhere(site):
    pages = [page for page in site.rglob("*.html") if "_static" not in page.parts]  # there lie templates
    found = {page: Resources(page.read_text()).found for page in pages}
    assert len(found[site / "book" / "intro.html"]) > 10
    assert [fault for page in pages for each in found[page] for fault in faults(page, each)] == []


def test_no_style_sheet_loads_anything_from_elsewhere(site):
    sheets = list(site.rglob("*.css"))
    addresses = [(sheet, each) for sheet in sheets for each in in_style(sheet.read_text())]
    assert sheets
    assert [fault for sheet, each in addresses for fault in faults(sheet, each) if "asks for" in fault] == []


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")
def test_no_script_of_a_page_asks_for_anything_from_elsewhere(site, tmp_path):
    with Page(tmp_path / "profile") as page:
        for file in sorted((site / "book").glob("*.html")):
            page.open(file.as_uri())
        assert len(page.requests) > 100
        assert [each for each in page.requests if not each.startswith(("file:", "data:", "blob:"))] == []


def test_a_shared_link_has_a_title_and_a_description(site):
    text = (site / "book" / "intro.html").read_text()
    assert all(f'property="og:{name}"' in text for name in ("title", "description", "type", "site_name"))
    assert 'href="https://arxiv.org/abs/2210.09221"' in text


@pytest.mark.parametrize(
    ("page", "address"),
    [
        ('<script src="https://a.org/b.js"></script>', "https://a.org/b.js"),
        ('<link rel="stylesheet" href="//a.org/b.css">', "//a.org/b.css"),
        ('<img srcset="x.png 1x, https://a.org/b.png 2x">', "https://a.org/b.png"),
        ("<style>@import 'https://a.org/b.css';</style>", "https://a.org/b.css"),
        ('<p style="background: url(https://a.org/b.png)">', "https://a.org/b.png"),
        ('<svg><image href="https://a.org/b.png"/></svg>', "https://a.org/b.png"),
    ],
)
def test_what_the_test_would_see(tmp_path, page, address):
    found = Resources(page).found
    assert address in found and any(list(faults(tmp_path / "page.html", each)) for each in found)
    assert Resources('<a href="https://a.org">to click</a>').found == []
