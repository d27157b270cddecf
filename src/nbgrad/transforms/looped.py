"""Writing a tape anew with loops in the place of repeated segments."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from nbgrad.core.aval import Aval, alike, make_aval
from nbgrad.core.linearize import linearize
from nbgrad.core.node import Node, placeholder
from nbgrad.core.primitive import Primitive, bind
from nbgrad.core.tape import Atom, Body, Equation, Literal, Tape, Var
from nbgrad.ops.basis import concatenate, reshape, slice_, transpose
from nbgrad.ops.control.scan import scan
from nbgrad.ops.kinds.forms import Repeat, Rounds, View
from nbgrad.transforms.repeats import Segment
from nbgrad.transforms.simplify import simplify
from nbgrad.transforms.stacking import Alike, Rerolled, Source

if TYPE_CHECKING:
    from nbgrad.transforms.reroll import Reading

Array = np.ndarray[Any, Any]
FEW: Final = 64  # arrays of a stack, or results of single steps, that get an equation each


def begins_of(prim: Primitive) -> str:
    """The param that says where the window that *prim* reads begins; none if it reads no window."""
    return prim.lower.begins if isinstance(prim.lower, View) else ""


def spelled(f: Callable[..., Any], atoms: Sequence[Atom], out: Var) -> list[Equation] | None:
    """The equations that *f*, of nodes, records on *atoms* for *out*; None if it is not that."""
    given = list(dict.fromkeys(a for a in atoms if isinstance(a, Var)))
    nodes = {var: placeholder(var.aval) for var in given}
    found = f(*[nodes[a] if isinstance(a, Var) else a.value for a in atoms])
    if found.__class__ is not Node or found.aval is not out.aval or found.sig is None:
        return None
    tape, constants = linearize([found], list(nodes.values()))
    now: dict[Any, Any] = dict(zip(tape.inputs, given, strict=True)) | {tape.outputs[0]: out}
    eqns = [
        Equation(e.sig, tuple([now.get(a, a) for a in e.inputs]), (now.get(e.out, e.out),))
        for e in tape.eqns
    ]
    return None if constants else eqns


class Written:
    """The new tape, equation by equation.

    *numbers* has the values of some inputs, as far as a tape may be made for what they are now.
    ``windows``, if it is a list, takes those that a loop reads step by step: they are inputs then.
    """

    def __init__(
        self,
        tape: Tape,
        reading: Reading,
        stackable: Collection[Var],
        numbers: Mapping[Var, Any] | None = None,
    ) -> None:
        self.tape, self.reading, self.numbers = tape, reading, numbers or {}
        self.places = {v: k for k, v in enumerate(tape.inputs)}
        self.stackable = {v: k for v, k in self.places.items() if v in stackable}
        self.eqns: list[Equation] = []
        self.inputs: list[Var] = []
        self.sources: list[Source] = []
        self.alike: list[tuple[Alike, int]] = []
        self.windows: list[Window] | None = None
        self._ends: dict[Atom, tuple[Atom, ...]] | None = None
        self.loops = self.next = 0

    def copy_to(self, end: int) -> None:
        """Take the equations up to the place *end* as they are."""
        self.eqns += self.reading.eqns[self.reading.index[self.next] : self.reading.index[end]]
        self.next = end

    def input(self, aval: Aval, source: Source) -> Var:
        """A new input."""
        self.inputs.append(Var(aval))
        self.sources.append(source)
        return self.inputs[-1]

    def finished(self, asked: Collection[Any]) -> Rerolled | None:
        """The whole; None if it has no loop."""
        if not self.loops:
            return None
        reading = self.reading
        self.copy_to(len(reading.outs))
        read = {a for eqn in self.eqns for a in eqn.inputs} | set(asked)
        kept = [
            (v, k) for k, v in enumerate(self.tape.inputs) if v in read or v not in self.stackable
        ]
        inputs = (*[v for v, _ in kept], *self.inputs)
        sources = (*[k for _, k in kept], *self.sources)
        tape = Tape(inputs, tuple(self.eqns), self.tape.outputs)
        return Rerolled(tape, sources, tuple(self.alike))

    def ended(self, carry: Atom) -> tuple[Atom, ...]:
        """The constants of the loop that ended with *carry*; none if no loop did."""
        if self._ends is None:
            loops = [e for e in self.reading.eqns if e.sig.prim.lower.__class__ is Repeat]
            self._ends = {
                out: eqn.inputs[: eqn.params["rounds"].constants]
                for eqn in loops
                for out in eqn.outs
            }
        return self._ends.get(carry, ())


class Loop:
    """A segment as one equation: its operands, and the tape of one step."""

    def __init__(self, new: Written, segment: Segment, wanted: Sequence[int]) -> None:
        self.new, self.segment, self.reading = new, segment, new.reading
        self.first = segment.start + segment.period  # a step like all others
        self.makers = [self._maker(r) for r in range(len(segment.follows))]
        self.carry = [Var(self.reading.outs[k].aval) for k in self.makers]
        # Of a number and an aval; or of a column, whose numbers are alike in all steps.
        self.constants: dict[Any, tuple[int | Array, Var]] = {}
        self.stacks: dict[Any, tuple[int, Var]] = {}
        self.slices: dict[Var, tuple[int, Sliced]] = {}
        self.step: list[Equation] = []
        self._divide(wanted)
        self.possible = len(self.apart) <= FEW and self._begun() and self._looked_at()

    def _maker(self, register: int) -> int:
        """The place of an operation that gives what the register holds."""
        kind, k = self.segment.follows[register]
        return self.first + k if kind == "inside" else self._maker(k)

    def _last(self, register: int) -> int:
        """The place of the operation whose result the register holds in the end."""
        segment, last = self.segment, self.segment.end - self.segment.period
        while (follows := segment.follows[register])[0] != "inside":
            register, last = follows[1], last - segment.period
        return last + follows[1]

    def _divide(self, wanted: Sequence[int]) -> None:
        """Which results are the last of a register, and which one row of a stack."""
        segment = self.segment
        places = [self._last(r) for r in range(len(segment.follows))]
        last = {place: r for r, place in enumerate(places)}
        self.final = {last[w]: w for w in wanted if w in last}
        self.apart = [w for w in wanted if w not in last]
        self.rows = sorted({(w - segment.start) % segment.period for w in self.apart})

    def _begun(self) -> bool:
        """Whether each register begins as it goes on."""
        initial = [self.reading.atom(k) for k in self.segment.initial]
        return all(
            isinstance(a, Var) and not a.weak and a.aval is v.aval
            for a, v in zip(initial, self.carry, strict=True)
        )

    def _looked_at(self) -> bool:
        """Write the step; whether each of its operands can be one of a loop."""
        kinds = iter(self.segment.operands)
        for eqn in self.reading.step(self.first, self.segment):
            sources = [next(kinds) for _ in eqn.inputs]
            if begins_of(eqn.prim) and (begins := next(kinds))[0] == "stack":
                if not self._row(eqn, sources[0], begins[1]):
                    return False
            elif not self._one(eqn, sources):
                return False
        return True

    def _row(self, eqn: Equation, source: tuple[str, int], begins: int) -> bool:
        """Whether a slice that begins elsewhere in each step is the row of a stack."""
        kind, base = source
        found = sliced(self.reading, eqn, self.segment.columns[begins])
        if kind != "constant" or found is None:
            return False
        self.slices[eqn.out] = base, found
        return True

    def _places(self, out: Var) -> tuple[int, ...]:
        """Where what gives *out* is in each step."""
        first = self.segment.start + self.reading.place[out] - self.first
        return tuple(range(first, self.segment.end, self.segment.period))

    def _one(self, eqn: Equation, sources: Sequence[tuple[str, int]]) -> bool:
        """Write one equation of the step."""
        atoms: list[Any] = []
        for n, (a, source) in enumerate(zip(eqn.inputs, sources, strict=True)):
            aval = a.aval if isinstance(a, Var) and not a.weak else _number(eqn, n)
            atoms.append(None if aval is None else self._operand(*source, aval))
        if None in atoms:
            return False
        given = [isinstance(a, Literal) or a.weak for a in eqn.inputs]
        if not any(g and isinstance(a, Var) for g, a in zip(given, atoms, strict=True)):
            self.step.append(Equation(eqn.sig, tuple(atoms), eqn.outs, eqn.line))
            return True
        eqns = spelled(lambda *xs: bind(eqn.prim, *xs, **eqn.params), atoms, eqn.out)
        self.step += eqns or ()
        return eqns is not None

    def _operand(self, kind: str, k: int, aval: Aval) -> Atom | None:
        if kind == "inside":
            return self.reading.outs[self.first + k]
        if kind == "carry":
            return self.carry[k]
        if kind == "stack":
            column = self.segment.columns[k]
            if not self._stackable(column):
                return None
            if self._alike(column):
                return self.constants.setdefault((column.tobytes(), aval), (column, Var(aval)))[1]
            return self.stacks.setdefault((column.tobytes(), aval), (k, Var(aval)))[1]
        atom: Atom = self.reading.atom(k)
        if not isinstance(atom, Var):
            return atom
        if atom.weak and atom not in self.new.stackable:
            return None
        return self.constants.setdefault((k, aval), (k, Var(aval)))[1]

    def _stackable(self, column: Array) -> bool:
        atoms = [self.reading.atom(x) for x in column.tolist()]
        if all(not isinstance(a, Var) or a in self.new.stackable for a in atoms):
            return len({isinstance(a, Var) for a in atoms}) == 1
        return len(column) <= FEW

    def _alike(self, column: Array) -> bool:
        """Whether a column is of Python numbers that are the same in all steps, as these are now."""
        numbers = self.new.numbers
        atoms = [self.reading.atom(x) for x in column.tolist()] if numbers else []
        if not atoms or not all(isinstance(a, Var) and a.weak and a in numbers for a in atoms):
            return False
        return Alike(tuple(range(len(atoms)))).of([numbers[a] for a in atoms]) is not None

    # ------------------------------------------------------------------------------------ writing

    def write(self) -> None:
        """Add the equation, and those of its operands and of what is read of it elsewhere."""
        new, segment, reading = self.new, self.segment, self.reading
        operands = self._constants()
        operands += [reading.atom(k) for k in segment.initial]
        operands += [self._stack(segment.columns[k], v.aval) for k, v in self.stacks.values()]
        operands += [self._slice(v, *found) for v, found in self.slices.items()]
        rounds = Rounds(len(self.constants), len(self.carry), segment.steps, False)
        nodes = [placeholder(a.aval) for a in operands]
        node = bind(scan, *nodes, body=Body(self._body()), rounds=rounds)
        parts = [
            *(v.aval for v in self.carry),
            *(self._rows_of(reading.outs[self.first + k].aval) for k in self.rows),
        ]
        outs = [Var(aval) for aval in parts]
        for register, at in self.final.items():
            outs[register] = reading.outs[at]
        new.eqns.append(Equation(node.sig, tuple(operands), tuple(outs)))
        for at in self.apart:
            step, k = divmod(at - segment.start, segment.period)
            self._write_row(outs[len(self.carry) + self.rows.index(k)], step, at)
        new.next, new.loops = segment.end, new.loops + 1

    def _rows_of(self, aval: Aval) -> Aval:
        return alike(aval, (self.segment.steps, *aval.shape))

    def _write_row(self, stack: Var, step: int, place: int) -> None:
        out = self.reading.outs[place]

        def row(x: Any) -> Any:
            rest = x.shape[1:]
            starts, ones = (step, *[0] * len(rest)), (1,) * x.ndim
            one = bind(slice_, x, starts=starts, sizes=(1, *rest), steps=ones)
            return bind(reshape, one, shape=rest)

        eqns = spelled(row, [stack], out)
        assert eqns is not None
        self.new.eqns += eqns

    def _body(self) -> Tape:
        made = [v for _, v in (*self.constants.values(),)]
        rows = [*[v for _, v in self.stacks.values()], *self.slices]
        registers: list[Any] = []
        for kind, k in self.segment.follows:
            registers.append(
                self.reading.outs[self.first + k] if kind == "inside" else self.carry[k]
            )
        stacked = [self.reading.outs[self.first + k] for k in self.rows]
        inputs = (*made, *self.carry, *rows)
        return simplify(Tape(inputs, tuple(self.step), (*registers, *stacked)))

    def _constants(self) -> list[Any]:
        """The operands that are the same in all steps."""
        initial = self.segment.initial
        before = self.new.ended(self.reading.atom(initial[0])) if initial else ()
        found: list[Any] = []
        for k, (number, var) in enumerate(self.constants.values()):
            if isinstance(number, int):
                found.append(self._constant(number, var.aval))
            else:
                earlier = before[k] if k < len(before) else None
                found.append(self._number(number, var.aval, earlier))
        return found

    def _number(self, column: Array, aval: Aval, earlier: Any) -> Var:
        """What stands for numbers that are alike: of the loop that this one goes on from, if it is so."""
        new = self.new
        alike = Alike(tuple([new.stackable[self.reading.atom(k)] for k in column.tolist()]))
        if isinstance(earlier, Var) and earlier.aval is aval and earlier in new.numbers:
            now = new.numbers[self.reading.atom(int(column[0]))]
            if alike.is_value(now, new.numbers[earlier]):
                new.alike.append((alike, new.places[earlier]))
                return earlier
        return new.input(aval, alike)

    def _constant(self, number: int, aval: Aval) -> Atom:
        atom = self.reading.atom(number)
        if isinstance(atom, Var) and atom.weak:
            return self.new.input(aval, (self.new.stackable[atom],))
        return atom  # type: ignore[no-any-return]

    def _stack(self, column: Array, aval: Aval) -> Var:
        new, aval = self.new, self._rows_of(aval)
        atoms = [self.reading.atom(k) for k in column.tolist()]
        if isinstance(atoms[0], Literal):
            return new.input(aval, np.array([a.value for a in atoms], aval.dtype))
        if all(a in new.stackable for a in atoms):
            return new.input(aval, tuple([new.stackable[a] for a in atoms]))
        return self._spelled(lambda *xs: _stacked(xs), atoms, aval)

    def _slice(self, out: Var, base: int, found: Sliced) -> Var:
        aval = self._rows_of(out.aval)
        if self.new.windows is not None:
            self.new.windows.append(Window(Var(aval), base, found, self._places(out)))
            return self.new.windows[-1].var
        return self._spelled(lambda x: found.of(x, aval.shape), [self.reading.atom(base)], aval)

    def _spelled(self, f: Callable[..., Any], atoms: Sequence[Atom], aval: Aval) -> Var:
        out = Var(aval)
        eqns = spelled(f, atoms, out)
        assert eqns is not None
        self.new.eqns += eqns
        return out


def _number(eqn: Equation, k: int) -> Aval | None:
    """The array that can stand for Python number *k* of an equation; None if there is none."""
    loop = eqn.sig.loop
    return make_aval((), loop[k]) if k < len(loop) else None


def _stacked(xs: Sequence[Any]) -> Any:
    rows = [bind(reshape, x, shape=(1, *x.shape)) for x in xs]
    return bind(concatenate, *rows, axis=0)


@dataclass(frozen=True)
class Sliced:
    """Rows that are those of one array, along one of its axes."""

    axis: int
    params: dict[str, Any]

    def moved(self, first: tuple[int, ...]) -> Sliced:
        """The same, beginning elsewhere."""
        return Sliced(self.axis, self.params | {"starts": first})

    def of(self, x: Any, shape: tuple[int, ...]) -> Any:
        x = bind(slice_, x, **self.params)
        return bind(reshape, bind(transpose, x, perm=self._order(x.ndim)), shape=shape)

    def part(self, x: Array, shape: tuple[int, ...]) -> Array:
        """The elements, of an array."""
        x = slice_.evaluate(x, **self.params).transpose(self._order(x.ndim))
        return np.array(x, order="C").reshape(shape)

    def _order(self, ndim: int) -> tuple[int, ...]:
        return (self.axis, *[k for k in range(ndim) if k != self.axis])


@dataclass(frozen=True)
class Window:
    """An input that is *rows* of what is at the place *base*; *places* are the slices, step by step."""

    var: Var
    base: int
    rows: Sliced
    places: tuple[int, ...]


def sliced(reading: Reading, eqn: Equation, column: Array) -> Sliced | None:
    """What the slices that begin as *column* says are rows of, if they go through one axis evenly."""
    starts = np.array([reading.atom(k) for k in column.tolist()])
    apart = np.diff(starts, axis=0)
    moving = np.flatnonzero(apart[0])
    if len(moving) != 1 or (apart != apart[0]).any() or eqn.params["sizes"][moving[0]] != 1:
        return None
    axis, sizes, steps = int(moving[0]), list(eqn.params["sizes"]), list(eqn.params["steps"])
    sizes[axis], steps[axis] = len(column), int(apart[0, axis])
    first = tuple(starts[0].tolist())
    return Sliced(axis, {"starts": first, "sizes": tuple(sizes), "steps": tuple(steps)})
