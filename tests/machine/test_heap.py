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
