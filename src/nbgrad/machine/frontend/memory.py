"""Pointers and memory in kernel text, and calls of what a pointer points to.

Pointers stay pointers: an address computed as an integer loses its provenance, which LLVM 22
miscompiles (numba#10605), so tables of addresses are read with ``load ptr`` and offset by GEP.
"""

from __future__ import annotations

from typing import Any, Final

from llvmlite import ir

from nbgrad.machine import gate, pointers
from nbgrad.machine.frontend.instructions import ANY, Instruction, instruction
from nbgrad.machine.frontend.kinds import llvm_type
from nbgrad.machine.frontend.operations import called
from nbgrad.machine.intrinsics import ROOM, room_f4, room_f8

I1, I32, I64 = ir.IntType(1), ir.IntType(32), ir.IntType(64)
BYTES: Final = ir.IntType(8).as_pointer()
POINTER: Final = I64.as_pointer()
WORDS: Final = "i8*"
VOID: Final = ir.VoidType()
LINE: Final = 64  # bytes of a line of the cache


def at(b: Any, function: Any, result: Any, *args: Any) -> Any:
    """Call the function at an address."""
    kind = ir.FunctionType(result, [a.type for a in args])
    return b.call(b.bitcast(function, kind.as_pointer()), args)


def in_frame(b: Any, kind: Any, count: int = 1) -> Any:
    """Memory of the function's own stack, the same at every call."""
    with b.goto_entry_block():
        return b.alloca(kind, count)


@instruction(WORDS, WORDS, "i8")
def load_pointer(b: Any, table: Any, word: Any) -> Any:
    """``table[word]`` as a pointer to words."""
    return b.load(b.bitcast(b.gep(table, [word]), POINTER.as_pointer()))


@instruction("none", WORDS, "i8", WORDS)
def store_pointer(b: Any, table: Any, word: Any, pointer: Any) -> Any:
    """``table[word] = pointer``."""
    return b.store(pointer, b.bitcast(b.gep(table, [word]), POINTER.as_pointer()))


@instruction(WORDS, WORDS, "i8")
def offset_words(b: Any, pointer: Any, words: Any) -> Any:
    """The pointer *words* words further."""
    return b.gep(pointer, [words])


@instruction(WORDS, ANY, "i8")
def offset_bytes(b: Any, pointer: Any, count: Any) -> Any:
    """The place *count* bytes after any pointer, as a pointer to words."""
    return b.bitcast(b.gep(b.bitcast(pointer, BYTES), [count]), POINTER)


@instruction("i8", WORDS, WORDS)
def distance(b: Any, pointer: Any, origin: Any) -> Any:
    """Bytes from *origin* to *pointer*."""
    return b.sub(b.ptrtoint(pointer, I64), b.ptrtoint(origin, I64))


@instruction("i8", WORDS)
def address(b: Any, pointer: Any) -> Any:
    """The address as a number, to be stored or compared; to follow it, keep the pointer."""
    return b.ptrtoint(pointer, I64)


@instruction("b1", ANY)
def is_nowhere(b: Any, pointer: Any) -> Any:
    """Whether a pointer is null."""
    return b.icmp_unsigned("==", b.ptrtoint(pointer, I64), I64(0))


@instruction(WORDS)
def nowhere(b: Any) -> Any:
    """A null pointer."""
    return POINTER(None)


# ------------------------------------------------------------------------------ functions by address


@instruction("none", WORDS, "i8", "i8", WORDS)
def call_kernel(b: Any, kernel: Any, lo: Any, hi: Any, args: Any) -> Any:
    """Call ``void (*kernel)(int64 lo, int64 hi, int64 *args)``."""
    return at(b, kernel, VOID, lo, hi, args)


@instruction("none", WORDS, WORDS, WORDS, WORDS, WORDS, WORDS, "i8")
def call_pool(b: Any, launch: Any, *rest: Any) -> Any:
    """Call Numba's ``numba_parallel_for`` at *launch* with one array argument and *n* threads."""
    *words, n = rest
    # The fixed arguments are inner_ndim = 0 and array_count = 1.
    return at(b, launch, VOID, *[b.bitcast(p, BYTES) for p in words], I64(0), I64(1), n)


@instruction("i8", WORDS, WORDS, WORDS)
def call_loop(b: Any, loop: Any, frame: Any, values: Any) -> Any:
    """Call the executor's loop, ``int64 (*loop)(int64 *frame, PyObject *values)``."""
    return at(b, loop, I64, frame, values)


@instruction("i8", WORDS, WORDS)
def call_frame(b: Any, run: Any, frame: Any) -> Any:
    """Call ``int64 (*run)(int64 *frame, int64 *frame)``: the executor's loop, from helpers."""
    return at(b, run, I64, frame, frame)


@instruction("i8", WORDS, WORDS)
def call_asked(b: Any, asked: Any, words: Any) -> Any:
    """Call ``int64 (*asked)(int64 *)``."""
    return at(b, asked, I64, words)


def _grow(b: Any, grow: Any, pointer: Any, size: Any) -> Any:
    found = at(b, grow.value, BYTES, b.bitcast(pointer.value, BYTES), size.value)
    return b.bitcast(found, pointer.value.type)


# Call ``void *(*grow)(void *, size_t)``: what comes back is a pointer of the same kind.
CALL_GROW: Final = Instruction("call_grow", lambda grow, pointer, size: pointer, None, _grow, 3)


@instruction("none", WORDS, ANY)
def call_release(b: Any, release: Any, pointer: Any) -> Any:
    """Call ``void (*release)(void *)``."""
    return at(b, release, VOID, b.bitcast(pointer, BYTES))


@instruction("none", WORDS, WORDS, WORDS, "i8")
def call_copy(b: Any, copy: Any, target: Any, source: Any, size: Any) -> Any:
    """Call ``void *(*copy)(void *target, const void *source, size_t size)``."""
    return at(b, copy, BYTES, b.bitcast(target, BYTES), b.bitcast(source, BYTES), size)


def _fortran(name: str, arity: int) -> Instruction:
    """``name(routine, table)``; the table holds the arguments' addresses, *routine* what ``machine/gate.py`` says."""

    def generate(b: Any, routine: Any, table: Any) -> Any:
        slots = b.bitcast(table, BYTES.as_pointer())
        record = b.bitcast(routine, POINTER.as_pointer())
        function, place = (b.load(b.gep(record, [I64(k)])) for k in range(2))
        inside = _entered(b, place, table)
        found = at(b, function, VOID, *[b.load(b.gep(slots, [I64(k)])) for k in range(arity)])
        b.atomic_rmw("sub", inside, I64(1), "seq_cst")
        return found

    return instruction("none", WORDS, WORDS, name=name)(generate)


def _entered(b: Any, place: Any, here: Any) -> Any:
    """Count this thread as inside, once the gate is open; the counter. *here* is on the thread's stack."""
    line = b.and_(b.lshr(b.ptrtoint(here, I64), I64(gate.STACK_BITS)), I64(gate.COUNTERS - 1))
    inside = b.gep(place, [b.mul(b.add(line, I64(1)), I64(LINE // 8))])
    ask, closed, enter = (b.append_basic_block(name) for name in ("ask", "closed", "enter"))
    b.branch(ask)
    b.position_at_end(ask)
    b.atomic_rmw("add", inside, I64(1), "seq_cst")
    shut = b.load_atomic(b.gep(place, [I64(gate.CLOSED)]), "seq_cst", 8)
    b.cbranch(b.icmp_unsigned("!=", shut, I64(0)), closed, enter).set_weights([1, 1 << 20])
    b.position_at_end(closed)
    b.atomic_rmw("sub", inside, I64(1), "seq_cst")
    at(b, b.load(b.gep(b.bitcast(place, POINTER.as_pointer()), [I64(gate.WAIT)])), I32)
    b.branch(ask)
    b.position_at_end(enter)
    return inside


# ------------------------------------------------------------------------------------------- memory


@instruction(WORDS, "i8", "i8")
def memory_of(b: Any, count: Any, size: Any) -> Any:
    """C's ``calloc``."""
    return b.bitcast(called(b, "calloc", BYTES, count, size), POINTER)


@instruction(WORDS, WORDS, "i8")
def memory_again(b: Any, pointer: Any, size: Any) -> Any:
    """C's ``realloc``."""
    return b.bitcast(called(b, "realloc", BYTES, b.bitcast(pointer, BYTES), size), POINTER)


@instruction("none", WORDS)
def memory_free(b: Any, pointer: Any) -> Any:
    """C's ``free``."""
    return called(b, "free", VOID, b.bitcast(pointer, BYTES))


def _given_back(module: Any) -> Any:
    """The function that gives back what a table points to, in this module."""
    name = "nbgrad_given_back"
    found = module.globals.get(name)
    if found is not None:
        return found
    found = ir.Function(module, ir.FunctionType(VOID, [POINTER, I64]), name)
    found.linkage = "internal"
    for attribute in ("cold", "noinline", "nounwind"):
        found.attributes.add(attribute)
    first, each = found.append_basic_block("first"), found.append_basic_block("each")
    last, b = found.append_basic_block("last"), ir.IRBuilder(first)
    b.branch(each)
    b.position_at_end(each)
    k, (table, count) = b.phi(I64), found.args
    pointer = b.load(b.bitcast(b.gep(table, [k]), BYTES.as_pointer()))
    called(b, "free", VOID, pointer)
    following = b.add(k, I64(1))
    k.add_incoming(I64(0), first)
    k.add_incoming(following, each)
    b.cbranch(b.icmp_signed("<", following, count), each, last)
    ir.IRBuilder(last).ret_void()
    return found


@instruction("none", WORDS, "i8")
def memory_given_back(b: Any, table: Any, count: Any) -> Any:
    """C's ``free`` for *count* words of a table, one or more: one function, as it is called where hardly anybody comes."""
    return b.call(_given_back(b.module), [table, count])


@instruction("i8", WORDS, "i8")
def atomic_swap(b: Any, word: Any, value: Any) -> Any:
    """Write *value* and return what was there; what other threads wrote before is seen from then on."""
    return b.atomic_rmw("xchg", word, value, "acquire")


@instruction("none", WORDS, "i8")
def atomic_store(b: Any, word: Any, value: Any) -> Any:
    """Write *value*, after all that was written before."""
    return b.store_atomic(value, word, "release", 8)


def _stack(name: str, words: int) -> Instruction:
    """So many words of the function's own stack, the same at every call."""
    return instruction(WORDS, name=name)(lambda b: in_frame(b, I64, words))


def _room(code: str) -> Instruction:
    """``ROOM`` bytes of the function's own stack, the same at every call."""

    def generate(b: Any) -> Any:
        place = in_frame(b, llvm_type(code), ROOM // int(code[1]))
        place.align = LINE
        return place

    return instruction(f"{code}*", name=f"room_{code}")(generate)


def _words_as(code: str) -> Instruction:
    """A pointer to words as one to elements of another type."""
    kind = f"{code}*"
    declare = instruction(kind, WORDS, name=f"words_as_{code}")
    return declare(lambda b, pointer: b.bitcast(pointer, llvm_type(kind)))


# Routines of BLAS and LAPACK, with the number of their arguments.
ROUTINES: Final = {
    "gemm": 13, "gemv": 11, "trsm": 11, "trsv": 8, "potrf": 5, "potri": 5,
    "gesv": 8, "getrf": 6, "trsm_lu": 11, "syevd": 11, "geqrf": 8, "orgqr": 9, "gesdd": 14,
}  # fmt: skip

MEMORY: Final = (
    *(load_pointer, store_pointer, offset_words, offset_bytes, distance, address, is_nowhere, nowhere),
    *(call_kernel, call_pool, call_loop, call_asked, CALL_GROW, call_release, call_copy),
    *(memory_of, memory_again, memory_free, memory_given_back, atomic_swap, atomic_store),
    *(_stack("stack_words", 32), _stack("stack_room", 256), _stack("stack_frame", 1024)),
    *[_words_as(code) for code in ("f8", "f4", "i8", "b1")],
    *[_fortran(f"call_{name}", arity) for name, arity in ROUTINES.items()],
)  # fmt: skip
# Those that helpers name, in plain Python too.
BY_PLAIN: Final = {
    pointers.call_frame: call_frame,
    pointers.call_kernel: call_kernel,
    room_f4: _room("f4"),
    room_f8: _room("f8"),
}
