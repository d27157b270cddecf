"""Ray and MPI, where they are installed: the bits of a serial run, and what becomes of tasks that fail."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TASKS = """
import sys
import tempfile

import numpy as np
import parallel_tasks as work

from nbgrad import errors, parallel

if __name__ == "__main__":  # workers import this, too
    engine = sys.argv[1]
    starts = np.random.default_rng(0).normal(size=(24, 3)) * 2
    bits = lambda found: np.array([[*r.x, r.fun, r.nit] for r in found])
    serial = bits(parallel.map(work.fit, starts, engine="serial"))
    assert (bits(parallel.map(work.fit, starts, engine=engine, workers=2)) == serial).all()
    try:
        parallel.map(work.fails_at_two, range(4), engine=engine, workers=2)
    except errors.TaskError as error:
        assert "task 2 raised ValueError: two is refused" in str(error)
    if engine == "ray":
        with tempfile.TemporaryDirectory() as folder:
            once = work.DiesOnce(folder, 5)
            found = parallel.map(once, range(12), engine=engine, workers=2, chunk=3)
            assert found == list(range(12))
        try:
            parallel.map(work.dies_always, range(6), engine=engine, workers=2, retries=1)
        except errors.WorkerError as error:
            assert error.index == 3
    print("all as it should be")
"""


def run(tmp_path: Path, *command: str) -> None:
    script = tmp_path / "tasks.py"
    script.write_text(TASKS)
    here = Path(__file__).resolve().parents[1] / "support"
    paths = os.pathsep.join([str(here), os.environ.get("PYTHONPATH", "")])
    words = [str(script) if word == "SCRIPT" else word for word in command]
    env = {
        **os.environ,
        "PYTHONPATH": paths,
        "HOME": str(tmp_path),
        "RAY_USAGE_STATS_ENABLED": "0",
        # Containers have one user and few cores: Open MPI starts nothing there unless it is told to.
        "OMPI_ALLOW_RUN_AS_ROOT": "1",
        "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
        "OMPI_MCA_rmaps_base_oversubscribe": "1",
        "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe",
    }
    done = subprocess.run(words, env=env, capture_output=True, text=True, timeout=280, check=False)
    assert "all as it should be" in done.stdout, done.stderr[-2000:]


@pytest.mark.timeout(300)
def test_ray(tmp_path: Path) -> None:
    pytest.importorskip("ray")
    run(tmp_path, sys.executable, "SCRIPT", "ray")


@pytest.mark.timeout(300)
@pytest.mark.parametrize("ranks", [1, 3])
def test_mpi(ranks: int, tmp_path: Path) -> None:
    """With workers that MPI starts itself, and with those that ``mpiexec`` has started."""
    if importlib.util.find_spec("mpi4py") is None:
        pytest.skip("an engine of MPI's needs mpi4py")
    launcher = Path(sys.executable).with_name("mpiexec")
    found = str(launcher) if launcher.exists() else shutil.which("mpiexec")
    if found is None:
        pytest.skip("MPI starts its workers by mpiexec")
    futures = ["-m", "mpi4py.futures"] if ranks > 1 else []
    run(tmp_path, found, "-n", str(ranks), sys.executable, *futures, "SCRIPT", "mpi")
