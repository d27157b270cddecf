"""Branches that record the same with other values are none in the end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

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


BODY = """
@memory = external global double
define linkonce_odr i64 @record1(double %p, i64 %at) alwaysinline nounwind willreturn {
entry:
  store double %p, ptr @memory
  ret i64 %at
}
"""


def test_what_both_ways_record_is_recorded_once() -> None:
    lljit.llvm()
    module = ll.parse_assembly(TEXT)
    asked = []

    def later(names: Sequence[str]) -> str:
        asked.extend(names)
        return BODY

    text = str(merging.optimized(module, later))
    assert asked == ["record1"]
    assert text.count("ptr @memory") == 1
    assert "br i1" not in text
    if not lljit.host().triple.startswith("x86_64"):
        return
    assert "double" not in "".join(x for x in text.split("\n") if "select" in x)
    assert text.count("select i1 %c, i64") == 2


def test_what_calls_such_a_function_is_known_to_write_memory() -> None:
    """Though each call of it says that it does not, so that the same is recorded once."""
    lljit.llvm()
    module = ll.parse_assembly("""
@memory = external global double
declare i64 @record1(double, i64) nounwind willreturn
define internal i64 @inner(double %x) noinline {
  %a = call i64 @record1(double %x, i64 1) nounwind memory(none)
  ret i64 %a
}
define internal i64 @outer(double %x) {
  %a = call i64 @inner(double %x) noinline
  ret i64 %a
}
define double @f(double %x) {
  store double 0.0, ptr @memory
  %a = call i64 @outer(double %x) noinline
  %y = load double, ptr @memory
  ret double %y
}""")
    text = str(merging.optimized(module, lambda names: BODY))
    assert "load double, ptr @memory" in text


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


def test_what_is_chosen_by_whether_a_number_is_odd_is_chosen_without_jumps() -> None:
    """As the sine and the cosine are, by the quarter that the angle lies in."""
    lljit.llvm()
    module = ll.parse_assembly("""
define double @f(double %s, double %c, i64 %n) {
  %odd = and i64 %n, 1
  %even = icmp eq i64 %odd, 0
  %y = select i1 %even, double %s, double %c
  %z = select i1 %even, double %c, double %s
  %q = fdiv double %y, %z
  ret double %q
}""")
    text = str(merging.without_jumps(module))
    wanted = 2 if lljit.host().triple.startswith("x86_64") else 0
    assert text.count("select i1 %even, i64") == wanted


@pytest.mark.parametrize("gathered", [None, lambda text: text])
def test_what_records_is_not_put_into_vectors(gathered: Any) -> None:
    lljit.llvm()
    module = ll.parse_assembly("""
define void @f(ptr noalias %x, ptr noalias %y) {
  %x1 = getelementptr double, ptr %x, i64 1
  %y1 = getelementptr double, ptr %y, i64 1
  %a = load double, ptr %x
  %b = load double, ptr %x1
  %c = fmul double %a, %a
  %d = fmul double %b, %b
  store double %c, ptr %y
  store double %d, ptr %y1
  ret void
}""")
    text = str(merging.optimized(module, lambda names: "", gathered))
    assert ("fmul <2 x double>" in text) == (gathered is None)
