"""Functions as Numba writes them, without what LLVM removes first: variables in memory, needless blocks.

What kernels call is inlined in each of them, at each call: so it is simplified once, before.
"""

from __future__ import annotations

from typing import Any

import llvmlite.binding as ll


def simplify(module: Any, machine: Any) -> None:
    """Simplify each function of a module; pass managers serve once."""
    for function in module.functions:
        if not function.is_declaration:
            builder = ll.create_pass_builder(machine, ll.create_pipeline_tuning_options(1))
            passes = ll.create_new_function_pass_manager()
            passes.add_simplify_cfg_pass()
            passes.add_sroa_pass()
            passes.add_instruction_combine_pass()
            passes.add_simplify_cfg_pass()
            passes.run(function, builder)
