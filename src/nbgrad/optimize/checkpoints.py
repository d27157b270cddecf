"""Evaluations kept in a file, so that a solve that was ended goes on to the same bits.

SciPy's solvers keep their state where nobody reaches it, but are the same for the same answers. So what is
kept are the answers: a solve that is resumed begins again, is answered from the file as far as that goes,
and then goes on.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

EVERY = 5.0  # seconds between two writes of the file, at least


class Log:
    """Answers by what was asked and where, in the file at *path*; *mark* says of which solve.

    Parameters
    ----------
    path : str or Path
        Read if it is there.
    mark : str
        What has to be the same in both solves.
    """

    def __init__(self, path: Any, mark: str, where: str) -> None:
        self.path, self.mark = Path(path), mark
        self.known: dict[tuple[str, bytes], Any] = {}
        self.places: dict[str, list[Any]] = {}
        self.written = time.perf_counter()
        self.fresh = 0
        if self.path.exists():
            self._read(where)

    def _read(self, where: str) -> None:
        try:
            with np.load(self.path, allow_pickle=False) as held:
                found = {name: held[name] for name in held.files}
            mark = str(found.pop("mark"))
        except (OSError, ValueError, KeyError, EOFError) as error:
            raise ValueError(f"{where}: {self.path} is no checkpoint: {error}") from None
        if mark != self.mark:
            raise ValueError(
                f"{where}: the checkpoint {self.path} is of another solve ({mark}, not {self.mark}): "
                "remove it, or write to another file"
            )
        for name in [n[3:] for n in found if n.startswith("at_")]:
            for at, value in zip(found["at_" + name], found["is_" + name], strict=True):
                self._keep(name, at, value if value.ndim else value[()])

    def _keep(self, name: str, at: Any, value: Any) -> None:
        self.known[name, at.tobytes()] = value
        self.places.setdefault(name, []).append(at)

    def answered(self, name: str, f: Callable[..., Any]) -> Callable[..., Any]:
        """*f*, answered from the file where that knows, and kept in it else."""

        def g(x: Any, *more: Any) -> Any:
            at = np.concatenate([np.ravel(x), *map(np.ravel, more)]) if more else np.array(x)
            found = self.known.get((name, at.tobytes()))
            if found is None:
                found = f(x, *more)
                self._keep(name, at, np.array(found)[()])
                self.fresh += 1
                if time.perf_counter() - self.written > EVERY:
                    self.write()
            return found.copy() if isinstance(found, np.ndarray) else found

        return g

    def write(self) -> None:
        """Put the file there, whole: what it was before stays until then."""
        arrays: dict[str, Any] = {"mark": np.array(self.mark)}
        for name, places in self.places.items():
            arrays["at_" + name] = np.stack(places)
            arrays["is_" + name] = np.stack([self.known[name, at.tobytes()] for at in places])
        beside = self.path.with_name(self.path.name + ".part")
        with open(beside, "wb") as file:
            np.savez(file, **arrays)
        os.replace(beside, self.path)
        self.written, self.fresh = time.perf_counter(), 0
