"""The subscripts of ``einsum``: from text, or lists, to labels of the dimensions.

A label is an integer: the code of a letter, the number in a list, or a negative number for the
dimensions that ``...`` stands for, counted from the last.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

Shapes = tuple[tuple[int, ...], ...]
Subscripts = tuple[tuple[tuple[int, ...], ...], tuple[int, ...]]


@lru_cache(maxsize=1024)
def parse(text: str, shapes: Shapes) -> Subscripts:
    """Labels of each operand and of the result.

    Examples
    --------
    >>> parse("ab,bc", ((2, 3), (3, 4)))
    (((97, 98), (98, 99)), (97, 99))
    """
    left, arrow, right = text.replace(" ", "").partition("->")
    terms = left.split(",")
    if len(terms) != len(shapes):
        raise ValueError(
            f"einsum: {text!r} has {len(terms)} operands, but {len(shapes)} are given"
        )
    lists = tuple(_of_text(term, text) for term in terms)
    return parse_lists(lists, _of_text(right, text) if arrow else None, shapes)


def _of_text(term: str, text: str) -> tuple[Any, ...]:
    """The letters of one operand as a list of indices."""
    before, dots, after = term.partition("...")
    for letter in before + after:
        if not (letter.isascii() and letter.isalpha()):
            raise ValueError(
                f"einsum: {letter!r} in {text!r} is not a letter, a comma, '->' or part of an "
                "ellipsis '...'"
            )
    return (*map(ord, before), *([...] if dots else []), *map(ord, after))


@lru_cache(maxsize=1024)
def parse_lists(
    lists: tuple[tuple[Any, ...], ...], result: tuple[Any, ...] | None, shapes: Shapes
) -> Subscripts:
    """The same for lists of indices; *result* is None where the output is implicit."""
    terms = tuple(
        _expanded(indices, len(shape) - len([x for x in indices if x is not ...]), shape)
        for indices, shape in zip(lists, shapes, strict=True)
    )
    labels = [label for term in terms for label in term]
    spread = sorted({label for label in labels if label < 0})
    if result is None:
        once = sorted({x for x in labels if x >= 0 and labels.count(x) == 1})
        out = (*spread, *once)
    else:
        out = _output(result, spread, labels)
    _check_sizes(terms, shapes)
    return terms, out


def _expanded(indices: Sequence[Any], extra: int, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The labels of one operand, with those of *extra* dimensions for its ellipsis."""
    if extra < 0 or (extra and ... not in indices):
        raise ValueError(
            f"einsum: an operand of shape {shape} does not fit {len(indices)} indices"
            + (": write '...' for the other dimensions" if extra > 0 else "")
        )
    out: list[int] = []
    for x in indices:
        out += range(-extra, 0) if x is ... else [int(x)]
    return tuple(out)


def _output(result: tuple[Any, ...], spread: list[int], labels: list[int]) -> tuple[int, ...]:
    if spread and ... not in result:
        raise ValueError("einsum: the output needs '...' because operands have dimensions for it")
    out: list[int] = []
    for x in result:
        out += spread if x is ... else [int(x)]
    for x in out:
        name = chr(x) if x >= 64 else str(x)
        if out.count(x) > 1:
            raise ValueError(f"einsum: the output has index {name!r} more than once")
        if x not in labels:
            raise ValueError(f"einsum: the output's index {name!r} is in no operand")
    return tuple(out)


def _check_sizes(terms: Sequence[Sequence[int]], shapes: Shapes) -> None:
    """Dimensions of one label are of one size, or 1 in another operand."""
    size: dict[int, int] = {}
    for labels, shape in zip(terms, shapes, strict=True):
        for label, n in zip(labels, shape, strict=True):
            diagonal = {m for other, m in zip(labels, shape, strict=True) if other == label}
            known = size.get(label, 1)
            if len(diagonal) > 1 or (n != known and 1 not in (n, known)):
                name = chr(label) if label >= 64 else str(label)
                raise ValueError(
                    f"einsum: index {name!r} is {known if len(diagonal) == 1 else diagonal} and "
                    f"{n} in operands of shapes {shapes}; dimensions of one index must be equal"
                )
            size[label] = n if known == 1 else known
