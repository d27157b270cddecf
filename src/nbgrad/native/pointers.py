"""Compiled functions as pointers, for C and for what takes C's functions."""

from __future__ import annotations

import ctypes
import re
from typing import Any, Final

from nbgrad.core.lazy import load
from nbgrad.machine import stubs
from nbgrad.machine.called import Leaf

C_TYPES: Final = {
    "f8": "double", "f4": "float", "i8": "int64_t", "i4": "int32_t", "i2": "int16_t", "i1": "int8_t",
    "u8": "uint64_t", "u4": "uint32_t", "u2": "uint16_t", "u1": "uint8_t", "b1": "uint8_t",
}  # fmt: skip


def parameters(function: Any) -> tuple[list[tuple[str, Leaf]], list[tuple[str, Leaf]]]:
    """What it reads, and what it writes, by names of C's."""
    given = [leaf for leaf in function.params.leaves() if not leaf.setting]
    found, used = [], {"workspace"}
    for leaf in (*given, *function.results.leaves()):
        base = re.sub(r"\W+", "_", leaf.name).strip("_") or "x"
        base = f"x{base}" if base[0].isdigit() else base
        name, k = base, 0
        while name in used:
            name, k = f"{base}_{k}", k + 1
        used.add(name)
        found.append((name, leaf))
    return found[: len(given)], found[len(given) :]


def declaration(function: Any, name: str) -> str:
    """The C function of pointers as C declares it."""
    read, written = parameters(function)
    params = [f"const {C_TYPES[leaf.code]} *{name}" for name, leaf in read]
    params += [f"{C_TYPES[leaf.code]} *{name}" for name, leaf in written]
    return f"int64_t {name}({', '.join([*params, 'void *workspace'])})"


def stub(function: Any) -> Any:
    """The machine code of the C function of pointers."""
    image = function.image
    return stubs.of_pointers(image.inputs + image.outputs + 1, image.run, image.address)


def of_ctypes(function: Any) -> Any:
    """The C function of pointers, for ctypes."""
    image = function.image
    kind = ctypes.CFUNCTYPE(
        ctypes.c_int64, *[ctypes.c_void_p] * (image.inputs + image.outputs + 1)
    )
    found: Any = kind(function.address)
    found.keep = function
    return found


def of_numbers(function: Any) -> tuple[int, bool] | None:
    """How many numbers it is of, and whether they come apart; None if it is of something else."""
    read = [leaf for leaf in function.params.leaves() if not leaf.setting]
    written = function.results.leaves()
    plain = all(leaf.code == "f8" for leaf in (*read, *written))
    if not plain or len(written) != 1 or written[0].ndim:
        return None
    if all(leaf.ndim == 0 for leaf in read):
        return len(read), True
    return (int(function.words[read[0].word]), False) if [x.ndim for x in read] == [1] else None


def low_level(function: Any) -> Any:
    """The C function as SciPy takes it."""
    callable_of, form = load("scipy").LowLevelCallable, of_numbers(function)
    if form is not None:
        code = stubs.of_numbers(*form, function.image.run, function.image.address)
        doubles = ctypes.POINTER(ctypes.c_double)
        found: Any = ctypes.CFUNCTYPE(ctypes.c_double, ctypes.c_int, doubles)(code.address)
        found.keep = (function, code)
        return callable_of(found)
    text = re.sub(r"(\w+) \*\w+", r"\1 *", function.c_declaration.replace("const ", ""))
    name = ctypes.create_string_buffer(re.sub(r"^int64_t \w+", "int64_t ", text).encode())
    make = ctypes.pythonapi.PyCapsule_New
    make.restype, make.argtypes = ctypes.py_object, [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p]  # fmt: skip
    capsule = make(function.address, ctypes.addressof(name), None)
    found = type("LowLevelCallable", (callable_of,), {})(capsule)
    found.keep = (function, name)
    return found
