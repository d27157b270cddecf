"""The text of emitted kernels, word for word: a refactoring of the emitter shows no difference.

``python tests/support/golden_programs.py`` writes the files anew.
"""

from __future__ import annotations

import ast

import pytest
from golden_programs import FOLDER, GOLDEN, kernels_of, program

from nbgrad.program.program import make_program
from nbgrad.program.text import CudaKernel

every_program = pytest.mark.parametrize("name", list(GOLDEN))


@every_program
def test_source(name: str) -> None:
    kept = (FOLDER / f"{name}.py").read_text()
    assert program(name).source() == kept, (
        "run: python tests/support/golden_programs.py, and read the diff"
    )


def test_no_file_is_left_over() -> None:
    assert {path.stem for path in FOLDER.glob("*.py")} == set(GOLDEN)


@every_program
def test_text_is_one_readable_function_a_kernel(name: str) -> None:
    kernels = kernels_of(name)
    functions = ast.parse(program(name).source()).body
    assert [f.name for f in functions] == [k.name for k in kernels]  # type: ignore[attr-defined]
    # The statements of a long body stay on lines that a person can read.
    assert max(len(line) for k in kernels for line in k.source.splitlines()[1:]) <= 160


@every_program
def test_a_kernel_for_cuda_takes_a_place_and_memory(name: str) -> None:
    steps = make_program(program(name).tape, target="cuda").steps
    for kernel in (step for step in steps if isinstance(step, CudaKernel)):
        (function,) = ast.parse(kernel.source).body
        assert function.name == kernel.name  # type: ignore[attr-defined]
        given = [a.arg for a in function.args.args]  # type: ignore[attr-defined]
        assert given == ["at", *(f"m_{view}" for view in kernel.views)]
        assert set(given) <= {n.id for n in ast.walk(function) if isinstance(n, ast.Name)}
