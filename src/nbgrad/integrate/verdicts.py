"""Whether an integration came to its end, and what is said if it did not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from nbgrad.core.values import value_of
from nbgrad.errors import AutogradError, ConcretizationError

UNSORTED = "{where}: {name} must increase, or decrease, from its first time on: sort it"
STIFF = ", or, if the problem is stiff, take method='Rodas4'"
WILD = ". In a fit, bounds= keep parameters where the equation can be solved"


@dataclass(frozen=True)
class Judge:
    """Looks at how integrations ended; one, or a batch of them, the batch being the first dimensions.

    Attributes
    ----------
    where : str
        The function that is called, and the name of its times.
    """

    where: str
    times: str
    max_steps: int
    stiff: bool = False  # whether the method is for stiff problems already

    flags = 3  # at the end of the facts

    def __call__(self, facts: Any) -> None:
        """Raise if one did not come to its end.

        Facts are whether all is right, the time that was reached, the last time, how many steps were
        tried, the size of the next one; whether there were few steps, the slope is finite, and times
        are sorted.
        """
        right = facts[..., 0] != 0
        if right.all():
            return
        first = int(np.argmin(right.ravel()))
        of = f" of integration {first} of a batch" if right.ndim else ""
        row = facts.reshape(-1, facts.shape[-1])[first].tolist()
        wrong = max([k for k in range(1, 4) if not row[4 + k]], default=0)
        raise self.error(wrong, row[1], f"{of}, not to {row[2]:.6g}")

    def fault(self, code: int) -> Exception:
        """The error that a kernel tells: see ops/control/verified.py."""
        bits = np.array((code & ((1 << 35) - 1)) << 29, np.uint64)
        return self.error(code >> 35, float(bits.view(np.float64)), ", not to its end")

    def error(self, wrong: int, t: float, end: str) -> Exception:
        """What flag *wrong* says of an integration that came to *t*."""
        hint = ("" if self.stiff else STIFF) + WILD
        reached = f"{self.where}: came to t = {t:.6g}{end}"
        if wrong == 3:
            return ValueError(UNSORTED.format(where=self.where, name=self.times))
        if wrong == 2:
            return AutogradError(
                f"{reached}: the function is not finite there, or just behind. Look at it at this time; a "
                "state that grows without bounds ends so, too"
            )
        if wrong == 1:
            return AutogradError(
                f"{reached}, in {self.max_steps} steps: pass more by max_steps=, loosen rtol and "
                f"atol{hint}"
            )
        return AutogradError(
            f"{reached}: the steps became as short as the rounding of t. The solution may have a "
            f"singularity there; loosen rtol and atol{hint}"
        )


def increasing(times: Any, where: str, name: str) -> None:
    """Raise if *times* go back and forth."""
    times = np.asarray(times)
    steps = np.diff(times, axis=-1)
    if not np.isfinite(times).all():
        raise ValueError(
            f"{where}: {name} must be finite, and holds {times[~np.isfinite(times)][0]}"
        )
    if not ((steps >= 0).all(-1) | (steps <= 0).all(-1)).all():
        raise ValueError(UNSORTED.format(where=where, name=name))


def known(x: Any) -> Any:
    """The values of a tensor, None where they are not known yet."""
    try:
        return np.array(value_of(x._node))
    except ConcretizationError:
        return None
