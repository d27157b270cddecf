"""What is used of Numba's inside: every name that is no part of its interface stands here.

Importing this module imports Numba. A canary test asks each release for these names and for what they
do, so a change there is told by name; what Numba and LLVM hold once they are loaded, and what libraries
export, is in tables below.
"""

from __future__ import annotations

import copy
import functools
import importlib.util
import sys
from collections.abc import Callable
from typing import Any, Final

from numba import _helperlib
from numba.core import codegen, compiler, config, lowering, postproc, ssa, transforms
from numba.core.ccallback import CFunc
from numba.core.cgutils import (
    alloca_once,
    create_struct_proxy,
    if_unlikely,
)
from numba.core.compiler import run_frontend
from numba.core.compiler_lock import global_compiler_lock
from numba.core.compiler_machinery import PassManager, register_pass
from numba.core.cpu import CPUContext
from numba.core.datamodel.models import OpaqueModel, PointerModel
from numba.core.errors import NumbaError, NumbaTypeError, TypingError
from numba.core.extending import infer_getattr, intrinsic, lower_getattr_generic, register_model
from numba.core.imputils import lower_builtin, lower_cast, lower_constant, lower_getattr
from numba.core.registry import CPUDispatcher, CPUTarget, cpu_target
from numba.core.runtime import _nrt_python
from numba.core.targetconfig import ConfigStack
from numba.core.typeconv import Conversion
from numba.core.typed_passes import (
    IRLegalization,
    NativeLowering,
    NoPythonBackend,
    NopythonTypeInference,
    PreLowerStripPhis,
)
from numba.core.typing.context import Context
from numba.core.typing.templates import (
    AbstractTemplate,
    AttributeTemplate,
    builtin_registry,
    infer,
    infer_global,
    signature,
)
from numba.core.typing.typeof import Purpose
from numba.core.untyped_passes import FixupArgs, IRProcessing, ReconstructSSA, TranslateByteCode
from numba.np.numpy_support import as_dtype
from numba.np.ufunc.array_exprs import RewriteArrayExprs
from numba.np.ufunc.dufunc import DUFunc

from nbgrad.core.lazy import load
from nbgrad.machine import lljit
from nbgrad.machine.assignments import ByName
from nbgrad.machine.blocks import OncePerBlock
from nbgrad.machine.lean import Lean
from nbgrad.machine.operators import Hash, Operator, OperatorLowering, OperatorTyping
from nbgrad.machine.simplified import simplify

__all__ = [
    "AbstractTemplate", "AttributeTemplate", "CFunc", "CPUDispatcher", "CPUTarget", "Collected",
    "ConfigStack", "Conversion", "DUFunc", "Generator", "Guarded", "Knowing",
    "NumbaError", "NumbaTypeError", "OpaqueModel", "PassManager", "PointerModel", "Purpose",
    "Remembering", "RewriteArrayExprs", "TypingError", "_helperlib", "_nrt_python", "alloca_once", "as_dtype",
    "builtin_registry", "compiler", "cpu_target", "create_struct_proxy",
    "global_compiler_lock", "guarded_by",
    "infer", "infer_getattr", "infer_global", "intrinsic", "lean", "lower_builtin", "lower_cast",
    "lower_constant", "lower_getattr", "lower_getattr_generic", "lowered", "register_model",
    "run_frontend", "signature", "target_machine", "without_linalg",
]  # fmt: skip


class Collected(codegen.CPUCodeLibrary):
    """Collects LLVM modules; leaves optimisation and code generation to ``object_code``."""

    def add_llvm_module(self, module: Any) -> None:
        self._final_module.link_in(module)

    def finalize(self) -> None:
        for library in dict.fromkeys(self._linking_libraries):
            self._final_module.link_in(library._get_module_for_linking(), preserve=True)
        self._finalized = True

    def _get_module_for_linking(self) -> Any:
        """The module for those that call its functions, and would each have to simplify these."""
        if self._shared_module is None:
            simplify(self._final_module, target_machine())
        return super()._get_module_for_linking()

    def get_pointer_to_function(self, name: str) -> int:
        return 0  # nothing here is ever called by Numba's dispatchers


class Generator(codegen.JITCPUCodegen):
    """Numba's code generator without its execution engine."""

    _library_class = Collected

    def _init(self, module: Any) -> None:
        self._tm = lljit.target_machine()
        self._tm_features = lljit.host().features
        self._target_data = self._tm.target_data
        self._data_layout = str(self._target_data)

    def set_env(self, name: str, env: Any) -> None:
        """Do nothing: an environment serves exceptions and boxing, and kernels have neither."""


for _kind in (Operator, Hash):
    register_model(_kind)(OpaqueModel)


class Knowing(OperatorTyping, Context):
    """Numba's typing, with functions that remember."""


class _Knowing(OperatorLowering, CPUContext):
    """Numba's lowering, with functions that remember."""


def _make_context() -> Any:
    typing = copy.copy(cpu_target.typing_context)
    typing.__class__ = Knowing
    context = cpu_target.target_context.subtarget(
        _internal_codegen=Generator("nbgrad"), typing_context=typing
    )
    context.__class__ = _Knowing
    # Numba keeps compiled internal functions here; ours must not meet those of its own engine.
    context.cached_internal_func = {}
    return context


_context: Final = _make_context()
lean: Final = Lean(postproc, transforms).compiling


@register_pass(mutates_CFG=True, analysis_only=False)
class _Assignments(ReconstructSSA):
    """Numba's pass, of which the rewriting goes through what names a variable, and no more."""

    _name = "nbgrad_assignments"

    def run_pass(self, state: Any) -> Any:
        # Passes run under Numba's lock.
        plain, ssa._run_block_rewrite = ssa._run_block_rewrite, ByName(state.func_ir.blocks)
        try:
            return super().run_pass(state)
        finally:
            ssa._run_block_rewrite = plain


class _Compiler(compiler.CompilerBase):
    """Numba's pipeline on our code generator, without what kernels have no use for.

    The passes left out serve closures, object mode, array expressions, parfors, raises and
    literals: 6 ms of 31 for a small kernel.
    """

    PASSES: tuple[Any, ...] = (
        TranslateByteCode,
        FixupArgs,
        IRProcessing,
        _Assignments,
        NopythonTypeInference,
        PreLowerStripPhis,
        IRLegalization,
        NativeLowering,
        NoPythonBackend,
    )

    def __init__(self, typingctx: Any, targetctx: Any, *rest: Any) -> None:
        super().__init__(_context.typing_context, _context, *rest)

    def define_pipelines(self) -> list[Any]:
        manager = PassManager("nbgrad")
        for step in self.PASSES:
            manager.add_pass(step, step.__name__)
        manager.finalize()
        return [manager]


class _Lower(lowering.Lower):
    """Lowers a function once its library asks for it, if that does: of what is typed on the way much is never called."""

    # What wrappers for Python are made of: there are none of what is lowered later.
    call_helper = genlower = None

    def lower(self) -> None:
        asks = getattr(self.library, "asks_for", None)
        if asks is None or self.generator_info is not None:  # Numba asks for how one goes on
            super().lower()
        else:
            asks(self._lowered)

    def _lowered(self) -> None:
        flags = ConfigStack().enter(self.flags.copy())
        with flags, self.context.push_code_library(self.library):
            super().lower()


# Numba's own functions, and those of overloads, are lowered by this pass.
NativeLowering.lowering_class = property(lambda self: _Lower)


class _RememberingLower(OncePerBlock, _Lower):
    """Lowers a function of numbers that remember how they were made."""


class _GuardedLower(_RememberingLower):
    """Lowers a function that asks, where it begins, whether the stack goes that far."""

    def extract_function_arguments(self) -> Any:
        found = super().extract_function_arguments()
        left = _guards[0](self.builder)
        with if_unlikely(self.builder, left):
            text = ("maximum recursion depth exceeded",)
            self.call_conv.return_user_exc(self.builder, RecursionError, text)
        return found


@register_pass(mutates_CFG=True, analysis_only=False)
class _RememberingLowering(NativeLowering):
    _name = "nbgrad_remembering_lowering"

    @property
    def lowering_class(self) -> Any:
        return _RememberingLower


@register_pass(mutates_CFG=True, analysis_only=False)
class _GuardedLowering(NativeLowering):
    _name = "nbgrad_guarded_lowering"

    @property
    def lowering_class(self) -> Any:
        return _GuardedLower


class Remembering(compiler.CompilerBase):
    """Numba's passes, for functions of numbers that remember how they were made."""

    def define_pipelines(self) -> list[Any]:
        lowers = _GuardedLowering if isinstance(self, Guarded) else _RememberingLowering
        ours = {NativeLowering: lowers, ReconstructSSA: _Assignments}
        manager = PassManager("nbgrad_remembering")
        for step, name in compiler.DefaultPassBuilder.define_nopython_pipeline(self.state).passes:
            manager.add_pass(ours.get(step, step), name)
        manager.finalize()
        return [manager]


class Guarded(Remembering):
    """The same for functions that call themselves."""


_guards: list[Callable[[Any], Any]] = []


def guarded_by(overflows: Callable[[Any], Any]) -> None:
    """Let *overflows* emit the test of functions that are ``Guarded``: whether the stack ends here."""
    _guards[:] = [overflows]


def target_machine() -> Any:
    """What LLVM makes code for."""
    return _context.codegen()._tm


def dispatcher(function: Callable[..., Any], options: dict[str, Any]) -> Any:
    """*function* as one that compiled code may call."""
    options |= {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
    return CPUDispatcher(py_func=function, targetoptions=options, pipeline_class=_Compiler)


@functools.cache
def without_linalg() -> None:
    """Import Numba's functions of arrays without ``scipy.linalg``.

    They only ask whether it is there, and all that call it ask again: it takes 0.2 s of 0.3 that the
    first kernel of a process waits for Numba. The caller holds ``global_compiler_lock``.
    """
    if "numba.np.arraymath" in sys.modules or importlib.util.find_spec("scipy") is None:
        return
    linalg = load("numba.np.linalg")
    asks, linalg.ensure_blas = linalg.ensure_blas, lambda: None
    try:
        load("numba.np.arraymath").ensure_blas = asks
    finally:
        linalg.ensure_blas = asks


def _flags(noalias: bool, error_model: str) -> Any:
    flags = compiler.Flags()
    flags.error_model = error_model
    flags.noalias = noalias
    flags.no_compile = flags.no_cpython_wrapper = flags.no_cfunc_wrapper = True
    return flags


def lowered(
    function: Callable[..., Any], params: tuple[Any, ...], result: Any, noalias: bool, errors: str
) -> tuple[Any, str]:
    """The LLVM module of *function* on arguments of the types *params*, and its name in there.

    The caller holds ``global_compiler_lock``. Of what Numba has written as functions to be compiled, such as
    ``max``, ``NUMBA_DISABLE_JIT=1`` leaves the functions of Python: kernels are compiled all the same.
    """
    without_linalg()
    asked, config.DISABLE_JIT = config.DISABLE_JIT, 0

    flags = _flags(noalias, errors)
    try:
        with lean():
            compiled = compiler.compile_extra(
                _context.typing_context, _context, function, params, result, flags, {},
                pipeline_class=_Compiler,
            )  # fmt: skip
    finally:
        config.DISABLE_JIT = asked
    library = compiled.library
    library._ensure_finalized()
    return library._final_module, compiled.fndesc.mangled_name
