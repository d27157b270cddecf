"""Branches that record the same with other values are none in the end."""

from __future__ import annotations

import llvmlite.binding as ll
import pytest

from nbgrad.machine import lljit, merging

TEXT = """
declare i64 @record1(double, i64) nounwind willreturn memory(none)
define i64 @f(double %x, i64 %at, ptr %to) {
entry:
  %c = fcmp ogt double %x, 0.5
  br i1 %c, label %yes, label %no
yes:
  %twice = fmul double %x, 2.0
  %a = call i64 @record1(double 2.0, i64 %at)
  br label %end
no:
  %less = fsub double %x, 1.0
  %b = call i64 @record1(double 1.0, i64 %at)
  br label %end
end:
  %place = phi i64 [ %a, %yes ], [ %b, %no ]
  %value = phi double [ %twice, %yes ], [ %less, %no ]
  store double %value, ptr %to
  ret i64 %place
}
"""


def test_what_both_ways_record_is_recorded_once() -> None:
    lljit.llvm()
    module = ll.parse_assembly(TEXT)
    merging.merge(module, "record")
    text = str(module)
    assert text.count("call i64 @record1") == 1
    assert "br i1" not in text
    assert text.count("select i1 %c, double") == 2
    if not lljit.host().triple.startswith("x86_64"):
        return
    chosen = merging.without_jumps(module)
    chosen.verify()
    text = str(chosen)
    assert "double" not in "".join(x for x in text.split("\n") if "select" in x)
    assert text.count("select i1 %c, i64") == 2


@pytest.mark.parametrize(("comparison", "shared"), [("ogt", False), ("oeq", True)])
def test_what_shares_no_comparison_stays(comparison: str, shared: bool) -> None:
    lljit.llvm()
    module = ll.parse_assembly(f"""
define double @f(double %x) {{
  %c = fcmp {comparison} double %x, 0.5
  %y = select i1 %c, double %x, double 0.0
  %z = select i1 {"%c" if shared else "true"}, double %x, double 1.0
  %s = fadd double %y, %z
  ret double %s
}}""")
    assert merging.without_jumps(module) is module
