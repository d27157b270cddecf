"""Compile kernels to PTX, and assemble that where ``ptxas`` is there; no card is needed.

A script, for ``test_ptx.py``: the simulator replaces the compiler for a whole process. Kernels are those of the golden
programs, all scalar functions, and what tests have left in the folder ``NBGRAD_CUDA_KERNELS``: sixty
of these, evenly chosen, or as many as ``NBGRAD_CUDA_PTX`` says, which may be ``all``. For all that there are:

    export NBGRAD_CUDA_KERNELS=kernels NBGRAD_CUDA_PROGRAMS=500 NBGRAD_CUDA_PTX=all
    NUMBA_ENABLE_CUDASIM=1 pytest -n auto tests/cuda; pytest -n auto tests/backends; pytest -s tests/cuda/test_ptx.py
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from itertools import groupby, islice
from pathlib import Path

import numpy as np
from golden_programs import GOLDEN, program
from kernel_texts import Text, kept

from nbgrad.core.aval import make_aval
from nbgrad.core.linearize import linearize
from nbgrad.core.node import placeholder
from nbgrad.machine.scalar import PORTABLE
from nbgrad.machine.targets import cuda_ptx
from nbgrad.program.program import make_program
from nbgrad.program.text import CudaKernel
from nbgrad.tensors.tensor import Tensor

CHOSEN = os.environ.get("NBGRAD_CUDA_PTX", "60")
# PTX for the older of two cards is assembled for both.
CAPABILITY, ARCHITECTURES = (8, 0), ("sm_80", "sm_90")
PTXAS = shutil.which("ptxas")


def scalars(names: tuple[str, ...]) -> Text:
    """A kernel that applies scalar functions, one after the other."""
    code, lines = names[0].rpartition("_")[2], []
    for name in names:
        n = PORTABLE[name].__code__.co_argcount
        calls = ", ".join(f"m_{code}[at + {k}]" for k in range(n))
        lines.append(f"    m_{code}[at + {n}] = {name}({calls})\n")
    return f"def apply(at, m_{code}):\n{''.join(lines)}", "apply", (code,)


def wide(dtype: str) -> Text:
    """A kernel whose points are taken by twos or fours."""
    x = placeholder(make_aval((1 << 17,), np.dtype(dtype)))
    tape, _ = linearize([(Tensor(x) * 3 + Tensor(x))._node], [x])
    (step,) = make_program(tape, target="cuda").steps
    assert isinstance(step, CudaKernel) and "load_" in step.source
    return step.source, step.name, step.views


def batched(names: Iterable[str], size: int) -> Iterator[tuple[str, ...]]:
    rest = iter(names)
    while found := tuple(islice(rest, size)):
        yield found


def texts() -> list[Text]:
    """What is to be compiled, each once."""
    code = lambda name: name.rpartition("_")[2]
    names = sorted(PORTABLE, key=lambda name: (code(name), name))
    together = [tuple(g) for _, each in groupby(names, code) for g in batched(each, 8)]
    found = set(map(scalars, together))
    for name in GOLDEN:
        for step in make_program(program(name).tape, target="cuda").steps:
            if isinstance(step, CudaKernel):
                found.add((step.source, step.name, step.views))
    found.update(wide(dtype) for dtype in ("float64", "float32", "int32"))
    there = kept()
    every = 1 if CHOSEN == "all" else -(-len(there) // int(CHOSEN)) or 1
    return sorted({*found, *there[::every]})


def compiled(text: Text) -> str:
    """What is wrong with *text*; nothing if it compiles."""
    source, name, views = text
    try:
        found = cuda_ptx(source, name, views, CAPABILITY)
        assert ".visible .entry" in found and name in found
        # Numba's own division of complex numbers raises at a zero: on a card, that ends the thread in silence.
        assert "complex_div" not in found
        for n in (2, 4):  # so many elements by one instruction
            assert f"load_{n}(" not in source or f"ld.global.v{n}" in found
            assert f"store_{n}(" not in source or f"st.global.v{n}" in found
        assemble(found)
    except Exception as error:
        return f"{source}\n{type(error).__name__}: {error}\n"
    return ""


def version(ptx: str) -> str:
    """The line that says of which version *ptx* is."""
    return next(line for line in ptx.splitlines() if line.startswith(".version"))


@cache
def assembler(line: str) -> bool:
    """Whether there is a ``ptxas``, not older than what the compiler of this environment writes."""
    if PTXAS is None:
        return False
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "empty.ptx")
        path.write_text(f"{line}\n.target {ARCHITECTURES[0]}\n.address_size 64\n")
        command = [PTXAS, f"-arch={ARCHITECTURES[0]}", str(path), "-o", f"{folder}/empty.cubin"]
        return subprocess.run(command, capture_output=True).returncode == 0


def assemble(ptx: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "kernel.ptx")
        path.write_text(ptx)
        for architecture in ARCHITECTURES if assembler(version(ptx)) else ():
            command = [PTXAS, f"-arch={architecture}", str(path), "-o", f"{folder}/kernel.cubin"]
            done = subprocess.run(command, capture_output=True, text=True)  # type: ignore[arg-type]
            assert done.returncode == 0, done.stderr


def main() -> int:
    every, failed = texts(), 0
    with ProcessPoolExecutor(min(4, os.cpu_count() or 1)) as processes:
        for said in processes.map(compiled, every, chunksize=8):
            if said:
                failed += 1
                print(said, flush=True)
    first = version(cuda_ptx(*every[0], CAPABILITY))
    done = (
        f"assembled for {ARCHITECTURES}"
        if assembler(first)
        else f"not assembled: no ptxas for {first}"
    )
    how = f"compiled for {CAPABILITY}, and {done}"
    print(f"{len(every)} kernels {how}: {failed} failed")
    return failed


if __name__ == "__main__":
    sys.exit(main() > 0)
