"""Arrays nested in tuples, lists and dicts: what calls of functions take and return."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np


def is_array(x: Any) -> bool:
    """Whether *x* is an array or NumPy scalar, of whatever library."""
    return hasattr(x, "shape") and hasattr(x, "dtype") and not isinstance(x, (type, np.dtype))


def leaves(x: Any) -> Iterator[Any]:
    """The arrays in a nest, in order."""
    if isinstance(x, dict):
        x = list(x.values())
    if isinstance(x, (tuple, list)):
        for item in x:
            yield from leaves(item)
    elif is_array(x):
        yield x


def replaced(x: Any, new: Iterator[Any], chosen: Callable[[Any], bool] = is_array) -> Any:
    """The nest with the arrays that are *chosen* replaced, in order, by *new*."""
    if isinstance(x, dict):
        return {key: replaced(value, new, chosen) for key, value in x.items()}
    if isinstance(x, (tuple, list)):
        items = [replaced(item, new, chosen) for item in x]
        return x._make(items) if hasattr(x, "_make") else type(x)(items)
    return next(new) if chosen(x) else x
