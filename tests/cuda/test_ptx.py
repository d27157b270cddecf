"""Types of kernels under the CUDA header, which the simulator does not look at: compile to PTX."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

LIMIT = 7200 if os.environ.get("NBGRAD_CUDA_PTX") == "all" else 500


@pytest.mark.timeout(LIMIT + 10)
@pytest.mark.skipif(
    importlib.util.find_spec("numba_cuda") is None,
    reason="numba-cuda is not installed: pip install 'nbgrad[cuda]'",
)
def test_kernels_and_scalar_functions_compile_to_ptx() -> None:
    here = Path(__file__).resolve().parent
    env = {k: v for k, v in os.environ.items() if k != "NUMBA_ENABLE_CUDASIM"}
    paths = [str(here.parent / "support"), str(here.parents[1] / "src"), env.get("PYTHONPATH", "")]
    env["PYTHONPATH"] = os.pathsep.join(paths)
    command = [sys.executable, "-W", "ignore", str(here / "ptx.py")]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=LIMIT)
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith(": 0 failed\n")
