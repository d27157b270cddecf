"""Loops on CUDA: where no point reads what another one carries, each thread goes through all steps of its points.

The carry stays in registers. A step may read constants and rows of stacks anywhere, but of what changes in
the loop a point reads its own element, or what is one number for all of them.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import TYPE_CHECKING

from nbgrad.core.frozen import replace
from nbgrad.core.tape import Tape, Var
from nbgrad.program.arrange import Arranged
from nbgrad.program.cuda_text import CudaEmitter
from nbgrad.program.index import strides_of
from nbgrad.program.loops import Round
from nbgrad.program.nest import Compute, Constant, Load, Nest, Store, Value
from nbgrad.program.text import CudaKernel, all_guards, inline, literal
from nbgrad.program.values import ALL_CODES

if TYPE_CHECKING:
    from nbgrad.program.program import Program

# Values of a step; the carry and they are in registers.
MAX_VALUES = 400


class Apart(Exception):
    """A point reads what another one has made."""


class LoopEmitter(CudaEmitter):
    """Writes the kernel of a loop whose ``step`` is the program of one round."""

    def __init__(self, item: Round, step: Program) -> None:
        self.item, self.step = item, step
        nests = [i.nest for i in step.items if isinstance(i, Arranged)]
        if len(nests) != len(step.items) or any(nest.reductions for nest in nests):
            raise Apart
        self.many = max([prod(nest.extents) for nest in nests], default=1)
        self.where: list[tuple[int, ...]] = []  # of each value the extents of its nest
        self.made: dict[Var, str] = {}  # what is in registers, and its text
        nest = Nest((self.many,), frozenset(), *self.joined(nests))
        super().__init__(Arranged(nest, 0, 0))

    def joined(self, nests: list[Nest]) -> tuple[tuple[Value, ...], tuple[Store, ...]]:
        """All nests as one, their values numbered on."""
        body: list[Value] = []
        stores: list[Store] = []
        for nest in nests:
            if prod(nest.extents) not in (1, self.many):
                raise Apart
            first = len(body)
            for value in nest.body:
                if all_guards(value):
                    raise Apart
                if isinstance(value, Compute):
                    args = tuple([first + a for a in value.args])
                    value = replace(value, args=args, uniform=False)
                body.append(value)
                self.where.append(nest.extents)
            for store in nest.stores:
                if not own(store.strides, store.offset, nest.extents):
                    raise Apart
                stores.append(replace(store, arg=first + store.arg))
        if len(body) > MAX_VALUES:
            raise Apart
        return tuple(body), tuple(stores)

    def whole(self, var: Var) -> Var:
        return self.step.shared.get(var, var)

    # ------------------------------------------------------------------------------------ whole

    def kernel(self) -> CudaKernel:
        self.integer("size", self.many)
        self.integer("n", self.item.rounds.count)
        self.given()
        self.line(1, "t = cuda.grid(1)")
        self.line(1, "while t < size:")
        self.before()
        self.line(2, "for step in range(n):")
        self.line(3, "at_ = n - 1 - step" if self.item.rounds.reverse else "at_ = step")
        self.round()
        self.after()
        self.line(2, "t += cuda.gridsize(1)")
        return self.finished(-(-self.many // self.threads))

    def given(self) -> None:
        """Where the operands and the results are."""
        rounds, tape = self.item.rounds, self.item.tape
        stacks = rounds.constants + rounds.carry
        self.stacks: dict[Var, str] = {}
        self.carry: list[Var] = list(tape.inputs[rounds.constants : stacks])
        self.places: dict[Var, str] = {}
        for k, (operand, var) in enumerate(zip(self.item.eqn.inputs, tape.inputs, strict=True)):
            assert isinstance(operand, Var)
            self.places[var] = self.pointer(f"x{k}", operand, 0)
            if k >= stacks:
                self.stacks[var] = self.integer(f"x{k}_row", var.aval.size)
        outs: list[Var] = [a for a in tape.outputs if isinstance(a, Var)]
        self.outs = list(zip(outs, self.item.eqn.outs, strict=True))
        for k, (out, result) in enumerate(self.outs):
            self.pointer(f"y{k}", result, 0)
            if k >= rounds.carry:
                self.integer(f"y{k}_row", out.aval.size)
        for number, value in enumerate(self.nest.body):
            if isinstance(value, Constant):
                code = ALL_CODES[value.dtype]
                name = (
                    None if inline(value.value) else self.number(f"c{number}", value.value, code)
                )
                self.operands[number] = name or f"{code}({literal(value.value)})"

    # ------------------------------------------------------------------------------- of a point

    def before(self) -> None:
        """The carry, the constants, and where a row is read."""
        for k, var in enumerate(self.carry):
            place = "0" if var.aval.size == 1 else "t"
            self.line(2, f"s{k} = {self.element(self.places[var], var, place)}")
            self.made[var] = f"s{k}"
        produced = {self.whole(s.buffer) for s in self.nest.stores}
        for number, load in enumerate(self.nest.body):
            if not isinstance(load, Load):
                continue
            buffer = self.whole(load.buffer)
            if buffer in produced or buffer in self.made:
                if not own(load.strides, load.offset, self.where[number]):
                    raise Apart
                continue
            self.line(2, f"o{number} = {self.offset(number, load)}")
            if buffer not in self.stacks:
                text = self.element(self.places[buffer], buffer, f"o{number}")
                self.line(2, f"v{number} = {text}")
                self.operands[number] = f"v{number}"

    def offset(self, number: int, load: Load) -> str:
        """Where the point ``t`` reads: its number, taken apart by the extents of its nest."""
        extents = self.where[number]
        if load.strides == strides_of(extents) and prod(extents) == self.many and not load.offset:
            return "t"
        rest, terms = "t", [str(self.integer(f"i{number}", load.offset))]
        for k in reversed(range(len(extents))):
            here = rest
            if k:
                n = self.integer(f"n{number}_{k}", extents[k])
                self.line(2, f"q{number}_{k} = {self.quotient(rest, n)}")
                here, rest = f"({rest} - q{number}_{k} * {n})", f"q{number}_{k}"
            if load.strides[k]:
                terms.append(f"{here} * {self.integer(f'i{number}_{k}', load.strides[k])}")
        return " + ".join(terms)

    def round(self) -> None:
        """The statements of one step, and the next carry."""
        by_arg: dict[int, list[Store]] = {}
        for store in self.nest.stores:
            by_arg.setdefault(store.arg, []).append(store)
        for number, value in enumerate(self.nest.body):
            if number not in self.operands:
                self.line(3, f"v{number} = {self.right(number, value)}")
                self.operands[number] = f"v{number}"
            for store in by_arg.get(number, ()):
                code = ALL_CODES[store.dtype]
                name = f"w{len(self.made)}"
                self.line(3, f"{name} = {code}({self.operands[number]})")
                self.made[self.whole(store.buffer)] = name
        carry = len(self.carry)
        for k, (out, result) in enumerate(self.outs[carry:], carry):
            place = f"at_ * y{k}_row" + ("" if out.aval.size == 1 else " + t")
            self.put(3, out, f"{self.element(f'y{k}', result, place)} = {self.value(out)}")
        new = ", ".join(self.value(out) for out, _ in self.outs[:carry])
        if new:
            self.line(3, f"{', '.join(f's{k}' for k in range(carry))} = {new}")

    def right(self, number: int, value: Value) -> str:
        if isinstance(value, Load):
            buffer = self.whole(value.buffer)
            if buffer in self.stacks:
                place = f"at_ * {self.stacks[buffer]} + o{number}"
                return self.element(self.places[buffer], buffer, place)
            if buffer not in self.made:
                raise Apart
            return self.made[buffer]
        assert isinstance(value, Compute)
        return self.text(value)

    def value(self, out: Var) -> str:
        if self.whole(out) not in self.made:
            raise Apart
        return self.made[self.whole(out)]

    def put(self, depth: int, out: Var, text: str) -> None:
        """A store; of one number for all points by one of them."""
        if out.aval.size == 1 and self.many > 1:
            self.line(depth, "if t == 0:")
            depth += 1
        self.line(depth, text)

    def after(self) -> None:
        for k, (out, result) in enumerate(self.outs[: len(self.carry)]):
            place = "0" if out.aval.size == 1 else "t"
            self.put(2, out, f"{self.element(f'y{k}', result, place)} = s{k}")


def own(strides: tuple[int, ...], offset: int, extents: tuple[int, ...]) -> bool:
    """Whether each point is at the element of its number, or all are at the only one."""
    if offset:
        return False
    return strides == strides_of(extents) or not any(strides)


def cuda_loop(item: Round, plan: Callable[[Tape], Program]) -> CudaKernel | None:
    """The kernel of a loop, or None if its points are not apart."""
    try:
        return LoopEmitter(item, plan(item.tape)).kernel()
    except Apart:
        return None
