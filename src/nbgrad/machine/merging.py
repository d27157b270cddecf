"""A function with all that it calls, through LLVM: what both ways of a branch record becomes one entry of chosen values.

LLVM inlines what records before it looks at branches for what they have in common: so that is put in later. And where
two floats are chosen by one comparison, its code for x86 jumps, for one of them: a jump that is foreseen half of the
time costs what recording an entry does.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Final

import llvmlite.binding as ll

from nbgrad.machine import lljit
from nbgrad.machine.numba_inside import target_machine
from nbgrad.machine.object_code import link, optimize

_CHOICE: Final = re.compile(
    r"  (?P<result>%\S+) = select i1 (?P<by>%\S+), (?P<kind>double|float) (?P<yes>\S+), "
    r"(?P=kind) (?P<no>[^\s,]+)(, !.*)?"
)
# What is compared with 0 for equality hardly ever is: there a jump costs least.
_ORDER: Final = re.compile(r"  (?P<by>%\S+) = fcmp (?:[a-z]+ )*[ou](?:gt|ge|lt|le) .*")
# Of angles an odd quarter is as frequent as an even one.
_ODD: Final = re.compile(r"  (?P<odd>%\S+) = and i64 \S+, 1")
_PARITY: Final = re.compile(r"  (?P<by>%\S+) = icmp (?:eq|ne) i64 (?P<odd>%\S+), 0")
_BITS: Final = {"double": "i64", "float": "i32"}


def optimized(
    module: Any,
    later: Callable[[Sequence[str]], str] | None,
    gathered: Callable[[str], str] | None = None,
) -> Any:
    """The module after LLVM's whole pipeline.

    Before that, references that come and go are pruned, once calls are inlined. *later* gives a module with the
    bodies of what records, among the names of functions that are declared; *gathered* rewrites the text that calls
    these. Each call of that says that it writes
    nothing, which LLVM must not conclude of who calls it: before the bodies are there it concludes nothing of what
    might be replaced, and then they are inlined first of all.
    """
    if later:
        _linked_as(module, ll.Linkage.internal, ll.Linkage.linkonce_odr)
    if later or any(f.name == "NRT_incref" for f in module.functions):
        builder = ll.create_pass_builder(target_machine(), ll.create_pipeline_tuning_options(1))
        manager = builder.getModulePassManager()
        manager.add_refprune_pass()
        manager.run(module, builder)
    if later:
        before = str(module)
        text = gathered(before) if gathered else before
        module = module if text == before else ll.parse_assembly(text)
        link(module, later([f.name for f in module.functions if f.is_declaration]))
        _linked_as(module, ll.Linkage.linkonce_odr, ll.Linkage.internal)
        builder = ll.create_pass_builder(target_machine(), ll.create_pipeline_tuning_options(1))
        manager = ll.create_new_module_pass_manager()
        manager.add_always_inliner_pass()
        manager.run(module, builder)
    # Of numbers that are recorded two are hardly ever computed alike, and putting them together costs more.
    optimize(module, lanes=gathered is None)
    return without_jumps(module) if later else module


def _linked_as(module: Any, before: Any, now: Any) -> None:
    for f in module.functions:
        if not f.is_declaration and f.linkage == before:
            f.linkage = now


def without_jumps(module: Any) -> Any:
    """The module, in which floats that share a comparison with others are chosen by their bits."""
    if not lljit.host().triple.startswith("x86_64"):  # other processors choose floats as they are
        return module
    before = str(module)
    text = "\ndefine ".join([_by_bits(part) for part in before.split("\ndefine ")])
    return module if text == before else ll.parse_assembly(text)


def _by_bits(function: str) -> str:
    lines = function.split("\n")
    choices = [_CHOICE.fullmatch(line) for line in lines]
    odd = {found["odd"] for found in map(_ODD.fullmatch, lines) if found}
    parities = [found for found in map(_PARITY.fullmatch, lines) if found and found["odd"] in odd]
    orders = [found for found in map(_ORDER.fullmatch, lines) if found]
    unforeseen = {found["by"] for found in (*orders, *parities)}
    shared = Counter([found["by"] for found in choices if found])
    for k, found in enumerate(choices):
        if found and found["by"] in unforeseen and shared[found["by"]] > 1:
            kind, bits, name = found["kind"], _BITS[found["kind"]], f"%nbgrad_bits{k}"
            lines[k] = (
                f"  {name}a = bitcast {kind} {found['yes']} to {bits}\n"
                f"  {name}b = bitcast {kind} {found['no']} to {bits}\n"
                f"  {name} = select i1 {found['by']}, {bits} {name}a, {bits} {name}b\n"
                f"  {found['result']} = bitcast {bits} {name} to {kind}"
            )
    return "\n".join(lines)
