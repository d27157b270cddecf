"""The loader of object code: what it puts into memory computes what LLVM's linker's does, or is refused."""

from __future__ import annotations

import ctypes
import random
import struct
from pathlib import Path
from typing import Any

import pytest
from subprocesses import run

from nbgrad.machine import elf, lljit, loading, processor

pytestmark = pytest.mark.skipif(not elf.HERE, reason="LLVM's linker is used here")

# Constants of several sizes and alignments, a table of jumps, calls of the C library and of what is given, addresses of
# functions here and elsewhere, and of data elsewhere.
TEXT = """
@table = private unnamed_addr constant [5 x double] [double 0.5, double 1.5, double 2.5, double 3.5, double 4.5]
@given_data = external global double
declare double @sin(double)
declare double @given(double)
declare ptr @memset(ptr, i32, i64)
define internal double @twice(double %x) noinline { %y = fadd double %x, %x
 ret double %y }
define double @f(double %x, i64 %k) {
  %p = getelementptr [5 x double], ptr @table, i64 0, i64 %k
  %t = load double, ptr %p
  %d = load double, ptr @given_data
  switch i64 %k, label %other [i64 0, label %a
    i64 1, label %b
    i64 2, label %c
    i64 3, label %d4
    i64 4, label %e]
a: %ya = call double @sin(double %x)
  br label %other
b: %yb = call double @given(double %x)
  br label %other
c: %yc = call double @twice(double %x)
  br label %other
d4: %less = fcmp olt double %x, 2.0
  %which = select i1 %less, ptr @sin, ptr @twice
  %yd = call double %which(double %x)
  br label %other
e: %room = alloca [4 x double], align 32
  call ptr @memset(ptr %room, i32 63, i64 32)
  %v = load <4 x double>, ptr %room, align 32
  %w = fmul <4 x double> %v, <double 1.0, double 2.0, double 3.0, double 4.0>
  %ye = extractelement <4 x double> %w, i32 3
  br label %other
other:
  %y = phi double [ 7.25, %0 ], [ %ya, %a ], [ %yb, %b ], [ %yc, %c ], [ %yd, %d4 ], [ %ye, %e ]
  %s = fadd double %y, %t
  %z = fmul double %s, %d
  ret double %z
}
"""
WRITES = """
@seen = internal global i64 41
define i64 @f() { %a = load i64, ptr @seen
 %b = add i64 %a, 1
 store i64 %b, ptr @seen
 ret i64 %b }
"""


def built(text: str) -> bytes:
    module = lljit.llvm().parse_assembly(text)
    module.triple = lljit.host().triple
    return bytes(lljit.target_machine().emit_object(module))


@pytest.fixture(scope="module")
def code() -> bytes:
    return built(TEXT)


@pytest.fixture(scope="module")
def given() -> dict[str, int]:
    kind = ctypes.CFUNCTYPE(ctypes.c_double, ctypes.c_double)
    held = kind(lambda x: x * 10), ctypes.c_double(0.25)
    given.held = held  # type: ignore[attr-defined]
    address = ctypes.cast(held[0], ctypes.c_void_p).value or 0
    return {"given": address, "given_data": ctypes.addressof(held[1])}


def test_both_linkers_compute_the_same(code: bytes, given: dict[str, int]) -> None:
    kind = ctypes.CFUNCTYPE(ctypes.c_double, ctypes.c_double, ctypes.c_int64)
    loaded = [load(code, "f", given) for load in (elf.load, lljit.load)]
    ours, llvms = (kind(address) for address, _ in loaded)
    for k in range(5):
        for x in (-1.5, 0.0, 3.25):
            assert ours(x, k) == llvms(x, k)
    assert ours(1.0, 2) == (2.0 + 2.5) * 0.25


def test_code_can_be_run_and_not_written(code: bytes, given: dict[str, int]) -> None:
    address, held = elf.load(code, "f", given)

    def rights() -> list[str]:
        with open("/proc/self/maps") as lines:
            found = [line.split()[:2] for line in lines]
        ends = [(*(int(x, 16) for x in span.split("-")), said) for span, said in found]
        return [said for begin, end, said in ends if begin <= address < end]

    assert rights() == ["r-xp"]
    del held
    assert rights() != ["r-xp"]


def test_what_writes_to_memory_of_its_own_is_left_to_llvm() -> None:
    code = built(WRITES)
    with pytest.raises(elf.Unusual):
        elf.load(code, "f", {})
    address, _held = loading.load(code, "f")
    assert [ctypes.CFUNCTYPE(ctypes.c_int64)(address)() for _ in range(2)] == [42, 43]


def test_damaged_objects_are_refused_and_never_read_beyond(
    code: bytes, given: dict[str, int]
) -> None:
    """A file is checked by its hash before; whoever calls with anything else gets an error as well."""
    draw, refused = random.Random(0), 0
    for _ in range(600):
        damaged = bytearray(code)
        if draw.random() < 0.2:
            del damaged[draw.randrange(len(code)) :]
        else:
            # Headers and tables of symbols and relocations are at both ends.
            at = draw.randrange(len(code) - 8)
            damaged[at : at + draw.choice((1, 4, 8))] = draw.randbytes(draw.choice((1, 4, 8)))
        try:
            elf.load(bytes(damaged), "f", given)
        except (lljit.LinkError, elf.Unusual):
            refused += 1
    assert refused > 200


def test_a_relocation_outside_of_its_section_is_refused(
    code: bytes, given: dict[str, int]
) -> None:
    image = elf._Image(code)
    section = next(s for s in image.sections if s.type == 4 and s.info in image.places)
    for at in (image.sections[section.info].size - 3, 2**63):
        damaged = bytearray(code)
        struct.pack_into("<Q", damaged, section.offset, at)
        with pytest.raises(lljit.LinkError, match="outside"):
            elf.load(bytes(damaged), "f", given)


def test_processors_are_told_apart_without_llvm(tmp_path: Path, monkeypatch: Any) -> None:
    """Where Linux does not say all of it, LLVM is asked."""
    line = tmp_path / "modalias"
    monkeypatch.setattr(processor, "_LINE", line)
    ask = processor.identity.__wrapped__
    assert ask() == processor.of_llvm()
    line.write_text("cpu:type:aarch64:feature:,0000,0001\n")
    assert ask() == processor.of_llvm()
    found = set()
    for feature in ("0125", "0130"):
        line.write_text(f"cpu:type:x86,ven0000fam0006mod0055:feature:,0000,{feature}\n")
        found.add(ask())
    assert len(found) == 2 and all("llvmlite" in said for said in found)


def test_a_warm_start_loads_neither_numba_nor_llvm() -> None:
    text = """
        import sys
        import numpy as np
        import nbgrad as ng
        x = np.linspace(-1.0, 1.0, 1000)
        first = ng.jit(ng.grad(lambda x: (np.sin(x) * x).sum()))(x)
        assert abs(first - (np.cos(x) * x + np.sin(x))).max() < 1e-14
        print(sorted({name.split(".")[0] for name in sys.modules} & {"llvmlite", "numba"}))
    """
    assert run(text, NBGRAD_DETERMINISTIC="1").endswith("]\n")
    assert run(text) == "[]\n"
