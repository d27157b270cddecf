"""Points of CUDA kernels by twos and fours: elements that lie next to each other are read and written at once.

Where all that a nest reads and writes goes along with its points, a thread has as many of them as fit into 16 bytes. A kernel
looks whether its operands begin at multiples of that: if not, it reads and writes element by element.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nbgrad.program.nest import Compute, Load, Select, Store
from nbgrad.program.values import ALL_CODES

if TYPE_CHECKING:
    from nbgrad.program.cuda_text import CudaEmitter

# Points from which on it is worth it, statements up to which: more are not held up by memory, and take long to compile.
FROM, MOST = 1 << 16, 24
BYTES = 16
CODES = ("f8", "f4", "i8", "i4", "u8", "u4")


def together(e: CudaEmitter) -> int:
    """How many points of the nest a thread takes at once: 1, 2 or 4."""
    nest = e.nest
    computed = [v for v in nest.body if isinstance(v, Compute) and not v.uniform]
    loads = [v for v in nest.body if isinstance(v, Load) and any(v.strides)]
    windows = any(isinstance(v, Select) or getattr(v, "guards", ()) for v in nest.body)
    if e.last or windows or nest.size < FROM or not loads or len(computed) > MOST:
        return 1
    operands: list[Load | Store] = [*loads, *nest.stores]
    along = all(x.strides == (1,) for x in operands)
    dtypes = {x.buffer.aval.dtype for x in operands}
    if not along or not all(ALL_CODES.get(dtype) in CODES for dtype in dtypes):
        return 1
    return BYTES // max([dtype.itemsize for dtype in dtypes])


def points(e: CudaEmitter, count: int) -> int:
    """The loop over groups of *count* points, then what is left; return how many groups there are."""
    loads = {n: v for n, v in enumerate(e.nest.body) if isinstance(v, Load) and any(v.strides)}
    places = [f"x{n}" for n in loads] + [f"y{k}" for k in range(len(e.nest.stores))]
    before = dict(e.operands)
    e.line(1, "size = n0")
    e.line(1, f"whole = ({' | '.join(places)}) & {count - 1} == 0")
    e.line(1, "t = cuda.grid(1)")
    e.line(1, f"while t < size // {count}:")
    e.line(2, f"j = t * {count}")
    for n, load in loads.items():
        names = ", ".join(f"v{n}_{k}" for k in range(count))
        e.line(2, f"{names} = load_{count}({reference(e, f'x{n}', load.buffer)}, whole)")
    found: list[list[str]] = [[] for _ in e.nest.stores]
    for k in range(count):
        e.operands = dict(before)
        e.operands.update({n: f"v{n}_{k}" for n in loads})
        for number, value in enumerate(e.nest.body):
            if isinstance(value, Compute) and number not in e.operands:
                e.line(2, f"v{number}_{k} = {e.text(value)}")
                e.operands[number] = f"v{number}_{k}"
        for store, texts in zip(e.nest.stores, found, strict=True):
            texts.append(f"{ALL_CODES[store.dtype]}({e.operands[store.arg]})")
    for k, (store, texts) in enumerate(zip(e.nest.stores, found, strict=True)):
        place = reference(e, f"y{k}", store.buffer)
        e.line(2, f"store_{count}({place}, whole, {', '.join(texts)})")
    e.line(2, "t += cuda.gridsize(1)")
    e.operands = dict(before)
    e.line(1, f"j = size // {count} * {count} + cuda.grid(1)")
    e.line(1, "if j < size:")
    e.body(2, False)
    return -(-e.nest.size // count)


def reference(e: CudaEmitter, name: str, buffer: Any) -> str:
    """The view, and the element there of point ``j``."""
    code = ALL_CODES[buffer.aval.dtype]
    e.views.add(code)
    return f"m_{code}, u8({name} + j)"
