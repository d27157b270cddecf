"""Which values on the way a checkpointed function keeps: policies, and names for values."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from nbgrad.core.node import Node
from nbgrad.tensors.tensor import Tensor


@dataclass(frozen=True)
class Made:
    """What a policy is asked about: one value that a checkpointed function computes on the way.

    Parameters
    ----------
    operation : str
        The operation that computes it, as :func:`nbgrad.make_tape` shows it.
    kind : str
        The kind of that operation: ``"elementwise"``, ``"bilinear"`` and so on.
    shape, dtype
        Of the value.
    operands : tuple of tuple
        The shapes of what the operation reads.
    name : str or None
        What :func:`nbgrad.checkpoint_name` called it.

    Examples
    --------
    >>> import nbgrad as ng
    >>> small = lambda made: len(made.shape) == 0
    >>> f = ng.checkpoint(lambda x: ng.exp(ng.sin(x).sum()), policy=small)
    >>> ng.grad(f)(ng.zeros(2)).shape
    (2,)
    """

    operation: str
    kind: str
    shape: tuple[int, ...]
    dtype: Any
    operands: tuple[tuple[int, ...], ...]
    name: str | None


Policy = Callable[[Made], bool]


class _Naming(threading.local):
    names: dict[Node, str] | None = None


_naming = _Naming()


@contextmanager
def naming() -> Iterator[dict[Node, str]]:
    """While a checkpointed function runs: the names that it gives."""
    before, _naming.names = _naming.names, {}
    try:
        yield _naming.names
    finally:
        _naming.names = before


def checkpoint_name(x: Any, name: str) -> Any:
    """Give *x* a name by which a policy of :func:`checkpoint` may keep it; returns *x*.

    Parameters
    ----------
    x : array, tensor or number
    name : str

    Returns
    -------
    object
        *x* itself.

    Raises
    ------
    TypeError
        If *name* is no string.

    Examples
    --------
    >>> import nbgrad as ng
    >>> def f(x):
    ...     hidden = ng.checkpoint_name(ng.sin(x), "hidden")
    ...     return ng.exp(hidden).sum()
    >>> keep = ng.checkpoint_policies.save_only_these_names("hidden")
    >>> ng.grad(ng.checkpoint(f, policy=keep))(ng.zeros(2))
    tensor([1., 1.])
    """
    if not isinstance(name, str):
        raise TypeError(f"checkpoint_name: the name must be a string, not {type(name).__name__}")
    if _naming.names is not None and isinstance(x, Tensor):
        _naming.names[x._node] = name
    return x


def keeps(policy: Policy, node: Node, name: str | None) -> bool:
    """Whether *policy* keeps the value of *node*."""
    prim = node.sig.prim
    operands = tuple([getattr(x.aval, "shape", ()) for x in node.inputs if x.__class__ is Node])
    found = policy(Made(prim.name, prim.kind, node.shape, node.dtype, operands, name))
    if not isinstance(found, bool):
        raise TypeError(
            f"checkpoint: the policy returned {found!r} for {prim.name}: it must return True, to keep "
            "the value, or False. Is it one that makes policies, as save_only_these_names(...) does?"
        )
    return found
