"""What a declaration says of its machine form: the program layer makes kernels of these."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from nbgrad.core.frozen import Value


class Expression(Value):
    """Lowering of an elementwise primitive: Python text over operand names.

    In ``text``, ``{x}``, ``{y}``, ``{z}`` are the operands, ``{t}`` casts a number to the loop
    dtype and ``{c}`` is the dtype's code, as in ``exp_{c}({x})``. ``dtypes`` are the kinds of
    loop dtypes the text is right for; others run through the reference. Without a text ``host``
    says why all do. ``complex_text`` is that for complex operands or results, where it is another one;
    only kernels on a card have complex numbers. ``mixed_text`` is that for an integer with a sign and one without:
    what holds both is a float64, which does not hold all of either.
    """

    text: str | Callable[[dict[str, Any]], str]
    dtypes: str
    host: str = ""
    complex_text: str | Callable[[dict[str, Any]], str] = ""
    mixed_text: str = ""


class Combine(Value):
    """Lowering of a reduction: how two partial results combine, over ``{a}`` and ``{b}``."""

    text: str
    identity: str
    dtypes: str = "f"
    finalize: str = ""
    complex_finalize: str = ""


Part = tuple[int | None, tuple[int, ...], tuple[int, ...]]


class Assembly(Value):
    """Lowering of an operation that writes its operands into windows of its result.

    ``parts(avals, aval, params)`` lists, in order of writing, the operand's number (None for
    zeros everywhere) and the starts and steps of its window.
    """

    parts: Callable[..., list[Part]]


class View(Value):
    """Lowering of a linear primitive as the index map ``name`` of program/index.py.

    ``irregular(params, x_shape)`` says that no index map will do; then ``assembly`` does.
    ``keeps_elements`` says that every element of the result is one of the operand. ``begins`` is the
    param that says where a window of the operand begins, if it is one.
    """

    name: str
    keeps_elements: bool = True
    irregular: Callable[..., bool] = lambda params, shape: False
    assembly: Assembly | None = None
    begins: str = ""


def index_map(prim: Any) -> str:
    """The index map of a view, by its name in program/index.py; "" of other operations."""
    return prim.lower.name if prim.lower.__class__ is View else ""


def exchanges(sig: Any) -> bool:
    """Whether it transposes the matrices of a stack."""
    if index_map(sig.prim) != "transpose":
        return False
    perm = sig.params["perm"]
    n = len(perm)
    return n > 1 and tuple(perm) == (*range(n - 2), n - 1, n - 2)


class Host(Value):
    """No lowering: the program calls the NumPy reference between its kernels."""


class Factored(Value):
    """How operations on one matrix, their first operand, share its factorization.

    ``factors(a)`` are nodes, and ``result(factors, transposed, *others, **params)`` that of the operation
    on the matrix, or on it transposed. As a lowering: the operation is always made of factors.
    """

    factors: Callable[..., Sequence[Any]]
    result: Callable[..., Any]


class Library(Value):
    """Lowering as a hand-written kernel, called on operands where they lie in memory.

    The kernel sees each operand with few dimensions. ``splits(params, *avals)`` says which: for
    each operand, the dimensions of its array at which the kernel's begin, and its rank at the end;
    None if the kernel does not serve these. Dimensions that fall together must be one stride, and
    ``in_place(extents, strides)`` must allow the result; otherwise the operand is copied first.

    Parameters
    ----------
    kernel : str
        Its name in ``backends/cpu/library.py``.
    dtypes : tuple of str, or str
        Kinds of dtype of each operand, or of any number of them.
    flops : callable or None
        ``flops(params, *avals)``: how many operations it takes, for whoever looks at a program.
    turned : callable or None
        ``turned(*operands)``: the result with its last two dimensions exchanged, where that can be
        computed as well as the result: see transforms/turned.py.
    on_card : bool
        Whether there is such a kernel for cards alone.
    factored : Factored or None
        What several such operations on one matrix are made of: see program/factored.py.
    """

    kernel: str
    dtypes: tuple[str, ...] | str
    splits: Callable[..., Sequence[tuple[int, ...]] | None]
    in_place: Callable[..., bool] = lambda extents, strides: True
    flops: Callable[..., float] | None = None
    turned: Callable[..., Any] | None = None
    on_card: bool = False
    factored: Factored | None = None


class Rounds(Value):
    """How a repeated tape takes its operands: constants, the carry, then rows of stacks.

    Its outputs are the next carry, then rows of stacks; ``reverse`` goes through them from the end.
    """

    constants: int
    carry: int
    count: int
    reverse: bool


class Repeat(Value):
    """Lowering of an operation that runs the tape of its param ``body`` again and again.

    ``layout(params) -> Rounds``.
    """

    layout: Callable[..., Rounds]


class Iterate(Value):
    """Lowering of an operation that runs the tape of its param ``body`` while that of ``cond`` holds.

    Both read so many ``constants``, then the carry, which the body gives anew, at most ``max_steps``
    times. With a param ``back`` the results are made on the way back, by that tape, which reads after the
    constants what was carried before a run, then cotangents, then further constants; it gives terms
    of sums, each of the *scattered* ones with the rows it is added to, then the next cotangents. Results
    are the sums, whose avals are those of the first inputs of ``finish``, then the last cotangents.
    """


class Call(Value):
    """Lowering of an operation that is a tape, by default that of its param ``body``.

    The equations of that stand in its place when a program is made, and not before: until then it has
    rules of its own. ``tape(signature)`` returns it. ``seen(equation, source)`` is a better one, by an identity
    of ops/identities/, and what this reads, if there is one of what the operands are made of.
    """

    tape: Callable[[Any], Any] = lambda sig: sig.params["body"].tape
    seen: Callable[[Any, Any], tuple[Any, tuple[Any, ...]] | None] | None = None


class Choice(Value):
    """Lowering of an operation whose results are those of one tape among its param ``branches``.

    The first operand is the number of the tape, the others are what all of them read.
    """
