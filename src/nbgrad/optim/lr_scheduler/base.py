"""Step lengths that change with time: a schedule is a formula of the number of steps.

It writes ``lr`` of each group; what a user writes there meanwhile is overwritten, unlike in PyTorch,
where most schedules multiply it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nbgrad.optim.optimizer import Optimizer


class LRScheduler:
    """Base of schedules: a subclass gives :meth:`lr`, a function of the first step length and of time.

    Attributes
    ----------
    last_epoch : int
        How often :meth:`step` was called.

    Raises
    ------
    TypeError
        If *optimizer* is none.

    Examples
    --------
    >>> import nbgrad as ng
    >>> class Halved(ng.optim.lr_scheduler.LRScheduler):
    ...     def lr(self, base, epoch):
    ...         return base / 2**epoch
    >>> w = ng.tensor(1.0, requires_grad=True)
    >>> schedule = Halved(ng.optim.SGD([w], lr=1.0))
    >>> schedule.step()
    >>> schedule.get_last_lr()
    [0.5]
    """

    def __init__(self, optimizer: Optimizer) -> None:
        if not isinstance(optimizer, Optimizer):
            raise TypeError(f"a schedule needs an optimizer, not a {type(optimizer).__name__}")
        self.optimizer, self.last_epoch = optimizer, 0
        for group in optimizer.param_groups:
            group.setdefault("initial_lr", group["lr"])
        self._write()

    def lr(self, base: float, epoch: int) -> float:
        """The step length after *epoch* steps, of a group whose first one is *base*."""
        raise NotImplementedError

    def step(self) -> None:
        """Go on by one epoch."""
        self.last_epoch += 1
        self._write()

    def get_last_lr(self) -> list[float]:
        """The step length of each group."""
        return [group["lr"] for group in self.optimizer.param_groups]

    def _write(self) -> None:
        for k, group in enumerate(self.optimizer.param_groups):
            group.setdefault("initial_lr", group["lr"])
            group["lr"] = self.of_group(k, group["initial_lr"], self.last_epoch)

    def of_group(self, k: int, base: float, epoch: int) -> float:
        """The step length of group *k*."""
        return self.lr(base, epoch)

    def state_dict(self) -> dict[str, Any]:
        """All that is not the optimiser or a function."""
        return {k: x for k, x in vars(self).items() if k != "optimizer" and not k.startswith("_")}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take over what :meth:`state_dict` gave."""
        vars(self).update(state_dict)
