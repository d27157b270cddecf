"""Random programs of views and writes, and how a tensor and its twin run them.

An instruction is a tuple: its name, the registers it reads, and settings. ``make`` draws a program
by running the twin, so that shapes fit and what PyTorch refuses is left out; ``run`` runs it on
tensors.
"""

from __future__ import annotations

import random
from typing import Any

import alias_twin as twin
import numpy as np
from alias_twin import Group, Twin

import nbgrad as ng

SHAPES = [(3,), (2, 3), (3, 3), (4,), (2, 1, 3), (1, 4)]
MAX_SIZE = 24
LARGE = 20.0


# ------------------------------------------------------------------------------------------ views


def view_of(kind: str, settings: Any) -> Any:
    """The function of arrays and tensors alike that a view stands for."""
    return {
        "item": lambda a: a[settings],
        "T": lambda a: a.T,
        "reshape": lambda a: a.reshape(settings),
        "ravel": lambda a: a.ravel(),
        "swapaxes": lambda a: a.swapaxes(0, -1),
        "np.transpose": np.transpose,
        "np.moveaxis": lambda a: np.moveaxis(a, 0, -1),
        "expand": lambda a: np.expand_dims(a, 0),
        "squeeze": np.squeeze,
        "diagonal": lambda a: _diagonal(a),
        "flip": np.flip,
        "split": lambda a: np.array_split(a, 2)[settings],
        "rot90": lambda a: np.rot90(a) if a.ndim > 1 else a[:],
        "broadcast": lambda a: np.broadcast_to(a, (2, *a.shape)),
    }[kind]


def _diagonal(a: Any) -> Any:
    if a.ndim < 2:
        return a[::2]
    line = a.diagonal()
    if isinstance(line, np.ndarray):
        line.flags.writeable = True  # NumPy's is read-only, ours is not
    return line


def draw_view(rng: random.Random, shape: tuple[int, ...]) -> tuple[str, Any]:
    kinds = ["item"] * 5 + ["T", "reshape", "ravel", "swapaxes", "np.transpose", "np.moveaxis"]
    kinds += ["expand", "squeeze", "diagonal", "flip", "split", "rot90", "broadcast"]
    kind = rng.choice(kinds if shape else ["expand", "reshape"])
    if kind == "item":
        return kind, draw_index(rng, shape)
    if kind == "reshape":
        size = int(np.prod(shape))
        options = [(-1,), (1, size), (size, 1)] + [(k, -1) for k in (2, 3) if size % k == 0]
        return kind, rng.choice(options)
    return kind, rng.randrange(2) if kind == "split" else None


def draw_index(rng: random.Random, shape: tuple[int, ...]) -> Any:
    items: list[Any] = []
    for k, n in enumerate(shape[: rng.randint(1, len(shape))]):
        choice = rng.randrange(6)
        if choice == 0 and n and (k < len(shape) - 1 or len(shape) > len(items) + 1):
            items.append(rng.randrange(-n, n))
        elif choice == 1:
            items.append(slice(None, None, rng.choice([-1, 2, -2])))
        else:
            items.append(slice(rng.choice([None, 0, 1, -2]), rng.choice([None, None, n, -1])))
    if rng.random() < 0.1:
        items.insert(rng.randrange(len(items) + 1), None)
    if all(isinstance(item, int) for item in items) and len(items) == len(shape):
        items.append(Ellipsis)
    return items[0] if len(items) == 1 and rng.random() < 0.7 else tuple(items)


# --------------------------------------------------------------------------------------- programs


class Maker:
    """Draws a program while the twin runs it."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.recording = True
        shape = self.rng.choice(SHAPES)
        numbers = np.random.default_rng(seed)
        self.x, self.d = numbers.normal(size=(2, *shape))
        zeros = [np.zeros(shape) for _ in range(twin.ORDER - 1)]
        leaf = Twin([self.x.copy(), self.d.copy(), *zeros], Group(True, leaf=True))
        self.registers: list[Twin | None] = [leaf]
        self.program: list[Any] = [("new", shape)]
        self.registers.append(twin.fresh(twin.constant(np.zeros(shape)), False))
        for _ in range(self.rng.randint(5, 14)):
            self.step()

    def live(self) -> list[int]:
        return [k for k, t in enumerate(self.registers) if t is not None]

    def step(self) -> None:
        names = ["unary", "binary", "view", "view", "view", "set", "set", "augment", "augment"]
        names += ["method", "method", "out", "copyto", "detach", "hooked", "drop", "fill", "puts"]
        if self.recording:
            names += ["no_grad"]
        getattr(self, self.rng.choice(names))()

    def pick(self) -> int:
        return self.rng.choice(self.live())

    def emit(self, instruction: Any, made: Twin | None) -> None:
        self.program.append(instruction)
        if made is not None:
            self.registers.append(made)

    def result(self, c: list[Any], *operands: Twin) -> Twin | None:
        if max(np.abs(a).max(initial=0) for a in c) > LARGE or c[0].size > MAX_SIZE:
            return None
        return twin.fresh(c, self.recording and any(t.group.tracked for t in operands))

    def unary(self) -> None:
        i, name = self.pick(), self.rng.choice(list(twin.UNARY))
        made = self.result(twin.UNARY[name](self.registers[i].c), self.registers[i])
        if made is not None:
            self.emit(("unary", name, i), made)

    def hooked(self) -> None:
        i = self.pick()
        t = self.registers[i]
        if t.group.tracked and self.recording:
            made = twin.fresh([t.c[0] * 1.0, *(0.5 * a for a in t.c[1:])], True)
            self.emit(("hooked", i), made)

    def operand(self, shape: tuple[int, ...]) -> tuple[Any, list[Any], bool]:
        """A register that broadcasts to *shape*, or a number."""
        fits = []
        for k in self.live():
            try:
                if np.broadcast_shapes(self.registers[k].shape, shape) == shape:
                    fits.append(k)
            except ValueError:
                pass
        if not fits or self.rng.random() < 0.2:
            number = round(self.rng.uniform(-1.5, 1.5), 3)
            return number, twin.constant(number), False
        j = self.rng.choice(fits)
        t = self.registers[j]
        return ("r", j), t.c, t.group.tracked and self.recording

    def binary(self) -> None:
        i, name = self.pick(), self.rng.choice(list(twin.BINARY))
        t = self.registers[i]
        source, c, tracked = self.operand(t.shape)
        made = self.result(twin.BINARY[name](t.c, c), t)
        if made is not None:
            if tracked and not made.group.tracked:
                made = twin.fresh(twin.BINARY[name](t.c, c), True)
            self.emit(("binary", name, i, source), made)

    def view(self) -> None:
        i = self.pick()
        t = self.registers[i]
        kind, settings = draw_view(self.rng, t.shape)
        if kind == "broadcast" and t.c[0].size * 2 > MAX_SIZE:
            return
        made = t.view(view_of(kind, settings), self.recording, kind != "broadcast")
        self.emit(("view", kind, settings, i), made)

    def detach(self) -> None:
        i = self.pick()
        self.emit(("detach", self.rng.randrange(2), i), self.registers[i].detach())

    def drop(self) -> None:
        live = self.live()
        if len(live) > 2 and (i := self.rng.choice(live[1:])):
            self.registers[i] = None
            self.program.append(("drop", i))

    def no_grad(self) -> None:
        self.program.append(("no_grad", True))
        self.recording = False
        for _ in range(self.rng.randint(1, 3)):
            self.step()
        self.recording = True
        self.program.append(("no_grad", False))

    # ------------------------------------------------------------------------------------ writing

    def allowed(self, t: Twin, tracked: bool) -> bool:
        """Whether PyTorch lets this be written."""
        if not t.writable:
            return False
        if not self.recording:
            return True
        return not t.group.leaf and not (t.group.guarded and tracked)

    def write(self, i: int, index: Any, c: list[Any], tracked: bool, instruction: Any) -> None:
        t = self.registers[i]
        if not self.allowed(t, tracked) or max(np.abs(a).max(initial=0) for a in c) > LARGE:
            return
        t.write(index, c, tracked, self.recording)
        self.emit(instruction, None)

    def set(self) -> None:
        i = self.pick()
        t = self.registers[i]
        if not t.shape:
            return
        index = draw_index(self.rng, t.shape)
        source, c, tracked = self.operand(t.c[0][index].shape)
        self.write(i, index, c, tracked, ("set", i, index, source))

    def combined(self, name: str) -> None:
        """``a op= b`` in one of its spellings."""
        i, op = self.pick(), self.rng.choice(list(twin.BINARY))
        t = self.registers[i]
        source, c, tracked = self.operand(t.shape)
        self.write(i, ..., twin.BINARY[op](t.c, c), tracked, (name, op, i, source))

    def augment(self) -> None:
        self.combined("augment")

    def method(self) -> None:
        if self.rng.random() < 0.7:
            self.combined("method")
            return
        i, name = self.pick(), self.rng.choice(["sin", "cos"])
        t = self.registers[i]
        self.write(i, ..., twin.UNARY[name](t.c), False, ("method_", name, i))

    def out(self) -> None:
        self.combined("out")

    def copyto(self) -> None:
        i = self.pick()
        source, c, tracked = self.operand(self.registers[i].shape)
        self.write(i, ..., c, tracked, (self.rng.choice(["copyto", "copy_"]), i, source))

    def fill(self) -> None:
        i, number = self.pick(), round(self.rng.uniform(-1, 1), 3)
        self.write(i, ..., twin.constant(number), False, ("fill", i, number))

    def puts(self) -> None:
        """Writes by NumPy's functions to single places."""
        i, number = self.pick(), round(self.rng.uniform(-1, 1), 3)
        t = self.registers[i]
        if not t.shape or not t.c[0].size:
            return
        place = self.rng.randrange(t.c[0].size)
        where = np.unravel_index(place, t.shape)
        name = self.rng.choice(["put", "add.at", "putmask"])
        new = twin.constant(number)
        if name == "add.at":
            new = [a[where] for a in twin.add(t.c, new)]
        self.write(i, where, new, False, (name, i, place, number))


# --------------------------------------------------------------------------------------- running


def run(program: list[Any], x: Any) -> list[Any]:
    """Run *program* on the tensor *x*; returns the registers that are left."""
    registers: list[Any] = [x]
    guards: list[Any] = []
    for name, *rest in program:
        made = _run_one(name, rest, registers, guards)
        if made is not None:
            registers.append(made)
    return [t for t in registers if t is not None]


def _value(source: Any, registers: list[Any]) -> Any:
    return registers[source[1]] if isinstance(source, tuple) else source


def _run_one(name: str, rest: list[Any], registers: list[Any], guards: list[Any]) -> Any:
    if name == "new":
        return ng.zeros(rest[0])
    if name == "no_grad":
        if rest[0]:
            guards.append(ng.no_grad())
            guards[-1].__enter__()
        else:
            guards.pop().__exit__(None, None, None)
        return None
    if name == "drop":
        registers[rest[0]] = None
        return None
    if name in ("unary", "binary", "view", "detach", "hooked"):
        return _made(name, rest, registers)
    return _written(name, rest, registers)


def _made(name: str, rest: list[Any], registers: list[Any]) -> Any:
    if name == "unary":
        op, i = rest
        return registers[i] * 0.5 if op == "half" else getattr(np, op)(registers[i])
    if name == "binary":
        op, i, source = rest
        return getattr(np, op)(registers[i], _value(source, registers))
    if name == "view":
        kind, settings, i = rest
        return view_of(kind, settings)(registers[i])
    if name == "detach":
        data, i = rest
        return registers[i].data if data else registers[i].detach()
    made = registers[rest[0]] * 1.0
    if made.requires_grad:
        made.register_hook(lambda g: g * 0.5)
        return made
    return made * 0.5 + made.detach() * 0.5  # while jit traces, nothing is tracked


def _written(name: str, rest: list[Any], registers: list[Any]) -> None:
    if name == "set":
        i, index, source = rest
        registers[i][index] = _value(source, registers)
    elif name == "augment":
        op, i, source = rest
        t, value = registers[i], _value(source, registers)
        if op == "add":
            t += value
        elif op == "subtract":
            t -= value
        else:
            t *= value
    elif name == "method":
        op, i, source = rest
        method = {"add": "add_", "subtract": "sub_", "multiply": "mul_"}[op]
        getattr(registers[i], method)(_value(source, registers))
    elif name == "method_":
        getattr(registers[rest[1]], rest[0] + "_")()
    elif name == "out":
        op, i, source = rest
        getattr(np, op)(registers[i], _value(source, registers), out=registers[i])
    elif name in ("copyto", "copy_"):
        t, value = registers[rest[0]], _value(rest[1], registers)
        np.copyto(t, value) if name == "copyto" else t.copy_(value)
    elif name == "fill":
        registers[rest[0]].fill_(rest[1])
    else:
        _placed(name, rest, registers)


def _placed(name: str, rest: list[Any], registers: list[Any]) -> None:
    i, place, number = rest
    t = registers[i]
    if name == "put":
        np.put(t, [place], number)
    elif name == "add.at":
        np.add.at(t, np.unravel_index(place, t.shape), number)
    else:
        mask = np.zeros(t.shape, bool)
        mask.flat[place] = True
        np.putmask(t, mask, number)
