"""Running means of parameters."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from nbgrad.api.jit import jit
from nbgrad.core.modes import modes
from nbgrad.core.node import put_node
from nbgrad.optim.checks import leaves_of
from nbgrad.tensors.tensor import Tensor


class ExponentialMovingAverage:
    """A running mean of each parameter: ``mean = decay mean + (1 - decay) parameter``.

    Parameters
    ----------
    parameters : iterable of Tensor
        Whose values are averaged; the means start with these.
    decay : float
        How much of a mean is kept at an update, from 0 to 1.
    warm_up : bool
        Whether less is kept at first, ``(1 + k) / (10 + k)`` in update k from 1 on, as TensorFlow does.

    Attributes
    ----------
    averages : list of Tensor
        The means.

    Raises
    ------
    TypeError
        If something else than tensors is given.
    ValueError
        For a decay out of range.

    Examples
    --------
    >>> import nbgrad as ng
    >>> w = ng.tensor([1.0], requires_grad=True)
    >>> mean = ng.optim.ExponentialMovingAverage([w], decay=0.5)
    >>> w.data = ng.tensor([3.0])
    >>> mean.update()
    >>> mean.averages
    [tensor([2.])]
    >>> with mean.average_parameters():
    ...     print(w.item())
    2.0
    >>> w.item()
    3.0
    """

    def __init__(self, parameters: Iterable[Tensor], decay: float, warm_up: bool = False) -> None:
        if not 0 <= decay <= 1:
            raise ValueError(f"decay must be from 0 to 1: {decay}")
        self.parameters = leaves_of(parameters)
        self.decay, self.warm_up, self.updates = float(decay), warm_up, 0
        self.averages = [p.detach().clone() for p in self.parameters]

    def update(self) -> None:
        """Take the parameters as they are now into account, all by one program."""
        self.updates += 1
        least = (1 + self.updates) / (10 + self.updates) if self.warm_up else 1.0
        before, modes.grad = modes.grad, False
        try:
            self.averages = _mixed(self.averages, self.parameters, min(self.decay, least))
        finally:
            modes.grad = before

    def copy_to(self, parameters: Iterable[Tensor] | None = None) -> None:
        """Write the means to the parameters, or to others of their shapes."""
        self._write(leaves_of(parameters or self.parameters), self.averages)

    @contextmanager
    def average_parameters(self) -> Iterator[None]:
        """A block in which the parameters have the values of their means."""
        held = [p.detach().clone() for p in self.parameters]
        self.copy_to()
        try:
            yield
        finally:
            self._write(self.parameters, held)

    @staticmethod
    def _write(parameters: Iterable[Tensor], values: Iterable[Tensor]) -> None:
        before, modes.grad = modes.grad, False
        try:
            for p, value in zip(parameters, values, strict=True):
                p.copy_(value)
        finally:
            modes.grad = before

    def state_dict(self) -> dict[str, Any]:
        """What a run needs to go on: copies."""
        means = [average.clone() for average in self.averages]
        return {"decay": self.decay, "updates": self.updates, "averages": means}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take over what :meth:`state_dict` gave.

        Raises
        ------
        ValueError
            If there are other parameters; then nothing is changed.
        """
        given = list(state_dict["averages"])
        shapes = [np.shape(a) for a in given]
        if shapes != [p.shape for p in self.parameters]:
            raise ValueError(
                f"loaded averages have shapes {shapes}, and the parameters "
                f"{[p.shape for p in self.parameters]}"
            )
        self.averages = [
            a.clone() if isinstance(a, Tensor) else Tensor(put_node(np.array(a))) for a in given
        ]
        self.decay, self.updates = float(state_dict["decay"]), int(state_dict["updates"])


@jit
def _mixed(means: Any, parameters: Any, kept: Any) -> Any:
    each = zip(means, parameters, strict=True)
    return [mean * kept + p * (1 - kept) for mean, p in each]
