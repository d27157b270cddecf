"""asv's pages, made to need no network: a browser opens them from disk and draws a graph."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import browser as browsers
import pytest

from benchmarks import site

NAME, MACHINE = "suite.time_it", "anyone"


def test_a_page_loads_nothing_from_elsewhere() -> None:
    page = """<script src="https://a.example/jquery-3.3.1.min.js" integrity="sha" crossorigin="anonymous"></script>
    <link rel="stylesheet" href="https://b.example/bootstrap.min.css" integrity="sha">
    <a href="https://c.example/">a link may</a>"""
    found = site.local(page)
    assert not site.REMOTE.search(found) and "integrity" not in found and "c.example" in found
    assert found.index("jquery.min.js") < found.index("published.js")


def test_a_library_that_is_not_known_is_an_error() -> None:
    with pytest.raises(SystemExit, match=r"loads https://a.example/new.js"):
        site.local('<script src="https://a.example/new.js"></script>')


def published(folder: Path) -> Path:
    """A repository of two commits, a benchmark that was measured at each, and asv's pages of them."""
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@localhost", "-C", str(folder)]
    subprocess.run([*git, "init", "--quiet", "--initial-branch=main"], check=True)
    suite, results = folder / "benchmarks", folder / "results"
    (results / MACHINE).mkdir(parents=True)
    suite.mkdir()
    (suite / "__init__.py").touch()
    config = {
        "version": 1, "project": "p", "repo": ".", "branches": ["main"], "environment_type": "existing",
        "benchmark_dir": "benchmarks", "results_dir": "results", "html_dir": "html", "show_commit_url": "#",
    }  # fmt: skip
    (folder / "asv.conf.json").write_text(json.dumps(config))
    machine = {"arch": "x", "cpu": "c", "machine": MACHINE, "num_cpu": "2", "os": "o", "ram": "1"}
    (results / MACHINE / "machine.json").write_text(json.dumps({**machine, "version": 1}))
    benchmark = {
        "code": "", "name": NAME, "param_names": [], "params": [], "pretty_name": NAME, "type": "time",
        "unit": "seconds", "version": "1", "timeout": 60,
    }  # fmt: skip
    (results / "benchmarks.json").write_text(json.dumps({NAME: benchmark, "version": 2}))
    for k in (1, 2):
        subprocess.run([*git, "commit", "--quiet", "--allow-empty", "-m", str(k)], check=True)
        commit = subprocess.check_output([*git, "rev-parse", "HEAD"], text=True).strip()
        result = {
            "commit_hash": commit, "date": 1_700_000_000_000 + k, "env_name": "existing", "env_vars": {},
            "params": machine | {"python": "3"}, "python": "3", "requirements": {}, "durations": {}, "version": 2,
            "result_columns": ["result", "params", "version"], "results": {NAME: [[float(k)], [], "1"]},
        }  # fmt: skip
        (results / MACHINE / f"{commit[:8]}-existing.json").write_text(json.dumps(result))
    subprocess.run(
        [sys.executable, "-m", "asv", "publish"], cwd=folder, check=True, capture_output=True
    )
    return folder / "html"


# Flot draws on a canvas; a pixel that is not transparent is of a graph.
DRAWN = """(() => {
  const canvas = document.querySelector("canvas.flot-base");
  if (!canvas || !canvas.width) return false;
  return canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data.some(x => x > 0);
})()"""


@pytest.mark.skipif(browsers.found() is None, reason="there is no Chromium")
def test_a_browser_draws_a_graph_without_network(tmp_path: Path) -> None:
    pytest.importorskip("asv")
    kept = site.ASV / "vendor"
    try:
        libraries = site.vendored(kept if kept.is_dir() else tmp_path / "vendor")
    except (OSError, subprocess.SubprocessError):
        pytest.skip("npm has not the libraries that the pages use")
    html = published(tmp_path)
    site.offline(html, libraries)
    with browsers.browser(tmp_path / "profile") as page:
        page.open(f"{(html / 'index.html').as_uri()}#{NAME}")
        page.wait(DRAWN)
        labels = page.ask("document.querySelector('.flot-y-axis').textContent")
        sources = page.ask("performance.getEntriesByType('resource').map(x => x.name)")
    assert "1.50" in labels
    assert [name for name in sources if not name.startswith("file:")] == []
