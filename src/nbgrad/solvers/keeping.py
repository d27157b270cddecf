"""Solves kept in a file, so that one that was ended goes on to the same bits.

All there is of a solve stands in the words of its memory (``native.py``): these are the file.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import numpy as np

from nbgrad.solvers import native as at
from nbgrad.solvers.compiled import Memory

EVERY = 5.0  # seconds between two writes of the file, at least
LIMITS = (at.MOST_ITERATIONS, at.MOST_CALLS)  # what may be another when it goes on


def read(path: Path, mark: str, where: str) -> dict[str, Any]:
    """The arrays of a checkpoint of the solve that *mark* says."""
    try:
        with np.load(path, allow_pickle=False) as held:
            found = {name: held[name] for name in held.files}
        kept = str(found.pop("mark"))
    except (OSError, ValueError, KeyError, EOFError, TypeError) as error:
        raise ValueError(f"{where}: {path} is no checkpoint: {error}") from None
    if kept != mark:
        raise ValueError(
            f"{where}: the checkpoint {path} is of another solve ({kept}, not {mark}): "
            "remove it, or write to another file"
        )
    return found


def write(path: Path, mark: str, arrays: dict[str, Any]) -> None:
    """Put the file there, whole: what it was before stays until then."""
    beside = path.with_name(path.name + ".part")
    with open(beside, "wb") as file:
        np.savez(file, mark=np.array(mark), **arrays)
    os.replace(beside, path)


class Keeping:
    """The file at *path* of the solve that *mark* says; *where* is the function that users called.

    Examples
    --------
    >>> import os, tempfile
    >>> import numpy as np
    >>> from nbgrad.solvers import solve
    >>> from nbgrad.solvers.keeping import Keeping
    >>> f = lambda x: ((x - 2) ** 4).sum()
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "solve")
    ...     part = solve("nb-bfgs", f, np.zeros(3), maxfun=4, keep=Keeping(path, "mine", "solve"))
    ...     rest = solve("nb-bfgs", f, np.zeros(3), keep=Keeping(path, "mine", "solve"))
    >>> part.success, (rest.x == solve("nb-bfgs", f, np.zeros(3)).x).all()
    (False, np.True_)
    """

    def __init__(self, path: Any, mark: str, where: str) -> None:
        self.path, self.mark, self.where = Path(path), mark, where
        self.found = read(self.path, mark, where) if self.path.exists() else None
        self.taken: dict[str, Any] | None = None
        self.written = time.perf_counter()

    def resume(self, memory: Memory) -> None:
        """Bring *memory*, of which options and limits are set, to where the solve was."""
        if self.found is None:
            return
        words = {"k": memory.k, "s": memory.s, "w": memory.w}
        if any(n not in self.found or self.found[n].shape != x.shape for n, x in words.items()):
            raise ValueError(
                f"{self.where}: the checkpoint {self.path} is of a solve of another size"
            )
        limits = [int(memory.k[j]) for j in LIMITS]
        for name, x in words.items():
            x[:] = self.found[name]
        for j, limit in zip(LIMITS, limits, strict=True):
            memory.k[j] = limit
        if memory.k[at.STATUS] == at.PAUSED:
            memory.k[at.STATUS] = at.RUNNING

    def take(self, memory: Memory) -> None:
        """Keep what the solve is between two iterations."""
        self.taken = {"k": memory.k.copy(), "s": memory.s.copy(), "w": memory.w.copy()}
        if time.perf_counter() - self.written > EVERY:
            self.write()

    def write(self) -> None:
        """Write what was kept last."""
        if self.taken is not None:
            write(self.path, self.mark, self.taken)
            self.taken, self.written = None, time.perf_counter()
