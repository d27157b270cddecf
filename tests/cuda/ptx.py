"""Compile kernels of golden programs and all scalar functions to PTX; no card is needed.

A script, for ``test_ptx.py``: the simulator replaces the compiler for a whole process.
"""

from __future__ import annotations

import sys

from golden_programs import GOLDEN, program

from nbgrad.machine.scalar import PORTABLE
from nbgrad.machine.targets import cuda_ptx
from nbgrad.program.arrange import Arranged
from nbgrad.program.cuda_text import cuda_kernels


def scalar(name: str) -> str:
    """PTX of a kernel that applies one scalar function."""
    code = name[-2:]
    n = PORTABLE[name].__code__.co_argcount
    calls = ", ".join(f"m_{code}[at + {k}]" for k in range(n))
    source = f"def apply(at, m_{code}):\n    m_{code}[at + {n}] = {name}({calls})\n"
    return cuda_ptx(source, "apply", (code,))


def main() -> None:
    for name in GOLDEN:
        for item in program(name).items:
            for kernel in cuda_kernels(item) if isinstance(item, Arranged) else ():
                text = cuda_ptx(kernel.source, kernel.name, kernel.views)
                assert ".visible .entry" in text and kernel.name in text
                print(f"{name}: {kernel.name}: {len(text)} bytes", flush=True)
    for name in PORTABLE if "all" in sys.argv else ():
        text = scalar(name)
        print(f"{name}: {len(text)} bytes", flush=True)
    print("done")


if __name__ == "__main__":
    main()
