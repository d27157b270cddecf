"""Arrays that die are memory for the next ones, not page faults."""

from __future__ import annotations

import platform

import pytest
import subprocesses

FAULTS = """
import resource
import numpy as np
import nbgrad as ng

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

x = np.linspace(0.5, 1.5, 100_000)  # 196 pages
gradient = ng.grad(lambda x: ((x[1:] - x[:-1] ** 2) ** 2).sum())
for _ in range(20):
    gradient(x)
before = faults()
for _ in range(50):
    gradient(x)
print((faults() - before) / 50)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="it is glibc that adjusts itself")
def test_a_repeated_gradient_of_large_arrays_needs_no_new_pages() -> None:
    text = subprocesses.run(FAULTS, NBGRAD_TIER="reference")
    assert float(text.split()[-1]) < 20


SPARSE = """
import os
import numpy as np
from nbgrad.machine.heap import sparse_words

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

before = resident()
tables = [sparse_words(1 << 20) for _ in range(8)]
for table in tables:
    table[[5, 500_000]] = 1
    assert table[4] == 0 and table[500_000] == 1
print(resident() - before)
"""


@pytest.mark.skipif(platform.system() != "Linux", reason="it reads /proc")
def test_a_table_takes_memory_where_it_is_written_only() -> None:
    # Huge pages would be 2 MB for each of the 16 writes.
    assert int(subprocesses.run(SPARSE).split()[-1]) < 4 << 20
