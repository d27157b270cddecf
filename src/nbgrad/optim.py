"""Optimisers over tensors. More than plain gradient descent comes with a later issue."""

from __future__ import annotations

from collections.abc import Iterable

from nbgrad.core.modes import modes
from nbgrad.tensors.tensor import Tensor


class SGD:
    """Gradient descent: ``p -= lr * p.grad`` for each parameter.

    Parameters
    ----------
    params : iterable of Tensor
        Leaves that require grad.
    lr : float
        Step length.

    Examples
    --------
    >>> import nbgrad as ng
    >>> w = ng.tensor(1.0, requires_grad=True)
    >>> (w * w).backward()
    >>> ng.optim.SGD([w], lr=0.25).step()
    >>> w.item()
    0.5
    """

    def __init__(self, params: Iterable[Tensor], lr: float = 1e-3) -> None:
        if isinstance(params, Tensor):
            raise TypeError(
                "params must be an iterable of tensors, not a tensor, whose rows would be other "
                "tensors: write SGD([w])"
            )
        self.params = list(params)
        if not self.params:
            raise ValueError("optimizer got an empty parameter list")
        for p in self.params:
            if not isinstance(p, Tensor):
                raise TypeError(
                    f"optimizer can only optimize Tensors, but one is a {type(p).__name__}"
                )
            if not p.is_leaf:
                raise ValueError(
                    "can't optimize a non-leaf Tensor: nothing accumulates its gradient"
                )
        if lr < 0:
            raise ValueError(f"invalid learning rate: {lr}; it must not be negative")
        self.lr = float(lr)

    def step(self) -> None:
        """Update every parameter that has a gradient."""
        before, modes.grad = modes.grad, False
        try:
            for p in self.params:
                if p.grad is not None:
                    p -= p.grad * self.lr
        finally:
            modes.grad = before

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Clear the gradients: to None, or to zeros in place."""
        for p in self.params:
            if p.grad is not None:
                if set_to_none:
                    p.grad = None
                else:
                    p.grad.zero_()
