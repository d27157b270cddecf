"""Functions of C's that call what takes a table: a few instructions each, written for LLVM.

The code of a stub depends on how many arguments there are and on nothing else: what it calls, and with
which table, are two symbols, which are given when it is loaded.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Final

from nbgrad.core import forks
from nbgrad.machine import lljit, loading
from nbgrad.machine.compile import Code

_SYMBOL: Final = "nbgrad_stub"
_HEAD: Final = """
target triple = "{triple}"
@nbgrad_image = external global i8
declare i64 @nbgrad_run(ptr, ptr)
"""
# Pointers in, a status out.
_POINTERS: Final = """
define i64 @nbgrad_stub({params}) {{
  %values = alloca ptr, i64 {count}
{stores}
  %found = call i64 @nbgrad_run(ptr @nbgrad_image, ptr %values)
  ret i64 %found
}}
"""
# A number of numbers: NaN if there are not as many as it takes, or where it fails.
_NUMBERS: Final = """
define double @nbgrad_stub(i32 %n, ptr %x, ptr %data) {{
  %out = alloca double
  store double 0x7FF8000000000000, ptr %out
  %values = alloca ptr, i64 {count}
{stores}
  %fits = icmp eq i32 %n, {n}
  br i1 %fits, label %run, label %done
run:
  %found = call i64 @nbgrad_run(ptr @nbgrad_image, ptr %values)
  %well = icmp eq i64 %found, 0
  br i1 %well, label %done, label %failed
failed:
  ret double 0x7FF8000000000000
done:
  %y = load double, ptr %out
  ret double %y
}}
"""


def _stores(pointers: Sequence[str]) -> str:
    lines = []
    for k, pointer in enumerate(pointers):
        lines.append(f"  %s{k} = getelementptr ptr, ptr %values, i64 {k}")
        lines.append(f"  store ptr {pointer}, ptr %s{k}")
    return "\n".join(lines)


def _of_pointers(count: int) -> str:
    """``int64 f(const void *, ..., void *, ..., void *workspace)`` of *count* pointers in all."""
    names = [f"%p{k}" for k in range(count)]
    params = ", ".join(f"ptr {name}" for name in names)
    return _POINTERS.format(params=params, count=count, stores=_stores(names))


def _of_numbers(n: int, apart: bool) -> str:
    """``double f(int n, double *x, void *)`` of *n* numbers, as one vector or *apart*."""
    lines, pointers = [], ["%x"]
    if apart:
        pointers = [f"%x{k}" for k in range(n)]
        lines = [f"  {p} = getelementptr double, ptr %x, i64 {k}" for k, p in enumerate(pointers)]
    pointers += ["%out", "null"]
    stores = "\n".join([*lines, _stores(pointers)])
    return _NUMBERS.format(count=len(pointers), stores=stores, n=n)


@cache
def _object(text: str) -> bytes:
    head = _HEAD.format(triple=lljit.host().triple)
    with forks.compiling, lljit.uninterrupted():
        module = lljit.llvm().parse_assembly(head + text)
        return bytes(lljit.target_machine().emit_object(module))


def _loaded(text: str, run: int, image: int) -> Code:
    imports = {"nbgrad_run": run, "nbgrad_image": image}
    return Code(_SYMBOL, *loading.load(_object(text), _SYMBOL, imports))


def of_pointers(count: int, run: int, image: int) -> Code:
    """A function of *count* pointers, which are the values of ``run(image, values)``; the last may be null."""
    return _loaded(_of_pointers(count), run, image)


def of_numbers(n: int, apart: bool, run: int, image: int) -> Code:
    """A function of *n* numbers in a row, as one value or *apart*, and of one result."""
    return _loaded(_of_numbers(n, apart), run, image)
