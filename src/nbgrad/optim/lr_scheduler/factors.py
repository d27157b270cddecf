"""Schedules that multiply the first step length by a function of time."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import Any

from nbgrad.optim.lr_scheduler.base import LRScheduler
from nbgrad.optim.optimizer import Optimizer


class LambdaLR(LRScheduler):
    """The first step length times a function of time; a list has one for each group.

    Raises
    ------
    ValueError
        For another number of functions than of groups.

    Examples
    --------
    >>> import nbgrad as ng
    >>> opt = ng.optim.SGD([ng.tensor(1.0, requires_grad=True)], lr=1.0)
    >>> schedule = ng.optim.lr_scheduler.LambdaLR(opt, lambda epoch: 0.9**epoch)
    >>> schedule.step()
    >>> schedule.get_last_lr()
    [0.9]
    """

    def __init__(self, optimizer: Optimizer, lr_lambda: Any) -> None:
        groups = len(optimizer.param_groups)
        self._lambdas: list[Callable[[int], float]] = (
            list(lr_lambda) if isinstance(lr_lambda, list | tuple) else [lr_lambda] * groups
        )
        if len(self._lambdas) != groups:
            raise ValueError(f"{len(self._lambdas)} functions for {groups} parameter groups")
        super().__init__(optimizer)

    def of_group(self, k: int, base: float, epoch: int) -> float:
        return base * self._lambdas[k](epoch)


class StepLR(LRScheduler):
    """Times *gamma* every *step_size* steps.

    Examples
    --------
    >>> import nbgrad as ng
    >>> opt = ng.optim.SGD([ng.tensor(1.0, requires_grad=True)], lr=1.0)
    >>> schedule = ng.optim.lr_scheduler.StepLR(opt, step_size=2, gamma=0.5)
    >>> [schedule.step() or opt.param_groups[0]["lr"] for _ in range(4)]
    [1.0, 0.5, 0.5, 0.25]
    """

    def __init__(self, optimizer: Optimizer, step_size: int, gamma: float = 0.1) -> None:
        self.step_size, self.gamma = step_size, gamma
        super().__init__(optimizer)

    def lr(self, base: float, epoch: int) -> float:
        return base * self.gamma ** (epoch // self.step_size)


class MultiStepLR(LRScheduler):
    """Times *gamma* at each of the *milestones*.

    Examples
    --------
    >>> import nbgrad as ng
    >>> opt = ng.optim.SGD([ng.tensor(1.0, requires_grad=True)], lr=1.0)
    >>> schedule = ng.optim.lr_scheduler.MultiStepLR(opt, milestones=[1, 3], gamma=0.5)
    >>> [schedule.step() or opt.param_groups[0]["lr"] for _ in range(4)]
    [0.5, 0.5, 0.25, 0.25]
    """

    def __init__(
        self, optimizer: Optimizer, milestones: Sequence[int], gamma: float = 0.1
    ) -> None:
        self.milestones, self.gamma = sorted(milestones), gamma
        super().__init__(optimizer)

    def lr(self, base: float, epoch: int) -> float:
        return base * self.gamma ** bisect_right(self.milestones, epoch)


class ConstantLR(LRScheduler):
    """Times *factor* for the first *total_iters* steps.

    Examples
    --------
    >>> import nbgrad as ng
    >>> opt = ng.optim.SGD([ng.tensor(1.0, requires_grad=True)], lr=1.0)
    >>> schedule = ng.optim.lr_scheduler.ConstantLR(opt, factor=0.5, total_iters=2)
    >>> [schedule.step() or opt.param_groups[0]["lr"] for _ in range(3)]
    [0.5, 1.0, 1.0]
    """

    def __init__(self, optimizer: Optimizer, factor: float = 1 / 3, total_iters: int = 5) -> None:
        self.factor, self.total_iters = factor, total_iters
        super().__init__(optimizer)

    def lr(self, base: float, epoch: int) -> float:
        return base * self.factor if epoch < self.total_iters else base


class LinearLR(LRScheduler):
    """Times a factor that goes from *start_factor* to *end_factor* in *total_iters* steps.

    Examples
    --------
    >>> import nbgrad as ng
    >>> opt = ng.optim.SGD([ng.tensor(1.0, requires_grad=True)], lr=1.0)
    >>> schedule = ng.optim.lr_scheduler.LinearLR(opt, start_factor=0.5, total_iters=2)
    >>> [schedule.step() or opt.param_groups[0]["lr"] for _ in range(3)]
    [0.75, 1.0, 1.0]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        start_factor: float = 1 / 3,
        end_factor: float = 1.0,
        total_iters: int = 5,
    ) -> None:
        self.start_factor, self.end_factor, self.total_iters = (
            start_factor,
            end_factor,
            total_iters,
        )
        super().__init__(optimizer)

    def lr(self, base: float, epoch: int) -> float:
        part = min(epoch / self.total_iters, 1.0)
        return base * (self.start_factor + (self.end_factor - self.start_factor) * part)


class ExponentialLR(LRScheduler):
    """Times *gamma* at each step.

    Examples
    --------
    >>> import nbgrad as ng
    >>> opt = ng.optim.SGD([ng.tensor(1.0, requires_grad=True)], lr=1.0)
    >>> schedule = ng.optim.lr_scheduler.ExponentialLR(opt, gamma=0.5)
    >>> [schedule.step() or opt.param_groups[0]["lr"] for _ in range(2)]
    [0.5, 0.25]
    """

    def __init__(self, optimizer: Optimizer, gamma: float) -> None:
        self.gamma = gamma
        super().__init__(optimizer)

    def lr(self, base: float, epoch: int) -> float:
        return base * self.gamma**epoch


class PolynomialLR(LRScheduler):
    """Falls to zero in *total_iters* steps, as a power of the time that is left.

    Examples
    --------
    >>> import nbgrad as ng
    >>> opt = ng.optim.SGD([ng.tensor(1.0, requires_grad=True)], lr=1.0)
    >>> schedule = ng.optim.lr_scheduler.PolynomialLR(opt, total_iters=2, power=2.0)
    >>> [schedule.step() or opt.param_groups[0]["lr"] for _ in range(3)]
    [0.25, 0.0, 0.0]
    """

    def __init__(self, optimizer: Optimizer, total_iters: int = 5, power: float = 1.0) -> None:
        self.total_iters, self.power = total_iters, power
        super().__init__(optimizer)

    def lr(self, base: float, epoch: int) -> float:
        left = 1 - min(epoch / self.total_iters, 1.0)
        return base * math.pow(left, self.power)
