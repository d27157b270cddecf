"""Compile kernels of golden programs and all scalar functions to PTX; no card is needed.

A script, for ``test_ptx.py``: the simulator replaces the compiler for a whole process.
"""

from __future__ import annotations

import importlib
import math
from functools import cache
from types import FunctionType, SimpleNamespace
from typing import Any

from golden_programs import GOLDEN, kernels_of
from numba import cuda, types

from nbgrad.machine.intrinsics import CASTS, plain_namespace
from nbgrad.machine.scalar import PORTABLE
from nbgrad.program.cuda_text import cuda_source
from nbgrad.program.text import Emitted

CAPABILITY = (9, 0)
TYPES = {
    "f8": types.float64, "f4": types.float32, "b1": types.boolean,
    "i8": types.int64, "i4": types.int32, "i2": types.int16, "i1": types.int8,
    "u8": types.uint64, "u4": types.uint32, "u2": types.uint16, "u1": types.uint8,
}  # fmt: skip


def type_of(code: str) -> Any:
    """Numba's type of a parameter; pointers are C pointers, as a table of addresses holds."""
    return types.CPointer(TYPES[code[:-1]]) if code.endswith("*") else TYPES[code]


@cache
def device(function: FunctionType) -> Any:
    """A scalar function, and all it calls, for the device."""
    names: dict[str, Any] = {"__builtins__": __builtins__}
    for name in function.__code__.co_names:
        if name in function.__globals__:
            value = function.__globals__[name]
            names[name] = device(value) if isinstance(value, FunctionType) else value
    copy = FunctionType(function.__code__, names, function.__name__, function.__defaults__)
    return cuda.jit(device=True)(copy)


def globals_of(source: str) -> dict[str, Any]:
    """What kernel text names, for the device."""
    found = {**plain_namespace(), **PORTABLE}
    used = {k: device(f) for k, f in found.items() if isinstance(f, FunctionType) and k in source}
    return {"cuda": cuda, "math": math, **CASTS, **used}


def compiled(function: Any, codes: tuple[str, ...]) -> str:
    signature = types.void(*map(type_of, codes))
    return cuda.compile_ptx(function, signature, cc=CAPABILITY, device=False)[0]  # type: ignore[no-any-return]


def kernel(step: Emitted) -> str:
    """PTX of an emitted kernel under the CUDA header."""
    text = cuda_source(step)
    names = globals_of(step.source)
    exec(text.device, names)
    names[text.device_name] = cuda.jit(device=True)(names[text.device_name])
    exec(text.kernel, names)
    return compiled(names[text.kernel_name], text.signature)


def scalar(name: str) -> str:
    """PTX of a kernel that applies one scalar function."""
    code = name[-2:].replace("b1", "u1")  # booleans are bytes in memory
    n = PORTABLE[name].__code__.co_argcount
    args = [f"x{k}" for k in range(n)]
    calls = ", ".join(f"{x}[0]" for x in args)
    names = globals_of(name)
    exec(f"def apply({', '.join(args)}, y):\n    y[0] = {name}({calls})\n", names)
    return compiled(names["apply"], (f"{code}*",) * (n + 1))


def main() -> None:
    # A device function is compiled for the card in use; there need not be one.
    dispatcher: Any = importlib.import_module("numba.cuda.dispatcher")
    dispatcher.get_current_device = lambda: SimpleNamespace(compute_capability=CAPABILITY)
    for name in GOLDEN:
        for step in kernels_of(name):
            text = kernel(step)
            assert ".visible .entry" in text and step.name in text
            print(f"{name}: {step.name}: {len(text)} bytes", flush=True)
    for name in PORTABLE:
        text = scalar(name)
        print(f"{name}: {len(text)} bytes", flush=True)
    print("done")


if __name__ == "__main__":
    main()
