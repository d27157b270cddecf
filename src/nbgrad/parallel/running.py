"""Tasks in chunks: results in order, each once, whatever becomes of the workers."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, wait
from typing import Any

from nbgrad.errors import TaskError, WorkerError, need_functions
from nbgrad.parallel.engines import Engine, engine_of, is_lost
from nbgrad.parallel.workers import Failed, Packed, Unknown, run_away, run_here

CHUNKS = 8  # for each worker, so that none waits long for the last one
OUT = 2  # chunks for each worker: one that it runs, and the next
_NOTHING: Any = object()


def map(
    f: Callable[[Any], Any],
    tasks: Iterable[Any],
    *,
    engine: Any = "threads",
    workers: int | None = None,
    chunk: int | None = None,
    retries: int = 2,
    errors: str = "raise",
    tier: str = "fused",
    callback: Callable[[int, int], Any] | None = None,
) -> list[Any]:
    """Apply a function to each task, on many workers.

    Each result is computed by compiled kernels alone, so it has the bits of a serial run, and is there
    once: tasks of a worker that died are run again. A function that is sent to other processes is sent
    once to each worker, by pickle (cloudpickle, if it is installed), and what it compiles stays there;
    kernels on disk are shared by the processes of a machine.

    Parameters
    ----------
    f : callable
        Takes one task.
    tasks : iterable
        Arrays, nested data, whatever *f* takes.
    engine : str, Executor or Client
        "serial", "threads", "processes" (a script needs ``if __name__ == "__main__":``), "joblib",
        "dask" (the current client), "ray", "mpi", an executor of ``concurrent.futures`` or of anybody
        else, or Dask's ``Client``. Executors that are given are left open.
    workers : int, optional
        How many, for engines by name; by default as many as there are cores.
    chunk : int, optional
        Tasks that are sent together; by default an eighth of a worker's share.
    retries : int
        How often a task is run again after its worker has died.
    errors : {"raise", "return"}
        Whether a task that raises ends all, or its exception is its result.
    tier : str
        The setting of that name in workers.
    callback : callable, optional
        Called here with the number of tasks that are done, and of all.

    Returns
    -------
    list
        The results, in the order of the tasks.

    Raises
    ------
    ImportError
        If the engine's package is missing.
    nbgrad.errors.TaskError
        If a task raises: with its number, and the error as the cause.
    nbgrad.errors.WorkerError
        If the worker of a task died more than *retries* times.
    TypeError
        If *f* cannot be sent, or *engine* is none.
    ValueError
        For an unknown engine or option.

    Examples
    --------
    >>> import numpy as np
    >>> import nbgrad as ng
    >>> f = ng.jit(lambda x: (np.sin(x) ** 2).sum())
    >>> [round(float(y), 3) for y in ng.parallel.map(f, [np.zeros(2), np.ones(2)], workers=2)]
    [0.0, 1.416]
    """
    need_functions("parallel.map", f)
    if errors not in ("raise", "return"):
        raise ValueError(f"errors must be 'raise' or 'return', not {errors!r}")
    items = list(tasks)
    found = engine_of(engine, workers)
    outcomes: list[Any] = [_NOTHING] * len(items)
    done = 0
    for index, outcome in _outcomes(f, items, found, chunk, retries, tier):
        if isinstance(outcome, Failed):
            if errors == "raise":
                raise TaskError(
                    f"parallel.map: task {index} raised {type(outcome.error).__name__}: {outcome.error}",
                    index,
                ) from outcome.error
            outcome = outcome.error
        if outcomes[index] is _NOTHING:
            outcomes[index] = outcome
            done += 1
            if callback is not None:
                callback(done, len(items))
    return outcomes


def _outcomes(
    f: Any, items: list[Any], engine: Engine | None, chunk: int | None, retries: int, tier: str
) -> Iterator[tuple[int, Any]]:
    """Numbers of tasks and what became of them, as they come."""
    if engine is None:
        for k, item in enumerate(items):
            yield k, *run_here(f, [item], tier)
        return
    size = chunk or max(1, len(items) // (CHUNKS * engine.workers))
    call = _Away(f, tier) if engine.away else _Here(f, tier)
    try:
        yield from _Run(engine, call, items, retries, size).outcomes()
    finally:
        engine.close()


class _Here:
    """A chunk for a thread."""

    def __init__(self, f: Any, tier: str) -> None:
        self.f, self.tier = f, tier

    def call(self, items: list[Any], again: bool) -> tuple[Any, ...]:
        return run_here, self.f, items, self.tier


class _Away:
    """A chunk for another process: with the function only if the worker has asked for it."""

    def __init__(self, f: Any, tier: str) -> None:
        self.packed, self.tier = Packed(f), tier

    def call(self, items: list[Any], again: bool) -> tuple[Any, ...]:
        payload = self.packed.payload if again else None
        return run_away, self.packed.key, payload, items, self.tier


class _Run:
    """A run of tasks: few chunks are out at a time, so that few are lost with a worker."""

    def __init__(
        self, engine: Engine, call: Any, items: list[Any], retries: int, size: int
    ) -> None:
        self.engine, self.call, self.items, self.retries = engine, call, items, retries
        numbers = range(len(items))
        self.queue = deque(
            (list(numbers[k : k + size]), False) for k in range(0, len(items), size)
        )
        self.running: dict[Future[Any], tuple[list[int], int]] = {}
        self.lost = [0] * len(items)

    def outcomes(self) -> Iterator[tuple[int, Any]]:
        """Numbers of tasks and what became of them, as they come."""
        try:
            self._fill()
            while self.running:
                finished, _ = wait(self.running, return_when=FIRST_COMPLETED)
                for future in finished:
                    yield from self._taken(future, *self.running.pop(future))
                self._fill()
        finally:
            for future in self.running:
                future.cancel()

    def _fill(self) -> None:
        """Start what is next. Where one more loss is one too many, a task runs alone: then it is its own."""
        while self.queue and len(self.running) < OUT * self.engine.workers:
            alone = self._is_last_try(self.queue[0][0])
            if self.running and (alone or any(map(self._is_last_try, self._out()))):
                return
            numbers, with_function = self.queue.popleft()
            call = self.call.call([self.items[k] for k in numbers], with_function)
            self.running[self.engine.submit(*call)] = numbers, self.engine.generation

    def _out(self) -> Iterator[list[int]]:
        return (numbers for numbers, _ in self.running.values())

    def _is_last_try(self, numbers: list[int]) -> bool:
        return any(self.lost[k] and self.lost[k] >= self.retries for k in numbers)

    def _taken(
        self, future: Future[Any], numbers: list[int], generation: int
    ) -> Iterator[tuple[int, Any]]:
        error = CancelledError() if future.cancelled() else future.exception()
        if error is not None and is_lost(error):
            self._lose(numbers, generation)
        elif error is not None:
            yield from (
                (k, Failed(error)) for k in numbers
            )  # it could not be sent, or not come back
        elif isinstance(future.result(), Unknown):
            self.queue.appendleft((numbers, True))
        else:
            yield from zip(numbers, future.result(), strict=True)

    def _lose(self, numbers: list[int], generation: int) -> None:
        """Run what was lost again, one by one: so a task that ends its worker takes no other along."""
        if generation == self.engine.generation:
            self.engine.renew()
        for k in numbers:
            self.lost[k] += 1
            if self.lost[k] > self.retries:
                raise WorkerError(
                    f"parallel.map: the worker of task {k} died {self.lost[k]} times: does the task end "
                    "its process, or need more memory than there is?",
                    k,
                )
        self.queue.extendleft(([k], True) for k in reversed(numbers))
