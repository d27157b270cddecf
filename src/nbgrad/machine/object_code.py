"""Kernel text to object code: our front end, one LLVM pipeline, our own emission.

The function is translated (``frontend``); a small wrapper with the C ABI is added; one O3 pipeline runs over the whole
and the object is emitted once. Only text that says more than the front end knows is translated by Numba.
"""

from __future__ import annotations

from typing import Any, Final

import llvmlite.binding as ll

from nbgrad.core.frozen import Value
from nbgrad.core.lazy import load
from nbgrad.machine import lljit
from nbgrad.machine.frontend import modules
from nbgrad.machine.frontend.kinds import Unsupported
from nbgrad.machine.request import AGAIN, Request

_RETURNED: Final = {None: "void", "i8": "i64", "f8": "double"}


def build(request: Request) -> tuple[bytes, tuple[str, ...]]:
    """Compile the function ``request.name`` to an object file that exports ``request.symbol``.

    ``params`` are the type codes of every parameter. If ``result`` is None the symbol has the
    kernel ABI ``void (int64 lo, int64 hi, int64 *args)`` and the third and later parameters are
    read from ``args``. Otherwise it is the type code of the result, and the parameters are passed
    as they are.

    Returns
    -------
    object code : bytes
    needs : tuple of str
        Functions that the object calls.
    """
    try:
        (module, name), extra = modules.module_of(request), 0
    except Unsupported:
        # Numba's functions take two pointers more: where the result goes, and an exception.
        (module, name), extra = load("nbgrad.machine.numba_kernels").module_of(request), 2
    kinds = [str(a.type) for a in module.get_function(name).arguments][extra:]
    _add_wrapper(module, _Inner(name, kinds, _RETURNED[request.result], extra > 0), request)
    optimize(module)
    needs = tuple(
        f.name for f in module.functions if f.is_declaration and not f.name.startswith("llvm.")
    )
    return lljit.target_machine().emit_object(module), needs


class _Inner(Value):
    """The function in its module: what of LLVM's types it takes and returns, and whether by Numba's convention."""

    name: str
    kinds: list[str]
    result: str
    of_numba: bool

    def declared(self) -> str:
        """Its declaration."""
        if self.of_numba:
            return f'declare i32 @"{self.name}"({", ".join(["ptr", "ptr", *self.kinds])})'
        return f'declare {self.result} @"{self.name}"({", ".join(self.kinds)})'

    def call(self, passed: list[str]) -> str:
        """A call, whose result is ``%out``, if it has one."""
        given = [f"{kind} {value}" for kind, value in zip(self.kinds, passed, strict=True)]
        void = self.result == "void"
        if not self.of_numba:
            out = "" if void else "%out = "
            return f'{out}call {self.result} @"{self.name}"({", ".join(given)})'
        lines = [
            f"%ret = alloca {'ptr' if void else self.result}",
            "%exc = alloca ptr",
            f'%status = call i32 @"{self.name}"({", ".join(["ptr %ret", "ptr %exc", *given])})',
        ]
        return "\n  ".join(lines if void else [*lines, f"%out = load {self.result}, ptr %ret"])


def _add_wrapper(module: Any, inner: _Inner, request: Request) -> None:
    """Link the exported C function into *module* and make everything else internal to it."""
    make = _table if request.table else _kernel if request.result is None else _direct
    link(module, f"{inner.declared()}\n{make(inner, request)}")
    for value in (*module.functions, *module.global_variables):
        # LLVM's own globals, such as llvm.compiler.used, mean nothing under another linkage.
        if value.is_declaration or value.name == request.symbol or value.name.startswith("llvm."):
            continue
        value.linkage = ll.Linkage.internal


def _kernel(inner: _Inner, request: Request) -> str:
    """``void symbol(int64 lo, int64 hi, int64 *args)``: a word for each parameter behind the first two."""
    lines, values = _unpacked(inner.kinds[2:], request.params[2:])
    return f"""
define void @"{request.symbol}"(i64 %lo, i64 %hi, ptr %words) nounwind {{
  {lines}
  {inner.call(["%lo", "%hi", *values])}
  ret void
}}"""


def _table(inner: _Inner, request: Request) -> str:
    """``int64 symbol(int64 *words)``: a word for each parameter."""
    lines, values = _unpacked(inner.kinds, request.params)
    return f"""
{"declare i64 @nbgrad_again(ptr)" if request.again else ""}
define i64 @"{request.symbol}"(ptr %words) nounwind {{
  {lines}
  {inner.call(values)}
  {_AGAIN if request.again else "ret i64 %out"}
}}"""


def _direct(inner: _Inner, request: Request) -> str:
    """A C function of the parameters as they are."""
    values = [f"%v{k}" for k in range(len(inner.kinds))]
    taken = ", ".join(f"{kind} {v}" for kind, v in zip(inner.kinds, values, strict=True))
    return f"""
define {inner.result} @"{request.symbol}"({taken}) nounwind {{
  {inner.call(values)}
  ret {inner.result} %out
}}"""


def _unpacked(kinds: list[str], params: tuple[str, ...]) -> tuple[str, list[str]]:
    """LLVM text that reads a word for each parameter, and the names of the values."""
    lines = []
    for k, (kind, code) in enumerate(zip(kinds, params, strict=True)):
        lines.append(f"%p{k} = getelementptr inbounds i64, ptr %words, i64 {k}")
        lines.append(f"%w{k} = load {'ptr' if kind == 'ptr' else 'i64'}, ptr %p{k}")
        lines.append(_unpack(k, kind, code))
    return "\n  ".join(lines), [f"%v{k}" for k in range(len(kinds))]


_AGAIN: Final = f"""
  %odd = icmp eq i64 %out, {AGAIN}
  br i1 %odd, label %again, label %done
again:
  %second = call i64 @nbgrad_again(ptr %words)
  ret i64 %second
done:
  ret i64 %out"""


def _unpack(k: int, kind: str, code: str) -> str:
    """LLVM text that turns word *k* of the argument table into a value of type *kind*."""
    if kind == "ptr":
        return f"%v{k} = getelementptr i8, ptr %w{k}, i64 0"
    if kind == "double":
        return f"%v{k} = bitcast i64 %w{k} to double"
    if kind == "float":
        return f"%h{k} = trunc i64 %w{k} to i32\n  %v{k} = bitcast i32 %h{k} to float"
    if code == "b1":
        return f"%h{k} = icmp ne i64 %w{k}, 0\n  %v{k} = " + (
            f"zext i1 %h{k} to {kind}" if kind != "i1" else f"xor i1 %h{k}, false"
        )
    if kind == "i64":
        return f"%v{k} = add i64 %w{k}, 0"
    return f"%v{k} = trunc i64 %w{k} to {kind}"


def link(module: Any, text: str) -> None:
    """Put what is in a text into the module."""
    other = ll.parse_assembly(text)
    other.data_layout, other.triple = module.data_layout, module.triple
    module.link_in(other)


def optimize(module: Any, lanes: bool = True) -> None:
    """Run LLVM's O3 pipeline; without *lanes* it makes no vectors of numbers that stand beside each other.

    Pass managers are single-use: a second run aborts the process.
    """
    tuning = ll.create_pipeline_tuning_options(3)
    tuning.loop_vectorization = True
    tuning.slp_vectorization = lanes
    builder = ll.create_pass_builder(lljit.target_machine(), tuning)
    builder.getModulePassManager().run(module, builder)
    module.verify()
