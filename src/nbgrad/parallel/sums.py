"""Sums over shards of data: of losses, gradients, Gauss-Newton products."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from nbgrad.api import trees
from nbgrad.errors import need_functions
from nbgrad.parallel.running import map as mapped


def tree_sum(terms: Iterable[Any]) -> Any:
    """The sum of nested data, in pairs of neighbours: an order that depends on their number alone.

    Parameters
    ----------
    terms : iterable of nested arrays
        At least one, all nested alike.

    Returns
    -------
    nested arrays
        Nested as they are.

    Raises
    ------
    TypeError
        If they are nested differently.
    ValueError
        If there is none.

    Examples
    --------
    >>> import nbgrad as ng
    >>> ng.parallel.tree_sum([(1.0, 2.0), (3.0, 4.0), (5.0, 6.0)])
    (9.0, 12.0)
    """
    level = list(terms)
    if not level:
        raise ValueError(
            "parallel.tree_sum: there is nothing to add, and no shape to return zeros of"
        )
    while len(level) > 1:
        pairs = zip(level[::2], level[1::2], strict=False)
        last = level[-1:] if len(level) % 2 else []
        level = [trees.map(lambda a, b: a + b, x, y) for x, y in pairs] + last
    return level[0]


class ShardedSum:
    """The sum over shards of ``f(*args, shard)``, as a function of the arguments.

    Parameters
    ----------
    f : callable
        What is added up, such as ``nbgrad.value_and_grad(loss)`` of the parameters and a shard, or a
        Gauss-Newton product. Its results are nested arrays.
    shards : sequence
        Parts of the data. A shard that is callable loads its part: it is called once in each worker
        that needs it, so that large data need not travel.
    engine, workers, retries
        As for :func:`nbgrad.parallel.map`; an executor or a client keeps its workers, and their
        shards, from call to call.

    Raises
    ------
    TypeError
        If *f* is not callable.
    ValueError
        Without shards.

    Examples
    --------
    >>> import numpy as np
    >>> import nbgrad as ng
    >>> loss = lambda w, shard: ((shard @ w - 1.0) ** 2).sum()
    >>> shards = [np.eye(2), 2 * np.eye(2), 3 * np.eye(2)]
    >>> total = ng.parallel.ShardedSum(ng.value_and_grad(loss), shards, engine="serial")
    >>> value, gradient = total(np.array([0.5, 0.0]))
    >>> float(value), gradient.tolist()
    (3.5, [2.0, -12.0])
    """

    def __init__(
        self,
        f: Callable[..., Any],
        shards: Sequence[Any],
        *,
        engine: Any = "threads",
        workers: int | None = None,
        retries: int = 2,
    ) -> None:
        need_functions("parallel.ShardedSum", f)
        self._part = _Part(f, list(shards))
        if not self._part.shards:
            raise ValueError("parallel.ShardedSum needs at least one shard")
        self._options = {"engine": engine, "workers": workers, "retries": retries, "chunk": 1}

    def __call__(self, *args: Any) -> Any:
        tasks = [(k, args) for k in range(len(self._part.shards))]
        return tree_sum(mapped(self._part, tasks, **self._options))


class _Part:
    """The term of one shard; a worker loads each shard once."""

    def __init__(self, f: Callable[..., Any], shards: list[Any]) -> None:
        self.f, self.shards = f, shards

    def __call__(self, task: tuple[int, tuple[Any, ...]]) -> Any:
        k, args = task
        shard = self.shards[k]
        if callable(shard):
            shard = self.shards[k] = shard()
        return self.f(*args, shard)
