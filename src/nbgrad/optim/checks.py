"""What optimisers refuse: parameters that they cannot update, options out of range."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

import numpy as np

from nbgrad.tensors.tensor import Tensor

POSITIVE = (
    "lr",
    "momentum",
    "weight_decay",
    "eps",
    "alpha",
    "lr_decay",
    "initial_accumulator_value",
)


def groups_of(params: Any, name: str) -> list[dict[str, Any]]:
    """The groups that *params* are."""
    if isinstance(params, Tensor):
        raise TypeError(
            "params must be an iterable of tensors, not a tensor, whose rows would be other "
            f"tensors: write {name}([w])"
        )
    if isinstance(params, Mapping):
        raise TypeError(
            f"params must be a list of tensors or of groups, not a dict: write {name}(list(params.values()))"
        )
    given = list(params)
    if not given:
        raise ValueError("optimizer got an empty parameter list")
    return given if isinstance(given[0], Mapping) else [{"params": given}]


def group(given: Any, defaults: Mapping[str, Any]) -> dict[str, Any]:
    """A group with all options."""
    if not isinstance(given, Mapping) or "params" not in given:
        raise TypeError(
            'a parameter group is a dict {"params": [...], ...}, with options as it likes'
        )
    params = [given["params"]] if isinstance(given["params"], Tensor) else list(given["params"])
    for p in params:
        if not isinstance(p, Tensor):
            raise TypeError(
                f"optimizer can only optimize Tensors, but one is a {type(p).__name__}"
            )
        if not p.is_leaf:
            raise ValueError(
                "can't optimize a non-leaf Tensor: nothing accumulates its gradient. Give it the "
                "tensors that were created with requires_grad=True, or x.detach().requires_grad_()"
            )
    if unknown := given.keys() - defaults.keys() - {"params", "initial_lr", "name"}:
        raise TypeError(
            f"{min(unknown)!r} is no option of this optimiser: there are {', '.join(defaults)}"
        )
    return {**defaults, **given, "params": params}


def refuse_twice(params: Iterable[Tensor], before: Collection[Tensor]) -> None:
    """Refuse a parameter that is in two groups, or twice in one."""
    seen = {id(p) for p in before}
    for p in params:
        if id(p) in seen:
            raise ValueError(
                "some parameters appear more than once, in one parameter group or in two: "
                "each is updated once a step"
            )
        seen.add(id(p))


def options(group: Mapping[str, Any]) -> None:
    """Refuse options out of range."""
    for name in POSITIVE:
        if name in group and not group[name] >= 0:
            what = "learning rate" if name == "lr" else name
            raise ValueError(f"invalid {what}: {group[name]}; it must not be negative")
    betas = group.get("betas", ())
    if betas and not (len(betas) == 2 and all(0 <= b < 1 for b in betas)):
        raise ValueError(f"invalid betas: {betas}; two numbers of at least 0 and below 1")
    if group.get("nesterov") and (not group["momentum"] or group["dampening"]):
        raise ValueError("nesterov needs a momentum and zero dampening")


def leaves_of(params: Any) -> list[Tensor]:
    """The tensors that a function is given, alone or in an iterable."""
    found = [params] if isinstance(params, Tensor) else list(params)
    for p in found:
        if not isinstance(p, Tensor):
            raise TypeError(f"parameters must be Tensors, but one is a {type(p).__name__}")
    return found


def floating(x: Any) -> Any:
    """A leaf as something with a dtype, which has to be one that steps can be taken in."""
    x = x if hasattr(x, "dtype") else np.asarray(x)[()]
    if np.dtype(x.dtype).kind not in "fc":
        raise TypeError(
            f"parameters and gradients must be floating point or complex, not {x.dtype}"
        )
    return x
