"""Loops and choices on the CPU: one instruction that runs the frame of another program, again and again.

Before each run it fills in where the operands of that run lie, and where its results go: rows of
stacks by their stride, the carry in turn in two places, or in the rows of a result that keeps what it
was, so that nothing is copied.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, Final

from nbgrad.backends.cpu.executor import HEADER, loop_address
from nbgrad.backends.cpu.launch import (
    Argument,
    BlasThreads,
    Inner,
    Launch,
    Row,
    Scratch,
    address,
    flattened,
    integers,
    launch,
)
from nbgrad.core.tape import Var
from nbgrad.program.arrange import PARALLEL_WORK
from nbgrad.program.loops import Chosen, Loop
from nbgrad.program.text import Number, Pointer, Status
from nbgrad.program.traffic import traffic
from nbgrad.program.values import CODES

# A row of the table: the word of the frame, four addresses (in the first run, in odd ones, in the
# other even ones, in the last), and the bytes between two runs.
_REPEAT: Final = """
def repeat(lo, hi, frame, run, status, table, number, rows, reverse):
    for k in range(lo, hi):
        at = hi - 1 - k if reverse != 0 else k
        which = 4 if k == hi - 1 else 1 if k == 0 else 3 - (k & 1)
        row = table
        for _ in range(rows):
            store_pointer(frame, row[0], offset_bytes(load_pointer(row, which), at * row[5]))
            row = offset_words(row, 6)
        found = call_loop(run, frame, frame)
        if found != 0:
            if status[0] == 0:
                status[0] = (found << 24) | number
            break
"""


# The same of runs that carry nothing, in groups, each of which has a frame of its own.
_REPEAT_APART: Final = """
def repeat_apart(lo, hi, frames, run, table, rows, count, each):
    for group in range(lo, hi):
        frame = load_pointer(frames, group)
        for k in range(group * each, min((group + 1) * each, count)):
            row = table
            for _ in range(rows):
                store_pointer(frame, row[0], offset_bytes(load_pointer(row, 1), k * row[5]))
                row = offset_words(row, 6)
            call_loop(run, frame, frame)
"""
# Groups for each core, at most, and of how many runs at least.
GROUPS, RUNS = 2, 4

# The frame of each branch, a table of words and addresses that are written to it, and its rows.
_CHOICE: Final = """
def choose(lo, hi, index, run, status, number, branches, count):
    k = min(max(i8(index[0]), 0), count - 1)
    row = offset_words(branches, 3 * k)
    frame, place = load_pointer(row, 0), load_pointer(row, 1)
    for _ in range(row[2]):
        store_pointer(frame, place[0], load_pointer(place, 1))
        place = offset_words(place, 2)
    found = call_loop(run, frame, frame)
    if found != 0 and status[0] == 0:
        status[0] = (((found << 8) | k) << 24) | number
"""


def choice(step: Chosen, number: int, inner: Sequence[Any]) -> list[Launch]:
    """The instruction that runs one of the runners *inner*."""
    index, *operands = [Pointer(x, 0) for x in step.eqn.inputs if isinstance(x, Var)]
    places = [*operands, *[Pointer(out, 0) for out in step.eqn.outs]]
    table = [x for k, place in enumerate(places) for x in (Number(HEADER + k), place)]
    rows = [x for each in inner for x in (Inner(each), Row(tuple(table)), Number(len(places)))]
    args: tuple[Any, ...] = (
        index, address(loop_address()), Status(), Number(number), Row(tuple(rows)), Number(len(inner)),
    )  # fmt: skip
    return [launch(_CHOICE, "choose", args, 1)]


_COPY: Final = """
def copy(lo, hi, x, y):
    for k in range(lo, hi):
        y[k] = x[k]
"""


def launches(step: Loop, number: int, inner: Any) -> list[Launch]:
    """The instruction of *step*, of which *inner* is the runner."""
    table = _table(step)
    if not step.rounds.carry and (groups := _groups(step, inner)) > 1:
        return [_apart(step, table, inner, groups)]
    args: tuple[Any, ...] = (
        Inner(inner), address(loop_address()), Status(), Row(tuple(x for row in table for x in row)),
        *integers(number, len(table), int(step.rounds.reverse)),
    )  # fmt: skip
    begun = [
        launch(_COPY, "copy", (Pointer(x, 0), _row(step, kept, step.rounds.reverse)), x.aval.size)
        for k, kept in step.kept.items()
        if isinstance(x := step.eqn.inputs[step.rounds.constants + k], Var)
    ]
    return [*begun, launch(_REPEAT, "repeat", args, step.rounds.count)]


def _groups(step: Loop, inner: Any) -> int:
    """How many threads may do the runs: none knows of another's, and BLAS has threads of its own."""
    given = [arg for n in inner.segments for each in n for arg in flattened(each.args)]
    alone = any(isinstance(x, (Status, BlasThreads, Inner)) or _is_address(x) for x in given)
    work = step.rounds.count * sum(each.flops for each in traffic(step.inner))
    if alone or work < PARALLEL_WORK:
        return 1
    return min(GROUPS * (os.cpu_count() or 1), step.rounds.count // RUNS)


def _is_address(arg: Any) -> bool:
    return isinstance(arg, Number) and arg.code == "i8*" and arg.value != 0


def _apart(step: Loop, table: Sequence[Any], inner: Any, groups: int) -> Launch:
    """The instruction that does the runs in *groups*; results are the same whoever does them."""
    frames = Row(tuple([Inner(inner) for _ in range(groups)]))
    each = -(-step.rounds.count // groups)
    args: tuple[Any, ...] = (
        frames, address(loop_address()), Row(tuple(x for row in table for x in row)),
        *integers(len(table), step.rounds.count, each),
    )  # fmt: skip
    return launch(_REPEAT_APART, "repeat_apart", args, groups, 1)


def _row(step: Loop, result: int, last: bool) -> Pointer:
    """The first row of a result, or the last."""
    out = step.eqn.outs[result]
    nbytes = out.aval.nbytes // step.rounds.count
    return Pointer(out, (step.rounds.count - 1) * nbytes if last else 0)


def _table(step: Loop) -> list[tuple[Argument, ...]]:
    tape, rounds = step.inner.tape, step.rounds
    first, last = rounds.constants, rounds.constants + rounds.carry
    spare = _spare([a for a in tape.outputs[: rounds.carry] if isinstance(a, Var)])
    outs = [out for k, out in enumerate(step.eqn.outs) if k not in step.kept.values()]
    ends: list[Pointer] = [Pointer(out, 0) for out in outs]
    rows: list[tuple[Argument, ...]] = []

    def add(*where: Argument, step: int = 0) -> None:
        n = rounds.count - 1
        end = where[0 if n == 0 else 2 - (n & 1)] if len(where) < 4 else where[3]
        rows.append((Number(HEADER + len(rows)), *where[:3], end, Number(step)))

    # The last run writes the result, the one before it the spare place, and so on.
    even = rounds.count % 2 == 1
    for k, (operand, var) in enumerate(zip(step.eqn.inputs, tape.inputs, strict=True)):
        assert isinstance(operand, Var)
        start = Pointer(operand, 0)
        if k - first in step.kept:
            add(*[_row(step, step.kept[k - first], False)] * 3, step=var.aval.nbytes)
        elif first <= k < last:
            own, apart = ends[k - first], spare[k - first]
            add(start, *((own, apart) if even else (apart, own)))
        else:
            add(start, start, start, step=0 if k < first else var.aval.nbytes)
    for k, (end, found) in enumerate(zip(ends, tape.outputs, strict=True)):
        assert isinstance(found, Var)
        nbytes = found.aval.nbytes
        if k in step.kept:  # in the row of the next run; after the last, as the result
            there = -nbytes if rounds.reverse else nbytes
            done = 0 if rounds.reverse else -(rounds.count - 1) * nbytes
            row = Pointer(step.eqn.outs[step.kept[k]], there)
            add(row, row, row, Pointer(step.eqn.outs[k], done), step=nbytes)
        elif k < rounds.carry:
            here, other = (end, spare[k]) if even else (spare[k], end)
            add(here, other, here)
        else:
            add(end, end, end, step=nbytes)
    return rows


def _spare(carry: Sequence[Var]) -> list[Scratch]:
    """A second place for each part of the carry."""
    found, start = [], 0
    for var in carry:
        size = -(-max(1, var.aval.nbytes) // 64) * 64
        found.append(Scratch(start, size, CODES[var.aval.dtype]))
        start += size
    return found
