"""Schedules that rise and fall."""

from __future__ import annotations

import math

from nbgrad.optim.lr_scheduler.base import LRScheduler
from nbgrad.optim.optimizer import Optimizer


class CosineAnnealingLR(LRScheduler):
    """Half a cosine from the first step length to *eta_min* in *T_max* steps, and back (Loshchilov, 2017).

    Examples
    --------
    >>> import nbgrad as ng
    >>> opt = ng.optim.SGD([ng.tensor(1.0, requires_grad=True)], lr=1.0)
    >>> schedule = ng.optim.lr_scheduler.CosineAnnealingLR(opt, T_max=2)
    >>> [round(schedule.step() or opt.param_groups[0]["lr"], 6) for _ in range(4)]
    [0.5, 0.0, 0.5, 1.0]
    """

    def __init__(self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0) -> None:
        self.T_max, self.eta_min = T_max, eta_min
        super().__init__(optimizer)

    def lr(self, base: float, epoch: int) -> float:
        return _cosine(base, self.eta_min, epoch / self.T_max)


class CosineAnnealingWarmRestarts(LRScheduler):
    """Half a cosine again and again, each *T_mult* times as long as the last (Loshchilov, 2017).

    Examples
    --------
    >>> import nbgrad as ng
    >>> opt = ng.optim.SGD([ng.tensor(1.0, requires_grad=True)], lr=1.0)
    >>> schedule = ng.optim.lr_scheduler.CosineAnnealingWarmRestarts(opt, T_0=1, T_mult=2)
    >>> [round(schedule.step() or opt.param_groups[0]["lr"], 6) for _ in range(3)]
    [1.0, 0.5, 1.0]
    """

    def __init__(
        self, optimizer: Optimizer, T_0: int, T_mult: int = 1, eta_min: float = 0.0
    ) -> None:
        self.T_0, self.T_mult, self.eta_min = T_0, T_mult, eta_min
        super().__init__(optimizer)

    def lr(self, base: float, epoch: int) -> float:
        length = self.T_0
        while epoch >= length:
            epoch, length = epoch - length, length * self.T_mult
        return _cosine(base, self.eta_min, epoch / length)


class OneCycleLR(LRScheduler):
    """Up to *max_lr* and down to next to nothing, by half cosines (Smith and Topin, 2017).

    Parameters
    ----------
    optimizer : Optimizer
        Its step lengths are overwritten, its momenta are left alone.
    max_lr : float
        The largest step length.
    total_steps : int
        How many steps there are.
    pct_start : float
        The part of them in which it rises.
    anneal_strategy : {"cos", "linear"}
        How.
    div_factor, final_div_factor : float
        The first step length is *max_lr* by the first, the last one that by the second.

    Raises
    ------
    ValueError
        For an unknown strategy, or steps beyond the last.

    Examples
    --------
    >>> import nbgrad as ng
    >>> opt = ng.optim.SGD([ng.tensor(1.0, requires_grad=True)], lr=1.0)
    >>> schedule = ng.optim.lr_scheduler.OneCycleLR(opt, max_lr=1.0, total_steps=5, pct_start=0.5)
    >>> [round(schedule.step() or opt.param_groups[0]["lr"], 3) for _ in range(4)]
    [0.76, 0.905, 0.345, 0.0]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: float,
        total_steps: int,
        pct_start: float = 0.3,
        anneal_strategy: str = "cos",
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
    ) -> None:
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(f"anneal_strategy must be 'cos' or 'linear', not {anneal_strategy!r}")
        self.max_lr, self.total_steps, self.pct_start = max_lr, total_steps, pct_start
        self.anneal_strategy = anneal_strategy
        self.div_factor, self.final_div_factor = div_factor, final_div_factor
        super().__init__(optimizer)

    def lr(self, base: float, epoch: int) -> float:
        if epoch > self.total_steps:
            raise ValueError(
                f"OneCycleLR was made for {self.total_steps} steps, and this is one more"
            )
        # A loop of total_steps steps ends with this one, which nobody takes.
        epoch = min(epoch, self.total_steps - 1)
        first = self.max_lr / self.div_factor
        top, last = self.pct_start * self.total_steps - 1, self.total_steps - 1
        between = _cosine if self.anneal_strategy == "cos" else _line
        if epoch <= top:
            return between(first, self.max_lr, epoch / top if top else 1.0)
        return between(self.max_lr, first / self.final_div_factor, (epoch - top) / (last - top))


def _cosine(start: float, end: float, part: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * part)) / 2


def _line(start: float, end: float, part: float) -> float:
    return start + (end - start) * part
