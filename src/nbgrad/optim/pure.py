"""The same methods as pure functions of nested data: for ``jit``, ``scan`` and ``vmap``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from nbgrad.api import trees
from nbgrad.optim import checks, rules
from nbgrad.optim.rules import Options, advanced, options_of

Pair = tuple[float, float]
Rate = float | Callable[[Any], Any]


class Pure:
    """An optimiser without state of its own: made by :func:`adam` and the others.

    Examples
    --------
    >>> import numpy as np
    >>> import nbgrad as ng
    >>> opt = ng.optim.adam(lr=0.1)
    >>> loss = lambda w: ((w - 1.0) ** 2).sum()
    >>> def step(carry, _):
    ...     w, state = carry
    ...     value, g = ng.value_and_grad(loss)(w)
    ...     return opt.update(g, state, w), value
    >>> w = np.zeros(3)
    >>> (w, state), losses = ng.jit(ng.scan, static_argnums=0)(step, (w, opt.init(w)), None, 200)
    >>> bool(abs(w - 1.0).max() < 1e-2)
    True
    """

    def __init__(self, rule: Any, options: dict[str, Any]) -> None:
        checks.options({k: x for k, x in options.items() if not callable(x)})
        self.rule, self.options = rule, options

    def init(self, params: Any) -> dict[str, Any]:
        """The state before the first step: a counter, and slots nested as *params* are."""
        number = 0.0 if self.rule.start is None else self.options[self.rule.start]
        full = [
            np.full(np.shape(p), number, checks.floating(p).dtype) for p in trees.leaves(params)
        ]
        nested = trees.structure(params)
        names = self.rule.slots(self.options)
        slots = {name: trees.unflatten(nested, [x.copy() for x in full]) for name in names}
        return {"step": np.zeros(()), "slots": slots}

    def update(self, grads: Any, state: Any, params: Any) -> tuple[Any, Any]:
        """The parameters and the state after a step.

        Raises
        ------
        TypeError
            If *grads* is not nested as *params* is, or something is not floating point.
        """
        flat, nested = trees.flatten(params)
        gradients, other = trees.flatten(grads)
        if nested != other:
            raise TypeError(f"grads must be nested as params are: {other}, not {nested}")
        step = state["step"] + 1.0
        numbers, on = options_of(self.options)
        if callable(numbers["lr"]):
            numbers["lr"] = numbers["lr"](state["step"])
        h = Options(numbers, frozenset(on), step)
        columns = {name: trees.leaves(tree) for name, tree in state["slots"].items()}
        made, slots = [], []
        for k, (p, g) in enumerate(
            zip(map(checks.floating, flat), map(checks.floating, gradients), strict=True)
        ):
            mine = {name: column[k] for name, column in columns.items()}
            p, mine = advanced(self.rule, p, g, mine, h)
            made.append(p)
            slots.append(mine)
        after = {name: trees.unflatten(nested, [mine[name] for mine in slots]) for name in columns}
        return trees.unflatten(nested, made), {"step": step, "slots": after}


def sgd(
    lr: Rate = 1e-3,
    momentum: float = 0.0,
    dampening: float = 0.0,
    weight_decay: float = 0.0,
    nesterov: bool = False,
) -> Pure:
    """:class:`SGD` as pure functions; *lr* may be a function of the number of steps so far.

    Raises
    ------
    ValueError
        For a number out of range.

    Examples
    --------
    >>> import nbgrad as ng
    >>> opt = ng.optim.sgd(lr=0.25)
    >>> w, state = opt.update({"a": 2.0}, opt.init({"a": 1.0}), {"a": 1.0})
    >>> float(w["a"])
    0.5
    """
    options = {"lr": lr, "momentum": momentum, "dampening": dampening}
    return Pure(rules.SGD, options | {"weight_decay": weight_decay, "nesterov": nesterov})


def adam(
    lr: Rate = 1e-3,
    betas: Pair = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    amsgrad: bool = False,
) -> Pure:
    """:class:`Adam` as pure functions; *lr* may be a function of the number of steps so far.

    Raises
    ------
    ValueError
        For a number out of range.

    Examples
    --------
    >>> import nbgrad as ng
    >>> opt = ng.optim.adam(lr=lambda k: 0.5 / (k + 1.0))
    >>> w, state = opt.update(2.0, opt.init(1.0), 1.0)
    >>> round(float(w), 6)
    0.5
    """
    options = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay}
    return Pure(rules.ADAM, options | {"amsgrad": amsgrad, "decoupled": False})


def adamw(
    lr: Rate = 1e-3,
    betas: Pair = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 1e-2,
    amsgrad: bool = False,
) -> Pure:
    """:class:`AdamW` as pure functions; *lr* may be a function of the number of steps so far.

    Raises
    ------
    ValueError
        For a number out of range.

    Examples
    --------
    >>> import nbgrad as ng
    >>> opt = ng.optim.adamw(lr=0.1, weight_decay=0.5)
    >>> w, state = opt.update(0.0, opt.init(1.0), 1.0)
    >>> float(w)
    0.95
    """
    options = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay}
    return Pure(rules.ADAM, options | {"amsgrad": amsgrad, "decoupled": True})


def rmsprop(
    lr: Rate = 1e-2,
    alpha: float = 0.99,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    momentum: float = 0.0,
    centered: bool = False,
) -> Pure:
    """:class:`RMSprop` as pure functions; *lr* may be a function of the number of steps so far.

    Raises
    ------
    ValueError
        For a number out of range.

    Examples
    --------
    >>> import nbgrad as ng
    >>> opt = ng.optim.rmsprop(lr=0.01)
    >>> w, state = opt.update(2.0, opt.init(1.0), 1.0)
    >>> round(float(w), 6)
    0.9
    """
    options = {"lr": lr, "alpha": alpha, "eps": eps, "weight_decay": weight_decay}
    return Pure(rules.RMSPROP, options | {"momentum": momentum, "centered": centered})


def adagrad(
    lr: Rate = 1e-2,
    lr_decay: float = 0.0,
    weight_decay: float = 0.0,
    initial_accumulator_value: float = 0.0,
    eps: float = 1e-10,
) -> Pure:
    """:class:`Adagrad` as pure functions; *lr* may be a function of the number of steps so far.

    Raises
    ------
    ValueError
        For a number out of range.

    Examples
    --------
    >>> import nbgrad as ng
    >>> opt = ng.optim.adagrad(lr=0.1)
    >>> w, state = opt.update(2.0, opt.init(1.0), 1.0)
    >>> round(float(w), 6)
    0.9
    """
    options = {"lr": lr, "lr_decay": lr_decay, "weight_decay": weight_decay, "eps": eps}
    options["initial_accumulator_value"] = initial_accumulator_value
    return Pure(rules.ADAGRAD, options)


def lion(lr: Rate = 1e-4, betas: Pair = (0.9, 0.99), weight_decay: float = 0.0) -> Pure:
    """:class:`Lion` as pure functions; *lr* may be a function of the number of steps so far.

    Raises
    ------
    ValueError
        For a number out of range.

    Examples
    --------
    >>> import nbgrad as ng
    >>> opt = ng.optim.lion(lr=0.1)
    >>> w, state = opt.update(2.0, opt.init(1.0), 1.0)
    >>> float(w)
    0.9
    """
    options = {"lr": lr, "betas": betas, "weight_decay": weight_decay, "decoupled": True}
    return Pure(rules.LION, options)
