"""Canaries: what machine code uses of the inside of Numba, LLVM and Python is there, each by its name.

A release that has moved or changed one fails here, with the name and what it is needed for; what else fails
then follows from it. The names are read from the source: a new one that is not in the table fails, too.
"""

from __future__ import annotations

import ast
import ctypes
import functools
import importlib
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from subprocesses import ROOT

from nbgrad.machine import lljit, numba_inside, threads
from nbgrad.machine.frontend.objects import INTERPRETER

MACHINE, NATIVE = (ROOT / "src" / "nbgrad" / name for name in ("machine", "native"))
FILES = sorted([*MACHINE.rglob("*.py"), *NATIVE.rglob("*.py")])
# What names of Numba's contexts and dispatchers are read from.
INSIDE = {"context", "typingctx", "typing_context", "typing", "call_conv", "nrt", "dispatcher"}
PUBLIC = {"numba", "numba.types", "numba.extending", "llvmlite", "llvmlite.ir", "llvmlite.binding"}

# What is needed, by what it is needed for: module, then the name in it; with the parameters of what is
# called or derived from.
NEEDED: dict[str, dict[str, str | None]] = {
    "a kernel's LLVM modules are collected, and neither optimised nor loaded by Numba": {
        "numba.core.codegen:CPUCodeLibrary": None,
        "numba.core.codegen:CPUCodeLibrary.add_llvm_module": "self, ll_module",
        "numba.core.codegen:CPUCodeLibrary.finalize": "self",
        "numba.core.codegen:CPUCodeLibrary._final_module": None,
        "numba.core.codegen:CPUCodeLibrary._finalized": None,
        "numba.core.codegen:CPUCodeLibrary._linking_libraries": None,
        "numba.core.codegen:CPUCodeLibrary._get_module_for_linking": "self",
        "numba.core.codegen:CPUCodeLibrary._ensure_finalized": "self",
        "numba.core.codegen:JITCodeLibrary.get_pointer_to_function": "self, name",
    },
    "which arguments a function takes elements of by index alone is read from its IR": {
        "numba.core.compiler:run_frontend": "func, inline_closures, emit_dels",
    },
    "code is generated for our target machine, without an engine that never unloads": {
        "numba.core.codegen:JITCPUCodegen": None,
        "numba.core.codegen:JITCPUCodegen._library_class": None,
        "numba.core.codegen:JITCPUCodegen._init": "self, llvm_module",
        "numba.core.codegen:JITCPUCodegen._tm": None,
        "numba.core.codegen:JITCPUCodegen._tm_features": None,
        "numba.core.codegen:JITCPUCodegen._target_data": None,
        "numba.core.codegen:JITCPUCodegen._data_layout": None,
        "numba.core.codegen:JITCPUCodegen.set_env": "self, env_name, env",
    },
    "kernels are typed and lowered in a context of our own, apart from the user's functions": {
        "numba.core.registry:cpu_target": None,
        "numba.core.registry:CPUTarget.target_context": None,
        "numba.core.registry:CPUTarget.typing_context": None,
        "numba.core.base:BaseContext.subtarget": "self, kws",
        "numba.core.base:BaseContext.cached_internal_func": None,
        "numba.core.cpu:CPUContext.codegen": "self",
    },
    "what Numba's operators return for numbers and pointers is remembered": {
        "numba.core.base:BaseContext.typing_context": None,
        "numba.core.typing.context:Context": "",
        "numba.core.typing.context:Context.resolve_value_type": "self, val",
        "numba.core.types:Function": "args, kwargs",
        "numba.core.types:Function.templates": None,
        "numba.core.types:Function.get_call_type": "self, context, args, kws",
        "numba.core.types:Number": None,
        "numba.core.types:Boolean": None,
        "numba.core.types:CPointer": None,
        "numba.core.datamodel.models:OpaqueModel": "dmm, fe_type",
    },
    "a function is lowered when what calls it is linked": {
        "numba.core.lowering:Lower.lower": "self",
        "numba.core.lowering:Lower.context": None,
        "numba.core.lowering:Lower.flags": None,
        "numba.core.lowering:Lower.genlower": None,
        "numba.core.lowering:Lower.call_helper": None,
        "numba.core.base:BaseContext.push_code_library": "self, lib",
        "numba.core.targetconfig:ConfigStack.enter": "self, flags",
        "numba.core.codegen:CPUCodeLibrary._raise_if_finalized": "self",
    },
    "Numba asks at its import whether there is a BLAS, and again where it calls it": {
        "numba.np.linalg:ensure_blas": "",
        "numba.np.arraymath:ensure_blas": "",
    },
    "Numba's passes translate, type and lower a function, those alone that kernels have a use for": {
        "numba.core.compiler:CompilerBase": None,
        "numba.core.compiler:CompilerBase.__init__": (
            "self, typingctx, targetctx, library, args, return_type, flags, locals"
        ),
        "numba.core.compiler:CompilerBase.define_pipelines": "self",
        "numba.core.compiler_machinery:PassManager": "pipeline_name",
        "numba.core.compiler_machinery:PassManager.add_pass": "self, pss, description",
        "numba.core.compiler_machinery:PassManager.finalize": "self",
        "numba.core.untyped_passes:TranslateByteCode": "",
        "numba.core.untyped_passes:FixupArgs": "",
        "numba.core.untyped_passes:IRProcessing": "",
        "numba.core.untyped_passes:ReconstructSSA": "",
        "numba.core.untyped_passes:ReconstructSSA.run_pass": "self, state",
        "numba.core:ssa._run_block_rewrite": "blocks, states, handler",
        "numba.core.postproc:PostProcessor.func_ir": None,
        "numba.core.ir:FunctionIR.blocks": None,
        "numba.core.ssa:_BaseHandler.on_assign": "self, states, assign",
        "numba.core.ssa:_BaseHandler.on_other": "self, states, stmt",
        "numba.core.ir:Block": "scope, loc",
        "numba.core.ir:Stmt.list_vars": "self",
        "numba.core.typed_passes:NopythonTypeInference": "",
        "numba.core.typed_passes:PreLowerStripPhis": "",
        "numba.core.typed_passes:IRLegalization": "",
        "numba.core.typed_passes:NativeLowering": "",
        "numba.core.typed_passes:NoPythonBackend": "",
    },
    "where variables are read last is found when that is asked for": {
        "numba.core:postproc.PostProcessor.run": "self, emit_dels, extend_lifetimes",
        "numba.core.postproc:PostProcessor._insert_var_dels": "self, extend_lifetimes",
        "numba.core.postproc:VariableLifetime": "blocks",
        "numba.core:transforms.canonicalize_cfg": "blocks",
        "numba.core.ir:FunctionIR.variable_lifetime": None,
        "numba.core.ir:FunctionIR.generator_info": None,
        "numba.core.ir:FunctionIR.is_generator": None,
    },
    "a ufunc's call with a number of ours is in no expression of arrays of Numba's": {
        "numba.np.ufunc.array_exprs:RewriteArrayExprs._match_array_expr": "self, instr, expr, target_name",
        "numba.core.types:Type.is_internal": None,
    },
    "registries are read when there is more in them": {
        "numba.core.base:BaseContext.refresh": "self",
        "numba.core.base:BaseContext._registries": None,
        "numba.core.typing.context:BaseContext._registries": None,
        "numba.core.typing.context:BaseContext._lookup_global": "self, gv",
        "numba.core.typing.templates:BaseRegistryLoader.registry_items": None,
    },
    "functions that we write go through few of Numba's passes": {
        "numba.core.compiler:GenericRewrites": "",
        "numba.core.dispatcher:Dispatcher._compiler": None,
        "numba.core.dispatcher:_FunctionCompiler.pipeline_class": None,
    },
    "statements are looked through for the names in them": {
        "numba.core.lowering:BaseLower.typeof": "self, varname",
        "numba.core.ir:Assign.target": None,
        "numba.core.ir:Assign.value": None,
        "numba.core.ir:Var.name": None,
    },
    "operators remember what they return and how they are lowered": {
        "numba.core.cpu:CPUContext": None,
        "numba.core.typing.context:BaseContext.resolve_function_type": "self, func, args, kws",
    },
    "a function is compiled as far as LLVM text, with these flags": {
        "numba.core.compiler:compile_extra": (
            "typingctx, targetctx, func, args, return_type, flags, locals, library, pipeline_class"
        ),
        "numba.core.compiler:Flags": None,
        "numba.core.compiler:Flags.error_model": None,
        "numba.core.compiler:Flags.noalias": None,
        "numba.core.compiler:Flags.no_compile": None,
        "numba.core.compiler:Flags.no_cpython_wrapper": None,
        "numba.core.compiler:Flags.no_cfunc_wrapper": None,
        "numba.core.compiler:CompileResult.library": None,
        "numba.core.compiler:CompileResult.fndesc": None,
        "numba.core.funcdesc:FunctionDescriptor.mangled_name": None,
    },
    "helpers are compiled into kernels, also with NUMBA_DISABLE_JIT=1": {
        "numba.core.registry:CPUDispatcher": "py_func, locals, targetoptions, pipeline_class",
        "numba.core.config:DISABLE_JIT": None,
    },
    "kernels read pointers, reserve words of the stack and call what is linked in by name": {
        "numba.core.cgutils:alloca_once": "builder, ty, size, name, zfill",
        "numba.core.cgutils:if_unlikely": "builder, pred",
        "numba.core.cgutils:_StructProxy._getvalue": "self",
        "numba.core.datamodel.models:PointerModel": "dmm, fe_type",
        "numba.core.extending:intrinsic": "args, kwargs",
        "numba.core.extending:register_model": "typecls",
        "numba.core.imputils:lower_builtin": "func, argtys",
        "numba.core.imputils:lower_getattr": None,
        "numba.core.base:BaseContext.cast": "self, builder, val, fromty, toty",
        "numba.core.base:BaseContext.get_value_type": "self, ty",
        "numba.core.base:BaseContext.get_dummy_value": "self",
        "numba.core.base:BaseContext.make_tuple": "self, builder, typ, values",
        "numba.core.typing.context:BaseContext.unify_types": "self, typelist",
    },
    "numbers that carry derivatives are types of Numba's, with casts and functions of their own": {
        "numba.core.cgutils:create_struct_proxy": "fe_type, kind",
        "numba.core.imputils:lower_cast": "fromty, toty",
        "numba.core.typeconv:Conversion": None,
        "numba.core.typing.templates:AbstractTemplate": None,
        "numba.core.typing.templates:infer": "item",
        "numba.core.typing.templates:infer_global": "val, typ, kwargs",
        "numba.core.typing.templates:signature": "return_type, args, kws",
        "numba.core.typing.templates:AttributeTemplate": None,
        "numba.core.extending:infer_getattr": None,
        "numba.core.extending:lower_getattr_generic": None,
        "numba.core.errors:NumbaError": None,
        "numba.core.errors:TypingError": None,
        "numba.np.numpy_support:as_dtype": "nbtype",
    },
    "functions behind descriptors are called from a user's code, and found again by what is on disk": {
        "numba.core.errors:NumbaTypeError": None,
        "numba.core.imputils:lower_constant": "ty",
        "numba.core.typing.typeof:Purpose": None,
        "numba.core.typing.typeof:Purpose.argument": None,
        "numba.core.typing.typeof:_TypeofContext.purpose": None,
        "numba.core.base:BaseContext.active_code_library": None,
        "numba.core.base:BaseContext.compile_internal": (
            "self, builder, impl, sig, args, locals"
        ),
        "numba.core.base:BaseContext.data_model_manager": None,
        "numba.core.base:BaseContext.get_value_as_data": "self, builder, ty, val",
        "numba.core.codegen:CodeLibrary._reload_init": None,
    },
    "a function that calls itself asks, where it begins, whether the stack goes that far": {
        "numba.core.lowering:Lower": None,
        "numba.core.lowering:Lower.extract_function_arguments": "self",
        "numba.core.lowering:Lower.call_conv": None,
        "numba.core.lowering:Lower.pre_block": "self, block",
        "numba.core.lowering:Lower.loadvar": "self, name",
        "numba.core.lowering:Lower.storevar": "self, value, name, argidx",
        "numba.core.lowering:Lower.delvar": "self, name",
        "numba.core.lowering:Lower.lower_inst": "self, inst",
        "numba.core.lowering:Lower.lower_expr": "self, resty, expr",
        "numba.core.lowering:Lower.builder": None,
        "numba.core.callconv:CPUCallConv.return_user_exc": (
            "self, builder, exc, exc_args, loc, func_name"
        ),
        "numba.core.compiler_machinery:register_pass": "mutates_CFG, analysis_only",
        "numba.core.compiler_machinery:PassManager.passes": None,
        "numba.core.compiler:DefaultPassBuilder": None,
        "numba.core.compiler:DefaultPassBuilder.define_nopython_pipeline": "state, name",
        "numba.core.compiler:CompilerBase.state": None,
        "numba.core.typed_passes:NativeLowering.lowering_class": None,
        "numba.core.typed_passes:NativeLowering._name": None,
    },
    "active numbers are converted, unified and given to functions as Numba's own are": {
        "numba.core.typing.context:BaseContext.can_convert": "self, fromty, toty",
        "numba.core.typing.context:BaseContext.unify_pairs": "self, first, second",
        "numba.core.typing.context:BaseContext.resolve_getattr": "self, typ, attr",
        "numba.core.typing.context:BaseContext.resolve_value_type": "self, val",
        "numba.core.typing.context:BaseContext.refresh": "self",
        "numba.core.typing.templates:_OverloadFunctionTemplate._overload_func": None,
        "numba.core.typing.templates:_IntrinsicTemplate._definition_func": None,
        "numba.core.ccallback:CFunc": None,
        "numba.core.ccallback:CFunc._sig": None,
        "numba.np.ufunc.dufunc:DUFunc": None,
        "numba.np.ufunc.dufunc:DUFunc._frozen": None,
        "numba.core.base:BaseContext.get_constant": "self, ty, val",
        "numba.core.base:BaseContext.get_constant_generic": "self, builder, ty, val",
        "numba.core.base:BaseContext.get_constant_null": "self, ty",
        "numba.core.base:BaseContext.get_function": "self, fn, sig, _firstcall",
        "numba.core.base:BaseContext.get_getattr": "self, typ, attr",
        "numba.extending:models.StructModel": "dmm, fe_type, members",
        "numba.core.types:unliteral": "lit_type",
        "numba.core.types:NumberClass.instance_type": None,
        "numba.core.types:BaseNamedTuple": None,
        "numba.core.types:NamedTuple.instance_class": None,
        "numba.core.types:Literal.literal_value": None,
        "numba.core.types:Omitted.value": None,
    },
    "derivatives call the user's compiled function, of which the types and the code are asked": {
        "numba.core.base:BaseContext.declare_function": "self, module, fndesc",
        "numba.core.base:BaseContext.call_conv": None,
        "numba.core.callconv:CPUCallConv.call_function": (
            "self, builder, callee, resty, argtys, args, attrs"
        ),
        "numba.core.callconv:Status.is_error": None,
        "numba.core.callconv:Status.excinfoptr": None,
        "numba.core.cpu:CPUContext.nrt": None,
        "numba.core.runtime.context:NRTContext.incref": "self, builder, typ, value",
        "numba.core.codegen:CodeLibrary.add_linking_library": "self, library",
        "numba.core.types:Dispatcher.dispatcher": None,
        "numba.core.registry:CPUDispatcher._can_compile": None,
        "numba.core.registry:CPUDispatcher.get_call_template": "self, args, kws",
        "numba.core.registry:CPUDispatcher.overloads": None,
        "numba.core.registry:CPUDispatcher.py_func": None,
        "numba.core.registry:CPUDispatcher.targetoptions": None,
        "numba.core.registry:CPUDispatcher.locals": None,
    },
    "a user's function is compiled with all that it calls in contexts of our own, and kept on disk": {
        "numba.core.registry:CPUTarget": "target_name",
        "numba.core.targetconfig:ConfigStack": None,
        "numba.core.targetconfig:ConfigStack.top_or_none": "",
        "numba.core.cpu:CPUContext.create_cpython_wrapper": (
            "self, library, fndesc, env, call_helper, release_gil"
        ),
        "numba.core.cpu:CPUContext.create_cfunc_wrapper": (
            "self, library, fndesc, env, call_helper"
        ),
        "numba.core.cpu:CPUContext.get_executable": "self, library, fndesc, env",
        "numba.core.typing.context:BaseContext._get_attribute_templates": "self, typ",
        "numba.core.codegen:CPUCodeLibrary._shared_module": None,
        "numba.core.typing.templates:builtin_registry": None,
        "numba.core.runtime:_nrt_python": None,
        "numba:_helperlib": None,
    },
    "large kernels are split among Numba's threads, which are its own to start": {
        "numba.np.ufunc.parallel:_launch_threads": "",
        "numba.np.ufunc.parallel:_threading_layer": None,
        "numba.np.ufunc.parallel:threading_layer": "",
        "numba.np.ufunc.parallel:NUM_THREADS": None,
    },
    "results of compiled calls are made by NumPy's own function, where its table is found": {
        "numpy:_core._multiarray_umath._ARRAY_API": None,
    },
    "a kernel on a card reads several elements by one instruction": {
        "numba.core.base:BaseContext.get_abi_sizeof": "self, ty",
        "numba.core.base:BaseContext.get_data_type": "self, ty",
        "numba.core.base:BaseContext.make_array": "self, typ",
    },
    "a fork waits for the lock that another thread holds: else the child waits for ever": {
        "numba.core.compiler_lock:global_compiler_lock": None,
        "numba.core.compiler_lock:global_compiler_lock._lock": None,
        "numba.np.ufunc.parallel:_backend_init_thread_lock": None,
        "llvmlite.binding.ffi:lib._lock": None,
        "llvmlite.binding.ffi:lib._lock._lock": None,
    },
}  # fmt: skip
ROWS = [(name, given, why) for why, names in NEEDED.items() for name, given in names.items()]


def found(name: str) -> Any:
    """What *name* stands for, or how the source of its class sets it; None if it is gone."""
    module, _, path = name.partition(":")
    *owners, last = path.split(".")
    owner = importlib.import_module(module)
    for part in owners:
        owner = getattr(owner, part)
    if hasattr(owner, last):
        return getattr(owner, last)
    if isinstance(owner, type) and any(f"self.{last}" in text for text in sources(owner)):
        return last
    return None


def sources(kind: type) -> Iterator[str]:
    """The text of a class and of what it derives from."""
    for base in kind.__mro__[:-1]:
        try:
            yield inspect.getsource(base)
        except (OSError, TypeError):
            continue


@pytest.mark.parametrize(("name", "given", "why"), ROWS, ids=[name for name, *_ in ROWS])
def test_a_private_name(name: str, given: str | None, why: str) -> None:
    try:
        thing = found(name)
    except (ImportError, AttributeError):
        thing = None
    assert thing is not None or name.endswith("_threading_layer"), f"{name} is gone; {why}"
    if given is not None:
        now = ", ".join(inspect.signature(thing).parameters)
        assert now == given, f"{name} takes ({now}), not ({given}); {why}"


def inside(tree: ast.AST) -> Iterator[str]:
    """Names that a file uses of Numba's or LLVM's: what it imports, reads, sets and overrides."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith(
            ("numba.", "llvmlite.")
        ):
            if node.module not in PUBLIC:
                yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.ClassDef) and node.bases:
            for part in node.body:
                if isinstance(part, ast.FunctionDef):
                    yield part.name
                elif isinstance(part, ast.Assign):
                    yield from (x.id for x in part.targets if isinstance(x, ast.Name))


@functools.cache
def ours() -> set[str]:
    """Private names that files of ours define."""
    names = {"_node"}  # of a tensor
    for path in FILES:
        if path.name != "numba_inside.py":
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.FunctionDef | ast.ClassDef):
                    names.add(node.name)
                elif isinstance(node, ast.Name | ast.Attribute) and isinstance(
                    node.ctx, ast.Store
                ):
                    names.add(node.id if isinstance(node, ast.Name) else node.attr)
    return names


# In numba_inside.py: Python's, and ours.
PLAIN = {"__init__", "__name__", "fromkeys", "PASSES", "features", "host", "target_machine"}
PLAIN |= {
    "__class__",
    "_known",
    "_lowered",
    "cache",
    "copy",
    "find_spec",
    "get",
    "modules",
    "setdefault",
    "util",
    "values",
}
PLAIN |= {"target_data", "link_in"}  # llvmlite's, documented
PLAIN |= {"compiling"}  # of Lean


def last_of(node: ast.AST) -> str:
    """``c`` of ``c``, of ``a.c`` and of ``a.c()``."""
    if isinstance(node, ast.Call):
        return last_of(node.func)
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")


def used(path: Path) -> set[str]:
    tree = ast.parse(path.read_text())
    if path.name == "numba_inside.py":
        # Modules of which names are read.
        modules = {"codegen", "compiler", "config", "ir", "lowering", "types"}
        return set(inside(tree)) - PLAIN - (modules - {"codegen"})
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            if last_of(node.value) in INSIDE or (
                node.attr.startswith("_") and not node.attr.startswith("__")
            ):
                names.add(node.attr)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            texts = [a.value for a in node.args if isinstance(a, ast.Constant)]
            if node.func.id in ("getattr", "_lock_of"):  # by a string, as it may be gone
                names |= {x for x in texts if isinstance(x, str) and x.startswith("_")}
    return {x for x in names - ours() if not x.startswith("__")}


def test_every_private_name_has_a_canary() -> None:
    known = {part for name, *_ in ROWS for part in name.partition(":")[2].split(".")}
    for path in FILES:
        lacking = used(path) - known
        assert not lacking, f"{path.name} uses {sorted(lacking)}: say in NEEDED what for"


def test_no_canary_has_outlived_its_use() -> None:
    texts = "\n".join(path.read_text() for path in FILES)
    for name, *_ in ROWS:
        assert name.rpartition(".")[2].rpartition(":")[2] in texts, name


@pytest.mark.parametrize("step", numba_inside._Compiler.PASSES, ids=lambda step: step.__name__)
def test_numbas_passes_are_passes(step: Any) -> None:
    assert isinstance(step().name(), str)


def test_numba_lets_a_target_have_another_code_generator() -> None:
    context = numba_inside._context
    assert isinstance(context.codegen(), numba_inside.Generator)
    theirs = numba_inside.cpu_target.target_context
    assert context.cached_internal_func is not theirs.cached_internal_func


def test_locks_can_be_waited_for() -> None:
    """Where they are gone a fork goes ahead without them."""
    for lock in (threads._compiler_lock(), lljit._llvm_lock()):
        assert lock.acquire(True, 10.0)
        lock.release()


def test_the_pool_exports_its_entry() -> None:
    with threads.pool() as (address, _):
        assert address or threads.get_num_threads() < 2


@pytest.mark.parametrize("symbol", [s for s in INTERPRETER if not s.startswith("nbgrad_")])
def test_python_exports(symbol: str) -> None:
    """But for those of ours, which the build that tests each access adds."""
    assert getattr(ctypes.pythonapi, symbol)


def test_numbas_inside_is_imported_in_one_file() -> None:
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text())):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            found = [n for n in names if n.startswith("numba.") and n not in PUBLIC]
            assert not found or path.name == "numba_inside.py", f"{path.name} imports {found}"
