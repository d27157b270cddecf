"""``benchmarks.gpu``: end to end on the emulator; its budgets; the rivals' programs are the same as ours."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose
from subprocesses import ROOT, run

import nbgrad as ng

sys.path.insert(0, str(ROOT))
from benchmarks import gpu, gpu_ours, gpu_peers, gpu_rows, gpu_worker

SMALL = """
import sys
sys.path.insert(0, {root!r})
from benchmarks import gpu
gpu.LIBRARIES = ("nbgrad", "CuPy")
sys.exit(gpu.main(["--small", "--skip-tests", "--write", "--page", {page!r}]))
"""


def test_small_sizes_run_end_to_end_on_the_emulator(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# Page\n\n## On a card\n\n<!-- gpu: begin -->\nold\n<!-- gpu: end -->\nrest\n"
    )
    run(SMALL.format(root=str(ROOT), page=str(page)), NBGRAD_CUDA="emulator")
    text = page.read_text()
    assert text.startswith("# Page\n") and text.endswith("<!-- gpu: end -->\nrest\n")
    assert "old" not in text and "the emulator: no card" in text
    lines = {line.split("|")[1].strip(): line for line in text.splitlines() if line[:1] == "|"}
    for row in gpu_rows.ROWS:
        cell = lines[row.title].split("|")[2].strip()
        assert cell[0].isdigit() or cell in ("same", "host +0.0 MB, card +0.0 MB"), cell


ANSWERS = """
import json, sys, time
print("words of a library")
if sys.argv[1] == "gone":
    raise SystemExit("no such library")
print(json.dumps({"version": "1"}), flush=True)
for row in [a for a in sys.argv[2:] if a[0] != "-"]:
    if row == "slow": time.sleep(60)
    if row == "dies": raise SystemExit("died of it")
    print(json.dumps({"seconds": 1.0, "lost": row == "loses"}), flush=True)
"""


def test_budgets_are_kept_and_the_other_rows_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "COMMAND", [sys.executable, "-c", ANSWERS])
    names = ("a", "slow", "b", "dies", "loses", "c")
    rows = [gpu_rows.Row(name, name, budget=1.0 if name == "slow" else 20.0) for name in names]
    began = time.monotonic()
    found = gpu.measured("it", rows, False, gpu.Clock(began + 50))
    assert {k for k, v in found.items() if v.get("seconds") == 1.0} == {"a", "b", "loses", "c"}
    assert found["slow"] == {"failed": "not within 1 s"}
    assert found["dies"] == {"failed": "died of it"}
    assert gpu.measured("gone", rows, False, gpu.Clock(began + 50)) == {
        "": {"missing": "no such library"}
    }
    late = gpu.measured("it", rows, False, gpu.Clock(began - 1))
    assert late == {name: {"failed": "no time left"} for name in names}


def test_what_is_met() -> None:
    row = gpu_rows.Row("x", "x", ("JAX",), 0.8, (("JAX", 2.0),), 1e-3)
    said = {"seconds": 1e-3, "bytes": 9e5}
    assert row.bound(said, 1.0, {}) == pytest.approx(0.9)
    assert row.met(said, 0.9, {"JAX": {"seconds": 2e-3}}) == "yes"
    assert row.met(said, 0.7, {"JAX": {"seconds": 2e-3}}) == "no"
    assert row.met(said, 0.9, {"JAX": {"seconds": 1e-3}}) == "no"
    assert row.met(said, 0.9, {}) == "yes" and row.met({"failed": "x"}, None, {}) == "no"
    products = {"CuPy": {"product": {"seconds": 0.45}}}
    assert row.bound({"seconds": 1.0, "products": 2}, None, products) == pytest.approx(0.9)


@pytest.mark.filterwarnings("ignore")
def test_rivals_compute_the_same() -> None:
    pytest.importorskip("torch")
    torch, n = gpu_peers.Torch(False, "cpu"), gpu_worker.sizes(True)
    for row, program in gpu_ours.Ours.programs.items():
        given = gpu_worker.arrays(row, n)
        with ng.configure(tier="reference"):
            ours = [np.asarray(y) for y in ng.tree.leaves(ng.jit(program)(*given))]
        found = torch.programs[row](*map(torch.torch.as_tensor, given))
        theirs = [y.detach().numpy() for y in leaves(found)]
        if row == "chain":
            theirs[0] = theirs[0].sum()
        assert len(ours) == len(theirs), row
        for a, b in zip(ours, theirs, strict=True):
            assert_allclose(a, b, rtol=2e-3, atol=2e-4, err_msg=row)


def leaves(found: Any) -> list[Any]:
    if isinstance(found, (tuple, list)):
        return [y for each in found for y in leaves(each)]
    return [found]
