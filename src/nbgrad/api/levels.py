"""What reverse mode keeps of a loop: of each run, of every so many, or what fits in a budget."""

from __future__ import annotations

from math import ceil, isqrt
from operator import index
from typing import Any

ROOT = "sqrt"


def levels_of(
    checkpoint: Any, max_bytes: Any, count: int, size: int, where: str
) -> tuple[int, ...]:
    """After how many runs a carry of *size* bytes is kept, then within such a part, and so on.

    Raises
    ------
    TypeError, ValueError
        For what is no such setting, both at a time, or a budget that no levels keep.
    """
    if checkpoint is not None and max_bytes is not None:
        raise ValueError(f"{where}: pass checkpoint or max_bytes, not both")
    if max_bytes is not None:
        return _within(index(max_bytes), count, size, where)
    if checkpoint is None:
        return ()
    if checkpoint == ROOT:
        return (max(1, isqrt(count)),) if count > 3 else ()
    if isinstance(checkpoint, (bool, str)) or index(checkpoint) < 1:
        raise ValueError(
            f"{where}: checkpoint={checkpoint!r} must be a number of runs, {ROOT!r} or None"
        )
    return (index(checkpoint),)


def _within(max_bytes: int, count: int, size: int, where: str) -> tuple[int, ...]:
    """As few levels as fit: with d of them, each of about the d-th root of *count* parts."""
    least = count * size
    if least <= max_bytes:
        return ()
    for depth in range(2, count.bit_length() + 1):
        parts = ceil(count ** (1 / depth))
        levels = [count]
        while len(levels) < depth:
            levels.append(ceil(levels[-1] / parts))
        kept = sum(ceil(a / b) for a, b in zip(levels, [*levels[1:], 1], strict=True))
        least = min(least, kept * size)
        if kept * size <= max_bytes:
            return tuple(levels[1:])
    raise ValueError(
        f"{where}: max_bytes={max_bytes} is less than any way of checkpointing {count} runs of a "
        f"carry of {size} bytes needs: {least}"
    )
