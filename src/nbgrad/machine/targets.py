"""Targets: which compiler makes code of kernel text, and what names the text may use there.

Numba for CUDA is imported by ``cuda``, in this folder. Kernels use what its packages and the simulator all have.
"""

from __future__ import annotations

import importlib
import math
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from types import FunctionType, SimpleNamespace
from typing import Any, Final

from nbgrad.config import settings
from nbgrad.core import forks
from nbgrad.core.lazy import load
from nbgrad.errors import NO_CUDA, DeviceError
from nbgrad.machine import quiet
from nbgrad.machine.cache import digest
from nbgrad.machine.compile import fingerprint
from nbgrad.machine.cuda import compiler
from nbgrad.machine.cuda import simulated as is_simulated
from nbgrad.machine.intrinsics import CASTS, FUNCTIONS
from nbgrad.machine.scalar import PORTABLE
from nbgrad.machine.wide import WIDE, instruction

# Words of an array of one dimension as numba-cuda passes it: owner, parent, items, bytes of an item, address,
# extent, stride.
PARAMS: Final = 7
_ENTRY: Final = re.compile(r"\.visible \.entry (\S+?)\(")
_NAMED: Final = re.compile(r"[A-Za-z_]\w*")


@cache
def cuda() -> Any:
    """The module that compiles for a card, whether there is one or not: see machine/cuda.py.

    Raises
    ------
    DeviceError
        If it is not installed.
    """
    return compiler(settings.current.cuda)


def simulated() -> bool:
    """Whether kernels run in Numba's simulator: as Python, on arrays of the host."""
    mlir = cuda().__name__.startswith("numba_cuda_mlir")
    return not mlir and is_simulated()


_compiled_for: list[tuple[int, int] | None] = [None]


@cache
def _device(function: FunctionType) -> Any:
    """A scalar function, and all that it calls, as functions of the device."""
    names: dict[str, Any] = {"__builtins__": __builtins__}
    for name in function.__code__.co_names:
        if name in function.__globals__:
            value = function.__globals__[name]
            names[name] = _device(value) if isinstance(value, FunctionType) else value
    copy = FunctionType(function.__code__, names, function.__name__, function.__defaults__)
    return cuda().jit(device=True)(copy)


def cuda_namespace(source: str) -> dict[str, Any]:
    """The globals of kernel text: of the functions only those that *source* names."""
    found: dict[str, Any] = {**PORTABLE, **FUNCTIONS, **WIDE}
    used = {name: found[name] for name in set(_NAMED.findall(source)) if name in found}
    if not simulated():
        plain = cuda().__name__.startswith("numba_cuda_mlir")
        used = {
            name: instruction(name) if name in WIDE and not plain else _device(function)
            for name, function in used.items()
        }
    return {"cuda": cuda(), "math": math, **CASTS, **used}


@cache
def cuda_kernel(source: str, name: str) -> Any:
    """What launches kernel text: ``cuda_kernel(source, name)[blocks, threads](at, *memory)``.

    It is compiled at the first launch, for the card that is in use then.
    """
    return cuda().jit(_function(source, name))


def plain_kernel(source: str, name: str, module: Any) -> Any:
    """Kernel text as a function of Python, with *module* in the place of Numba's."""
    found: dict[str, Any] = {**PORTABLE, **FUNCTIONS, **WIDE}
    used = {n: found[n] for n in set(_NAMED.findall(source)) if n in found}
    return _executed(source, name, {"cuda": module, "math": math, **CASTS, **used})


def _function(source: str, name: str) -> Any:
    return _executed(source, name, cuda_namespace(source))


def _executed(source: str, name: str, names: dict[str, Any]) -> Any:
    exec(compile(source, f"<{name}>", "exec"), names)
    return names[name]


def cuda_ptx(
    source: str, name: str, views: tuple[str, ...], capability: tuple[int, int] = (9, 0)
) -> str:
    """The PTX of kernel text, for a card that need not be there; by numba-cuda alone."""
    types = importlib.import_module("numba.types")
    numba_types = {
        "f8": types.float64, "f4": types.float32, "b1": types.boolean,
        "i8": types.int64, "i4": types.int32, "i2": types.int16, "i1": types.int8,
        "f2": types.float16, "z8": types.complex64, "z16": types.complex128,
        "u8": types.uint64, "u4": types.uint32, "u2": types.uint16, "u1": types.uint8,
    }  # fmt: skip
    memory = [types.Array(numba_types[view], 1, "C") for view in views]
    with forks.compiling, quiet.numba(), _of_capability(capability):
        made = cuda().compile_ptx(
            _function(source, name), types.void(types.int64, *memory), cc=capability, device=False
        )
    return str(made[0])


def cuda_cubin(
    source: str, name: str, views: tuple[str, ...], capability: tuple[int, int]
) -> tuple[bytes, str]:
    """Machine code of kernel text, and the name of the kernel in it; the card need not be there.

    Its parameters are 64-bit words: ``at``, and ``PARAMS`` for each view.
    """
    text = cuda_ptx(source, name, views, capability)
    entry = _ENTRY.findall(text)
    if len(entry) != 1 or text.partition(".entry")[2].partition(")")[0].count(".param .u64") != (
        1 + PARAMS * len(views)
    ):
        raise DeviceError(NO_CUDA.format(why=f"{maker()} passes other parameters to kernels"))
    core = importlib.import_module("cuda.core")
    major, minor = capability
    options = core.LinkerOptions(arch=f"sm_{major}{minor}")
    made = core.Linker(core.ObjectCode.from_ptx(text.encode()), options=options).link("cubin")
    return bytes(made.code), entry[0]


@cache
def maker() -> str:
    """Who makes machine code here, with versions; "" if it is not installed."""
    metadata = load("importlib.metadata")
    try:
        found = [f"{name}-{metadata.version(name)}" for name in ("numba-cuda", "numba")]
    except metadata.PackageNotFoundError:
        return ""
    with suppress(metadata.PackageNotFoundError):
        found.append(f"nvvm-{metadata.version('nvidia-nvvm')}")
    return "+".join(found)


def fingerprints(source: str) -> str:
    """A digest of the functions that kernel text calls, and of all that they call."""
    found: dict[str, Any] = {**PORTABLE, **FUNCTIONS, **WIDE}
    used = sorted({name for name in set(_NAMED.findall(source)) if name in found})
    return digest(*[f"{name}={fingerprint(found[name])}" for name in used])


@contextmanager
def _of_capability(capability: tuple[int, int]) -> Iterator[None]:
    """Let functions of the device be compiled for a card that is not there."""
    if _compiled_for[-1] != capability:
        _device.cache_clear()  # a function is compiled once, for one card
        _compiled_for[:] = [capability]
    dispatcher: Any = importlib.import_module("numba.cuda.dispatcher")
    before = dispatcher.get_current_device
    dispatcher.get_current_device = lambda: SimpleNamespace(compute_capability=capability)
    try:
        yield
    finally:
        dispatcher.get_current_device = before
