"""A whole function: from its Python and the types of its arguments to the text of a function of words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from nbgrad.machine.request import AGAIN, SHAPE
from nbgrad.structured import calls
from nbgrad.structured.build import Builder
from nbgrad.structured.emit import Names, Printer, indented, left
from nbgrad.structured.forward import Tangents
from nbgrad.structured.ir import Alloc, Array, Fault, Function, Refused, Val, walk
from nbgrad.structured.live import live, tidied
from nbgrad.structured.read import Reader
from nbgrad.structured.reverse import Adjoint, zero
from nbgrad.structured.views import View, each, fetched, size_of, store, whole


@dataclass(frozen=True)
class Spec:
    """What is known of an argument: its ``kind`` is array, float, int, bool, tuple or object."""

    kind: str
    code: str = ""
    ndim: int = 0
    parts: tuple[Spec, ...] = ()
    value: Any = None


@dataclass
class Made:
    """The text of a function of words: its parameters' types by name, and what there is to tell of it."""

    source: str
    params: tuple[str, ...]
    kept: int = 0
    notes: list[str] = field(default_factory=list)


class _Arguments:
    """Arguments as the reader sees them, and as words."""

    def __init__(self, build: Builder) -> None:
        self.build = build
        self.operands: list[Array] = []
        self.statics: list[Val] = []
        self.extents: dict[Array, list[Val]] = {}
        self.begin: list[Any] = []

    def value(self, spec: Spec) -> Any:
        build = self.build
        if spec.kind == "array":
            shape = [self.extent() for _ in range(spec.ndim)]
            array = self.operand(spec.code, shape)
            return whole(build, array, shape)
        if spec.kind == "float":
            view = View(self.operand(spec.code, []), build.integer(0), (), ())
            return fetched(build, view)
        if spec.kind in ("int", "bool"):
            found = Val("i8")
            self.statics.append(found)
            build.given.add(found)
            return found if spec.kind == "int" else build.cast(found, "b1")
        if spec.kind == "tuple":
            parts = [self.value(p) for p in spec.parts]
            return tuple(parts) if spec.value is None else calls.named(spec.value, parts)
        return spec.value

    def extent(self) -> Val:
        found = Val("i8")
        self.build.given.add(found)
        self.build.natural.add(found)
        return found

    def operand(self, code: str, shape: list[Val]) -> Array:
        array = Array(code, "in", size_of(self.build, shape), len(self.operands))
        self.operands.append(array)
        self.extents[array] = shape
        return array


def read(function: Any, specs: Sequence[Spec], divides: bool, checks: bool) -> Function:
    """Read a Python function into blocks.

    Raises
    ------
    Refused
    """
    tree, _ = calls.source_of(function)
    build = Builder(divides)
    reader = Reader(build, calls.names_of(function), checks, (function,))
    arguments = _Arguments(build)
    names = [a.arg for a in (*tree.args.posonlyargs, *tree.args.args)]
    if tree.args.kwonlyargs or len(specs) > len(names):
        raise Refused("keyword-only arguments", tree.lineno)
    for name, spec in zip(names, specs, strict=False):
        reader.env[name] = arguments.value(spec)
    for name, default in zip(
        names[len(specs) :], _defaults(function, names, len(specs)), strict=True
    ):
        reader.env[name] = reader.outside(default)
    found = reader.function(tree.body)
    results: list[Array] = []
    shapes: list[list[Val]] = []
    for leaf in _leaves(found):
        _result(reader, leaf, results, shapes)
    made = Function(
        arguments.operands, arguments.statics, arguments.extents, results, shapes, build.block
    )
    return tidied(made)


def _defaults(function: Any, names: list[str], given: int) -> list[Any]:
    held = dict(zip(reversed(names), reversed(function.__defaults__ or ()), strict=False))
    try:
        return [held[name] for name in names[given:]]
    except KeyError as error:
        raise Refused(f"a call without {error}") from None


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, tuple):
        for item in value:
            yield from _leaves(item)
    elif isinstance(value, Val | View):
        yield value
    else:
        raise Refused(f"a function that returns {value!r:.40}")


def _result(reader: Reader, leaf: Any, results: list[Array], shapes: list[list[Val]]) -> None:
    """Write a result where words say."""
    build = reader.build
    if isinstance(leaf, Val):
        array = Array(leaf.code, "out", build.integer(1), len(results))
        store(build, View(array, build.integer(0), (), ()), leaf)
        results.append(array)
        shapes.append([])
        return
    if not leaf.ndim:
        raise Refused("an array without dimensions")
    expected = [Val("i8") for _ in leaf.shape]
    for mine, theirs in zip(leaf.shape, expected, strict=True):
        build.given.add(theirs)
        build.add(Fault(build.plain("{0} != {1}", "b1", mine, theirs), SHAPE))
    array = Array(leaf.code, "out", build.lifted(size_of(build, expected)), len(results))
    each(
        build,
        [whole(build, array, expected), leaf],
        lambda v: store(build, v[0], fetched(build, v[1])),
    )
    results.append(array)
    shapes.append(expected)


def text(
    function: Function,
    active: Sequence[int],
    k: int,
    reverse: bool,
    guarded: bool = True,
    values: bool = False,
) -> Made:
    """The text of J_k, or of R_k: the function with *k* nested tangents, or the way back through that.

    ``active`` are the numbers of the operands differentiated by. What is not ``guarded`` ends with
    ``AGAIN`` if a result is NaN: what is guarded may have a number there. With *values* the way back gives the
    results of the function, too, whose words come last.
    """
    words = _Words(function, [function.arguments[n] for n in active])
    for _ in range(k):
        words.nest()
    return words.reversed(guarded, values) if reverse else words.forward()


class _Words:
    """The operands and results of J_k, by component."""

    def __init__(self, function: Function, active: list[Array]) -> None:
        self.function = function
        self.operands = list(function.arguments)
        self.results = list(function.results)
        self.active = active
        self.floats = [r for r in function.results if r.floating]
        self.shape_of = {**function.extents}
        self.shape_of.update(zip(function.results, function.shapes, strict=True))

    def nest(self) -> None:
        made = Tangents(self.function, self.active, self.floats)
        for old, new in (
            *zip(self.active, made.sources, strict=True),
            *zip(self.floats, made.targets, strict=True),
        ):
            self.shape_of[new] = [Val("i8") for _ in self.shape_of[old]]
        self.operands += made.sources
        self.results += made.targets
        self.active = self.active + made.sources
        self.floats = self.floats + made.targets
        self.function.results = self.results
        tidied(self.function)

    def words(
        self, names: Any, arrays: Sequence[Array], prefix: str = ""
    ) -> Iterator[tuple[str, str]]:
        for array in arrays:
            yield f"{prefix}{names(array)}", f"{array.code}*"
            for extent in self.shape_of[array]:
                yield names(extent), "i8"

    def forward(self) -> Made:
        names = Names()
        params = [*self.words(names, self.operands)]
        params += [(names(s), "i8") for s in self.function.statics]
        params += self.words(names, self.results)
        printer = Printer(names, {}, {}, {}, None)
        lines = list(printer.block(self.function.body))
        return _made(params, [], lines, printer.owned, 0)

    def reversed(self, guarded: bool, values: bool) -> Made:
        names = Names()
        params = [*self.words(names, self.operands)]
        params += self.words(names, self.floats, "d")
        params += [(names(s), "i8") for s in self.function.statics]
        # Extents of results of the way back are those of operands: words of their own, read by nobody.
        for array in self.active:
            params.append((f"d{names(array)}", f"{array.code}*"))
            params += [(f"e{len(params)}_{n}", "i8") for n, _ in enumerate(self.shape_of[array])]
        results = self.results if values else []
        known_extents = {name for name, _ in params}
        for name, code in self.words(names, results):
            params.append((f"e{len(params)}" if name in known_extents else name, code))
        back = Adjoint(self.function, self.active, self.floats, names, guarded)
        roots = {*back.asked, *back.frames, *back.counts, *results}
        sizes = {x.array.size for x in walk(self.function.body) if x.__class__ is Alloc}
        sizes |= {a.size for a in self.active}
        asked = live(self.function.body, roots | sizes)
        printer = Printer(names, back.frames, back.olds, back.counts, asked)
        lines = list(printer.block(self.function.body))
        known = set(self.operands)
        mine = [x.array for x in walk(self.function.body) if x.__class__ is Alloc]
        mine = [x for x in mine if x in back.active and x not in known]
        lines += printer.allocate([(x, f"d{names(x)}") for x in mine])
        for array in self.active:
            lines += _cleared(f"d{names(array)}", names(array.size), array.code)
        start = _stacks(printer.kinds)
        kept = sum(len(v) for f in back.frames.values() for v in f.values.values())
        found = [] if guarded else self.odd(names)
        return _made(params, start, [*lines, *back.lines, *found], printer.owned, kept)

    def odd(self, names: Names) -> Iterator[str]:
        """What looks for results that are NaN."""
        for array in self.active:
            name, size = f"d{names(array)}", names(array.size)
            yield "odd = False"
            yield f"for each in range({size}):"
            yield f"    odd = odd | ({name}[each] != {name}[each])"
            yield "if odd:"
            yield from indented(left(AGAIN))


def _cleared(name: str, size: str, code: str) -> list[str]:
    if size == "1":
        return [f"{name}[0] = {zero(code)}"]
    return [f"for each in range({size}):", f"    {name}[each] = {zero(code)}"]


def _stacks(kinds: Sequence[str]) -> list[str]:
    lines = []
    for kind in kinds:
        lines += [f"{kind}top = 0", f"{kind}room = 0"]
        lines += [f"{kind}kept = words_as_{'f8' if kind == 'f' else 'i8'}(nowhere())"]
    return lines


def _made(
    params: list[tuple[str, str]], start: list[str], lines: list[str], owned: int, kept: int
) -> Made:
    head = [
        "table = stack_room()",
        "for number in range($): store_pointer(table, number, nowhere())",
    ]
    freed = "for number in range($): memory_free(load_pointer(table, number))"
    body = [*head, *start, *lines, freed, "return 0"]
    text = f"def run({', '.join(name for name, _ in params)}):\n"
    text += "\n".join(indented(body)).replace("$", str(owned)) + "\n"
    return Made(text, tuple(code for _, code in params), kept)
