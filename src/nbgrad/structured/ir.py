"""The language that structured functions are read into: scalars assigned once, arrays in memory, loops, choices.

A *block* is a list of statements. Scalars are values, each defined by one statement; what a loop carries are
its ``params``, which begin as ``inits`` and become ``nexts`` after each run of the body. Arrays are written
in place. Printing is ``emit``, tangents ``forward``, adjoints ``reverse``.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

_numbers = itertools.count()

FLOATS = ("f8", "f4")


class Refused(Exception):
    """A construct that is not read; ``line`` of the user's file, 0 where none is known."""

    def __init__(self, reason: str, line: int = 0) -> None:
        super().__init__(reason)
        self.reason = reason
        self.line = line


class Val:
    """A scalar of type ``code``. Equal is only the same one."""

    __slots__ = ("code", "number")

    def __init__(self, code: str) -> None:
        self.code = code
        self.number = next(_numbers)

    @property
    def floating(self) -> bool:
        """Whether it can have a derivative."""
        return self.code in FLOATS


class Const(Val):
    """A scalar that is written out."""

    __slots__ = ("value",)

    def __init__(self, value: Any, code: str) -> None:
        super().__init__(code)
        self.value = value


class Array:
    """Memory of elements ``code``: an operand, a result or the function's own.

    ``role`` is "in" for what is read only where it lies, "out" for a result, "own" for memory of the
    function's own, of ``size`` elements; ``word`` says which operand or result it is.
    """

    __slots__ = ("code", "name", "role", "size", "word")

    def __init__(self, code: str, role: str, size: Val, word: int = -1) -> None:
        self.code = code
        self.role = role
        self.size = size
        self.word = word
        self.name = f"a{next(_numbers)}"

    @property
    def floating(self) -> bool:
        """Whether its elements can have derivatives."""
        return self.code in FLOATS


@dataclass(frozen=True)
class Op:
    """What a statement computes: its text over ``{0}``, ``{1}``, and the primitive it is, for its derivatives."""

    text: str
    code: str
    prim: Any = None
    params: tuple[tuple[str, Any], ...] = ()
    dear: bool = False  # kept for the way back rather than computed again


@dataclass(eq=False)
class Compute:
    out: Val
    op: Op
    args: tuple[Val, ...]


@dataclass(eq=False)
class Load:
    out: Val
    array: Array
    index: Val


@dataclass(eq=False)
class Store:
    array: Array
    index: Val
    value: Val


@dataclass(eq=False)
class Alloc:
    """The array's memory, all zero; at the top of a function only."""

    array: Array


@dataclass(eq=False)
class Fault:
    """End with a status if the condition holds."""

    cond: Val
    status: int


@dataclass(eq=False)
class Block:
    stmts: list[Any] = field(default_factory=list)


@dataclass(eq=False)
class If:
    cond: Val
    then: Block
    other: Block
    outs: list[Val]
    thens: list[Val]
    others: list[Val]


@dataclass(eq=False)
class Loop:
    """A loop over ``range(start, stop, step)``; or, without ``index``, while ``cond`` of block ``test`` holds."""

    index: Val | None
    start: Val | None
    stop: Val | None
    step: Val | None
    test: Block
    cond: Val | None
    body: Block
    params: list[Val]
    inits: list[Val]
    nexts: list[Val]
    outs: list[Val]


Stmt = Compute | Load | Store | Alloc | Fault | If | Loop


@dataclass(eq=False)
class Function:
    """A function as words see it.

    Attributes
    ----------
    arguments : list of Array
        Operands: scalars are arrays of one element.
    statics : list of Val
        Integers and booleans, as words.
    extents : dict
        Of each array of the arguments, the values that are its extents.
    results : list of Array
        Where results are written to.
    shapes : list of list of Val
        The extents of each result.
    body : Block
    """

    arguments: list[Array]
    statics: list[Val]
    extents: dict[Array, list[Val]]
    results: list[Array]
    shapes: list[list[Val]]
    body: Block


def blocks_of(stmt: Any) -> tuple[Block, ...]:
    """The blocks within a statement."""
    if stmt.__class__ is If:
        return (stmt.then, stmt.other)
    if stmt.__class__ is Loop:
        return (stmt.test, stmt.body)
    return ()


def walk(block: Block) -> Iterator[Any]:
    """All statements, those within others too, in order."""
    for stmt in block.stmts:
        yield stmt
        for inner in blocks_of(stmt):
            yield from walk(inner)


def uses(stmt: Any) -> list[Val]:
    """What a statement reads itself, not what blocks in it read."""
    kind = stmt.__class__
    if kind is Compute:
        return list(stmt.args)
    if kind is Load:
        return [stmt.index]
    if kind is Store:
        return [stmt.index, stmt.value]
    if kind is Fault:
        return [stmt.cond]
    if kind is Alloc:
        return [stmt.array.size]
    if kind is If:
        return [stmt.cond, *stmt.thens, *stmt.others]
    ends = [v for v in (stmt.start, stmt.stop, stmt.step, stmt.cond) if v is not None]
    return [*ends, *stmt.inits, *stmt.nexts]


def outs(stmt: Any) -> list[Val]:
    """What a statement defines for those after it."""
    kind = stmt.__class__
    if kind is Compute or kind is Load:
        return [stmt.out]
    return list(stmt.outs) if kind is If or kind is Loop else []


def stores_in(stmt: Any) -> set[Array]:
    """Arrays that a statement writes, or statements in it."""
    if stmt.__class__ is Store:
        return {stmt.array}
    found: set[Array] = set()
    for block in blocks_of(stmt):
        found.update(s.array for s in walk(block) if s.__class__ is Store)
    return found
