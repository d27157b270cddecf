"""Kernel text to an LLVM module, without Numba: types are known as the text is read, forwards.

Text that says more than this knows raises `Unsupported`; ``object_code`` has Numba translate it then.
"""

from __future__ import annotations

import ast
import functools
import itertools
import linecache
import math
from collections.abc import Mapping
from types import CodeType, FunctionType
from typing import Any, Final

import llvmlite.binding as ll
from llvmlite import ir

from nbgrad.core.frozen import Value
from nbgrad.machine import interleaving, lljit
from nbgrad.machine.frontend import far, instructions, memory, scipy
from nbgrad.machine.frontend.expressions import constant
from nbgrad.machine.frontend.functions import BUILTINS, Function
from nbgrad.machine.frontend.instructions import Instruction
from nbgrad.machine.frontend.kinds import Kind, Typed, Unsupported, llvm_type
from nbgrad.machine.frontend.memory import MEMORY
from nbgrad.machine.frontend.objects import OBJECTS
from nbgrad.machine.frontend.tiles import TILES
from nbgrad.machine.intrinsics import CASTS
from nbgrad.machine.request import Request
from nbgrad.machine.simplified import simplify

CONTRACT: Final = ("contract",)
BY_PLAIN: Final[dict[Any, Instruction]] = {
    **instructions.BY_PLAIN,
    **memory.BY_PLAIN,
    **far.BY_PLAIN,
    **scipy.BY_PLAIN,
}
# What hand-written kernels (the executor, gemm) may use besides the plain names.
POINTER_NAMES: Final = {i.name: i for i in (*MEMORY, *OBJECTS, *TILES)}
_NAMES: Final = {
    **BUILTINS,
    **CASTS,
    **{plain.__name__: found for plain, found in BY_PLAIN.items()},
    **POINTER_NAMES,
    "math": math,
}


class Translated(Value):
    """A helper for operands of some kinds, as a module of its own."""

    symbol: str
    result: Kind
    bitcode: bytes
    calls: tuple[Any, ...]  # those that it calls


_translated: dict[Any, Translated | None] = {}
_numbers = itertools.count()  # of symbols: what is linked together must not share one


def module_of(request: Request) -> tuple[Any, str]:
    """The LLVM module of a request's function, and its name in there."""
    names = {**_NAMES, **request.helpers}
    node = next(
        n
        for n in ast.parse(request.source).body
        if isinstance(n, ast.FunctionDef) and n.name == request.name
    )
    kinds = tuple(request.params)
    note = None if request.table else interleaving.note(request.source)
    result = "none" if request.result is None else request.result
    inner = f"inner_{request.symbol}"
    module, _, called = _written(node, inner, kinds, names, (), result, note, request.noalias)
    found = parsed(module)
    for each in _closure(called):
        found.link_in(ll.parse_bitcode(each.bitcode))
    return found, inner


def _closure(called: list[Translated]) -> list[Translated]:
    """These, and all that they call, each once."""
    found: dict[str, Translated] = {}
    left = list(called)
    while left:
        each = left.pop()
        if each.symbol not in found:
            found[each.symbol] = each
            left += each.calls
    return [*found.values()]


def parsed(module: Any) -> Any:
    """LLVM's form of a module that was written."""
    machine = lljit.target_machine()
    module.triple, module.data_layout = lljit.host().triple, str(machine.target_data)
    return ll.parse_assembly(str(module))


def _written(
    node: ast.FunctionDef, symbol: str, kinds: tuple[Kind, ...], names: Mapping[str, Any],
    flags: tuple[str, ...], result: Kind | None, note: str | None, noalias: bool,
) -> tuple[Any, Kind, list[Translated]]:  # fmt: skip
    """The module of one function, the kind of what it returns, and the helpers that it calls."""
    module = ir.Module(symbol, context=ir.Context())
    types = [llvm_type(kind) for kind in kinds]
    # What it returns is known once it is written, and nothing in this module calls it.
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), types), symbol)
    function.attributes.add("nounwind")
    if noalias:
        for arg in function.args:
            if isinstance(arg.type, ir.PointerType):
                # llvmlite knows a fixed list of attributes; these are printed as they are.
                set.update(arg.attributes, ("noalias", "captures(none)"))
    called: list[Translated] = []
    entry = function.append_basic_block("entry")
    b = ir.IRBuilder(function.append_basic_block("body"))
    writer = Function(b, names, flags, BY_PLAIN, functools.partial(_call, called))
    writer.result = result
    if note is not None:
        writer.loop_note = _Verbatim(module, note)
    writer.start(node, kinds, function.args)
    kind = writer.finish(writer.statements(node.body))
    ir.IRBuilder(entry).branch(function.blocks[1])
    _returning(function, kind)
    return module, kind, called


class _Verbatim(ir.MDValue):
    """A note in LLVM's words."""

    def __init__(self, module: Any, text: str) -> None:
        super().__init__(module, [], name=str(len(module.metadata)))
        self.text = text

    def descr(self, buf: list[str]) -> None:
        """Append the text."""
        buf += (f"!{{{self.text}}}", "\n")


def _returning(function: Any, kind: Kind) -> None:
    """Let a function return a value of the *kind*."""
    returned = llvm_type(kind)
    function.ftype = ir.FunctionType(returned, function.ftype.args)
    function.type = function.ftype.as_pointer()
    function.return_value = ir.values.ReturnValue(function, returned)


# ------------------------------------------------------------------------------------------- helpers


def _call(
    called: list[Translated], writer: Any, helper: FunctionType, given: list[Typed]
) -> Typed:
    """Write a call of a helper."""
    for value in (helper.__defaults__ or ())[len(given) - helper.__code__.co_argcount :]:
        if len(given) < helper.__code__.co_argcount:
            given = [*given, constant(value)]
    found = translated(helper, tuple([x.kind for x in given]))
    called.append(found)
    module = writer.b.module
    function = module.globals.get(found.symbol)
    if function is None:
        kind = ir.FunctionType(llvm_type(found.result), [x.value.type for x in given])
        function = ir.Function(module, kind, found.symbol)
    return Typed(found.result, writer.b.call(function, [x.value for x in given]))


def translated(helper: FunctionType, kinds: tuple[Kind, ...]) -> Translated:
    """A helper for operands of these kinds: written and simplified once in a process."""
    key = helper, kinds
    if key not in _translated:
        _translated[key] = None
        try:
            _translated[key] = _translate(helper, kinds)
        except BaseException:
            del _translated[key]
            raise
    found = _translated[key]
    if found is None:
        raise Unsupported(f"{helper.__name__} calls itself")
    return found


def _translate(helper: FunctionType, kinds: tuple[Kind, ...]) -> Translated:
    symbol = f"{helper.__name__}.{next(_numbers)}"
    names = {**BUILTINS, **helper.__globals__}
    node = source_of(helper)
    module, result, called = _written(node, symbol, kinds, names, CONTRACT, None, None, False)
    function = module.globals[symbol]
    if not getattr(helper, "apart", False):
        function.attributes.add("alwaysinline")
    found = parsed(module)
    simplify(found, lljit.target_machine())
    return Translated(symbol, result, found.as_bitcode(), tuple(called))


@functools.cache
def _functions(path: str) -> tuple[dict[int, ast.FunctionDef], dict[tuple[int, str], CodeType]]:
    """The functions of a file by the lines where they begin, and what Python makes of them, by name, too.

    From 3.14 on what computes annotations is a function in the same line.
    """
    text = "".join(linecache.getlines(path))
    tree = ast.parse(text)
    nodes = {
        min([node.lineno, *[d.lineno for d in node.decorator_list]]): node
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef)
    }
    codes: dict[tuple[int, str], CodeType] = {}
    left = [compile(text, path, "exec", dont_inherit=True)]
    while left:
        code = left.pop()
        codes[code.co_firstlineno, code.co_name] = code
        left += [c for c in code.co_consts if isinstance(c, CodeType)]
    return nodes, codes


def source_of(helper: FunctionType) -> ast.FunctionDef:
    """What a helper says, if its file still says what was imported."""
    code = helper.__code__
    linecache.lazycache(code.co_filename, helper.__globals__)
    nodes, codes = _functions(code.co_filename)
    node = nodes.get(code.co_firstlineno)
    found = codes.get((code.co_firstlineno, code.co_name))
    if node is None or found is None or _says(found) != _says(code):
        raise Unsupported(f"{helper.__name__}, whose source is not at hand")
    return node


def _says(code: CodeType) -> tuple[Any, ...]:
    plain = [c for c in code.co_consts if not isinstance(c, CodeType)]
    return code.co_name, code.co_code, code.co_names, code.co_varnames, repr(plain)
