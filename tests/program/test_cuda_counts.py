"""What docs/cuda.md says of programs on a card, as far as it can be counted without a compiler."""

from __future__ import annotations

import pytest

from benchmarks.cuda_counts import CASES, Case, program_of
from nbgrad.program.text import CudaKernel


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_programs_move_what_they_have_to(case: Case) -> None:
    program = program_of(case)
    assert all(isinstance(step, CudaKernel) for step in program.steps)
    stats = program.stats()
    assert stats["bytes_moved"] <= 1.1 * (stats["input_bytes"] + stats["output_bytes"])
