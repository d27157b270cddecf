"""A user's functions through all of Numba's passes to object code: optimised once, loaded by us, kept on disk.

Numba's own way optimises and loads each function that is called on the way, writes wrappers for Python, and
keeps nothing of it. Here everything that a function calls, overloads too, is compiled in contexts of our own:
Numba types and lowers it, the modules are linked once, and LLVM goes once over the whole.

What these contexts compile is never called by Python, so functions that Numba may hold for its user are
compiled as copies.
"""

from __future__ import annotations

import contextlib
import copy
import re
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence, Set
from typing import Any, Final

import llvmlite.binding as ll
from numba import types

from nbgrad.machine import lljit, merging, scipy_scalars
from nbgrad.machine.declared import declared
from nbgrad.machine.numba_inside import (
    Collected,
    ConfigStack,
    CPUDispatcher,
    CPUTarget,
    Generator,
    Knowing,
    _helperlib,
    _nrt_python,
    cpu_target,
    global_compiler_lock,
    lean,
    target_machine,
    without_linalg,
)
from nbgrad.machine.object_code import link
from nbgrad.machine.operators import OperatorLowering
from nbgrad.machine.plain import passes_of, plainly
from nbgrad.machine.registries import Refreshed
from nbgrad.machine.request import UNSAID

OPTIONS: Final = ("fastmath", "error_model", "boundscheck", "forceinline", "inline")
OURS: Final = ("numba", "nbgrad")


class Unfit(Exception):
    """Code that holds what only this process has: why."""


class _Library(Collected):
    """Modules as Numba lowered them; what they need is linked once, into what is emitted."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._waiting: list[Callable[[], None]] = []

    def asks_for(self, lower: Callable[[], None]) -> None:
        """Let *lower* add a module when this is linked, and not before."""
        self._waiting.append(lower)

    def lowered(self) -> _Library:
        """The library itself, all of it lowered."""
        while self._waiting:
            self._waiting.pop(0)()
        return self

    def finalize(self) -> None:
        """Others may link this: modules are added when they do."""
        self._finalized = True

    def _raise_if_finalized(self) -> None:
        """Nothing: modules are added later."""

    _shared_module: Any

    def _get_module_for_linking(self) -> Any:
        """The module for code of Numba's own, with what it needs."""
        if self._shared_module is None:
            module = _linked(self, self.lowered()._final_module.clone())
            for f in module.functions:
                if not f.is_declaration and f.linkage == ll.Linkage.external:
                    f.linkage = "linkonce_odr"
            self._shared_module = module
        return self._shared_module


class _Generator(Generator):
    _library_class = _Library


class _Typing(Refreshed, Knowing):
    """Typing in which users' functions are copies of ours, and what methods stand for too."""

    own_templates: dict[Any, Any]

    def _get_attribute_templates(self, typ: Any) -> Iterator[Any]:
        """What knows the attributes of a type; each compiles in the context that made it."""
        for template in super()._get_attribute_templates(typ):
            mine = self.own_templates.get(template)
            if mine is None:
                mine = self.own_templates[template] = type(template)(self)
            yield mine

    def resolve_value_type(self, val: Any) -> Any:
        """The type of a value that is a constant in compiled code."""
        found = super().resolve_value_type(val)
        if isinstance(found, types.Dispatcher):
            mine = copied(found.dispatcher)
            if mine is not found.dispatcher:
                return super().resolve_value_type(mine)
        return found


# By the names of functions, for those that call each other and so could not be linked yet.
_defined: weakref.WeakValueDictionary[str, Any] = weakref.WeakValueDictionary()


class _Wrapperless:
    """A context for code that Python does not call."""

    def create_cpython_wrapper(self, *args: Any, **kwargs: Any) -> None:
        """Nothing."""

    def create_cfunc_wrapper(self, *args: Any, **kwargs: Any) -> None:
        """Nothing."""

    def get_executable(self, library: Any, fndesc: Any, env: Any) -> Any:
        """What stands for the function; its library notes whose it is."""
        library.whose = fndesc.modname or "", fndesc.qualname
        _defined[fndesc.mangled_name] = library
        return super().get_executable(library, fndesc, env)  # type: ignore[misc]


class _Inside(threading.local):
    """Whether this thread compiles in the contexts of ours."""

    on = False


_inside = _Inside()
_made: list[Any] = []


def _contexts() -> tuple[Any, Any]:
    if not _made:
        without_linalg()
        typing = copy.copy(cpu_target.typing_context)
        typing.__class__, typing.own_templates = _Typing, {}
        plain = cpu_target.target_context
        target = plain.subtarget(_internal_codegen=_Generator("nbgrad"), typing_context=typing)
        target.__class__ = type(
            "WholeContext", (_Wrapperless, Refreshed, OperatorLowering, type(plain)), {}
        )
        _made[:] = [(typing, target)]
    found: tuple[Any, Any] = _made[0]
    return found


class _Target(CPUTarget):  # type: ignore[misc]
    """Numba's target, which has our contexts where we compile."""

    @property
    def typing_context(self) -> Any:
        """What types."""
        return _made[0][0] if _inside.on else super().typing_context

    @property
    def target_context(self) -> Any:
        """What lowers."""
        return _made[0][1] if _inside.on else super().target_context


@contextlib.contextmanager
def contexts() -> Iterator[None]:
    """Compile in the contexts of ours, in this thread, which holds Numba's lock meanwhile."""
    with global_compiler_lock:
        _contexts()
        if cpu_target.__class__ is not _Target:
            cpu_target.__class__ = _Target
        before, _inside.on = _inside.on, True
        try:
            with lean():
                yield
        finally:
            _inside.on = before


def inside() -> bool:
    """Whether this thread compiles in our contexts."""
    return _inside.on


def possible() -> bool:
    """Whether this thread is not amid a compilation of Numba's, whose overloads ours would replace."""
    return ConfigStack.top_or_none() is None


@contextlib.contextmanager
def contexts_if_possible() -> Iterator[None]:
    """Compile in the contexts of ours, or in Numba's amid one of its compilations."""
    with contexts() if possible() else contextlib.nullcontext():
        yield


_copies: weakref.WeakKeyDictionary[Any, Any] = weakref.WeakKeyDictionary()


def own(dispatcher: Any) -> Any:
    """*dispatcher*, as one that is ours alone."""
    _copies[dispatcher] = None
    return dispatcher


def copied(dispatcher: Any) -> Any:
    """A function of the user's as one that is compiled in our contexts; one of ours as it is."""
    if not _inside.on:
        return dispatcher
    found = _copies.get(dispatcher, dispatcher)
    if found is dispatcher:
        options = {k: v for k, v in dispatcher.targetoptions.items() if k in OPTIONS}
        options |= {"nopython": True, "no_cpython_wrapper": True, "no_cfunc_wrapper": True}
        function, passes = dispatcher.py_func, passes_of(dispatcher)
        found = own(
            declared(dispatcher, CPUDispatcher(function, dispatcher.locals, options, passes))
        )
        _copies[dispatcher] = found
    return dispatcher if found is None else found


# ------------------------------------------------------------------------------- object code


def build(
    function: Callable[..., Any],
    kind: Any,
    symbol: str,
    known: Set[tuple[str, str]] | None,
    later: Callable[[Sequence[str]], str] | None = None,
    gathered: Callable[[str], str] | None = None,
) -> tuple[bytes, tuple[str, ...]]:
    """``int64 symbol(int64 *words)`` as object code, and the functions and data that it needs.

    Within :func:`contexts`. *function* is what Numba compiles, of one argument of the type *kind*; *known* are
    the modules and names of functions that may be called beside Numba's and ours, None that all may. *later*
    gives a module with the bodies of those among functions that are to be called once where both ways of a branch
    call them: these are in it when LLVM has simplified what calls them, and not before. *gathered* rewrites the text
    that calls them.

    Raises
    ------
    Unfit
        If the code holds addresses of this process, or a function that is not *known*.
    """
    dispatcher = own(plainly(function))
    dispatcher.compile((kind,))
    made = dispatcher.overloads[kind,]
    module = _linked(made.library, made.library.lowered()._final_module, known)
    _export(module, made.fndesc.mangled_name, symbol)
    module = merging.optimized(module, later, gathered)
    text = str(module)
    for variable in module.global_variables:
        if _serves_python(variable.name):
            if text.count(variable.name) > 1:
                raise Unfit("it prints, or raises with values in the text")
            variable.linkage = ll.Linkage.internal
    if "@numba.dynamic.globals" in text:
        raise Unfit("it reads what lies at an address of this process")
    if re.search(r"inttoptr \(i64 \d{5,}", text):
        raise Unfit("it holds an address of this process")
    needs = [f.name for f in module.functions if f.is_declaration]
    needs += [v.name for v in module.global_variables if v.is_declaration]
    needs = [name for name in needs if not name.startswith("llvm.")]
    return target_machine().emit_object(module), tuple(needs)


def _linked(library: Any, module: Any, known: Set[tuple[str, str]] | None = None) -> Any:
    """The module of a library with those that it needs, each once; of *known* functions alone."""
    seen: dict[Any, None] = {}
    left = [library]
    while left:
        found = left.pop()
        if found not in seen:
            seen[found] = None
            if isinstance(found, _Library):
                found.lowered()
                left += [*found._linking_libraries, *_later(found._final_module)]
    for x in seen:
        whose = getattr(x, "whose", None)
        if (
            known is not None
            and whose
            and whose[0].partition(".")[0] not in OURS
            and whose not in known
        ):
            raise Unfit(f"it calls {'.'.join(whose)} by an overload")
    ours = [x for x in seen if isinstance(x, _Library) and x is not library]
    theirs = [x for x in seen if not isinstance(x, _Library)]
    for x in (module, *[x._final_module for x in ours]):
        _said_once(x)
    for x in ours:
        module.link_in(x._final_module, preserve=True)
    for x in theirs:  # of which that alone is linked which is called by then
        module.link_in(x._get_module_for_linking(), preserve=True)
    _resolve(module)
    return module


def _said_once(module: Any) -> None:
    """Let others define what a module makes values of an exception by: each that raises has its own, of one name."""
    for f in module.functions:
        if f.name.startswith("__excinfo_unwrap_args") and not f.is_declaration:
            f.linkage = ll.Linkage.linkonce_odr


UNRESOLVED: Final = ".numba.unresolved$"


def _unresolved(module: Any) -> list[str]:
    """Functions that were not there yet when others that call them were lowered."""
    names = [v.name for v in module.global_variables]
    return [x.removeprefix(UNRESOLVED) for x in names if x.startswith(UNRESOLVED)]


def _later(module: Any) -> list[Any]:
    """The libraries of such functions."""
    found = [_defined.get(name) for name in _unresolved(module)]
    if None in found:
        raise Unfit("it calls what Numba compiles later")
    return found


def _resolve(module: Any) -> None:
    """Say where such functions are: Numba reads that from variables, which it sets later."""
    wanted = _unresolved(module)
    if wanted:
        lines = [f'@"{UNRESOLVED}{x}" = global ptr @"{x}"\ndeclare void @"{x}"()' for x in wanted]
        link(module, "\n".join(lines))


def _serves_python(name: str) -> bool:
    """Whether a variable is to hold an environment of Numba's, which nobody sets here."""
    return "08NumbaEnv" in name


def _export(module: Any, inner: str, symbol: str) -> None:
    """Add the function of C's, and make everything else internal to it."""
    text = f"""
declare i32 @"{inner}"(ptr, ptr, ptr)
define i64 @"{symbol}"(ptr %words) nounwind {{
  %ret = alloca i64
  %exc = alloca ptr
  %status = call i32 @"{inner}"(ptr %ret, ptr %exc, ptr %words)
  %out = load i64, ptr %ret
  %well = icmp eq i32 %status, 0
  %said = select i1 %well, i64 %out, i64 {UNSAID}
  ret i64 %said
}}"""
    link(module, text)
    for value in (*module.functions, *module.global_variables):
        name = value.name
        if (
            value.is_declaration
            or name == symbol
            or name.startswith("llvm.")
            or _serves_python(name)
        ):
            continue  # what Python would set must not be taken for a constant
        value.linkage = ll.Linkage.internal


def address_of(name: str) -> int:
    """Where a function or a variable is that compiled code names, Numba's own included; 0 if nowhere."""
    found = lljit.llvm().address_of_symbol(name)
    if found:
        return int(found)
    helper = name.removeprefix(scipy_scalars.SYMBOL)
    if helper in scipy_scalars.SCIPY:
        return scipy_scalars.imports({helper: scipy_scalars.SCIPY[helper]})[name]
    if name.startswith("NRT_"):
        return int(_nrt_python.c_helpers.get(name.removeprefix("NRT_"), 0))
    return int(_helperlib.c_helpers.get(name.removeprefix("numba_"), 0))  # type: ignore[attr-defined]
