"""Compile kernels of golden programs and all scalar functions to PTX; no card is needed.

A script, for ``test_ptx.py``: the simulator replaces the compiler for a whole process. With the name of a file:
all kernels that the simulator's tests made, ``NBGRAD_CUDA_KERNELS=FILE NUMBA_ENABLE_CUDASIM=1 pytest tests/cuda``.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

from golden_programs import GOLDEN, program

from nbgrad.machine.scalar import PORTABLE
from nbgrad.machine.targets import cuda_ptx
from nbgrad.program.program import make_program
from nbgrad.program.text import CudaKernel

Text = tuple[str, str, tuple[str, ...]]


def scalar(name: str) -> Text:
    """A kernel that applies one scalar function."""
    code = name[-2:]
    n = PORTABLE[name].__code__.co_argcount
    calls = ", ".join(f"m_{code}[at + {k}]" for k in range(n))
    return (
        f"def apply(at, m_{code}):\n    m_{code}[at + {n}] = {name}({calls})\n",
        "apply",
        (code,),
    )


def texts() -> Iterator[Text]:
    if len(sys.argv) > 1:
        for source, name, views in json.loads(Path(sys.argv[1]).read_text()):
            yield source, name, tuple(views)
        return
    for name in GOLDEN:
        for step in make_program(program(name).tape, target="cuda").steps:
            if isinstance(step, CudaKernel):
                yield step.source, step.name, step.views
    yield from map(scalar, PORTABLE)


def main() -> int:
    failed = 0
    for source, name, views in texts():
        try:
            text = cuda_ptx(source, name, views)
            assert ".visible .entry" in text and name in text
        except Exception as error:
            failed += 1
            print(f"{source}\n{type(error).__name__}: {error}\n", flush=True)
    print("done" if not failed else f"{failed} failed")
    return failed


if __name__ == "__main__":
    sys.exit(main() > 0)
