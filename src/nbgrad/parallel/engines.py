"""Engines: whatever has ``submit`` and gives futures; the known ones by their names."""

from __future__ import annotations

import importlib
import multiprocessing
import os
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Executor, Future, ThreadPoolExecutor
from concurrent.futures.process import ProcessPoolExecutor
from typing import Any

from nbgrad.machine.threads import set_num_threads

NAMES = "serial", "threads", "processes", "joblib", "dask", "ray", "mpi"
PACKAGES = {
    "joblib": lambda: importlib.import_module("joblib.executor"),
    "dask": lambda: importlib.import_module("distributed"),
    "ray": lambda: importlib.import_module("ray"),
    "mpi": lambda: importlib.import_module("mpi4py.futures"),
}
# By name, as the packages need not be there: what other engines raise for a worker that died.
LOST = {
    "KilledWorker",
    "WorkerCrashedError",
    "NodeDiedError",
    "CancelledError",
    "FutureCancelledError",
}


class Engine:
    """An executor that is made again once a worker of it has died.

    ``away`` says whether tasks run in other processes, ``owned`` whether the executor is ours to end;
    ``generation`` counts how often it was made.
    """

    def __init__(self, make: Callable[[], Any], workers: int, away: bool, owned: bool) -> None:
        self._make, self.workers, self.away, self.owned = make, workers, away, owned
        self._executor: Any = None
        self.generation = 0

    def submit(self, *call: Any) -> Future[Any]:
        """Start a call: a future, which is lost at once if the executor is broken."""
        if self._executor is None:
            self._executor = self._make()
        try:
            return self._executor.submit(*call)  # type: ignore[no-any-return]
        except BrokenExecutor as error:
            future: Future[Any] = Future()
            future.set_exception(error)
            return future

    def renew(self) -> None:
        """Give a broken executor up."""
        self.close()
        self.generation += 1

    def close(self) -> None:
        """End the workers that we started."""
        executor, self._executor = self._executor, None
        if executor is not None and self.owned:
            executor.shutdown(wait=False, cancel_futures=True)


def is_lost(error: BaseException) -> bool:
    """Whether a future failed as its worker died, not as the task raised."""
    return isinstance(error, BrokenExecutor) or type(error).__name__ in LOST


def engine_of(given: Any, workers: int | None) -> Engine | None:
    """The engine that *given* names or is; None for a serial run.

    Raises
    ------
    ImportError
        If its package is missing.
    TypeError, ValueError
        For something that is no engine.
    """
    count = _count(workers)
    if given is None or given == "serial":
        return None
    if isinstance(given, str):
        if given not in NAMES:
            raise ValueError(
                f"engine must be one of {', '.join(NAMES)}, or an executor, not {given!r}"
            )
        return _named(given, count)
    if hasattr(given, "get_executor"):  # Dask's client
        return _of_dask(given)
    if hasattr(given, "submit"):
        size = getattr(given, "_max_workers", count)
        return Engine(
            lambda: given, size, away=not isinstance(given, ThreadPoolExecutor), owned=False
        )
    raise TypeError(
        f"engine must be one of {', '.join(NAMES)}, an executor or Dask's Client, not {given!r}"
    )


def _count(workers: int | None) -> int:
    if workers is not None and workers < 1:
        raise ValueError(f"workers must be at least 1, not {workers}")
    if workers is not None:
        return workers
    return (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )


def _named(name: str, count: int) -> Engine:
    if name == "threads":
        return Engine(lambda: ThreadPoolExecutor(count), count, away=False, owned=True)
    if name == "processes":
        return Engine(lambda: _processes(count), count, away=True, owned=True)
    try:
        package = PACKAGES[name]()
    except ImportError as error:
        raise ImportError(
            f"engine {name!r} needs a package that is not installed: {error}"
        ) from None
    if name == "joblib":
        # Not loky's own, of which there is one a process: what joblib.Parallel adds to it would be missing there.
        make = package.get_memmapping_executor
        return Engine(lambda: make(count, max_nbytes=None), count, away=True, owned=False)
    if name == "dask":
        return _of_dask(package.get_client())
    if name == "ray":
        return Engine(lambda: _Ray(package, count), count, away=True, owned=True)
    return Engine(lambda: package.MPIPoolExecutor(count), count, away=True, owned=True)


def _processes(count: int) -> Executor:
    # A child of fork would share our threads' locks; spawn starts afresh.
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(count, context, initializer=_alone)


def _alone() -> None:
    """As many processes as there are cores: one thread each."""
    set_num_threads(1)


def _of_dask(client: Any) -> Engine:
    count = sum(client.nthreads().values()) or 1
    return Engine(lambda: client.get_executor(pure=False), count, away=True, owned=False)


class _Ray:
    """Ray's remote calls as an executor: a thread waits for each."""

    def __init__(self, ray: Any, count: int) -> None:
        if not ray.is_initialized():
            ray.init(num_cpus=count, log_to_driver=False)
        self._ray, self._waiting = ray, ThreadPoolExecutor(count)

    def submit(self, function: Callable[..., Any], *args: Any) -> Future[Any]:
        remote = self._ray.remote(max_retries=0)(function)
        return self._waiting.submit(lambda: self._ray.get(remote.remote(*args)))

    def shutdown(self, wait: bool = True, cancel_futures: bool = False) -> None:
        self._waiting.shutdown(wait, cancel_futures=cancel_futures)
