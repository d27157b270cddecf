"""Loops that run while a condition holds, of more than scalars: one instruction that runs their frames.

The carry is in turn in two places, as in ``loops.py``. For the way back what it reads of the carry is
copied before each run to memory that grows; then another frame goes over that from its end.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from nbgrad.backends.cpu.executor import HEADER, loop_address
from nbgrad.backends.cpu.launch import (
    Argument,
    Inner,
    Launch,
    Row,
    Scratch,
    address,
    integers,
    launch,
)
from nbgrad.core.tape import Var
from nbgrad.program.loops import Whole
from nbgrad.program.text import ENDED, NO_MEMORY, Number, Pointer, Service, Status
from nbgrad.program.values import CODES

# What failed, in two bits above the number of the step: a frame, or the loop itself.
TEST, BODY, BACK, ITSELF = range(4)
# Runs after which a loop asks whether it is to end, less one.
ASKING: Final = (1 << 12) - 1

# A row has a word of the frame or a number of bytes, three addresses (in the first run, in odd ones, in
# the other even ones), and where it is kept, -1 if it is not, or where it goes.
_TRIPS: Final = f"""
def trips(lo, hi, test, body, back, run, status, number, limit, flags, tests, n_tests, runs, n_runs,
          keeps, n_keeps, wholes, n_wholes, width, row_width, most, most_again, backs, n_backs, zeros, n_zeros,
          ends, n_ends, nowhere, copy, grow, release, asked, raised):
    kept, room, fault, k = nowhere, 0, 0, 0
    again, again_room = nowhere, 0
    rows, every, due = 0, 1, 0
    flag = load_pointer(flags, 0)
    while k != limit:
        which = 1 if k == 0 else 3 - (k & 1)
        flag[0] = 0
        row = tests
        for _ in range(n_tests):
            store_pointer(test, row[0], load_pointer(row, which))
            row = offset_words(row, 5)
        found = call_loop(run, test, test)
        if found != 0:
            fault = (found << 2) | {TEST}
            break
        if (flag[0] & 255) == 0:
            break
        if most != 0 and k == due and rows == most:
            rows, every = (rows + 1) // 2, 2 * every
            due = rows * every
            for i in range(1, rows):
                place = offset_bytes(kept, i * row_width)
                call_copy(copy, place, offset_bytes(kept, 2 * i * row_width), row_width)
        if (most == 0 or k == due) and row_width != 0:
            if rows == room:
                room = max(16, 2 * room)
                if most != 0:
                    room = min(room, most)
                more = call_grow(grow, kept, row_width * room)
                if is_nowhere(more):
                    fault = ({NO_MEMORY} << 2) | {ITSELF}
                    break
                kept = more
            row = wholes
            for _ in range(n_wholes):
                place = offset_bytes(kept, rows * row_width + row[4])
                call_copy(copy, place, load_pointer(row, which), row[0])
                row = offset_words(row, 5)
            rows, due = rows + 1, due + every
        row = runs
        for _ in range(n_runs):
            store_pointer(body, row[0], load_pointer(row, which))
            row = offset_words(row, 5)
        found = call_loop(run, body, body)
        if found != 0:
            fault = (found << 2) | {BODY}
            break
        k += 1
        if (k & {ASKING}) == 0 and call_asked(asked, raised) != 0:
            fault = ({ENDED} << 2) | {ITSELF}
            break
    done = k
    if n_backs != 0:
        row = zeros
        for _ in range(n_zeros):
            place = load_pointer(row, 1)
            for j in range(row[0]):
                place[j] = 0
            row = offset_words(row, 5)
        done = 0
        while done < k and fault == 0:
            source, first = kept, 0
            if most != 0:  # of the runs that are left, the last ones again
                start = (k - done - 1) // every
                row = wholes
                for _ in range(n_wholes):
                    place = offset_bytes(kept, start * row_width + row[4])
                    call_copy(copy, load_pointer(row, 3), place, row[0])
                    row = offset_words(row, 5)
                start = start * every
                left = k - done - start
                skipped = max(0, left - most_again)
                if width != 0 and left - skipped > again_room:
                    again_room = left - skipped
                    more = call_grow(grow, again, width * again_room)
                    if is_nowhere(more):
                        fault = ({NO_MEMORY} << 2) | {ITSELF}
                        break
                    again = more
                for i in range(left):
                    which = 3 - (i & 1)
                    if i >= skipped:
                        row = keeps
                        for _ in range(n_keeps):
                            place = offset_bytes(again, (i - skipped) * width + row[4])
                            call_copy(copy, place, load_pointer(row, which), row[0])
                            row = offset_words(row, 5)
                    if i == left - 1:
                        break
                    row = runs
                    for _ in range(n_runs):
                        store_pointer(body, row[0], load_pointer(row, which))
                        row = offset_words(row, 5)
                    found = call_loop(run, body, body)
                    if found != 0:
                        fault = (found << 2) | {BODY}
                        break
                source, first = again, start + skipped
            while done < k - first and fault == 0:
                which = 1 if done == 0 else 3 - (done & 1)
                row = backs
                for _ in range(n_backs):
                    place = load_pointer(row, which)
                    if row[4] >= 0:
                        place = offset_bytes(source, (k - 1 - done - first) * width + row[4])
                    store_pointer(back, row[0], place)
                    row = offset_words(row, 5)
                found = call_loop(run, back, back)
                if found != 0:
                    fault = (found << 2) | {BACK}
                done += 1
    which = 1 if done == 0 else 3 - (done & 1)
    row = ends
    for _ in range(n_ends):
        call_copy(copy, load_pointer(row, 4), load_pointer(row, which), row[0])
        row = offset_words(row, 5)
    call_release(release, kept)
    call_release(release, again)
    if fault != 0 and status[0] == 0:
        status[0] = (fault << 24) | number
"""


class _Places:
    """Two places for each part of what is carried, one after another in scratch memory."""

    def __init__(self) -> None:
        self.end = 0

    def take(self, var: Var) -> Scratch:
        size = -(-max(1, var.aval.nbytes) // 64) * 64
        self.end += size
        return Scratch(self.end - size, size, CODES.get(var.aval.dtype, "i8"))


def launches(step: Whole, number: int, runners: dict[str, Any]) -> list[Launch]:
    """The instruction of *step*, of which *runners* run the tapes by their names."""
    found = _Tables(step)
    tables: list[Argument] = []
    for rows in (found.tests, found.runs, found.keeps, found.wholes or found.keeps):
        tables += _table(rows)
    tables += [
        *integers(found.width, found.row_width, *found.most),
        *_table(found.backs),
        *_table(found.zeros),
        *_table(found.ends),
    ]
    limit = step.eqn.params["max_steps"]
    back = Inner(runners["back"]) if "back" in runners else address(0)
    args: tuple[Any, ...] = (
        Inner(runners["cond"]), Inner(runners["body"]), back, address(loop_address()), Status(),
        *integers(number, -1 if limit is None else limit), Row((found.flag,)), *tables, address(0),
        *(Service(name) for name in ("copy", "grow", "release", "asked", "raised")),
    )  # fmt: skip
    return [launch(_TRIPS, "trips", args, 1)]


def _table(rows: Sequence[Sequence[Argument]]) -> tuple[Argument, Argument]:
    return Row(tuple([x for row in rows for x in row]) or (Number(0),)), Number(len(rows))


class _Tables:
    """The rows of all tables of a loop."""

    def __init__(self, step: Whole) -> None:
        params, self.places = step.eqn.params, _Places()
        cond, body = (step.inner[name].tape for name in ("cond", "body"))
        n, end = params["constants"], len(body.inputs)
        given = [Pointer(x, 0) for x in step.eqn.inputs if isinstance(x, Var)]
        carried = [self._three(x, v) for x, v in zip(given[n:], body.inputs[n:], strict=False)]
        operands = [*[(x, x, x) for x in given[:n]], *carried]
        self.flag = self.places.take(_var(cond.outputs[0]))
        flag = (self.flag,) * 3
        self.tests = _filled([*operands, flag])
        self.runs = _filled([*operands, *[_turned(x) for x in carried]])
        self.keeps: list[list[Argument]] = []
        self.backs: list[list[Argument]] = []
        self.zeros: list[list[Argument]] = []
        # In a budget, all that is carried, of every so many runs.
        self.wholes: list[list[Argument]] = []
        self.width = self.row_width = 0
        self.most = 0, 0
        outs = [Pointer(out, 0) for out in step.eqn.outs]
        if "back" not in params:
            self._ends(carried, body.inputs[n:], outs)
            return
        back = step.inner["back"].tape
        self._back(step, back, given, carried, n, end, outs)

    def _three(self, first: Argument, var: Var) -> tuple[Argument, ...]:
        return first, self.places.take(var), self.places.take(var)

    def _ends(self, carried: Any, variables: Any, outs: Sequence[Argument]) -> None:
        self.ends = [
            [Number(v.aval.nbytes), *x, out]
            for x, v, out in zip(carried, variables, outs, strict=True)
        ]

    def _back(
        self, step: Whole, back: Any, given: Any, carried: Any, n: int, end: int, outs: Any
    ) -> None:
        read = {a for eqn in back.eqns for a in eqn.inputs}
        kept = [-1] * len(back.inputs)
        for k, x in enumerate(carried, n):
            if (var := back.inputs[k]) in read:
                kept[k] = self.width
                self.keeps.append([Number(var.aval.nbytes), *x, Number(self.width)])
                self.width += -(-max(1, var.aval.nbytes) // 16) * 16
        self.row_width = self.width
        if (budget := step.eqn.params["max_bytes"]) is not None:
            self._in_budget(budget, carried, back.inputs[n:])
        totals = len(back.inputs) - len(given)
        seeds = len(back.outputs) - totals
        last = end + seeds
        pairs = zip(given[end:last], back.inputs[end:last], strict=True)
        cts, extra = [self._three(x, v) for x, v in pairs], [(x, x, x) for x in given[last:]]
        sums = []
        for var in back.inputs[len(given) :]:
            zero = self.places.take(var)
            self.zeros.append([Number(zero.size // 8), zero, zero, zero, Number(0)])
            sums.append(self._three(zero, var))
        operands = [*[(x, x, x) for x in given[:end]], *cts, *extra, *sums]
        results = [*sums, *cts]
        every = [*operands, *[_turned(x) for x in results]]
        self.backs = [
            [*row[:4], Number(place)]
            for row, place in zip(_filled(every), [*kept, *[-1] * len(results)], strict=True)
        ]
        self._ends(results, [_var(a) for a in back.outputs], outs)

    def _in_budget(self, budget: int, carried: Any, variables: Any) -> None:
        """Half of it is for rows of all that is carried, half for what is run again."""
        self.row_width = 0
        for x, var in zip(carried, variables, strict=False):
            self.wholes.append([Number(var.aval.nbytes), *x, Number(self.row_width)])
            self.row_width += -(-max(1, var.aval.nbytes) // 16) * 16
        rows, again = (budget // (2 * max(1, w)) for w in (self.row_width, self.width))
        self.most = max(2, rows), max(2, again)


def _turned(x: Sequence[Argument]) -> tuple[Argument, ...]:
    """Where a run writes what the next one reads."""
    return x[1], x[2], x[1]


def _filled(operands: Sequence[Sequence[Argument]]) -> list[list[Argument]]:
    return [[Number(HEADER + k), *x, Number(-1)] for k, x in enumerate(operands)]


def _var(atom: Any) -> Var:
    assert isinstance(atom, Var)
    return atom
