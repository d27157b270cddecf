"""Dask: fits on a local cluster, of which one worker is killed half way; NBGRAD_FITS=1000 for more."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from typing import Any

import numpy as np
import parallel_tasks as work
import pytest
from numpy.testing import assert_array_equal

from nbgrad import parallel

distributed = pytest.importorskip(
    "distributed", reason="tests of the engine Dask need distributed"
)
FITS = int(os.environ.get("NBGRAD_FITS", "200"))


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=None, processes=True
        ) as cluster,
        distributed.Client(cluster) as found,
    ):
        found.run(_path, os.path.dirname(work.__file__))
        yield found


def _path(folder: str) -> None:
    import sys

    sys.path.insert(0, folder)


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_fits_survive_the_death_of_a_worker(client: Any) -> None:
    starts = np.random.default_rng(5).normal(size=(FITS, 2)) * 2
    serial = parallel.multistart(work.fit, starts, engine="serial")
    pids = [*client.run(os.getpid).values()]
    counts: list[int] = []

    def kill(done: int, total: int) -> None:
        counts.append(done)
        if done == total // 2:
            os.kill(pids[0], signal.SIGKILL)

    found = parallel.multistart(work.fit, starts, engine=client, callback=kill, chunk=20)
    assert counts == list(range(1, FITS + 1))  # all, none twice
    assert_array_equal(found.values, serial.values)
    assert_array_equal([r.x for r in found.results], [r.x for r in serial.results])
    assert found.index == serial.index
    assert pids[0] not in client.run(os.getpid).values()
