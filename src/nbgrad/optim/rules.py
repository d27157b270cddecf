"""What each method does to one parameter: written once, for optimisers and for pure functions.

A rule reads a parameter, its gradient, its slots (arrays as large as it, such as momenta) and options,
and returns the new parameter and slots. It is traced, so a step over all parameters is one program. In
``h.on`` are the names of options that are not zero or false: what is off is not computed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

Slots = dict[str, Any]


class Options(NamedTuple):
    """``value`` has the numbers, ``step`` counts from 1 on."""

    value: Mapping[str, Any]
    on: frozenset[str]
    step: Any

    def __getattr__(self, name: str) -> Any:
        return self.value[name]


class Rule(NamedTuple):
    """``slots`` names those that options ask for, and ``start`` the option that fills them, if any."""

    update: Callable[[Any, Any, Slots, Options], tuple[Any, Slots]]
    slots: Callable[[Mapping[str, Any]], tuple[str, ...]]
    start: str | None = None


def _decayed(p: Any, g: Any, h: Options) -> tuple[Any, Any]:
    """The gradient with the part of weight decay; with ``decoupled`` the parameter shrinks instead."""
    if "maximize" in h.on:
        g = -g
    if "weight_decay" not in h.on:
        return p, g
    if "decoupled" in h.on:
        return p * (1 - h.lr * h.weight_decay), g
    return p, g + h.weight_decay * p


def _mixed(old: Any, new: Any, kept: Any) -> Any:
    return old * kept + new * (1 - kept)


def _sgd(p: Any, g: Any, s: Slots, h: Options) -> tuple[Any, Slots]:
    p, g = _decayed(p, g, h)
    if "momentum" in h.on:
        # The first gradient is taken whole, as PyTorch does.
        part = 1 - h.dampening * (h.step > 1) if "dampening" in h.on else 1
        v = h.momentum * s["momentum_buffer"] + part * g
        g, s = g + h.momentum * v if "nesterov" in h.on else v, {"momentum_buffer": v}
    return p - h.lr * g, s


def _adam(p: Any, g: Any, s: Slots, h: Options) -> tuple[Any, Slots]:
    p, g = _decayed(p, g, h)
    m = _mixed(s["exp_avg"], g, h.beta1)
    v = _mixed(s["exp_avg_sq"], g * g, h.beta2)
    s = s | {"exp_avg": m, "exp_avg_sq": v}
    if "amsgrad" in h.on:
        v = s["max_exp_avg_sq"] = np.maximum(s["max_exp_avg_sq"], v)
    first, second = 1 - h.beta1**h.step, 1 - h.beta2**h.step
    # Divided by what is the same for all elements once: divisions are dear.
    return p - (h.lr / first) * m / (np.sqrt(v) * second**-0.5 + h.eps), s


def _adam_slots(options: Mapping[str, Any]) -> tuple[str, ...]:
    return "exp_avg", "exp_avg_sq", *["max_exp_avg_sq"] * bool(options["amsgrad"])


def _rmsprop(p: Any, g: Any, s: Slots, h: Options) -> tuple[Any, Slots]:
    p, g = _decayed(p, g, h)
    v = _mixed(s["square_avg"], g * g, h.alpha)
    s = s | {"square_avg": v}
    if "centered" in h.on:
        mean = s["grad_avg"] = _mixed(s["grad_avg"], g, h.alpha)
        v = v - mean * mean
    g = g / (np.sqrt(v) + h.eps)
    if "momentum" in h.on:
        g = s["momentum_buffer"] = h.momentum * s["momentum_buffer"] + g
    return p - h.lr * g, s


def _rmsprop_slots(options: Mapping[str, Any]) -> tuple[str, ...]:
    further = {"grad_avg": options["centered"], "momentum_buffer": options["momentum"]}
    return "square_avg", *[name for name, wanted in further.items() if wanted]


def _adagrad(p: Any, g: Any, s: Slots, h: Options) -> tuple[Any, Slots]:
    p, g = _decayed(p, g, h)
    total = s["sum"] + g * g
    lr = h.lr / (1 + (h.step - 1) * h.lr_decay) if "lr_decay" in h.on else h.lr
    return p - lr * g / (np.sqrt(total) + h.eps), {"sum": total}


def _lion(p: Any, g: Any, s: Slots, h: Options) -> tuple[Any, Slots]:
    p, g = _decayed(p, g, h)
    m = s["exp_avg"]
    return p - h.lr * np.sign(_mixed(m, g, h.beta1)), {"exp_avg": _mixed(m, g, h.beta2)}


SGD = Rule(_sgd, lambda options: ("momentum_buffer",) * bool(options["momentum"]))
ADAM = Rule(_adam, _adam_slots)
RMSPROP = Rule(_rmsprop, _rmsprop_slots)
ADAGRAD = Rule(_adagrad, lambda options: ("sum",), "initial_accumulator_value")
LION = Rule(_lion, lambda options: ("exp_avg",))


def options_of(given: Mapping[str, Any]) -> tuple[dict[str, float], tuple[str, ...]]:
    """The numbers among the options of a group, and the names of what is on: these are settings.

    A pair ``betas`` becomes ``beta1`` and ``beta2``.
    """
    flat = dict(given)
    if "betas" in flat:
        flat["beta1"], flat["beta2"] = flat.pop("betas")
    flags = [name for name, x in flat.items() if isinstance(x, bool)]
    numbers = {name: x for name, x in flat.items() if name not in flags}
    return numbers, tuple(name for name, x in flat.items() if callable(x) or x)


def advanced(rule: Rule, p: Any, g: Any, slots: Slots, h: Options) -> tuple[Any, Slots]:
    """Apply *rule*; complex parameters are pairs of real ones, as in PyTorch. Dtypes are kept."""
    if np.dtype(p.dtype).kind != "c":
        made, after = rule.update(p, g, slots, h)
    else:
        (made, after), (imag, others) = [
            rule.update(part(p), part(g), {k: part(x) for k, x in slots.items()}, h)
            for part in (np.real, np.imag)
        ]
        made, after = made + 1j * imag, {k: x + 1j * others[k] for k, x in after.items()}
    return _as(made, p.dtype), {k: _as(x, slots[k].dtype) for k, x in after.items()}


def _as(x: Any, dtype: Any) -> Any:
    return x if x.dtype == dtype else x.astype(dtype)
