"""The tape of a reverse sweep in memory: what records, grows and sweeps it, as LLVM functions.

An entry (`entries.py`) is one operation, or an expression of several (`statements.py`): partials, and the places of
what they are by. Place 0 is of constants, then come the inputs, then the operations in order, so a sweep needs no
opcodes: it goes through the entries from the end. A tape is one piece of memory, which doubles when it is full. Each call takes one of a pool, and says to
its thread which, so that threads do not meet. Beyond the budget a tape begins anew and notes that it failed:
the run comes to an end, and what it made is given to nobody.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from typing import Any, Final

from llvmlite import ir

from nbgrad.machine.numba_whole import inside
from nbgrad.native.entries import Form

I8, I32, I64 = ir.IntType(8), ir.IntType(32), ir.IntType(64)
PTR = I8.as_pointer()
KEY, POOL, BUDGET = "nbgrad_tape_key", "nbgrad_tape_pool", "nbgrad_tape_budget"
FAULT, STACK = "nbgrad_fault_key", "nbgrad_stack_key"
# Python's PyThread_tss_get, by a name of its own: modules that are linked keep one declaration of a name, and
# that of the plain one would say nothing of what it reads.
OF_THREAD: Final = "nbgrad_of_thread"
SLOTS: Final = 64
WORDS: Final = 16
# Words of a tape.
COUNT, TOP, END, BUFFER, CAPACITY, FIRST, FAILED, ADJOINTS, ROOM, BEFORE = range(10)
LEAST: Final = 1 << 16
SMALLEST: Final = 16  # bytes of an entry
KEPT: Final = 1 << 28  # bytes that a tape in the pool keeps


def _external(module: Any, name: str, ty: Any) -> Any:
    found = module.globals.get(name)
    if found is None:
        found = ir.GlobalVariable(module, ty, name)
        found.linkage = "external"
    return found


def _declared(module: Any, name: str, result: Any, *args: Any) -> Any:
    return module.globals.get(name) or ir.Function(module, ir.FunctionType(result, args), name)


def _function(module: Any, name: str, result: Any, args: Sequence[Any], *attributes: str) -> Any:
    """A function to be written in this module, or None with that which is there: both by its name."""
    found = module.globals.get(name)
    if found is not None:
        return found, None
    function = ir.Function(module, ir.FunctionType(result, args), name)
    function.linkage = "linkonce_odr"
    for attribute in ("nounwind", *attributes):
        function.attributes.add(attribute)
    return function, ir.IRBuilder(function.append_basic_block())


def tape_of_thread(builder: Any) -> Any:
    """The address of the tape that the thread has been given: its words."""
    module = builder.module
    function = _declared(module, OF_THREAD, PTR, PTR)
    # Asked once for a loop, whatever is written meanwhile. llvmlite does not know all of these.
    for attribute in ("readnone", "nounwind", "willreturn", "speculatable"):
        set.add(function.attributes, attribute)
    key = _external(module, KEY, ir.ArrayType(I64, 4))
    found = builder.call(function, [builder.bitcast(key, PTR)])
    return builder.bitcast(found, I64.as_pointer())


def _frame(builder: Any) -> Any:
    """Where the frame of the function lies on the stack."""
    function = builder.module.declare_intrinsic(
        "llvm.frameaddress", [PTR], ir.FunctionType(PTR, [I32])
    )
    return builder.ptrtoint(builder.call(function, [I32(0)]), I64)


def overflows(builder: Any) -> Any:
    """Whether the stack of the thread ends soon: it goes down to what the thread holds for that."""
    get = _declared(builder.module, "PyThread_tss_get", PTR, PTR)
    key = builder.bitcast(_external(builder.module, STACK, ir.ArrayType(I64, 4)), PTR)
    least = builder.ptrtoint(builder.call(get, [key]), I64)
    return builder.icmp_unsigned("<", _frame(builder), least)


def limit_stack(builder: Any, size: Any) -> None:
    """Let functions of this thread go so many bytes further down the stack, if no limit is set."""
    key = builder.bitcast(_external(builder.module, STACK, ir.ArrayType(I64, 4)), PTR)
    put = _declared(builder.module, "PyThread_tss_set", I32, PTR, PTR)
    least = builder.sub(_frame(builder), size)
    builder.call(put, [key, builder.inttoptr(least, PTR)])


def word(builder: Any, tape: Any, number: int) -> Any:
    return builder.gep(tape, [I64(number)], inbounds=True)


def size_of(builder: Any, ty: Any) -> Any:
    """The size of a type, as LLVM says it."""
    null = ir.Constant(ty.as_pointer(), None)
    return builder.ptrtoint(builder.gep(null, [I64(1)]), I64)


def _allowed(b: Any, size: Any, first: Any) -> Any:
    """Whether a tape may be so large, with the places *first* and on."""
    budget = b.load(_external(b.module, BUDGET, I64))
    # Where a tape begins anew there has to be memory, whatever the budget.
    budget = b.select(b.icmp_unsigned("<", budget, I64(LEAST)), I64(LEAST), budget)
    places = b.add(first, b.udiv(size, I64(SMALLEST)))
    return b.and_(b.icmp_unsigned("<=", size, budget), b.icmp_unsigned("<", places, I64(1 << 31)))


def _grow(module: Any) -> Any:
    """``void grow(tape)``: twice the memory, or from the beginning again if that is too much."""
    function, b = _function(
        module, "nbgrad_grow", ir.VoidType(), [I64.as_pointer()], "noinline", "cold"
    )
    if b is None:
        return function
    (tape,) = function.args
    old = b.load(word(b, tape, CAPACITY))
    new = b.mul(old, I64(2))
    new = b.select(b.icmp_unsigned("<", new, I64(LEAST)), I64(LEAST), new)
    first = b.load(word(b, tape, FIRST))
    allowed = _allowed(b, new, first)
    memory = b.load(word(b, tape, BUFFER))
    with b.if_else(allowed) as (then, otherwise):
        with then:
            realloc = _declared(module, "realloc", PTR, PTR, I64)
            got = b.call(realloc, [b.inttoptr(memory, PTR), new])
            got_at = b.ptrtoint(got, I64)
            there = b.block
        with otherwise:
            elsewhere = b.block
    address = b.phi(I64)
    address.add_incoming(got_at, there)
    address.add_incoming(I64(0), elsewhere)
    with b.if_else(b.icmp_unsigned("!=", address, I64(0))) as (then, otherwise):
        with then:
            used = b.sub(b.load(word(b, tape, TOP)), memory)
            b.store(address, word(b, tape, BUFFER))
            b.store(new, word(b, tape, CAPACITY))
            b.store(b.add(address, used), word(b, tape, TOP))
            b.store(b.add(address, new), word(b, tape, END))
        with otherwise:
            b.store(I64(1), word(b, tape, FAILED))
            b.store(first, word(b, tape, COUNT))
            b.store(memory, word(b, tape, TOP))
    b.ret_void()
    return function


# The components of what records, by their names in those of functions.
_components: dict[str, Any] = {}
_NAMED: Final = re.compile(r"nbgrad_(push|onto)(\d)_(.+)")


def bodies(names: Sequence[str]) -> str:
    """A module with what records among *names*: functions that call it are simplified before it is in them."""
    module = ir.Module()
    for name in names:
        found = _NAMED.fullmatch(name)
        if found:
            kind, count, code = found.groups()
            (_push if kind == "push" else _onto)(module, code, int(count))
    return str(module)


def _push(module: Any, code: str, count: int, name: str = "push", *, inlined: bool = True) -> Any:
    """``i64 push(p, i, q, j, ...)``, one to four pairs: the place of what is recorded, 0 if none is active."""
    component = _components[code]
    attributes = ["alwaysinline"] if inlined else ["noinline", "cold"]
    function, b = _function(
        module, f"nbgrad_{name}{count}_{code}", I64, [component, I64] * count, *attributes
    )
    if b is None:
        return function
    set.add(function.attributes, "willreturn")  # which llvmlite does not know
    partials, places = function.args[::2], function.args[1::2]
    start = b.block
    with b.if_then(_any(b, places), likely=True):
        tape = tape_of_thread(b)
        _write(b, tape, Form(component, count, False), partials, places)
        place = b.load(word(b, tape, COUNT))
        b.store(b.add(place, I64(1)), word(b, tape, COUNT))
        recorded = b.block
    found = b.phi(I64)
    found.add_incoming(I64(0), start)
    found.add_incoming(place, recorded)
    b.ret(found)
    return function


def _onto(module: Any, code: str, count: int) -> Any:
    """``i64 onto(own, p, i, ...)``, one to three pairs: *own*, or a new place where that is a constant's."""
    component = _components[code]
    args = [I64, *[component, I64] * count]
    function, b = _function(module, f"nbgrad_onto{count}_{code}", I64, args, "alwaysinline")
    set.add(function.attributes, "willreturn")
    own, *given = function.args
    start = b.block
    with b.if_then(_any(b, given[1::2]), likely=True):
        with b.if_else(b.icmp_unsigned("!=", own, I64(0)), likely=True) as (then, otherwise):
            with then:
                form = Form(component, count, True)
                _write(b, tape_of_thread(b), form, given[::2], given[1::2], own)
                added = b.block
            with otherwise:
                first = _push(module, code, count, "first", inlined=False)
                place = b.call(first, given)
                begun = b.block
        held = b.phi(I64)
        held.add_incoming(own, added)
        held.add_incoming(place, begun)
        recorded = b.block
    found = b.phi(I64)
    found.add_incoming(own, start)
    found.add_incoming(held, recorded)
    b.ret(found)
    return function


def _any(b: Any, places: Sequence[Any]) -> Any:
    """Whether one of these is the place of what is no constant."""
    return b.icmp_unsigned("!=", functools.reduce(b.or_, places), I64(0))


def _write(
    b: Any, tape: Any, form: Form, partials: Sequence[Any], places: Sequence[Any], own: Any = None
) -> None:
    """Write an entry at the end of the tape, which grows if that has no room."""
    size = size_of(b, form.type)
    end = b.add(b.load(word(b, tape, TOP)), size)
    with b.if_then(b.icmp_unsigned(">", end, b.load(word(b, tape, END))), likely=False):
        b.call(_grow(b.module), [tape])
    top = b.load(word(b, tape, TOP))
    entry = b.inttoptr(top, form.type.as_pointer())
    at = [b.trunc(x, I32) for x in places]
    form.write(b, entry, partials, at, None if own is None else b.trunc(own, I32))
    b.store(b.add(top, size), word(b, tape, TOP))


def push(context: Any, builder: Any, component: Any, entries: Sequence[tuple[Any, Any]]) -> Any:
    """Record an operation: one to four partials of the type *component*, and places. Its place.

    LLVM takes it for a function of its operands alone until it is inlined: what is recorded twice may be
    recorded once, and what nobody asks the place of is not recorded.
    """
    code, count = _code(component), len(entries)
    ty = _components[code] = context.get_value_type(component)
    if inside():
        args = [ty, I64] * count
        function = _declared(builder.module, f"nbgrad_push{count}_{code}", I64, *args)
        function.attributes.add("nounwind")
        set.add(function.attributes, "willreturn")
    else:
        function = _push(builder.module, code, count)
    given = [x for entry in entries for x in entry]
    return builder.call(function, given, attrs=("readnone", "nounwind"))


def _code(component: Any) -> str:
    return str(component).replace("(", "_").replace(")", "")
