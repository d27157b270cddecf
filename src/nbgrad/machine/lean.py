"""Numba's compiler without what it does in vain, while functions of the user's are compiled in contexts of ours.

After each of its passes Numba asks where each variable is read last, which hardly any of them looks at. And
Python's collector goes through all that Numba has loaded, again and again, as types and statements are made by the
hundred thousand, of which none is garbage before the function is compiled.
"""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator
from typing import Any, Final

# New objects between collections: some tens of megabytes.
_MANY: Final = 100_000


class Lean:
    """What compiles so, given Numba's modules of lifetimes and of graphs."""

    def __init__(self, postproc: Any, transforms: Any) -> None:
        self.postproc, self.kind = postproc, postproc.PostProcessor
        self.run, self.canonical = self.kind.run, transforms.canonicalize_cfg

    @contextlib.contextmanager
    def compiling(self) -> Iterator[None]:
        """Compile so in this thread, which holds Numba's lock meanwhile."""
        before, first = gc.get_threshold(), self.kind.run

        def run(post: Any, emit_dels: bool = False, extend_lifetimes: bool = False) -> None:
            self._asked_for(post, emit_dels, extend_lifetimes)

        self.kind.run = run
        if 0 < before[0] < _MANY:
            gc.set_threshold(_MANY, *before[1:])
        try:
            yield
        finally:
            self.kind.run = first
            if gc.get_threshold()[0] == _MANY:
                gc.set_threshold(*before)

    def _asked_for(self, post: Any, emit_dels: bool, extend_lifetimes: bool) -> None:
        """Stands for ``PostProcessor.run``: lifetimes are found when they are asked for."""
        ir = post.func_ir
        if ir.is_generator:
            self.run(post, emit_dels, extend_lifetimes)
            return
        ir.blocks = self.canonical(ir.blocks)
        ir.variable_lifetime = self.postproc.VariableLifetime(ir.blocks)
        ir.generator_info = None
        if emit_dels:
            post._insert_var_dels(extend_lifetimes=extend_lifetimes)
