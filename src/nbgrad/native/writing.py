"""The text of the code that is called with addresses: what it reads, calls and writes."""

from __future__ import annotations

import dis
import inspect
from collections.abc import Sequence, Set
from typing import Any, Final

import numba
import numpy as np
from numba import types

from nbgrad.machine.plain import plainly
from nbgrad.machine.request import ASKED, MEMORY, OK, RAISED, SHAPE, WROTE
from nbgrad.native import active, calling, inputs, memory, sweeping
from nbgrad.native.cloning import clones, named, reached, recursive
from nbgrad.native.forms import Leaf, Records, Request, Static


class _Words:
    """The numbers of the words, in order."""

    def __init__(self) -> None:
        self.next = 0

    def operand(self, ndim: int) -> tuple[int, list[int]]:
        """The word of the address, and those of the extents."""
        at = self.next
        self.next += 1 + ndim
        return at, list(range(at + 1, self.next))

    def one(self) -> int:
        self.next += 1
        return self.next - 1


class Writer:
    """The text of one entry; leaves in *carrying* are active numbers, constants if no derivative is asked by them.

    Those in *direct* are read where they lie.
    """

    def __init__(
        self, request: Request, carrying: tuple[int, ...], direct: Set[int] = frozenset()
    ) -> None:
        self.request, self.carrying, self.direct = request, carrying, direct
        self.words = words = _Words()
        leaves, active_leaves = request.leaves, request.active
        self.many = 1 << request.order
        self.leaf = [words.operand(leaf.ndim) for leaf in leaves]
        self.tangent = {
            (m, j): words.operand(leaves[j].ndim)
            for m in range(1, self.many)
            for j in active_leaves
        }
        floats = [r for r, leaf in enumerate(request.results) if leaf.inexact]
        self.seed = {}
        self.primal: list[tuple[int, list[int]]] = []
        if request.reverse:
            both = [(m, r) for m in range(self.many) for r in floats]
            self.seed = {(m, r): words.operand(request.results[r].ndim) for m, r in both}
        self.static = [words.one() for _ in request.statics]
        self.out: dict[tuple[int, int], tuple[int, list[int]]] = {}
        if request.reverse:
            for m in range(self.many):
                for j in active_leaves:
                    self.out[m, j] = words.operand(leaves[j].ndim)
            # Last, an address of 0 where they are not asked for.
            self.primal = [words.operand(leaf.ndim) for leaf in request.results]
        else:
            for m in range(self.many):
                for r in range(len(request.results)) if m == 0 else floats:
                    self.out[m, r] = words.operand(request.results[r].ndim)
        self.copied: dict[str, str] = {}
        self.lines: list[str] = []
        self.space: dict[str, Any] = {
            "__name__": __name__, "np": np, "carray": numba.carray,
            "frozen": calling.frozen, "elements": calling.elements,
            "attempt": calling.attempt, "real_of": memory.real_of, "imag_of": memory.imag_of,
 
            **{f.__name__: f for f in (
                memory.begin, memory.end, memory.adjoints, sweeping.sweep, memory.taken,
                memory.as_pointer, memory.active_of, memory.place_of, inputs.inputs_of,
            )},
        }  # fmt: skip

    def text(self) -> str:
        return "\n".join(self.lines) + "\n"

    def say(self, line: str, depth: int = 1) -> None:
        self.lines.append("    " * depth + line)

    # -------------------------------------------------------------------------------- reading

    def size(self, extents: Sequence[int]) -> str:
        return " * ".join(f"words[{w}]" for w in extents) or "1"

    def shape(self, extents: Sequence[int]) -> str:
        return "(" + "".join(f"words[{w}], " for w in extents) + ")"

    def kind(self, dtype: Any) -> str:
        """A name of the active number that holds floats of *dtype*."""
        name = f"kind_{dtype.name}"
        number = self.request.number.with_base(numba.from_dtype(dtype))
        self.space[name] = memory.dtype_of(number)
        return name

    def pointer(self, at: int, dtype: Any) -> str:
        name = f"np_{dtype.name}"
        self.space[name] = dtype.type
        return f"as_pointer(words[{at}], {name})"

    def written(self, at: int, dtype: Any, size: str) -> str:
        """What elements of a result are written to: Numba makes arrays of addresses by a function that it compiles."""
        pointer = self.pointer(at, dtype)
        return f"carray({pointer}, {size})" if dtype.kind == "b" else pointer

    def read(self) -> str:
        """Lines that make the leaves; the number of places that they take."""
        places = "1"
        for j, leaf in enumerate(self.request.leaves):
            at, extents = self.leaf[j]
            self.say(f"p{j} = {self.pointer(at, leaf.dtype)}")
            if j not in self.carrying or not (self.request.order or self.request.reverse):
                if leaf.ndim:
                    self.say(f"x{j} = carray(p{j}, {self.shape(extents)})")
                    self.say(f"x{j} = {self.not_written(j)}")
                else:
                    given = f"carray(p{j}, 1)" if leaf.dtype.kind == "b" else f"p{j}"
                    self.say(f"x{j} = {given}[0]")
                continue
            moved = j in self.request.active
            for m in range(1, self.many) if moved else ():
                self.say(f"p{j}_{m} = {self.pointer(self.tangent[m, j][0], leaf.dtype)}")
            self.say(f"at{j} = {places if moved else 0}")
            kind, each = self.kind(leaf.dtype), len(halves(leaf)) if moved else 0
            if not leaf.ndim:
                self.say(f"x{j} = active_of({kind}(), {self.floats(j, '0')}, at{j})")
                places = f"at{j} + {each}" if moved else places
                continue
            self.say(f"n{j} = {self.size(extents)}")
            places = f"at{j} + {each} * n{j}" if moved else places
            if j in self.direct:
                self.say(f"x{j} = inputs_of({kind}(), p{j}, {self.shape(extents)}, at{j})")
                continue
            self.say(f"x{j} = np.empty({self.shape(extents)}, {kind}())")
            self.say(f"a{j} = elements(x{j})")
            self.say(f"for i in range(n{j}):")
            self.say(
                f"a{j}[i] = active_of({kind}(), {self.floats(j, 'i')}, at{j} + {each} * i)", 2
            )
            self.say(f"x{j} = frozen(x{j})")
        for k, (word, static) in enumerate(zip(self.static, self.request.statics, strict=True)):
            self.say(f"s{k} = words[{word}]" + (" != 0" if static.code == "b1" else ""))
        return places

    def not_written(self, j: int) -> str:
        """An array that the function is given: a copy if it may write where Numba's types do not see it."""
        if not any(map(writes_unseen, reached(self.request.dispatcher))):
            return f"frozen(x{j})"
        at, extents = self.leaf[j]
        size = f"{self.size(extents)} * {self.request.leaves[j].dtype.itemsize}"
        self.say(f"y{j} = x{j}.copy()")
        self.say(f"b{j} = y{j}.ravel().view(np.uint8)")
        self.say(f"before{j} = carray({self.pointer(at, np.dtype(np.uint8))}, {size})")
        self.copied[f"b{j}"] = f"before{j}"
        return f"frozen(y{j})"

    def floats(self, j: int, index: str) -> str:
        found = [f"p{j}[{index}], "]
        zero = f"np_{self.request.leaves[j].dtype.name}(0), "
        moved = j in self.request.active
        found += [f"p{j}_{m}[{index}], " if moved else zero for m in range(1, self.many)]
        return "(" + "".join(found) + ")"

    def kinds(self) -> tuple[Any, ...]:
        """The types of the arguments of the user's function, or of its clone."""
        return tuple([self._kind_of(x) for x in self.request.arguments])

    def _kind_of(self, x: Any) -> Any:
        if isinstance(x, Leaf) and x.number in self.direct:
            return inputs.Inputs(self._number_of(x), x.ndim)
        return calling.type_of(x, self._number_of)

    def _number_of(self, leaf: Leaf) -> Any:
        dtype, request = numba.from_dtype(leaf.dtype), self.request
        if leaf.number in self.carrying and (request.order or request.reverse):
            return request.number.with_base(dtype)
        return dtype

    def call(self, function: Any) -> None:
        if recursive(self.request.dispatcher):
            self.space["go_no_deeper"] = memory.go_no_deeper
            self.say("go_no_deeper()")
        args = "".join(f"{self.argument(x)}, " for x in self.request.arguments)
        self.space["f"] = function
        if function.py_func.__code__.co_flags & inspect.CO_VARARGS:
            names = ", ".join(f"q{k}" for k in range(len(self.request.arguments)))
            space = {"__name__": __name__, "f": function}
            exec(f"def many({names}): return f({names})", space)
            self.space["f"] = plainly(space["many"])
        self.say(f"failed, y = attempt(f, (None, {args}))")
        self.say("if failed:")
        self.say(f"return {RAISED}", 2)

    def argument(self, x: Any) -> str:
        if isinstance(x, Leaf):
            return f"x{x.number}"
        if isinstance(x, Records):
            return self.records(x)
        if isinstance(x, Static):
            return f"s{x.number}"
        if isinstance(x, tuple):
            kind, items = x
            inner = "".join(f"{self.argument(item)}, " for item in items)
            if kind is tuple:
                return f"({inner})"
            name = f"named{len(self.space)}"
            self.space[name] = kind
            return f"{name}({inner})"
        name = f"given{len(self.space)}"
        value = x.value
        self.space[name] = value
        if isinstance(self.request.number, active.Carrier):
            self.space[name] = clones(self.request.number, self.request.named).value(value)
        return "None" if value is None else name

    def records(self, x: Records) -> str:
        """Lines that copy records, so that a write into one is seen and does no harm; their name."""
        j, extents = x.leaf.number, self.leaf[x.leaf.number][1]
        self.space[f"record{j}"] = x.dtype
        self.say(f"b{j} = x{j}.copy().ravel()")
        self.say(
            f"r{j} = carray(as_pointer(b{j}.ctypes.data, record{j}), {self.shape(extents[:-1]) if x.ndim else 1})"
        )
        self.say(f"r{j} = frozen(r{j})" if x.ndim else f"r{j} = r{j}[0]")
        self.copied[f"b{j}"] = f"x{j}.flat"
        return f"r{j}"

    # -------------------------------------------------------------------------------- writing

    def end(self) -> None:
        """Lines that return, and say if a copy of an argument is another by now."""
        for copy, before in self.copied.items():
            self.say(f"for k, byte in enumerate({before}):")
            self.say(f"if {copy}[k] != byte:", 2)
            self.say(f"return {WROTE}", 3)
        self.say(f"return {OK}")

    def check_shapes(self) -> None:
        """Lines that compare the shapes of results, or say them where they are asked for."""
        asked = False
        for r, leaf in enumerate(self.request.results):
            extents = (
                self.seed[0, r][1] if (0, r) in self.seed else self.out.get((0, r), (0, []))[1]
            )
            for d, word in enumerate(extents if leaf.ndim else ()):
                extent, asks = f"y{leaf.path}.shape[{d}]", not self.request.active
                if asks and not asked:
                    self.say("asked = False")
                asked = asked or asks
                if asks:
                    self.say(f"if words[{word}] == {ASKED}:")
                    self.say(f"words[{word}] = {extent}", 2)
                    self.say("asked = True", 2)
                self.say(f"if words[{word}] != {extent}:")
                self.say(f"return {SHAPE}", 2)
        if asked:
            self.say("if asked:")
            self.say(f"return {SHAPE}", 2)

    def write_values(self) -> None:
        """Results and their tangents."""
        for m in range(self.many):
            self.space[f"component{m}"] = calling.component_of(m)
        for r, leaf in enumerate(self.request.results):
            mine = [m for m in range(self.many) if (m, r) in self.out]
            for m in mine:
                at, extents = self.out[m, r]
                size = self.size(extents) if leaf.ndim else "1"
                self.say(f"q{r}_{m} = {self.written(at, leaf.dtype, size)}")
            if not leaf.ndim:
                for m in mine:
                    self.say(f"q{r}_{m}[0] = component{m}(y{leaf.path})")
                continue
            self.say(f"v{r} = y{leaf.path}.ravel()")
            self.say(f"for i in range(v{r}.size):")
            for m in mine:
                self.say(f"q{r}_{m}[i] = component{m}(v{r}[i])", 2)

    def primal_words(self) -> int:
        """How many words are for these values: the last."""
        return sum(1 + len(extents) for _, extents in self.primal)

    def write_primals(self) -> None:
        """What the function itself returns, where that is asked for beside the sweep."""
        self.space["component0"] = calling.component_of(0)
        for r, leaf in enumerate(self.request.results):
            at, extents = self.primal[r]
            self.say(f"if words[{at}] != 0:")
            size = self.size(extents) if leaf.ndim else "1"
            self.say(f"o{r} = {self.written(at, leaf.dtype, size)}", 2)
            if not leaf.ndim:
                self.say(f"o{r}[0] = component0(y{leaf.path})", 2)
                continue
            for d, word in enumerate(extents):
                self.say(f"if y{leaf.path}.shape[{d}] != words[{word}]:", 2)
                self.say(f"return {SHAPE}", 3)
            self.say(f"u{r} = y{leaf.path}.ravel()", 2)
            self.say(f"for i in range(u{r}.size):", 2)
            self.say(f"o{r}[i] = component0(u{r}[i])", 3)

    def write_adjoints(self) -> None:
        full = self.many - 1
        self.space["adjoint"] = memory.dtype_of(self.request.number.with_base(types.float64))
        component = self.request.number.component
        self.space["inner"] = memory.dtype_of(component)
        self.say("found = adjoints(tape, adjoint())")
        self.say("if not nonzero(found):")
        self.say(f"return {MEMORY}", 2)
        self.space["nonzero"] = calling.nonzero
        for r, leaf in enumerate(self.request.results):
            if (0, r) not in self.seed:
                continue
            for m in range(self.many):
                self.say(f"c{r}_{m} = {self.pointer(self.seed[m, r][0], leaf.dtype)}")
            depth, value, index = 1, f"y{leaf.path}", "0"
            if leaf.ndim:
                self.say(f"v{r} = y{leaf.path}.ravel()")
                self.say(f"for i in range(v{r}.size):")
                depth, value, index = 2, f"v{r}[i]", "i"
            for half, attribute in halves(leaf):
                self.say(f"place = place_of({half.format(value)})", depth)
                self.say("if place != 0:", depth)
                seeds = "".join(f"c{r}_{full ^ m}[{index}]{attribute}, " for m in range(self.many))
                self.say(
                    f"found[place] = found[place] + active_of(inner(), ({seeds}), 0)", depth + 1
                )
        self.say("sweep(tape, found)")
        self._write_gradients(full)

    def _write_gradients(self, full: int) -> None:
        for m in range(self.many):
            self.space[f"component{m}"] = calling.component_of(m)
        for j in self.request.active:
            given = self.request.leaves[j]
            for m in range(self.many):
                self.say(f"g{j}_{m} = {self.pointer(self.out[m, j][0], given.dtype)}")
            depth, index = 1, "0"
            if given.ndim:
                self.say(f"for i in range(n{j}):")
                depth, index = 2, "i"
            each = len(halves(given))
            for k in range(each):
                self.say(f"got{k} = taken(found, at{j} + {each} * {index} + {k})", depth)
            for m in range(self.many):
                parts = ", ".join(f"component{full ^ m}(got{k})" for k in range(each))
                value = f"complex({parts})" if each == 2 else parts
                self.say(f"g{j}_{m}[{index}] = {value}", depth)
        self.say("taken(found, 0)  # of constants")


def halves(leaf: Any) -> list[tuple[str, str]]:
    """How the real numbers that an element is made of are read: of one that is active, and of others."""
    if leaf.dtype.kind == "c":
        return [("real_of({})", ".real"), ("imag_of({})", ".imag")]
    return [("{}", "")]


# What gives Numba's types something to write to that stands for an array that is not written.
UNSEEN: Final = {"flat", "fill_diagonal", "nditer", "ascontiguousarray", "asfortranarray"}


def writes_unseen(dispatcher: Any) -> bool:
    """Whether a function may write into an array that its types say it does not write."""
    code = dispatcher.py_func.__code__
    into = "dot" in code.co_names and any(
        x.opname.startswith("CALL") and x.arg == 3 for x in dis.get_instructions(code)
    )
    return into or not UNSEEN.isdisjoint(named(code))
