"""Canaries: what machine code uses of the inside of Numba, LLVM and Python is there, each by its name.

A release that has moved or changed one fails here, with the name; what else fails then follows from it.
"""

from __future__ import annotations

import ast
import ctypes
import importlib
import inspect
from collections.abc import Iterator
from typing import Any

import pytest
from subprocesses import ROOT

from nbgrad.machine import lljit, numba_inside, threads
from nbgrad.machine.numba_intrinsics import INTERPRETER

MACHINE = ROOT / "src" / "nbgrad" / "machine"
# Attributes of classes of Numba's and of their objects.
ATTRIBUTES = {
    "codegen.CPUCodeLibrary": [
        "_final_module", "_linking_libraries", "_get_module_for_linking", "_finalized",
        "_ensure_finalized", "add_llvm_module", "finalize",
    ],
    "codegen.JITCPUCodegen": [
        "_library_class", "_init", "_tm", "_tm_features", "_target_data", "_data_layout", "set_env",
    ],
    "compiler.CompilerBase": ["define_pipelines"],
    "compiler.Flags": [
        "error_model", "noalias", "no_compile", "no_cpython_wrapper", "no_cfunc_wrapper",
    ],
    "PassManager": ["add_pass", "finalize"],
}  # fmt: skip
PARAMETERS = {
    "compiler.compile_extra": [
        "typingctx", "targetctx", "func", "args", "return_type", "flags", "locals", "pipeline_class",
    ],
    "CPUDispatcher": ["py_func", "targetoptions", "pipeline_class"],
}  # fmt: skip
LATE = [
    ("numba.core.compiler_lock", "global_compiler_lock"),
    (threads.NUMBA_POOL, "_launch_threads"),
    (threads.NUMBA_POOL, "_threading_layer"),
    (threads.NUMBA_POOL, "_backend_init_thread_lock"),
    (threads.NUMBA_POOL, "threading_layer"),
    (threads.NUMBA_POOL, "NUM_THREADS"),
]


def inside(name: str) -> Any:
    """What a name in ``numba_inside`` stands for."""
    found: Any = numba_inside
    for part in name.split("."):
        found = getattr(found, part)
    return found


def sources(kind: type) -> Iterator[str]:
    """The text of a class and of what it derives from."""
    for base in kind.__mro__[:-1]:
        try:
            yield inspect.getsource(base)
        except (OSError, TypeError):
            continue


@pytest.mark.parametrize(("owner", "name"), [(o, n) for o, ns in ATTRIBUTES.items() for n in ns])
def test_numbas_classes_have(owner: str, name: str) -> None:
    kind = inside(owner)
    assert hasattr(kind, name) or any(f"self.{name}" in text for text in sources(kind)), (
        f"Numba's {owner} has no {name}: see src/nbgrad/machine/numba_inside.py"
    )


@pytest.mark.parametrize(
    ("function", "name"), [(f, n) for f, ns in PARAMETERS.items() for n in ns]
)
def test_numbas_functions_take(function: str, name: str) -> None:
    assert name in inspect.signature(inside(function)).parameters


@pytest.mark.parametrize("step", numba_inside._Compiler.PASSES, ids=lambda step: step.__name__)
def test_numbas_passes_are_passes(step: Any) -> None:
    assert isinstance(step().name(), str)


def test_numba_lets_a_target_have_another_code_generator() -> None:
    context = numba_inside._context
    assert isinstance(context.codegen(), numba_inside._Codegen)
    assert (
        context.cached_internal_func
        is not inside("cpu_target").target_context.cached_internal_func
    )


@pytest.mark.parametrize(("module", "name"), LATE)
def test_what_numba_holds_is_found(module: str, name: str) -> None:
    assert hasattr(importlib.import_module(module), name)


def test_locks_can_be_waited_for() -> None:
    """Where they are gone a fork goes ahead without them."""
    for lock in (numba_inside.global_compiler_lock, lljit._llvm_lock()):
        assert callable(lock.acquire) and callable(lock.release)


def test_the_pool_exports_its_entry() -> None:
    with threads.pool() as (address, _):
        assert address or threads.max_threads() < 2


@pytest.mark.parametrize("symbol", INTERPRETER)
def test_python_exports(symbol: str) -> None:
    assert getattr(ctypes.pythonapi, symbol)


def test_numbas_inside_is_imported_in_one_file() -> None:
    for path in sorted(MACHINE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            found = [name for name in names if name.startswith("numba.")]
            assert not found or path.name == "numba_inside.py", f"{path.name} imports {found}"
