"""Schedules one after the other, and one that waits for a figure to become better."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence

from nbgrad.optim.lr_scheduler.base import LRScheduler
from nbgrad.optim.optimizer import Optimizer


class SequentialLR(LRScheduler):
    """One schedule after the other: each starts at its milestone, with its time at zero.

    Raises
    ------
    ValueError
        If there is not one milestone between each two schedules.

    Examples
    --------
    >>> import nbgrad as ng
    >>> opt = ng.optim.SGD([ng.tensor(1.0, requires_grad=True)], lr=1.0)
    >>> S = ng.optim.lr_scheduler
    >>> warm, then = S.LinearLR(opt, 0.5, total_iters=2), S.ExponentialLR(opt, gamma=0.5)
    >>> schedule = S.SequentialLR(opt, [warm, then], milestones=[2])
    >>> [schedule.step() or opt.param_groups[0]["lr"] for _ in range(4)]
    [0.75, 1.0, 0.5, 0.25]
    """

    def __init__(
        self, optimizer: Optimizer, schedulers: Sequence[LRScheduler], milestones: Sequence[int]
    ) -> None:
        if len(milestones) != len(schedulers) - 1:
            raise ValueError(f"{len(schedulers)} schedules need {len(schedulers) - 1} milestones")
        self._schedulers, self.milestones = list(schedulers), list(milestones)
        super().__init__(optimizer)

    def of_group(self, k: int, base: float, epoch: int) -> float:
        which = bisect_right(self.milestones, epoch)
        start = self.milestones[which - 1] if which else 0
        return self._schedulers[which].of_group(k, base, epoch - start)


class ReduceLROnPlateau(LRScheduler):
    """Times *factor* once a figure has not become better for *patience* steps.

    Parameters
    ----------
    optimizer : Optimizer
        Whose step lengths are reduced.
    mode : {"min", "max"}
        What is better.
    factor : float
        Below 1.
    patience : int
        Steps without improvement that are put up with.
    threshold : float
        Part of the best figure by which another must be better.
    cooldown : int
        Steps after a reduction in which nothing is counted.
    min_lr : float
        The least step length.

    Raises
    ------
    ValueError
        For a factor of 1 or more, or an unknown mode.

    Examples
    --------
    >>> import nbgrad as ng
    >>> opt = ng.optim.SGD([ng.tensor(1.0, requires_grad=True)], lr=1.0)
    >>> schedule = ng.optim.lr_scheduler.ReduceLROnPlateau(opt, patience=1)
    >>> for loss in (3.0, 2.0, 2.0, 2.0):
    ...     schedule.step(loss)
    >>> schedule.get_last_lr()
    [0.1]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        mode: str = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        cooldown: int = 0,
        min_lr: float = 0.0,
    ) -> None:
        if factor >= 1:
            raise ValueError(f"factor must be below 1: {factor}")
        if mode not in ("min", "max"):
            raise ValueError(f"mode must be 'min' or 'max', not {mode!r}")
        self.mode, self.factor, self.patience, self.threshold = mode, factor, patience, threshold
        self.cooldown, self.min_lr = cooldown, min_lr
        self.best, self.num_bad_epochs, self.cooling = math.inf, 0, 0
        super().__init__(optimizer)

    def lr(self, base: float, epoch: int) -> float:
        return base

    def step(self, metrics: float | None = None) -> None:
        """Go on by one epoch, of which *metrics* is the figure."""
        if metrics is None:
            raise TypeError("ReduceLROnPlateau.step needs the figure that should become better")
        figure = float(metrics) if self.mode == "min" else -float(metrics)
        self.last_epoch += 1
        if self.best == math.inf or figure < self.best - self.threshold * abs(self.best):
            self.best, self.num_bad_epochs = figure, 0
        else:
            self.num_bad_epochs += 1
        if self.cooling:
            self.cooling, self.num_bad_epochs = self.cooling - 1, 0
        if self.num_bad_epochs > self.patience:
            for group in self.optimizer.param_groups:
                group["lr"] = max(group["lr"] * self.factor, self.min_lr)
            self.cooling, self.num_bad_epochs = self.cooldown, 0
