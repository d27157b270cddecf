"""A device for the tests of CUDA: memory as one array, and programs run by Numba's simulator in it."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

from nbgrad.backends.reference import ReferenceProgram
from nbgrad.core.aval import make_aval
from nbgrad.core.linearize import linearize
from nbgrad.core.node import constant, placeholder
from nbgrad.core.tape import Var
from nbgrad.core.values import value_of
from nbgrad.machine.intrinsics import CASTS
from nbgrad.machine.targets import cuda_kernel
from nbgrad.program.cuda_text import words
from nbgrad.program.program import Program, make_program
from nbgrad.program.text import CudaKernel
from nbgrad.tensors.tensor import Tensor
from nbgrad.transforms.simplify import simplify

Array = np.ndarray[Any, Any]
THREADS = 8  # the simulator makes a thread of the host of each, and looks at all until they wait
BLOCKS = 2
APART = 64  # bytes that nobody may touch between one buffer and the next
marks = [
    pytest.mark.skipif(
        os.environ.get("NUMBA_ENABLE_CUDASIM") != "1", reason="needs NUMBA_ENABLE_CUDASIM=1"
    ),
    # Scalars of NumPy warn where a processor stays silent.
    pytest.mark.filterwarnings("ignore::RuntimeWarning"),
]


class View:
    """The memory as elements of one dtype. An access outside of the buffers raises; bytes are counted."""

    def __init__(self, device: Device, code: str) -> None:
        self.device = device
        self.elements = device.memory.view(CASTS[code])

    def place(self, k: Any, moved: Counter[int]) -> int:
        k = int(k)
        size = self.elements.itemsize
        if k < 0 or not (owner := self.device.owner[k * size]):
            raise IndexError(f"element {k} of {size} bytes is in no buffer")
        moved[owner] += size
        return k

    def __getitem__(self, k: Any) -> Any:
        return self.elements[self.place(k, self.device.read)]

    def __setitem__(self, k: Any, value: Any) -> None:
        self.elements[self.place(k, self.device.written)] = value


class Device:
    """One array as memory; buffers are numbered from 1, and lie apart."""

    def __init__(self, size: int) -> None:
        size = -(-size // 64) * 64
        raw = np.full(size + 64, 77, np.uint8)  # memory that was never written holds anything
        start = -raw.ctypes.data % 64
        self.memory = raw[start : start + size]
        self.owner = np.zeros(size, np.int32)
        self.end = APART
        self.buffers = 0
        self.read: Counter[int] = Counter()
        self.written: Counter[int] = Counter()
        self.views = {code: View(self, code) for code in CASTS if code[0] != "c"}
        self.tables: set[int] = set()
        self.launches: list[CudaKernel] = []
        self.starts: list[int] = []  # where their words are

    def take(self, nbytes: int) -> int:
        """The address of a new buffer."""
        start, self.buffers = self.end, self.buffers + 1
        self.owner[start : start + max(1, nbytes)] = self.buffers
        self.end = -(-(start + nbytes + APART) // 64) * 64
        assert self.end <= len(self.memory), "the device has too little memory for this test"
        return start

    def put(self, array: Array) -> int:
        start = self.take(array.nbytes)
        raw = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
        self.memory[start : start + array.nbytes] = raw
        return start

    def get(self, start: int, shape: tuple[int, ...], dtype: Any) -> Array:
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        return self.memory[start : start + size].view(dtype).reshape(shape)

    def moved(self) -> int:
        """Bytes read and written, but for words of the table."""
        both = self.read + self.written
        return sum(n for owner, n in both.items() if owner not in self.tables)

    def launch(self, kernel: CudaKernel, table: Sequence[int], blocks: int = BLOCKS) -> None:
        at = self.put(np.array(table, np.int64)) // 8
        self.tables.add(self.buffers)
        made = cuda_kernel(kernel.source, kernel.name)
        threads = min(THREADS, kernel.threads)
        made[min(blocks, kernel.blocks), threads](at, *[self.views[v] for v in kernel.views])
        self.launches.append(kernel)
        self.starts.append(at)


def run(
    planned: Program, args: Sequence[Array], blocks: int = BLOCKS
) -> tuple[list[Array], Device]:
    """All steps of a program in order: nests by the simulator, the others by their references."""
    sizes = [v.aval.nbytes for v in planned.tape.inputs]
    sizes += [v.aval.nbytes for e in planned.tape.eqns for v in e.outs]
    device = Device(sum(sizes) * 4 + (1 << 20))
    places = {v: device.put(np.asarray(a)) for v, a in zip(planned.tape.inputs, args, strict=True)}
    producers = {out: eqn for eqn in planned.tape.eqns for out in eqn.outs}

    def address(var: Var) -> int:
        var = planned.shared.get(var, var)
        if var not in places:
            places[var] = device.take(var.aval.nbytes)
        return places[var]

    def value(atom: Any) -> Any:
        """The value of an operand, which may be a view of what is in memory."""
        if not isinstance(atom, Var):
            return atom.value
        if planned.shared.get(atom, atom) in places:
            return device.get(address(atom), atom.aval.shape, atom.aval.dtype)
        eqn = producers[atom]
        return np.asarray(eqn.prim.evaluate(*map(value, eqn.inputs), **eqn.params))

    for item, step in zip(planned.items, planned.steps, strict=True):
        if isinstance(step, CudaKernel):
            device.launch(step, words(step.args, address), blocks)
        else:
            found = item.eqn.prim.evaluate(*map(value, item.eqn.inputs), **item.eqn.params)
            outs = found if len(item.eqn.outs) > 1 else (found,)
            for out, result in zip(item.eqn.outs, outs, strict=True):
                given = np.asarray(result, out.aval.dtype)
                device.get(address(out), out.aval.shape, out.aval.dtype)[...] = given
    return [np.array(value(out)) for out in planned.tape.outputs], device


def planned(f: Callable[..., Any], arrays: Sequence[Array]) -> tuple[Program, list[Array]]:
    """The program of *f*, and what it is run on: *arrays*, and what *f* reads beside them."""
    inputs = [placeholder(make_aval(a.shape, a.dtype)) for a in arrays]
    found = leaves(f(*map(Tensor, inputs)))
    nodes = [y._node if isinstance(y, Tensor) else constant(y) for y in found]
    tape, constants = linearize(nodes, inputs)
    return make_program(simplify(tape), target="cuda"), [*arrays, *map(value_of, constants)]


def leaves(found: Any) -> list[Any]:
    if isinstance(found, (tuple, list)):
        return [y for each in found for y in leaves(each)]
    return [found]


def agree(f: Callable[..., Any], *arrays: Array, blocks: int = BLOCKS) -> list[Array]:
    """Run *f* by the simulator and by its references, compare, and return the former's results."""
    program, args = planned(f, arrays)
    found, _ = run(program, args, blocks)
    for out, wanted in zip(found, ReferenceProgram(program.tape).run(args), strict=True):
        assert (out.shape, out.dtype) == (wanted.shape, wanted.dtype)
        near = {
            "f": 1e-12 if out.dtype.itemsize == 8 else 1e-5,
            "c": 1e-12 if out.dtype.itemsize == 16 else 1e-5,
        }.get(out.dtype.kind, 0)
        near = 1e-3 if out.dtype == np.float16 else near
        assert_allclose(out, wanted, rtol=near, atol=near, err_msg=program.source())
    return found
