"""``state_dict`` of optimisers: there and back."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from typing import Any

import numpy as np

from nbgrad.tensors.creation import tensor
from nbgrad.tensors.tensor import Tensor

Group = Mapping[str, Any]


def state_dict(groups: Sequence[Group], state: Mapping[Tensor, Any]) -> dict[str, Any]:
    """Options and state, with numbers in the place of parameters."""
    numbers: dict[Tensor, int] = {}
    for group in groups:
        for p in group["params"]:
            numbers[p] = len(numbers)
    packed = [
        {k: deepcopy(x) for k, x in group.items() if k != "params"}
        | {"params": [numbers[p] for p in group["params"]]}
        for group in groups
    ]
    return {"state": {numbers[p]: x for p, x in state.items()}, "param_groups": packed}


def loaded(
    given: Mapping[str, Any],
    groups: Sequence[Group],
    slots_of: Callable[[Group], tuple[str, ...]],
) -> tuple[list[dict[str, Any]], dict[Tensor, tuple[int, dict[str, Any]]]]:
    """The options of each group, and the steps and slots of each parameter."""
    saved = list(given["param_groups"])
    if len(saved) != len(groups):
        raise ValueError(
            f"loaded state dict has {len(saved)} parameter groups, and this optimiser {len(groups)}"
        )
    kept: dict[Tensor, tuple[int, dict[str, Any]]] = {}
    options = []
    for old, group in zip(saved, groups, strict=True):
        if len(old["params"]) != len(group["params"]):
            raise ValueError(
                "loaded state dict contains a parameter group that does not match the size of the "
                f"optimiser's group: {len(old['params'])} parameters and {len(group['params'])}"
            )
        options.append({k: deepcopy(x) for k, x in old.items() if k != "params"})
        names = slots_of({**group, **options[-1]})
        for number, p in zip(old["params"], group["params"], strict=True):
            if number in given["state"]:
                entry = given["state"][number]
                slots = {name: _fitted(entry, name, p) for name in names}
                kept[p] = int(entry["step"]), slots
    return options, kept


def _fitted(entry: Mapping[str, Any], name: str, p: Tensor) -> Any:
    """A slot as this parameter needs it: a copy, of its shape, dtype and device."""
    if name not in entry:
        raise ValueError(
            f"loaded state dict has no {name!r} for a parameter: is it one of another optimiser?"
        )
    value = entry[name]
    value = value.numpy() if isinstance(value, Tensor) else np.asarray(value)
    if value.shape != p.shape:
        raise ValueError(f"loaded {name!r} has shape {value.shape}, and the parameter {p.shape}")
    value = np.array(value, dtype=p.dtype)
    return value if p._node.aval.device is None else tensor(value, device=p.device)
