"""Results that the repository keeps, and what is made of them: tables of docs/performance.md, and its plot.

    python -m benchmarks.kept        # write the page and the plot again, measuring nothing

``--write`` of ``benchmarks.report`` and ``benchmarks.workloads`` puts rows here first; those of the same case replace
what was kept. A section is a table: where it was measured, and rows of cells as they are printed.
"""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
FILE, PAGE, PLOT = (
    ROOT / "benchmarks" / "results.json",
    ROOT / "docs" / "performance.md",
    ROOT / "docs" / "performance.svg",
)
Row = dict[str, str]
RATIO, AIM, DATE = "nbgrad / by hand", "aim", "date"
PEER = " / nbgrad"


def kept() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(FILE.read_text())
    return found


def keep(section: str, rows: Sequence[Row], machine: str, whole: bool = True) -> None:
    """Put *rows* in the place of those of the same cases, and write the page and the plot again.

    Rows that are not *whole* leave the cells that they lack as they were.
    """
    today = datetime.date.today().isoformat()
    everything = kept()
    old = everything.get(section, {"rows": []})["rows"]
    merged = {_key(row): row for row in old}
    for row in rows:
        before = {} if whole else merged.get(_key(row), {})
        merged[_key(row)] = before | row | {DATE: today}
    everything[section] = {"machine": machine, "rows": list(merged.values())}
    FILE.write_text(json.dumps(everything, indent=1, ensure_ascii=False) + "\n")
    write()


def _key(row: Row) -> tuple[str, str]:
    return row["case"], row.get("rival", "")


def table(section: Any) -> str:
    """Where and when, and the rows; a ratio above its aim, or to a peer that is faster, in bold type."""
    rows = section["rows"]
    dates = sorted({row[DATE] for row in rows})
    when = dates[0] if len(dates) == 1 else f"{dates[0]} to {dates[-1]}"
    columns = [name for name in dict.fromkeys(k for row in rows for k in row) if name != DATE]
    lines = [f"{section['machine'].rstrip('.')}; {when}.", ""]
    lines += [f"| {' | '.join(columns)} |", f"|{' --- |' * len(columns)}"]
    lines += [f"| {' | '.join(_cell(row, name) for name in columns)} |" for row in rows]
    return "\n".join(lines)


def _cell(row: Row, name: str) -> str:
    cell = row.get(name, "")
    wins = name.endswith(PEER) and cell[:1].isdigit() and float(cell) < 1.0
    return f"**{cell}**" if wins or (name == RATIO and missed(row)) else cell


def missed(row: Row) -> bool:
    return bool(row.get(AIM) and row.get(RATIO)) and float(row[RATIO]) > float(row[AIM])


def page(text: str, sections: dict[str, Any]) -> str:
    """*text* with the tables of *sections* between their marks."""
    for name, section in sections.items():
        begin, end = f"<!-- {name}: begin -->\n", f"<!-- {name}: end -->"
        before, found, rest = text.partition(begin)
        _, closed, after = rest.partition(end)
        if not (found and closed):
            raise SystemExit(f"{PAGE} has no marks for {name}")
        text = f"{before}{begin}{table(section)}\n{end}{after}"
    return text


def write() -> None:
    PAGE.write_text(page(PAGE.read_text(), kept()))
    try:
        plot(kept()["workloads"]["rows"])
    except ImportError:
        print("the plot stays as it was: matplotlib is not installed")


def plot(rows: Sequence[Row], file: Path = PLOT) -> None:
    """Times beside those of the adjoint by hand, on a logarithmic axis; a mark where the aim is."""
    import matplotlib as mpl

    mpl.use("Agg")
    mpl.rcParams.update({"svg.hashsalt": "nbgrad", "svg.fonttype": "none", "font.size": 8})
    from matplotlib import pyplot

    shown = [row for row in rows if row.get(RATIO)][::-1]
    places = range(len(shown))
    figure, axes = pyplot.subplots(figsize=(7, 0.22 * len(shown) + 0.8))
    colors = ["tab:red" if missed(row) else "tab:blue" for row in shown]
    # From 1, which is by hand: what is to the left is faster.
    axes.barh(places, [float(row[RATIO]) - 1.0 for row in shown], left=1.0, color=colors)
    aims = [(k, float(row[AIM])) for k, row in enumerate(shown) if row.get(AIM)]
    axes.plot([aim for _, aim in aims], [k for k, _ in aims], "k|", markersize=8)
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter(lambda x, _: f"{x:g}")
    axes.set_yticks(places, [row["case"] for row in shown])
    axes.axvline(1.0, color="black", linewidth=0.8)
    axes.set_xlabel("time / time of the adjoint by hand; | is the aim")
    figure.savefig(file, bbox_inches="tight", metadata={"Date": None})
    pyplot.close(figure)
    # Matplotlib leaves spaces at the ends of lines.
    file.write_text(re.sub(r"[ \t]+$", "", file.read_text(), flags=re.MULTILINE))


if __name__ == "__main__":
    write()
