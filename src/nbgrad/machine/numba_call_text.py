"""Calls of functions behind descriptors, as Numba types them: arguments are tested, and the text of a call made.

Importing this module imports Numba.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from numba import types

from nbgrad.machine.cache import digest
from nbgrad.machine.called import (
    FAULT,
    NO_MEMORY,
    OUTSIDE,
    SINGULAR,
    Leaf,
    Nest,
    Tree,
    paths_of,
    text_of,
)
from nbgrad.machine.numba_forms import SCALARS
from nbgrad.machine.numba_inside import NumbaTypeError, signature

MISSING: Final = (
    "code that was kept on disk calls a function of nbgrad.compile that this process has not made: make it "
    "before the first call"
)


class CalledType(types.Callable):  # type: ignore[misc]
    """A function behind a descriptor, by its arguments and results."""

    def __init__(self, kind: str, params: Nest, results: Tree) -> None:
        self.kind, self.params, self.results = kind, params, results
        super().__init__(f"nbgrad.{kind}({params} -> {results})")

    def get_call_type(self, context: Any, args: Any, kws: Any) -> Any:
        """The signature of a call."""
        if kws:
            raise refused(self, "takes no arguments by name")
        return signature_of(self, args)

    def get_call_signatures(self) -> tuple[tuple[()], bool]:
        """None that are known before."""
        return (), False

    def get_impl_key(self, sig: Any) -> Any:
        """What calls are lowered by: one function for all of them."""
        return CalledType

    @property
    def mangling_args(self) -> tuple[str, tuple[()]]:
        """A name that is short, where that of a type is part of a symbol."""
        return f"nbgrad_{self.kind}_{digest(self.name)[:16]}", ()


def refused(called: CalledType, message: str) -> NumbaTypeError:
    return NumbaTypeError(f"{called.kind}: {message}")


def _check(called: CalledType, kind: Any, leaf: Leaf, written: bool) -> None:
    """Refuse an argument that is of another kind."""
    what = f"array({SCALARS[leaf.code]}, {leaf.ndim}d)" if leaf.ndim else str(SCALARS[leaf.code])
    wrong = f"argument {leaf.name} is {kind}, and it was compiled for {what}"
    if written:
        fits = isinstance(kind, types.Array) and kind.mutable and kind.layout == "C"
        wrong = f"the result {leaf.name} is to be written to {kind}; that takes {what}, contiguous"
    elif not leaf.ndim and not isinstance(kind, types.Array):
        whole = isinstance(kind, (types.Integer, types.Boolean))
        fits = whole or (isinstance(kind, types.Float) and leaf.code[0] == "f")
        if not fits:
            raise refused(called, wrong)
        return
    else:
        fits = isinstance(kind, types.Array)
    if not fits or kind.ndim != leaf.ndim or kind.dtype != SCALARS[leaf.code] or not kind.aligned:
        raise refused(called, wrong)


def _taken(called: CalledType, tree: Any, kind: Any, written: bool = False) -> list[Any]:
    """The types of the leaves of an argument of type *kind*."""
    if isinstance(tree, Leaf):
        _check(called, kind, tree, written)
        return [kind]
    if not isinstance(kind, types.BaseTuple) or len(kind) != len(tree.parts):
        raise refused(called, f"a tuple of {len(tree.parts)} is needed, and this is {kind}")
    parts = zip(tree.parts, kind, strict=True)
    return [found for part, each in parts for found in _taken(called, part, each, written)]


def _extents(leaf: Leaf, name: str) -> str:
    tests = [f"{name}.shape[{k}] != word(called, {leaf.word + k})" for k in range(leaf.ndim)]
    return " or ".join(tests)


def _reading(leaf: Leaf, kind: Any, name: str, source: str) -> list[str]:
    """Lines that take an argument, and test it."""
    lines = [f"    {name} = {source}"]
    if leaf.setting:
        text = (
            f"argument {leaf.name} was compiled as a number; to pass others, pass floats or arrays"
        )
        return [*lines, f"    if {name} != word(called, {leaf.word}):", f"        raise ValueError({text!r})"]  # fmt: skip
    if leaf.ndim:
        text = f"argument {leaf.name} has other extents than it was compiled for"
        lines += [f"    if {_extents(leaf, name)}:", f"        raise ValueError({text!r})"]
    if isinstance(kind, types.Array) and kind.layout != "C":
        lines.append(f"    {name} = contiguous({name})")
    return lines


def _writing(leaf: Leaf, k: int, source: str | None) -> list[str]:
    """Lines that give the array of a result, made or the caller's."""
    if source is None:
        extents = "".join(f"word(called, {leaf.word + k}), " for k in range(leaf.ndim))
        return [f"    y{k} = empty(({extents}), {leaf.code})"]
    text = f"the array for the result {leaf.name} has other extents"
    return [
        f"    y{k} = {source}",
        f"    if {_extents(leaf, f'y{k}')}:",
        f"        raise ValueError({text!r})",
    ]


def _disjoint(read: Sequence[str], names: Sequence[str]) -> list[str]:
    """Lines that test the arrays of results: kernels take for granted that they share no memory."""
    lines = []
    for k, name in enumerate(names):
        text = f"the array for the result {name} shares memory with an argument, or another result"
        for other in (*read, *[f"y{j}" for j in range(k)]):
            lines += [f"    if overlap(y{k}, {other}):", f"        raise ValueError({text!r})"]
    return lines


_FAILED: Final = f"""
    if found[0] != 0:
        if found[0] == {NO_MEMORY}:
            raise MemoryError({{0!r}})
        if word(called, {FAULT}) == {SINGULAR}:
            raise LinAlgError({{1!r}})
        if word(called, {FAULT}) == {OUTSIDE}:
            raise IndexError({{2!r}})
        raise RuntimeError({{3!r}})
"""


def _failures(kind: str) -> str:
    return _FAILED.format(
        f"{kind}: there is no memory for a run",
        f"{kind}: a matrix is singular, or not positive definite, or a spectrum did not converge",
        f"{kind}: an index is out of bounds",
        f"{kind}: a step of the program failed",
    )


def text_of_call(
    called: CalledType, kinds: Sequence[Any], names: dict[str, Any]
) -> tuple[str, list[Any]]:
    """The text of a call with arguments of these types, which are tested; the types of arrays written to.

    The classes that it names go to *names*.
    """
    params, results = called.params.parts, called.results
    if len(kinds) not in (len(params), len(params) + 1):
        raise refused(called, f"takes {len(params)} arguments, or one more for arrays to write to")
    lines = [f"def impl(called, {', '.join(f'a{k}' for k in range(len(kinds)))}):", "    if not is_there(called):", f"        raise RuntimeError({MISSING!r})"]  # fmt: skip
    given: list[str] = []
    kinds_given: list[Any] = []
    for k, (tree, kind) in enumerate(zip(params, kinds, strict=False)):
        each = zip(paths_of(tree, f"a{k}"), _taken(called, tree, kind), strict=True)
        for (source, leaf), found in each:
            name = f"x{len(given)}" if not leaf.setting else "setting"
            lines += _reading(leaf, found, name, source)
            if not leaf.setting:
                given.append(name)
                kinds_given.append(found)
    arrays = [leaf for leaf in results.leaves() if leaf.ndim]
    places: list[str | None] = [None] * len(arrays)
    made: list[Any] = []
    if len(kinds) > len(params):
        places, made = _places(called, arrays, kinds[-1], len(params))
    for k, (leaf, place) in enumerate(zip(arrays, places, strict=True)):
        lines += _writing(leaf, k, place)
    if made:
        read = [
            x
            for x, found in zip(given, kinds_given, strict=True)
            if isinstance(found, types.Array)
        ]
        lines += _disjoint(read, [leaf.name for leaf in arrays])
    written = "".join(f"y{k}, " for k in range(len(arrays)))
    lines += [f"    found = run(called, ({''.join(f'{x}, ' for x in given)}), ({written}))"]
    number, array = iter(range(1, len(results.leaves()) + 1)), iter(range(len(arrays)))
    leaves = [f"y{next(array)}" if x.ndim else f"found[{next(number)}]" for x in results.leaves()]
    lines += [_failures(called.kind), f"    return {text_of(results, iter(leaves), names)}"]
    return "\n".join(lines), made


def _places(
    called: CalledType, arrays: Sequence[Leaf], kind: Any, at: int
) -> tuple[list[str | None], list[Any]]:
    """Where the arrays are that results are written to: one, or a tuple of them in order."""
    if len(arrays) == 1 and isinstance(kind, types.Array):
        _check(called, kind, arrays[0], True)
        return [f"a{at}"], [kind]
    made = _taken(called, Nest(tuple(arrays)), kind, True)
    return [f"a{at}[{k}]" for k in range(len(arrays))], made


def returned(tree: Any, written: Iterator[Any]) -> Any:
    """The type of what a call gives."""
    if isinstance(tree, Leaf):
        return next(written) if tree.ndim else SCALARS[tree.code]
    parts = [returned(part, written) for part in tree.parts]
    return types.Tuple(parts) if tree.kind is None else types.NamedTuple(parts, tree.kind)


def signature_of(called: CalledType, kinds: Sequence[Any]) -> Any:
    """The signature of a call with arguments of these types, which are tested."""
    made = text_of_call(called, kinds, {})[1]
    arrays = [leaf for leaf in called.results.leaves() if leaf.ndim]
    made = made or [types.Array(SCALARS[leaf.code], leaf.ndim, "C") for leaf in arrays]
    return signature(returned(called.results, iter(made)), *kinds, recvr=called)
