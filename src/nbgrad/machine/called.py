"""What compiled code knows of a function behind a descriptor: its arguments, its results, where it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

from nbgrad.core.frozen import Value

# The functions that are compiled, as attributes of what holds them.
COMPILED: Final = ("value", "grad", "value_and_grad", "jvp", "hvp", "hess", "jacobian")
# Words of a descriptor, which extents of arguments and results follow.
RUN, IMAGE, FAULT, EXTENTS = range(4)
# What a status stands for, where all that may fail in a program fails in one way; RuntimeError else.
OTHER, SINGULAR, OUTSIDE = range(3)
NO_MEMORY: Final = -1


class Leaf(Value):
    """An array or a number among arguments and results.

    Attributes
    ----------
    code : str
        Its dtype, such as ``"f8"``.
    ndim : int
        Its extents are words of the descriptor, from *word* on.
    setting : bool
        Whether it is an integer that was traced as a number, not as an argument: that word of the descriptor.
    """

    name: str
    code: str
    ndim: int
    word: int
    setting: bool = False

    def __str__(self) -> str:
        return f"{self.code}:{self.ndim}@{self.word}{'!' * self.setting}"

    def leaves(self) -> list[Leaf]:
        return [self]


class Nest(Value):
    """A tuple, or what is made by calling *kind*, a class of named tuples."""

    parts: tuple[Any, ...]
    kind: Any = None

    def __str__(self) -> str:
        made = "" if self.kind is None else f"{self.kind.__module__}.{self.kind.__qualname__}"
        return f"{made}({', '.join(map(str, self.parts))})"

    def leaves(self) -> list[Leaf]:
        """The leaves, in order."""
        return [leaf for part in self.parts for leaf in part.leaves()]


Tree = Leaf | Nest


def text_of(tree: Tree, leaf: Iterator[str], kinds: dict[str, Any]) -> str:
    """An expression that nests what *leaf* gives as *tree* is; *kinds* gets the classes it names."""
    if isinstance(tree, Leaf):
        return next(leaf)
    inside = "".join(f"{text_of(part, leaf, kinds)}, " for part in tree.parts)
    if tree.kind is None:
        return f"({inside})"
    name = f"made_{len(kinds)}"
    kinds[name] = tree.kind
    return f"{name}({inside})"


def paths_of(tree: Tree, path: str) -> Iterator[tuple[str, Leaf]]:
    """Each leaf, after the expression that takes it out of *path*."""
    if isinstance(tree, Leaf):
        yield path, tree
    else:
        for k, part in enumerate(tree.parts):
            yield from paths_of(part, f"{path}[{k}]")


class Called:
    """A function behind a descriptor.

    Attributes
    ----------
    kind : str
        What it is called.
    params, results
        Nests of what it takes, and gives.
    """

    kind: str
    params: Nest
    results: Tree

    @property
    def descriptor(self) -> int:
        """The address of its words."""
        raise NotImplementedError

    def publish(self) -> str:
        """The name of its symbol, which says what it computes; it is kept for good from now on."""
        raise NotImplementedError

    def anchor(self) -> Callable[[], None]:
        """What is stored beside code that calls it, and looks for it when that is read again."""
        raise NotImplementedError


class Holder:
    """What holds the functions that are compiled, as attributes.

    Attributes
    ----------
    label : str
        A name to read.
    """

    label: str
