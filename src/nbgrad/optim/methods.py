"""The optimisers: PyTorch's names and arguments, each with its rule."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from nbgrad.optim import rules
from nbgrad.optim.optimizer import Optimizer

Pair = tuple[float, float]


class SGD(Optimizer):
    """Gradient descent, with momentum as in PyTorch: ``v = momentum v + (1 - dampening) g``.

    Parameters
    ----------
    params : iterable of Tensor or dict
        Leaves that require grad, or groups of them.
    lr : float
        Step length.
    momentum, dampening : float
        Of the running sum of gradients; the first gradient is not dampened.
    weight_decay : float
        Factor of the parameter that is added to its gradient.
    nesterov : bool
        Whether to step from where momentum leads (Sutskever et al., 2013).
    maximize : bool
        Whether to go up.

    Raises
    ------
    TypeError
        If something else than tensors is given.
    ValueError
        For a tensor that is no leaf, or a number out of range.

    Examples
    --------
    >>> import nbgrad as ng
    >>> w = ng.tensor(1.0, requires_grad=True)
    >>> (w * w).backward()
    >>> ng.optim.SGD([w], lr=0.25).step()
    >>> w.item()
    0.5
    """

    rule = rules.SGD

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        options = {"lr": lr, "momentum": momentum, "dampening": dampening}
        options |= {"weight_decay": weight_decay, "nesterov": nesterov, "maximize": maximize}
        super().__init__(params, options)


class Adam(Optimizer):
    """Adam (Kingma and Ba, 2015), and AMSGrad (Reddi et al., 2018).

    Parameters
    ----------
    params : iterable of Tensor or dict
        Leaves that require grad, or groups of them.
    lr : float
        Step length.
    betas : tuple of float
        How much of the running means of gradients and of their squares is kept in a step.
    eps : float
        Added to the root of the second.
    weight_decay : float
        Factor of the parameter that is added to its gradient; :class:`AdamW` shrinks the parameter.
    amsgrad : bool
        Whether to divide by the largest running mean of squares so far.
    maximize : bool
        Whether to go up.

    Raises
    ------
    TypeError
        If something else than tensors is given.
    ValueError
        For a tensor that is no leaf, or a number out of range.

    Examples
    --------
    >>> import nbgrad as ng
    >>> w = ng.tensor([1.0, -2.0], requires_grad=True)
    >>> opt = ng.optim.Adam([w], lr=0.1)
    >>> for _ in range(200):
    ...     opt.zero_grad()
    ...     (w * w).sum().backward()
    ...     opt.step()
    >>> bool(abs(w).max() < 1e-3)
    True
    """

    rule = rules.ADAM
    decoupled = False

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: Pair = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        options = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay}
        options |= {"amsgrad": amsgrad, "maximize": maximize, "decoupled": self.decoupled}
        super().__init__(params, options)


class AdamW(Adam):
    """Adam whose weight decay is apart from the gradient (Loshchilov and Hutter, 2019).

    Parameters
    ----------
    params, lr, betas, eps, amsgrad, maximize
        As for :class:`Adam`.
    weight_decay : float
        Each step takes ``lr * weight_decay`` of a parameter away.

    Raises
    ------
    TypeError
        If something else than tensors is given.
    ValueError
        For a tensor that is no leaf, or a number out of range.

    Examples
    --------
    >>> import nbgrad as ng
    >>> w = ng.tensor([1.0], requires_grad=True)
    >>> w.grad = ng.zeros(1)
    >>> ng.optim.AdamW([w], lr=0.1, weight_decay=0.5).step()
    >>> w
    tensor([0.95], requires_grad=True)
    """

    decoupled = True

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: Pair = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(params, lr, betas, eps, weight_decay, amsgrad, maximize=maximize)


class RMSprop(Optimizer):
    """Gradients by the root of a running mean of their squares (Hinton, 2012; Graves, 2013).

    Parameters
    ----------
    params : iterable of Tensor or dict
        Leaves that require grad, or groups of them.
    lr : float
        Step length.
    alpha : float
        How much of the running mean is kept in a step.
    eps : float
        Added to the root.
    weight_decay, momentum : float
        As for :class:`SGD`; momentum is that of scaled gradients.
    centered : bool
        Whether the mean of gradients is taken away: divided by is their deviation.
    maximize : bool
        Whether to go up.

    Raises
    ------
    TypeError
        If something else than tensors is given.
    ValueError
        For a tensor that is no leaf, or a number out of range.

    Examples
    --------
    >>> import nbgrad as ng
    >>> w = ng.tensor([1.0, -3.0], requires_grad=True)
    >>> (w * w).sum().backward()
    >>> ng.optim.RMSprop([w], lr=0.01).step()
    >>> w
    tensor([ 0.9, -2.9], requires_grad=True)
    """

    rule = rules.RMSPROP

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
        centered: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        options = {"lr": lr, "alpha": alpha, "eps": eps, "weight_decay": weight_decay}
        options |= {"momentum": momentum, "centered": centered, "maximize": maximize}
        super().__init__(params, options)


class Adagrad(Optimizer):
    """Gradients by the root of the sum of their squares so far (Duchi et al., 2011).

    Parameters
    ----------
    params : iterable of Tensor or dict
        Leaves that require grad, or groups of them.
    lr : float
        Step length.
    lr_decay : float
        The step length in step k, from 0 on, is ``lr / (1 + k lr_decay)``.
    weight_decay : float
        Factor of the parameter that is added to its gradient.
    initial_accumulator_value : float
        What the sums start with.
    eps : float
        Added to the root.
    maximize : bool
        Whether to go up.

    Raises
    ------
    TypeError
        If something else than tensors is given.
    ValueError
        For a tensor that is no leaf, or a number out of range.

    Examples
    --------
    >>> import nbgrad as ng
    >>> w = ng.tensor([1.0, -3.0], requires_grad=True)
    >>> (w * w).sum().backward()
    >>> ng.optim.Adagrad([w], lr=0.1).step()
    >>> w
    tensor([ 0.9, -2.9], requires_grad=True)
    """

    rule = rules.ADAGRAD

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-2,
        lr_decay: float = 0.0,
        weight_decay: float = 0.0,
        initial_accumulator_value: float = 0.0,
        eps: float = 1e-10,
        *,
        maximize: bool = False,
    ) -> None:
        options = {"lr": lr, "lr_decay": lr_decay, "weight_decay": weight_decay, "eps": eps}
        options |= {"initial_accumulator_value": initial_accumulator_value, "maximize": maximize}
        super().__init__(params, options)


class Lion(Optimizer):
    """Steps of the same length along signs of momenta (Chen et al., 2023).

    Parameters
    ----------
    params : iterable of Tensor or dict
        Leaves that require grad, or groups of them.
    lr : float
        Step length: a third to a tenth of Adam's.
    betas : tuple of float
        How much of the running mean of gradients counts in a step, and how much of it is kept.
    weight_decay : float
        Each step takes ``lr * weight_decay`` of a parameter away.
    maximize : bool
        Whether to go up.

    Raises
    ------
    TypeError
        If something else than tensors is given.
    ValueError
        For a tensor that is no leaf, or a number out of range.

    Examples
    --------
    >>> import nbgrad as ng
    >>> w = ng.tensor([1.0, -3.0], requires_grad=True)
    >>> (w * w).sum().backward()
    >>> ng.optim.Lion([w], lr=0.1).step()
    >>> w
    tensor([ 0.9, -2.9], requires_grad=True)
    """

    rule = rules.LION

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-4,
        betas: Pair = (0.9, 0.99),
        weight_decay: float = 0.0,
        *,
        maximize: bool = False,
    ) -> None:
        options = {"lr": lr, "betas": betas, "weight_decay": weight_decay}
        super().__init__(params, options | {"maximize": maximize, "decoupled": True})
