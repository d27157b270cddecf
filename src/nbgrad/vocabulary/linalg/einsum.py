"""``einsum``: parsed, planned once for its shapes, and run as products of two operands at a time."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from nbgrad.core.node import Node
from nbgrad.core.recipes import Recipes, replay
from nbgrad.ops import basis
from nbgrad.ops.arrays.contraction import contract, permuted, reshaped, summed
from nbgrad.vocabulary.declare import call, function
from nbgrad.vocabulary.elements.composite import astype
from nbgrad.vocabulary.linalg.einsum_text import Subscripts, parse, parse_lists
from nbgrad.vocabulary.linalg.matmul import refuse_out
from nbgrad.vocabulary.shapes import as_node

SYMBOLS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


def _cases(d: Any) -> list[Any]:
    return [
        call("bij,bjk->bik", d(2, 2, 3), d(2, 3, 2)),
        call("ijk,klm", d(2, 1, 3), d(3, 2, 2)),
        call("abc,cd,bde->ae", d(2, 2, 3), d(3, 2), d(2, 2, 2), optimize=True),
        call("ii->i", d(3, 3)),
        call("iij,jk->ki", d(2, 2, 3), d(3, 2)),
        call("i...,...j->j...i", d(2, 2), d(2, 3)),
        call("ab,ac,bc->", d(2, 2), d(2, 3), d(2, 3)),
        call(d(2, 3), [0, 1], d(3), [1], [0]),
        call("bij,kl->bk", d(2, 1, 3), d(2, 2)),
    ]


@function("numpy", np.einsum, cases=_cases, complex=True)
def einsum(*operands: Any, out: None = None, optimize: Any = False, **kwargs: Any) -> Node:
    """Sum of products by Einstein's convention, as ``numpy.einsum`` writes it.

    Two operands at a time are contracted by one batched matrix product, so BLAS does the work.
    Products of three and more operands are always taken in the order ``numpy.einsum_path`` finds:
    ``optimize=False`` means ``"greedy"`` here.

    Parameters
    ----------
    *operands
        Subscripts such as ``"bij,bjk->bik"`` (implicit output, ``...`` and repeated indices
        included) and the arrays, or each array followed by its list of indices.
    optimize : bool, str or list
        As in NumPy.
    dtype, casting : optional
        In which to compute.

    Examples
    --------
    >>> import nbgrad as ng
    >>> ng.numpy.einsum("ij,j->i", [[1.0, 2.0], [3.0, 4.0]], [1.0, 1.0])
    tensor([3., 7.])
    """
    refuse_out("einsum", out)
    given, nodes = _read(operands)
    setting = _setting(optimize)
    # What is recorded depends on nothing else, so the next call replays it.
    key = (given, tuple([x.aval for x in nodes]), setting, *kwargs.items())
    recipe = _recipes.get(key)
    if recipe is not None:
        return replay(recipe, nodes)  # type: ignore[no-any-return]
    typed, dtype = _typed(nodes, **kwargs)
    shapes = tuple(x.shape for x in nodes)
    subscripts = parse(given, shapes) if isinstance(given, str) else parse_lists(*given, shapes)
    found = astype(_evaluated(subscripts, typed, setting), dtype)
    _recipes.learn(key, found, nodes)
    return found


_recipes = Recipes()


def _read(operands: tuple[Any, ...]) -> tuple[Any, list[Node]]:
    """The subscripts as text, or the lists of indices and that of the result; and the operands."""
    if not operands:
        raise ValueError("einsum: needs subscripts such as 'ij,jk' and the arrays")
    if isinstance(operands[0], str):
        return operands[0], [as_node(x) for x in operands[1:]]
    count = len(operands) // 2
    lists = [tuple(x) for x in operands[1 : 2 * count : 2]]
    result = tuple(operands[-1]) if len(operands) % 2 else None
    return (tuple(lists), result), [as_node(x) for x in operands[: 2 * count : 2]]


def _typed(
    nodes: list[Node], dtype: Any = None, casting: str = "safe", order: str = "K"
) -> tuple[list[Node], np.dtype[Any]]:
    """The operands in the dtype to compute in, and the dtype of the result."""
    if order not in ("K", "C", "A"):
        raise ValueError(f"einsum: order={order!r} is not supported; results are C-contiguous")
    wanted = np.dtype(dtype) if dtype is not None else np.result_type(*(x.dtype for x in nodes))
    for x in nodes:
        if dtype is not None and not np.can_cast(x.dtype, wanted, casting):  # type: ignore[arg-type]
            raise TypeError(
                f"einsum: cannot cast an operand from {x.dtype} to {wanted} by the rule "
                f"{casting!r}; pass casting='unsafe' or x.astype({wanted.name!r})"
            )
    used = np.dtype(np.int64) if wanted.kind == "b" else wanted
    return [astype(x, used) for x in nodes], wanted


def _setting(optimize: Any) -> Any:
    """*optimize* as a hashable argument of ``numpy.einsum_path``."""
    if isinstance(optimize, (list, tuple)):
        return tuple(x if isinstance(x, str) else tuple(x) for x in optimize)
    return "greedy" if optimize in (False, True) else optimize


def _evaluated(subscripts: Subscripts, nodes: list[Node], optimize: Any) -> Node:
    terms, out = subscripts
    prepared = [_distinct(x, labels) for x, labels in zip(nodes, terms, strict=True)]
    size = {label: n for x, labels in prepared for label, n in zip(labels, x.shape, strict=True)}
    prepared = [_without_ones(x, labels, size) for x, labels in prepared]
    size |= {label: n for x, labels in prepared for label, n in zip(labels, x.shape, strict=True)}
    path: Any = ((*range(len(prepared)),),)
    if len(prepared) > 2:
        clean = tuple(tuple(labels) for _, labels in prepared)
        path = _path(clean, out, tuple(x.shape for x, _ in prepared), optimize)
    for group in path:
        taken = [prepared[k] for k in group]
        prepared = [p for k, p in enumerate(prepared) if k not in group]
        needed = {label for _, labels in prepared for label in labels}
        prepared.append(_together(taken, needed | set(out), out if not prepared else ()))
    x, labels = prepared[0]
    shape = tuple(size[label] for label in out)
    x = permuted(*summed(x, labels, out), [label for label in out if label in labels])
    return reshaped(x, shape)  # labels that are everywhere of size 1 have been dropped


def _together(
    taken: list[tuple[Node, list[int]]], needed: set[int], out: Sequence[int]
) -> tuple[Node, list[int]]:
    """The product of operands, summed over what is not *needed*; in the order *out* if given."""
    (x, labels), *others = taken
    for k, (y, of_y) in enumerate(others):
        later = {label for _, of_z in others[k + 1 :] for label in of_z}
        both = {*labels, *of_y} & (needed | later)
        keep = [label for label in dict.fromkeys((*out, *labels, *of_y)) if label in both]
        x, labels = contract(x, labels, y, of_y, keep), keep
    return x, labels


@lru_cache(maxsize=1024)
def _path(
    terms: tuple[tuple[int, ...], ...],
    out: tuple[int, ...],
    shapes: tuple[tuple[int, ...], ...],
    optimize: Any,
) -> list[tuple[int, ...]]:
    """NumPy's order of contractions, of operands whose labels are distinct."""
    names: dict[int, str] = {}
    for labels in terms:
        for label in labels:
            names.setdefault(label, SYMBOLS[len(names)])
    text = ",".join("".join(names[label] for label in labels) for labels in terms)
    text += "->" + "".join(names[label] for label in out if label in names)
    stand_ins = [np.broadcast_to(0.0, shape) for shape in shapes]
    setting = list(optimize) if isinstance(optimize, tuple) else optimize
    return np.einsum_path(text, *stand_ins, optimize=setting)[0][1:]  # type: ignore[return-value]


def _distinct(x: Node, labels: Sequence[int]) -> tuple[Node, list[int]]:
    """Diagonals of *x* where a label is repeated."""
    labels = list(labels)
    for label in dict.fromkeys(labels):
        while labels.count(label) > 1:
            first = labels.index(label)
            second = labels.index(label, first + 1)
            rest = [k for k in range(x.ndim) if k not in (first, second)]
            x = _diagonal(basis.transpose(x, perm=(*rest, first, second)))
            labels = [*(labels[k] for k in rest), label]
    return x, labels


def _diagonal(x: Node) -> Node:
    """The diagonal of the last two dimensions, which are of one size."""
    *lead, n, _ = x.shape
    flat = reshaped(x, (*lead, n * n))
    zeros, ones = (0,) * len(lead), (1,) * len(lead)
    return basis.slice_(flat, starts=(*zeros, 0), sizes=(*lead, n), steps=(*ones, n + 1))


def _without_ones(x: Node, labels: list[int], size: dict[int, int]) -> tuple[Node, list[int]]:
    """*x* without its dimensions of size 1: they are broadcast, or stay 1 to the end."""
    kept = [k for k, n in enumerate(x.shape) if n != 1]
    return reshaped(x, tuple(x.shape[k] for k in kept)), [labels[k] for k in kept]


@function(
    "numpy",
    np.einsum_path,
    cases=lambda d: [call("ij,jk,kl->il", d(2, 3), d(3, 4), d(4, 2))],
    differentiable=False,
)
def einsum_path(*operands: Any, optimize: Any = "greedy", einsum_call: bool = False) -> Any:
    """The order in which ``einsum`` takes its operands, and a printable account of it.

    Examples
    --------
    >>> import numpy as np
    >>> import nbgrad as ng
    >>> ng.einsum_path("ij,jk->ik", np.ones((2, 3)), np.ones((3, 2)))[0]
    ['einsum_path', (0, 1)]
    """
    stand_ins = [np.broadcast_to(0.0, x.shape) if hasattr(x, "aval") else x for x in operands]
    return np.einsum_path(*stand_ins, optimize=optimize, einsum_call=einsum_call)  # type: ignore[call-overload]
