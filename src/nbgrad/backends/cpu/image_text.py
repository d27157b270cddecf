"""The function that runs one small image, written out: what a loop would read in its table is known.

A program of ten numbers takes 100 ns, a quarter of them in the loops of ``image_memory`` over tables of a few rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from textwrap import indent
from typing import Any, Final

from nbgrad.backends.cpu.image_memory import CALLS, COPIES, COPY, FAILED, TEMPLATE, Layout
from nbgrad.machine.compile import Code, at_once

WORDS: Final = (
    256  # of memory, which takes as many statements: more do not show beside what is computed
)


def written_out(layout: Layout, table: Any) -> Code:
    """``int64 run(int64 *image, int64 **values)``, in place of ``nbgrad_small``.

    What differs from process to process, it reads in the image: so its code is kept on disk.
    """
    body = indent("\n".join(_lines(layout, table)), "    ")
    text = f"def nbgrad_written(image, values):\n    work = stack_frame()\n{body}\n"
    return at_once(text, "nbgrad_written", ("i8*", "i8*"))


def _lines(layout: Layout, table: Any) -> Iterator[str]:
    yield f"for k in range({len(layout.words)}):"
    yield f"    work[k] = image[{table[TEMPLATE]} + k]"
    for word, offset in layout.inside:
        yield f"store_pointer(work, {word}, offset_bytes(work, {offset}))"
    for word, value, offset in layout.given:
        yield f"store_pointer(work, {word}, offset_bytes(load_pointer(values, {value}), {offset}))"
    for offset, value, size in layout.numbers:
        yield _copied(f"offset_bytes(work, {offset})", f"load_pointer(values, {value})", size)
    for k, (_, n, grain, word) in enumerate(layout.calls):
        called = f"call_kernel(load_pointer(image, {table[CALLS] + 4 * k}), "
        given = f"offset_words(work, {word}))"
        if grain <= 0 or n <= grain:
            yield f"{called}0, {n}, {given}"
        else:
            yield f"for lo in range(0, {n}, {grain}):"
            yield f"    {called}lo, min(lo + {grain}, {n}), {given}"
    for k, (value, source, _, size) in enumerate(layout.copies):
        known = f"load_pointer(image, {table[COPIES] + 4 * k + 2})"
        given = f"load_pointer(values, {source})" if source >= 0 else known
        yield _copied(f"load_pointer(values, {value})", given, size)
    yield f"return work[{FAILED}]"


def _copied(target: str, source: str, size: int) -> str:
    return f"call_copy(load_pointer(image, {COPY}), {target}, {source}, {size})"
