"""The comparisons of ``benchmarks.report`` as workloads, for asv: Black-Scholes, a training step, contractions."""

from __future__ import annotations

from benchmarks.cases import Case, cases
from benchmarks.workloads.base import Sides, Workload

BY_HAND = ("by hand", "numpy by hand", "numpy")


def compared(case: Case) -> Sides:
    hand = next((case.rivals[name]() for name in BY_HAND if name in case.rivals), None)
    return Sides(case.ours(), hand, case.rivals, same=False)


# An eager chain is beside other libraries in the suite of eager overhead.
WORKLOADS = [
    Workload(case.name, lambda case=case: compared(case))  # type: ignore[misc]
    for case in cases(threads=1)
    if case.per == 1
]
