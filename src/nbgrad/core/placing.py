"""Operands on several devices: moved where it is plain what is meant, refused where it is not.

What was made of numbers alone (``ng.ones(3)``, a list, an array of NumPy's) lies nowhere yet, and
goes where it is used. A tensor that a user put somewhere stays there until it is moved.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from nbgrad.core.aval import Aval
from nbgrad.core.memory import HOME, devices_of, place
from nbgrad.core.node import Node, leaf_node
from nbgrad.core.ports import ports
from nbgrad.errors import DEVICES, DeviceError


def gathered(name: str, xs: tuple[Any, ...]) -> tuple[Any, ...]:
    """The operands of *name*, all on one device.

    Raises
    ------
    DeviceError
        If they are on two, and it is not plain which of them to move.
    """
    devices = devices_of(xs)
    if len(devices) < 2:
        return xs
    abroad = sorted(d for d in devices if d is not None)
    if len(abroad) > 1 or any(stays(x) for x in xs):
        shown = ", ".join(
            f"{x.aval.dtype.name}{list(x.shape)} on {x.aval.device or HOME!r}"
            for x in xs
            if x.__class__ is Node
        )
        raise DeviceError(DEVICES.format(name=name, operands=shown, device=abroad[0]))
    return tuple([moved(x, abroad[0]) if x.__class__ is Node else x for x in xs])


def moved(x: Node, device: str | None) -> Node:
    """*x* on *device*, None for home; of what is known, the copy is made now."""
    if x.aval.device == device or x.aval.weak:
        return x
    if x.sig is None and x.value is not None and not x.requires_grad:
        return leaf_node(place(x.value, device))
    return ports.move(x, device)


def written(node: Node, old: Node) -> Node:
    """*node*, which takes the place of *old*, where that lies; anywhere, if that lies nowhere yet."""
    if node.aval.device == old.aval.device or (old.aval.device is None and not stays(old)):
        return node
    return moved(node, old.aval.device)


def zeros_leaf(shape: tuple[int, ...], like: Aval) -> Node:
    """A leaf of zeros, of the dtype of *like* and where that lies."""
    return leaf_node(place(np.zeros(shape, like.dtype), like.device))


def stays(x: Any) -> bool:
    """Whether a user put *x* at home: it, or something that it was computed from.

    One element never does: it is as good as a number.
    """
    if x.__class__ is not Node or x.aval.device is not None or x.size < 2:
        return False
    ahead, seen = [x], {x}
    while ahead:
        node = ahead.pop()
        if node.sig is None:
            if node.passed is True:
                return True
        elif "device" in node.sig.params:
            if not node.sig.params.get("back"):
                return True  # moved here by hand
            continue
        elif not node.inputs and any(getattr(a, "ndim", 0) for a in node.sig.operands):
            return True  # computed, of arrays that are forgotten
        fresh = [y for y in node.inputs if y.__class__ is Node and y not in seen]
        seen.update(fresh)
        ahead += fresh
    return False
