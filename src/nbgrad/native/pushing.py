"""The tape of a reverse sweep in memory: what records, grows and sweeps it, as LLVM functions.

An entry is one operation, or an expression of several (`statements.py`): two partials and the places of what
they are by; one of more operands goes on in the entry before its own, which says so. Place 0 is of constants, then come
the inputs, then the operations in order, so a sweep needs no opcodes: it goes through the entries from the
end. A tape is one piece of memory, which doubles when it is full. Each call takes one of a pool, and says to
its thread which, so that threads do not meet. Beyond the budget a tape begins anew and notes that it failed:
the run comes to an end, and what it made is given to nobody.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, Final

from llvmlite import ir

from nbgrad.machine.numba_whole import inside

I8, I32, I64 = ir.IntType(8), ir.IntType(32), ir.IntType(64)
PTR = I8.as_pointer()
KEY, POOL, BUDGET = "nbgrad_tape_key", "nbgrad_tape_pool", "nbgrad_tape_budget"
FAULT, STACK = "nbgrad_fault_key", "nbgrad_stack_key"
# Python's PyThread_tss_get, by a name of its own: modules that are linked keep one declaration of a name, and
# that of the plain one would say nothing of what it reads.
OF_THREAD: Final = "nbgrad_of_thread"
PUSH: Final = "nbgrad_push"
SLOTS: Final = 64
WORDS: Final = 16
GOES_ON: Final = -(1 << 31)
# Words of a tape.
COUNT, LIMIT, ORIGIN, BUFFER, CAPACITY, FIRST, FAILED, ADJOINTS, ROOM, BEFORE = range(10)
LEAST: Final = 1 << 16
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


def entry_type(component: Any) -> Any:
    return ir.LiteralStructType([component, component, I32, I32])


def _size(builder: Any, ty: Any) -> Any:
    """The size of a type, as LLVM says it."""
    null = ir.Constant(ty.as_pointer(), None)
    return builder.ptrtoint(builder.gep(null, [I64(1)]), I64)


def _grow(module: Any, component: Any, code: str) -> Any:
    """``void grow(tape)``: twice the memory, or from the beginning again if that is too much."""
    name = f"nbgrad_grow_{code}"
    function, b = _function(module, name, ir.VoidType(), [I64.as_pointer()], "noinline", "cold")
    if b is None:
        return function
    (tape,) = function.args
    size = _size(b, entry_type(component))
    old = b.load(word(b, tape, CAPACITY))
    new = b.mul(old, I64(2))
    new = b.select(b.icmp_unsigned("<", new, I64(LEAST)), I64(LEAST), new)
    budget = b.load(_external(module, BUDGET, I64))
    # Where a tape begins anew there has to be memory, whatever the budget.
    budget = b.select(b.icmp_unsigned("<", budget, I64(LEAST)), I64(LEAST), budget)
    first = b.load(word(b, tape, FIRST))
    places = b.add(first, b.udiv(new, size))
    allowed = b.and_(
        b.icmp_unsigned("<=", new, budget), b.icmp_unsigned("<", places, I64(1 << 31))
    )
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
            b.store(address, word(b, tape, BUFFER))
            b.store(new, word(b, tape, CAPACITY))
            b.store(places, word(b, tape, LIMIT))
            b.store(b.sub(address, b.mul(first, size)), word(b, tape, ORIGIN))
        with otherwise:
            b.store(I64(1), word(b, tape, FAILED))
            b.store(first, word(b, tape, COUNT))
    b.ret_void()
    return function


# What is declared in functions that are compiled whole, by its name: what it is made of.
_bodies: dict[str, tuple[Any, str, int]] = {}


def bodies(names: Sequence[str]) -> str:
    """A module with what records among *names*: functions that call it are simplified before it is in them."""
    module = ir.Module()
    for name in names:
        if name in _bodies:
            _push(module, *_bodies[name])
    return str(module)


def _push(module: Any, component: Any, code: str, count: int, declared: bool = False) -> Any:
    """``i64 push(p, i, q, j, ...)``, one to four pairs: the place of what is recorded, 0 if none is active.

    Beyond two it takes two entries, of which the first goes on with the adjoint of the second.
    """
    args = [component, I64] * count
    name = f"{PUSH}{count}_{code}"
    if declared:
        _bodies[name] = component, code, count
        function = _declared(module, name, I64, *args)
        function.attributes.add("nounwind")
        set.add(function.attributes, "willreturn")  # which llvmlite does not know
        return function
    function, b = _function(module, name, I64, args, "alwaysinline")
    if b is None:
        return function
    set.add(function.attributes, "willreturn")
    partials, places = function.args[::2], function.args[1::2]
    start, last = b.block, (count - 1) // 2
    with b.if_then(b.icmp_unsigned("!=", functools.reduce(b.or_, places), I64(0)), likely=True):
        tape = tape_of_thread(b)
        need = b.add(b.load(word(b, tape, COUNT)), I64(last))
        with b.if_then(b.icmp_unsigned(">=", need, b.load(word(b, tape, LIMIT))), likely=False):
            b.call(_grow(module, component, code), [tape])
        place = b.add(b.load(word(b, tape, COUNT)), I64(last))
        origin = b.inttoptr(b.load(word(b, tape, ORIGIN)), entry_type(component).as_pointer())
        for k in range(last + 1):
            mine = b.sub(place, I64(k))
            # What is not there adds nothing to the entry's own adjoint, which nobody waits for.
            some = [*partials[2 * k : 2 * k + 2], ir.Constant(component, None)][:2]
            at = [b.trunc(x, I32) for x in [*places[2 * k : 2 * k + 2], mine][:2]]
            if k:
                at[0] = b.or_(at[0], I32(GOES_ON))
            entry = b.gep(origin, [mine])
            for field, x in enumerate((*some, *at)):
                b.store(x, b.gep(entry, [I32(0), I32(field)]))
        b.store(b.add(place, I64(1)), word(b, tape, COUNT))
        recorded = b.block
    found = b.phi(I64)
    found.add_incoming(I64(0), start)
    found.add_incoming(place, recorded)
    b.ret(found)
    return function


def push(context: Any, builder: Any, component: Any, entries: Sequence[tuple[Any, Any]]) -> Any:
    """Record an operation: one to four partials of the type *component*, and places. Its place.

    LLVM takes it for a function of its operands alone until it is inlined: what is recorded twice may be
    recorded once, and what nobody asks the place of is not recorded.
    """
    ty, code = context.get_value_type(component), _code(component)
    function = _push(builder.module, ty, code, len(entries), inside())
    given = [x for entry in entries for x in entry]
    return builder.call(function, given, attrs=("readnone", "nounwind"))


def _code(component: Any) -> str:
    return str(component).replace("(", "_").replace(")", "")
