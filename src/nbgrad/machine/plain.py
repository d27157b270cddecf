"""Functions that we write, as Numba's: through those of its passes that they have a use for.

What is left out serves closures, contexts, literals, expressions of arrays and branches that are known: half of what
a small function takes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nbgrad.machine.numba_inside import CPUDispatcher, PassManager, _Compiler, compiler


class _Plain(compiler.CompilerBase):  # type: ignore[misc]
    """Numba's passes for what we write, in the contexts of whoever calls it."""

    def define_pipelines(self) -> list[Any]:
        """The passes."""
        manager = PassManager("nbgrad_plain")
        for step in (*_Compiler.PASSES[:3], compiler.GenericRewrites, *_Compiler.PASSES[3:]):
            manager.add_pass(step, step.__name__)
        manager.finalize()
        return [manager]


def plainly(function: Callable[..., Any]) -> Any:
    """A function that we write as one that others of Numba's may call."""
    options = {"nopython": True, "error_model": "numpy"}
    options |= {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
    return CPUDispatcher(py_func=function, targetoptions=options, pipeline_class=_Plain)


def passes_of(dispatcher: Any) -> Any:
    """The passes for a copy of a function: of those of kernels, too, of which all helpers are."""
    ours = issubclass(dispatcher._compiler.pipeline_class, _Compiler | _Plain)
    return _Plain if ours else compiler.Compiler
