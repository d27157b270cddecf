"""The text of emitted kernels, word for word: a refactoring of the emitter shows no difference.

``python tests/support/golden_programs.py`` writes the files anew.
"""

from __future__ import annotations

import ast

import pytest
from golden_programs import FOLDER, GOLDEN, kernels_of, program

from nbgrad.program.cuda_text import cuda_source

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
def test_cuda_header_keeps_the_text(name: str) -> None:
    for step in kernels_of(name):
        cuda = cuda_source(step)
        assert cuda.device == step.source
        device, kernel = ast.parse(cuda.source).body
        assert [device.name, kernel.name] == [cuda.device_name, cuda.kernel_name]  # type: ignore[attr-defined]
        assert len(kernel.args.args) == len(cuda.signature)  # type: ignore[attr-defined]
        # The same arguments, in the same order, after the range of tasks.
        call = next(n for n in ast.walk(kernel) if isinstance(n, ast.Expr)).value
        passed = [a.id for a in call.args[2:]]  # type: ignore[attr-defined]
        assert passed == [a.arg for a in device.args.args[2:]]  # type: ignore[attr-defined]
