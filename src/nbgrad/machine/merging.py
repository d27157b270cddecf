"""Branches of code that records: what both ways record becomes one entry of values that are chosen.

LLVM inlines what records before it looks at branches for what they have in common. And where two floats are
chosen by one comparison, its code for x86 jumps, for one of them: a jump that is foreseen half of the time costs
what recording an entry does.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import Any, Final

import llvmlite.binding as ll

from nbgrad.machine import lljit
from nbgrad.machine.numba_inside import target_machine

_CHOICE: Final = re.compile(
    r"  (?P<result>%\S+) = select i1 (?P<by>%\S+), (?P<kind>double|float) (?P<yes>\S+), "
    r"(?P=kind) (?P<no>[^\s,]+)(, !.*)?"
)
# What is compared with 0 for equality hardly ever is: there a jump costs least.
_ORDER: Final = re.compile(r"  (?P<by>%\S+) = fcmp (?:[a-z]+ )*[ou](?:gt|ge|lt|le) .*")
_BITS: Final = {"double": "i64", "float": "i32"}


def merge(module: Any, prefix: str) -> None:
    """Simplify the functions that call what *prefix* begins the names of, each for itself."""
    for f in module.functions:
        if not f.is_declaration and not f.name.startswith(prefix) and f"@{prefix}" in str(f):
            tuning = ll.create_pipeline_tuning_options(3)
            builder = ll.create_pass_builder(target_machine(), tuning)
            builder.getFunctionPassManager().run(f, builder)


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
    ordered = {found["by"] for found in map(_ORDER.fullmatch, lines) if found}
    shared = Counter([found["by"] for found in choices if found])
    for k, found in enumerate(choices):
        if found and found["by"] in ordered and shared[found["by"]] > 1:
            kind, bits, name = found["kind"], _BITS[found["kind"]], f"%nbgrad_bits{k}"
            lines[k] = (
                f"  {name}a = bitcast {kind} {found['yes']} to {bits}\n"
                f"  {name}b = bitcast {kind} {found['no']} to {bits}\n"
                f"  {name} = select i1 {found['by']}, {bits} {name}a, {bits} {name}b\n"
                f"  {found['result']} = bitcast {bits} {name} to {kind}"
            )
    return "\n".join(lines)
