"""docs/performance.md says what is kept in benchmarks/results.json, and keeping more changes nothing else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks import kept

HOW = "run python -m benchmarks.kept"


def test_the_page_is_what_is_kept() -> None:
    text = kept.PAGE.read_text()
    assert kept.page(text, kept.kept()) == text, HOW


def test_the_plot_shows_the_rows_that_are_kept() -> None:
    picture = kept.PLOT.read_text()
    for row in kept.kept()["workloads"]["rows"]:
        assert not row.get(kept.RATIO) or row["case"] in picture, HOW


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A page with prose and one table, whose file keeps two rows."""
    rows = [
        {"case": name, kept.RATIO: "1.2", kept.AIM: "1.1", kept.DATE: "2026-01-01"}
        for name in "ab"
    ]
    (tmp_path / "results.json").write_text(
        json.dumps({"workloads": {"machine": "M.", "rows": rows}})
    )
    page = "before\n<!-- workloads: begin -->\nold\n<!-- workloads: end -->\nafter\n"
    (tmp_path / "page.md").write_text(page)
    monkeypatch.setattr(kept, "FILE", tmp_path / "results.json")
    monkeypatch.setattr(kept, "PAGE", tmp_path / "page.md")
    monkeypatch.setattr(kept, "plot", lambda rows: None)
    return tmp_path


def test_rows_of_the_same_case_are_replaced(elsewhere: Path) -> None:
    kept.keep("workloads", [{"case": "b", kept.RATIO: "0.9", kept.AIM: "1.1"}], "N")
    page = (elsewhere / "page.md").read_text()
    assert page.startswith("before\n<!-- workloads: begin -->\nN; 2026-01-01 to ")
    assert "| a | **1.2** | 1.1 |\n| b | 0.9 | 1.1 |\n<!-- workloads: end -->\nafter\n" in page
    written: Any = json.loads((elsewhere / "results.json").read_text())
    assert [row["case"] for row in written["workloads"]["rows"]] == ["a", "b"]


def test_cells_of_others_stay_where_a_row_is_not_whole(elsewhere: Path) -> None:
    kept.keep("workloads", [{"case": "b", "new": "7"}], "N", whole=False)
    row = json.loads((elsewhere / "results.json").read_text())["workloads"]["rows"][1]
    assert row.pop(kept.DATE) != "2026-01-01"
    assert row == {"case": "b", kept.RATIO: "1.2", kept.AIM: "1.1", "new": "7"}


def test_a_page_without_marks_is_an_error() -> None:
    with pytest.raises(SystemExit, match="no marks for other"):
        kept.page("prose", {"other": {"machine": "", "rows": []}})


def test_what_is_faster_elsewhere_is_in_bold_type() -> None:
    rows = [{"case": "a", f"jax{kept.PEER}": "0.8", kept.DATE: "2026-01-01"}]
    rows += [{"case": "b", f"jax{kept.PEER}": "2e+02", kept.DATE: "2026-01-01"}]
    rows += [{"case": "c", f"jax{kept.PEER}": "none in 9 s", kept.DATE: "2026-01-01"}]
    text = kept.table({"machine": "M.", "rows": rows})
    assert "| a | **0.8** |" in text and "| b | 2e+02 |" in text and "| c | none" in text
