"""The built pages ask no other machine for anything, and what they ask for is there."""

import re
import shutil
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

import src.synthetic
import src.vision
from src.common.sources import ROOT
from src.workshop import runs, site
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
def html(tmp_path_factory) -> Path:
    """The HTML of the committed pages."""
    return site.of_book({}, tmp_path_factory.mktemp("book") / "site")


@pytest.fixture(scope="module")
def executed(tmp_path_factory) -> Path:
    """A folder as `run` leaves it, with a committed chapter in it."""
    folder = tmp_path_factory.mktemp("run")
    shutil.copy(runs.notebook("03_synthetic_training"), folder)
    return folder


def test_no_page_loads_anything_from_elsewhere(html):
    pages = [page for page in html.rglob("*.html") if "_static" not in page.parts]  # there lie templates
    found = {page: Resources(page.read_text()).found for page in pages}
    assert len(found[html / "book" / "intro.html"]) > 10
    assert [fault for page in pages for each in found[page] for fault in faults(page, each)] == []


def test_no_style_sheet_loads_anything_from_elsewhere(html):
    sheets = list(html.rglob("*.css"))
    addresses = [(sheet, each) for sheet in sheets for each in in_style(sheet.read_text())]
    assert sheets
    assert [fault for sheet, each in addresses for fault in faults(sheet, each) if "asks for" in fault] == []


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")
def test_no_script_of_a_page_asks_for_anything_from_elsewhere(html, tmp_path):
    with Page(tmp_path / "profile") as page:
        for file in sorted((html / "book").glob("*.html")):
            page.open(file.as_uri())
        assert len(page.requests) > 100
        assert [each for each in page.requests if not each.startswith(("file:", "data:", "blob:"))] == []


def test_a_shared_link_has_a_title_and_a_description(html):
    text = (html / "book" / "intro.html").read_text()
    assert all(f'property="og:{name}"' in text for name in ("title", "description", "type", "site_name"))
    assert 'href="https://arxiv.org/abs/2210.09221"' in text


@pytest.mark.parametrize("home", [src.synthetic, src.vision])
def test_every_public_name_has_an_entry_with_its_signature(html, home):
    text = (html / "book" / "api.html").read_text()
    for name in home.HOMES:
        assert f'id="{home.__name__}.{name}"' in text
    assert "distractor_prob" in text


def test_where_a_chapter_names_one_a_link_leads_to_it(html):
    text = (html / "book" / "03_synthetic_training.html").read_text()
    assert 'href="api.html#src.synthetic.gradient_descent"' in text


def test_a_run_has_a_page_of_its_own_that_loads_nothing_from_elsewhere(executed):
    index = site.of_run("03_synthetic_training", executed)
    page = index.parent / "book" / "03_synthetic_training.html"
    text = page.read_text()
    assert (
        index == executed / "html" / "index.html" and "book/03_synthetic_training.html" in index.read_text()
    )
    assert "verdict-realistic" in text and "Jelassi" in text
    assert [fault for each in Resources(text).found for fault in faults(page, each)] == []
    made = index.stat().st_mtime_ns
    assert site.of_run("03_synthetic_training", executed) == index and index.stat().st_mtime_ns == made


@pytest.mark.parametrize("address", ["", "https://github.com/someone/something"])
def test_with_an_address_each_chapter_has_a_button_for_binder(address, tmp_path, monkeypatch):
    config = (ROOT / "_config.yml").read_text()
    assert config.count('repository_url: ""') == 1
    config = config.replace('repository_url: ""', f'repository_url: "{address}"')
    (tmp_path / "_config.yml").write_text(config)
    monkeypatch.setattr(site, "ROOT", tmp_path)
    shutil.copy(runs.notebook("claims"), tmp_path)
    text = site.of_run("claims", tmp_path).with_name("book").joinpath("claims.html").read_text()
    button = "https://mybinder.org/v2/gh/someone/something/main?urlpath=lab/tree/book/claims.ipynb"
    assert (f'href="{button}"' in text) == bool(address) and ("mybinder" in text) == bool(address)


def test_binder_installs_what_is_locked():
    binder = ROOT / ".binder"
    words = [line.split() for line in (binder / "requirements.txt").read_text().splitlines()]
    assert [(option, (binder / file).resolve().name) for option, file in words] == [
        ("-r", "requirements.txt"),
        ("-c", "requirements.lock"),
    ]
    assert (binder / "runtime.txt").read_text() == "python-3.11\n"


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
