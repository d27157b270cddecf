"""The site: built strictly from ``docs/``, every page reachable, and what a browser shows of it.

Needs the extra ``docs``; ``.ci/run`` has a step for it. ``NBGRAD_SITE`` names a folder where it is built already.
"""

from __future__ import annotations

import functools
import http.server
import importlib.util
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import browser as browsers
import pytest
from public_names import public_callables
from subprocesses import ROOT

DOCS = ROOT / "docs"


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if "NBGRAD_SITE" in os.environ:
        return Path(os.environ["NBGRAD_SITE"])
    if not importlib.util.find_spec("sphinx"):
        pytest.skip("the site is built with the extra docs, which is not installed")
    out = tmp_path_factory.mktemp("site")
    command = [
        sys.executable,
        "-m",
        "sphinx",
        "-W",
        "--keep-going",
        "-E",
        "-q",
        str(DOCS),
        str(out),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr
    return out


class Page(HTMLParser):
    """The links and pictures of a page, and what can be linked to."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.ids: set[str] = set()
        self.feed(path.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name == "id" and value:
                self.ids.add(value)
            elif (tag, name) in {("a", "href"), ("img", "src")} and value:
                self.links.append(value)


def test_links_inside_the_site_lead_somewhere(site: Path) -> None:
    pages = {path.resolve(): Page(path) for path in site.rglob("*.html")}
    broken = []
    for path, page in pages.items():
        for link in {*page.links}:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            anchor = unquote(parts.fragment)
            if not target.exists() or (
                anchor and target in pages and anchor not in pages[target].ids
            ):
                broken.append(f"{path.name}: {link}")
    assert not broken


def test_links_to_other_sites_are_whole(site: Path) -> None:
    """Their form: nothing is asked of the network."""
    links = {link for path in site.rglob("*.html") for link in Page(path).links if "://" in link}
    assert links
    assert not [link for link in links if not re.fullmatch(r"https://[\w.-]+\.\w+(/\S*)?", link)]


def test_every_public_name_is_in_the_reference(site: Path) -> None:
    ids = {name for path in (site / "reference").glob("*.html") for name in Page(path).ids}
    names = {
        name for name, _ in public_callables() if not name.rpartition(".")[2].startswith("__")
    }
    assert not names - ids


def test_every_page_is_in_the_table() -> None:
    """The site's own lists are checked by Sphinx; docs/README.md is for who reads the folder."""
    table = (DOCS / "README.md").read_text()
    alone = {p.name for p in DOCS.glob("*.md")} - {"README.md"}
    folders = {p.name for p in DOCS.iterdir() if p.is_dir() and any(p.glob("*.md"))}
    assert not [name for name in alone if f"({name})" not in table]
    assert not [name for name in folders if f"({name}/" not in table]


@pytest.fixture(scope="session")
def served(site: Path) -> Iterator[str]:
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    handler = functools.partial(Quiet, directory=str(site))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def test_a_browser_shows_start_page_gallery_and_a_search(served: str, tmp_path: Path) -> None:
    if not browsers.found():
        pytest.skip("no browser is installed")
    with browsers.browser(tmp_path) as tab:
        tab.open(f"{served}/index.html")
        assert "Exact derivatives" in tab.ask("document.body.innerText")
        tab.ask("document.querySelector('a[href=\"start.html\"]').click()")
        tab.wait("location.pathname == '/start.html' && document.readyState == 'complete'")
        assert "Start here" in tab.ask("document.title")

        tab.open(f"{served}/gallery.html")
        images = "[...document.querySelectorAll('article img')]"
        tab.ask(f"{images}.forEach(i => i.loading = 'eager')")
        tab.wait(f"{images}.every(i => i.complete)")
        widths = tab.ask(f"{images}.map(i => i.naturalWidth)")
        assert len(widths) == len([*(ROOT / "examples").glob("*.py")])
        assert min(widths) > 200

        tab.open(f"{served}/search.html?q=hessian")
        tab.wait("document.querySelectorAll('#search-results li').length > 3")
        assert "nbgrad.hessian" in tab.ask("document.querySelector('#search-results').innerText")
