"""Random functions of loops, branches and arrays; and a run of what is made of them without a compiler."""

from __future__ import annotations

import linecache
import math
import random
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from nbgrad.machine.intrinsics import plain_namespace
from nbgrad.machine.scalar import HELPERS
from nbgrad.structured.whole import Spec, read, text


class Program:
    """The text of one function ``f(x, y, a, m, n)``: floats x, y, a vector, a matrix, an integer."""

    def __init__(self, seed: int) -> None:
        self.draw = random.Random(seed)
        self.lines: list[str] = []
        self.scalars = ["x", "y", "s"]
        self.arrays = {"a": 1, "m": 2}
        self.written: dict[str, int] = {}
        self.indices = ["n"]
        self.loops = 0
        self.names = 0
        self.budget = 26
        self.say("s = 0.0", 1)
        if self.draw.random() < 0.8:
            self.say("b = a.copy()", 1)
            self.arrays["b"] = self.written["b"] = 1
        if self.draw.random() < 0.6:
            self.say("c = np.zeros(m.shape)", 1)
            self.arrays["c"] = self.written["c"] = 2
        self.block(1, 4 + self.draw.randrange(4))
        ends = ["s", "x", "y", *(k for k in self.written if k in self.arrays)]
        chosen = self.draw.sample(ends, self.draw.randint(1, 2))
        self.say(f"return {', '.join(chosen)}", 1)
        self.source = "def f(x, y, a, m, n):\n" + "\n".join(self.lines) + "\n"

    def say(self, line: str, depth: int) -> None:
        self.lines.append("    " * depth + line)

    def new(self, letter: str) -> str:
        self.names += 1
        return f"{letter}{self.names}"

    # --------------------------------------------------------------------------- expressions

    def index(self) -> str:
        pick = self.draw.random()
        i = self.draw.choice(self.indices)
        if pick < 0.5:
            return i + " % 3"
        if pick < 0.7:
            return f"({i} + {self.draw.randint(0, 4)}) % 3"
        return str(self.draw.randint(-3, 2))

    def element(self, name: str) -> str:
        return f"{name}[{', '.join(self.index() for _ in range(self.arrays[name]))}]"

    def atom(self) -> str:
        pick = self.draw.random()
        if pick < 0.5:
            return self.draw.choice(self.scalars)
        if pick < 0.8:
            return self.element(self.draw.choice(list(self.arrays)))
        if pick < 0.9:
            return repr(round(self.draw.uniform(-2, 2), 2))
        return self.draw.choice(self.indices)

    def expression(self, depth: int = 2) -> str:
        if depth == 0:
            return self.atom()
        a, b = self.expression(depth - 1), self.expression(depth - 1)
        forms = [
            f"{a} + {b}", f"{a} - {b}", f"0.5 * {a} * ({b})", f"math.sin({a})", f"math.cos({a} - {b})",
            f"({a}) / (2.0 + ({b}) ** 2)", f"0.3 * math.tanh({a})", f"math.exp(-abs({a}))",
            f"(-({a}))", f"({a} if {self.test()} else {b})", f"max({a}, {b})", f"math.sqrt(1.0 + ({a}) ** 2)",
            a, self.atom(),
        ]  # fmt: skip
        return self.draw.choice(forms)

    def test(self) -> str:
        a, b = self.atom(), self.atom()
        word = self.draw.choice(["<", ">", "<=", ">="])
        found = f"{a} {word} {b}"
        if self.draw.random() < 0.2:
            found += f" {self.draw.choice(['and', 'or'])} {self.atom()} < {self.atom()}"
        return found

    # ---------------------------------------------------------------------------- statements

    def block(self, depth: int, count: int) -> None:
        for _ in range(count):
            self.budget -= 1
            self.statement(depth)

    def statement(self, depth: int) -> None:
        pick = self.draw.random()
        deep = depth < 5 and self.budget > 0
        if pick < 0.16 and deep:
            self.branch(depth)
        elif pick < 0.34 and deep and self.loops < 3:
            self.loop(depth)
        elif pick < 0.55 and self.written:
            self.write(depth)
        elif pick < 0.62:
            name = self.new("t")
            self.say(f"{name} = {self.expression()}", depth)
            if depth == 1:
                self.scalars.append(name)
            else:
                self.say(f"s += 0.1 * {name}", depth)
        elif pick < 0.66:
            a, b = self.draw.sample(["x", "y", "s"], 2)
            self.say(f"{a}, {b} = {self.bounded()}, {self.bounded()}", depth)
        else:
            name = self.draw.choice(self.scalars)
            self.say(f"{name} = {self.bounded()}", depth)

    def bounded(self) -> str:
        return (
            f"math.tanh({self.expression()})" if self.draw.random() < 0.5 else self.expression(1)
        )

    def write(self, depth: int) -> None:
        name = self.draw.choice(list(self.written))
        pick = self.draw.random()
        if pick < 0.1 and self.written[name] == 2:
            self.say(
                f"{name}[{self.index()}] = {self.draw.choice(['a', '0.5', 'm[0]', 'm[:, 1]'])}",
                depth,
            )
        elif pick < 0.15 and self.written[name] == 1:
            self.say(f"{name}[1:] = {self.draw.choice(['a[:2]', '0.25', 'm[1, :2]', 'y'])}", depth)
        else:
            sign = self.draw.choice(["=", "=", "+=", "*="])
            self.say(f"{self.element(name)} {sign} {self.bounded()}", depth)

    def nested(self, depth: int, count: int) -> None:
        scalars = list(self.scalars)
        self.block(depth, count)
        self.scalars = scalars

    def branch(self, depth: int) -> None:
        self.say(f"if {self.test()}:", depth)
        self.nested(depth + 1, self.draw.randint(1, 3))
        self.leave(depth + 1, 0.15)
        if self.draw.random() < 0.6:
            self.say("else:", depth)
            self.nested(depth + 1, self.draw.randint(1, 3))
            self.leave(depth + 1, 0.1)

    def leave(self, depth: int, chance: float) -> None:
        if self.draw.random() < chance and self.loops:
            self.say(self.draw.choice(["break", "continue"]), depth)

    def loop(self, depth: int) -> None:
        self.loops += 1
        index = self.new("i")
        form = self.draw.choice(
            ["range(3)", "range(n)", "range(n, -1, -1)", "range(1, n + 2, 2)", "while", "array"]
        )
        if form == "while":
            self.say(f"{index} = 0", depth)
            self.say(f"while {index} < n and {self.draw.choice(['x', 's', 'a[0]'])} < 3.0:", depth)
            self.say(f"{index} += 1", depth + 1)
        elif form == "array":
            value = self.new("e")
            self.say(
                f"for {index}, {value} in enumerate({self.draw.choice(['a', 'm[1]', 'm[:, 0]'])}):",
                depth,
            )
            self.say(f"s += 0.2 * {value} * {value}", depth + 1)
        else:
            self.say(f"for {index} in {form}:", depth)
        self.indices.append(index)
        if self.draw.random() < 0.25:
            name = self.new("w")
            self.say(f"{name} = np.zeros(3)", depth + 1)
            self.arrays[name] = self.written[name] = 1
            self.nested(depth + 1, self.draw.randint(2, 4))
            self.say(f"s += 0.1 * {name}[0] * {name}[2]", depth + 1)
            del self.arrays[name], self.written[name]
        else:
            self.nested(depth + 1, self.draw.randint(2, 4))
        self.indices.remove(index)
        self.loops -= 1

    def function(self) -> Callable[..., Any]:
        """The function, with its source where ``inspect`` finds it."""
        name = f"<program {id(self)}>"
        linecache.cache[name] = len(self.source), None, self.source.splitlines(True), name
        space: dict[str, Any] = {"math": math, "np": np}
        exec(compile(self.source, name, "exec"), space)
        return space["f"]  # type: ignore[no-any-return]


SPECS = (
    Spec("float", "f8"),
    Spec("float", "f8"),
    Spec("array", "f8", 1),
    Spec("array", "f8", 2),
    Spec("int"),
)


class Unset:
    """What a variable is that was not assigned: it may be kept, and not computed with."""

    def __int__(self) -> int:
        return 0

    def __bool__(self) -> bool:
        raise RuntimeError("a variable that was not assigned")


def interpreted(source: str) -> Callable[..., int]:
    """What is made of a function as plain Python: memory is a list."""
    space = {
        **plain_namespace(), **HELPERS, "stack_room": lambda: [None] * 256, "nowhere": lambda: None,
        "store_pointer": lambda table, k, p: table.__setitem__(k, p), "load_pointer": lambda table, k: table[k],
        "memory_of": lambda count, size: [0.0] * count, "memory_free": lambda p: None, "memory_given_back": lambda table, count: None,
        "memory_again": lambda p, size: (p or []) + [math.nan] * (size // 8 - len(p or [])),
        "is_nowhere": lambda p: p is None, "words_as_f8": lambda p: p, "words_as_i8": lambda p: p,
    }  # fmt: skip
    exec(compile(source, "<made>", "exec"), space)
    code = space["run"].__code__
    # Of a branch that was not taken, a run keeps whatever there is.
    unset = " = ".join(code.co_varnames[code.co_argcount :])
    head, rest = source.split("\n", 1)
    space["UNSET"] = Unset()
    exec(compile(f"{head}\n    {unset} = UNSET\n{rest}", "<made>", "exec"), space)
    return space["run"]  # type: ignore[no-any-return]


def made(program: Program, order: int, reverse: bool) -> str:
    function = read(program.function(), SPECS, True, False)
    return text(function, (0, 1, 2, 3), order, reverse).source


# --------------------------------------------------------------------------------------- an oracle


class Dual:
    """A number and its gradient: the oracle, by Python's operators."""

    def __init__(self, v: float, g: Any) -> None:
        self.v, self.g = v, g

    @staticmethod
    def of(x: Any) -> Dual:
        return x if isinstance(x, Dual) else Dual(float(x), 0.0)

    def __add__(self, o: Any) -> Dual:
        o = Dual.of(o)
        return Dual(self.v + o.v, self.g + o.g)

    def __sub__(self, o: Any) -> Dual:
        o = Dual.of(o)
        return Dual(self.v - o.v, self.g - o.g)

    def __rsub__(self, o: Any) -> Dual:
        return Dual.of(o) - self

    def __mul__(self, o: Any) -> Dual:
        o = Dual.of(o)
        return Dual(self.v * o.v, self.g * o.v + self.v * o.g)

    __radd__, __rmul__ = __add__, __mul__

    def __truediv__(self, o: Any) -> Dual:
        o = Dual.of(o)
        return Dual(self.v / o.v, self.g / o.v - self.v / o.v / o.v * o.g)

    def __rtruediv__(self, o: Any) -> Dual:
        return Dual.of(o) / self

    def __pow__(self, n: int) -> Dual:
        return Dual(self.v**n, n * self.v ** (n - 1) * self.g)

    def __neg__(self) -> Dual:
        return Dual(-self.v, -self.g)

    def __abs__(self) -> Dual:
        return Dual(abs(self.v), (self.v > 0) * self.g - (self.v < 0) * self.g)

    def __lt__(self, o: Any) -> bool:
        return self.v < Dual.of(o).v

    def __gt__(self, o: Any) -> bool:
        return self.v > Dual.of(o).v

    def __le__(self, o: Any) -> bool:
        return self.v <= Dual.of(o).v

    def __ge__(self, o: Any) -> bool:
        return self.v >= Dual.of(o).v


class Math:
    """The functions that programs call, of duals."""

    @staticmethod
    def made(
        f: Callable[[float], float], slope: Callable[[float], float]
    ) -> Callable[[Any], Dual]:
        return lambda x: Dual(f(Dual.of(x).v), slope(Dual.of(x).v) * Dual.of(x).g)

    sin = made(math.sin, math.cos)
    cos = made(math.cos, lambda v: -math.sin(v))
    tanh = made(math.tanh, lambda v: 1 - math.tanh(v) ** 2)
    exp = made(math.exp, math.exp)
    sqrt = made(math.sqrt, lambda v: 0.5 / math.sqrt(v))


class Arrays:
    """What programs make arrays with, of objects."""

    @staticmethod
    def zeros(shape: Any) -> Any:
        return np.full(shape, 0.0, object)


def larger(a: Any, b: Any) -> Any:
    x, y = Dual.of(a), Dual.of(b)
    if x.v == y.v:
        return Dual(x.v, 0.5 * (x.g + y.g))
    return x if x.v > y.v else y


def expected(
    program: Program, args: Sequence[Any], weights: Sequence[Any]
) -> tuple[list[Any], list[Any]]:
    """Results of a program, and the gradients of their sum with *weights*."""
    sizes = [np.size(a) for a in args[:4]]
    unit = iter(np.eye(sum(sizes)))
    duals = []
    for a in args[:4]:
        flat = [Dual(float(v), next(unit)) for v in np.ravel(a)]
        held = np.empty(np.shape(a), object)
        held.reshape(-1)[:] = flat
        duals.append(held if held.ndim else flat[0])
    space: dict[str, Any] = {"math": Math, "np": Arrays, "max": larger}
    exec(program.source, space)
    found = space["f"](*duals, args[4])
    found = found if isinstance(found, tuple) else (found,)
    total: Any = np.zeros(sum(sizes))
    for y, w in zip(found, weights, strict=False):
        for item, u in zip(np.ravel(np.array(y, object)), np.ravel(w), strict=True):
            total = total + u * Dual.of(item).g
    cuts = np.cumsum(sizes)[:-1]
    grads = [g.reshape(np.shape(a)) for g, a in zip(np.split(total, cuts), args[:4], strict=True)]
    values = [
        np.vectorize(lambda d: Dual.of(d).v, otypes=[float])(np.array(y, object)) for y in found
    ]
    return values, grads
