"""Compiled functions in a shared library, called by a C program."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nbgrad as ng

COMPILER = next((c for c in ("cc", "gcc", "clang") if shutil.which(c)), "")
needs_c = pytest.mark.skipif(not COMPILER, reason="there is no C compiler: cc, gcc or clang")
PROGRAM = """
#include <stdio.h>
#include <stdlib.h>
#include "libmodel.h"

int main(void) {
  double x[4] = {0.1, 0.2, 0.3, 0.4}, g[4], value, a = 2.0;
  size_t size = model_value_and_grad_workspace_size();
  void *work = aligned_alloc(64, (size + 63) / 64 * 64);
  for (size_t k = 0; k < size; k++) ((char *)work)[k] = 0;
  for (int k = 0; k < 3; k++) {
    x[0] += 0.1;
    if (model_value_and_grad(x, &a, &value, g, k == 1 ? NULL : work) != 0) return 1;
    printf("%.17g %.17g %.17g %.17g %.17g\\n", value, g[0], g[1], g[2], g[3]);
  }
  free(work);
  return model_value(x, &a, &value, NULL) != 0;
}
"""


def run(f: Any, folder: Path) -> list[str]:
    c = ng.compile(f, np.ones(4), 1.0)
    library, header = c.save_library(folder / "libmodel")
    assert header.name == "libmodel.h"
    (folder / "main.c").write_text(PROGRAM)
    options = ["-std=c11", "-Wall", "-Werror", "-o", str(folder / "main"), f"-Wl,-rpath,{folder}"]
    subprocess.run([COMPILER, str(folder / "main.c"), str(library), *options], check=True)
    done = subprocess.run(
        [str(folder / "main")], check=True, capture_output=True, text=True, env={}
    )
    lines = []
    x = np.array([0.1, 0.2, 0.3, 0.4])
    for _ in range(3):
        x[0] += 0.1
        value, g = c.value_and_grad(x, 2.0)
        lines.append(" ".join(f"{v:.17g}" for v in (value, *g)))
    assert done.stdout.split("\n")[:3] == lines
    if sys.platform == "linux" and shutil.which("ldd"):
        needed = subprocess.run(["ldd", str(library)], capture_output=True, text=True, check=True)
        assert "python" not in needed.stdout
    return lines


@needs_c
def test_a_small_function(tmp_path: Path) -> None:
    run(lambda x, a: (a * np.exp(x) + x**2).sum(), tmp_path)


@needs_c
def test_loops_constants_and_much_memory(tmp_path: Path) -> None:
    table = np.linspace(0, 1, 4000)

    def f(x: Any, a: Any) -> Any:
        y = ng.scan(lambda c, t: (np.tanh(c * t + a), c), x, table[:50])[0]
        wide = np.tanh((np.sin(table[:, None] * x) * x).sum(axis=1))
        many = ng.while_loop(lambda s: s[0] < 4, lambda s: (s[0] + 1, s[1] * a), (0, x[0]))[1]
        return y.sum() + ((wide - wide.mean()) ** 2).sum() + many

    assert ng.compile(f, np.ones(4), 1.0).grad.workspace_size > 8192
    run(f, tmp_path)


def test_what_needs_python_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    solve = ng.compile(lambda a: np.linalg.solve(a, np.ones(40)).sum(), np.eye(40))
    with pytest.raises(TypeError, match="BLAS or LAPACK"):
        solve.save_library(tmp_path / "libsolve")
    c = ng.compile(lambda x: x * x, 1.0)
    with pytest.raises(ValueError, match="none of value, grad"):
        c.save_library(tmp_path / "libx", ["gradient"])
    monkeypatch.setenv("CC", "no-such-compiler")
    with pytest.raises(TypeError, match="there is no C compiler"):
        c.save_library(tmp_path / "libx")
    assert not list(tmp_path.iterdir())
