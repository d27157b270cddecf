"""Whether an integration came to its end, and what is said if it did not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from nbgrad.core.values import value_of
from nbgrad.errors import AutogradError, ConcretizationError

STIFF = "if the problem is stiff, take method='Rodas4'"


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

    def __call__(
        self, right: Any, t: Any, taken: Any, failed: Any, size: Any, times: Any, finite: Any
    ) -> None:
        """Raise if one did not come to its end."""
        if right.all():
            return
        increasing(times, self.where, self.times)
        short, ends = np.asarray(~right), np.asarray(times)[..., -1]
        first = int(np.argmax(short.ravel()))
        pick = lambda x: np.broadcast_to(x, short.shape).ravel()[first]
        of = f" of integration {first} of a batch" if short.ndim else ""
        self.explain(of, *map(pick, (t, ends, taken, failed, size, finite)))

    def explain(
        self, of: str, t: Any, end: Any, taken: Any, failed: Any, size: Any, finite: Any
    ) -> None:
        """Raise for an integration that ended at *t*."""
        reached = f"{self.where}: came to t = {t:.6g}{of}, not to {end:.6g}"
        if not finite or failed:
            raise AutogradError(
                f"{reached}: the function is not finite there, or just behind. Look at it at this time; a "
                "state that grows without bounds ends so, too"
            )
        if taken >= self.max_steps:
            raise AutogradError(
                f"{reached}, in {taken} steps: pass more by max_steps=, loosen rtol and atol, or, {STIFF}"
            )
        raise AutogradError(
            f"{reached}: the steps became as short as the rounding of t, {size:.3g}. The solution may have "
            f"a singularity there; loosen rtol and atol, or, {STIFF}"
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
        raise ValueError(
            f"{where}: {name} must increase, or decrease, from its first time on: sort it"
        )


def known(x: Any) -> Any:
    """The values of a tensor, None where they are not known yet."""
    try:
        return np.array(value_of(x._node))
    except ConcretizationError:
        return None
